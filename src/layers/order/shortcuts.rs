//! Shortcuts around the main path: which modules are shortcuts, and whether they run before or after it.

use super::arrangement::{Arrangement, FlowPath, Placed, Tie};
use super::items::Item;
use super::modules::Modules;
use crate::layers::roles::{self, Role, ShortcutTurn};

/// Whether an unnumbered module of the body is named a shortcut.
pub(super) fn is_named_shortcut(modules: &Modules<'_>, item: &Item) -> bool {
    let segment = modules.segment(item.node);
    item.role == Role::Body && segment.ordinal.is_empty() && roles::shortcut(segment).is_some()
}

/// Whether a module named a shortcut goes around the main path: it has the same input and output. A `downsample` that starts
/// or ends a stage (ConvNeXt, Swin) does not.
pub(super) fn goes_around(modules: &Modules<'_>, shortcut: &Item, main: &[Placed]) -> bool {
    let mut body = main.iter().filter(|placed| placed.role == Role::Body);
    let Some(first) = body.next() else {
        return false;
    };
    let last = body.next_back().unwrap_or(first);
    let own = modules.ends(shortcut.node);
    let (first_ends, last_ends) = (modules.ends(first.node), modules.ends(last.node));
    let same_input = own
        .entry
        .iter()
        .any(|channels| first_ends.entry.contains(channels));
    let same_output = own
        .exits
        .iter()
        .any(|channels| last_ends.exits.contains(channels));
    let is_of_stage = roles::is_stage_body(modules.segment(first.node))
        && roles::shortcut(modules.segment(shortcut.node)) == Some(ShortcutTurn::Last);
    same_input && same_output && !is_of_stage
}

/// Whether the block normalises before it convolves (or not at all, with standardised weights). Then its
/// shortcut reads the normalised input, and runs first (timm's ResNetV2 and NFNet, the usual PreActBlock).
pub(super) fn norm_comes_first(modules: &Modules<'_>, node: usize, main: &[Placed]) -> bool {
    let path = modules.tree.path(node, modules.candidates);
    let norm = |name: &str| {
        if path.is_empty() {
            modules.companions.norm(name)
        } else {
            modules.companions.norm(&format!("{path}.{name}"))
        }
    };
    if !path.is_empty() && norm("pre_norm").is_some() {
        return true;
    }
    main.iter().any(|placed| {
        let Some(single) = modules.sketches[placed.node].single else {
            return false;
        };
        let candidate = &modules.candidates[single];
        let reads = candidate.reads();
        let text = &modules.segment(placed.node).text;
        let ordinal = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        let is_normed = || {
            let mut names = ["norm", "bn", "gn"].into_iter();
            names.any(|name| norm(&format!("{name}{ordinal}")) == Some(reads))
        };
        modules.companions.has_gain(candidate.module)
            || (!ordinal.is_empty() && reads != candidate.out() && is_normed())
    })
}

/// Places a shortcut before or after the body of the main path.
pub(super) fn place(
    modules: &Modules<'_>,
    shortcut: &Item,
    norm_comes_first: bool,
    result: &mut Arrangement,
) {
    let name = modules.segment(shortcut.node);
    let is_first = norm_comes_first || roles::shortcut(name) == Some(ShortcutTurn::First);
    let after = if is_first { Role::Stem } else { Role::Body };
    let placed = &result.placed;
    let at = placed
        .iter()
        .rposition(|placed| placed.role <= after)
        .map_or(0, |last| last + 1);
    // PyTorch's own names imply its own order. With other names, and beside a gate, either may run first.
    let is_usual = norm_comes_first || roles::is_usual_shortcut(name);
    let is_body = |at: &usize| placed[*at].path == FlowPath::Main && placed[*at].role == Role::Body;
    let mut body = (0..placed.len()).filter(is_body);
    let first = body.next();
    let edges = [first, body.next_back().or(first)];
    let is_open = |at: &usize| {
        placed[*at].path == FlowPath::Gate || (!is_usual && edges.contains(&Some(*at)))
    };
    let open = (0..placed.len()).filter(is_open);
    let ties = open.map(|other| {
        let (first, second) = if other < at {
            (placed[other].node, shortcut.node)
        } else {
            (shortcut.node, placed[other].node)
        };
        Tie { first, second }
    });
    result.ties.extend(ties);
    let shortcut = Placed::beside(shortcut.node, FlowPath::Shortcut);
    result.placed.insert(at, shortcut);
}
