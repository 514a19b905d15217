//! Weights that PyTorch stores in parts: pruning, weight norm, spectral norm, parametrisations.

use super::candidate::Layout;

/// Last parts of names that belong to a parametrised weight; `true` marks those of the weight's shape.
const PARTS: [(&str, bool); 5] = [
    ("weight_orig", true),
    ("weight_mask", false),
    ("weight_v", true),
    ("weight_g", false),
    ("weight_bar", true),
];

/// The module that a part of a parametrised weight belongs to, and the part's layout.
pub(super) fn part(name: &str) -> Option<(&str, Layout)> {
    let (module, last) = name.rsplit_once('.').unwrap_or(("", name));
    let (module, main) = match PARTS.iter().find(|(part, _)| *part == last) {
        Some(&(_, main)) => (module, main),
        None => {
            let (owner, part) = parametrisation(name)?;
            (owner, part != "original0")
        }
    };
    let layout = if main {
        Layout::Parametrised
    } else {
        Layout::ParametrisedPart
    };
    Some((module, layout))
}

/// `conv.parametrizations.weight.original0` → (`conv`, `original0`).
fn parametrisation(name: &str) -> Option<(&str, &str)> {
    let (owner, part) = match name.strip_prefix("parametrizations.weight.") {
        Some(part) => ("", part),
        None => name.split_once(".parametrizations.weight.")?,
    };
    matches!(part, "original" | "original0" | "original1").then_some((owner, part))
}
