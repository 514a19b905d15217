//! The warning that tau is a number at which chance alone gives a partner to most kernels of some layers.

use crate::layers::{Layer, Layers};
use crate::plan::{Partner, Threshold};
use crate::settings::Settings;
use crate::similarity::Chance;

/// The share of a layer's kernels to which chance may give a partner without a warning. Above it, having a partner says little.
const MOST: f64 = 0.5;

/// What the user should know of layers in which more have one.
pub(super) fn warning(settings: &Settings, layers: &Layers) -> Option<String> {
    let partner = settings.parameters.partner;
    let by_chance: Vec<(&Layer, f64, f64)> = layers
        .selected()
        .filter_map(|layer| match settings.for_layer(layer.names()).tau {
            Threshold::Similarity(tau) => {
                let tau = tau.get();
                Some((layer, tau, expected(layer, tau, partner)))
            }
            // These differ from layer to layer.
            Threshold::Share(_) | Threshold::Chance(_) => None,
        })
        .filter(|&(_, _, share)| share > MOST)
        .collect();
    let &(layer, tau, share) = by_chance.iter().max_by(|a, b| a.2.total_cmp(&b.2))?;
    let (count, total) = (by_chance.len(), layers.selected().count());
    Some(format!(
        "In {count} of the {total} layers that take part, most kernels would find a partner above tau even if their numbers were random: in `{}` \
         {:.0} % of {} kernels of {} numbers{}, at tau {tau}. What merges there need not be alike. A tau of 5% gives each layer a threshold of its \
         own, chance=1% one that random kernels seldom pass",
        layer.name,
        100.0 * share,
        compared(layer),
        dimension(layer),
        if layer.groups_compared() > 1 {
            ", which are a group"
        } else {
            ""
        },
    ))
}

/// The share of a layer's kernels that find a partner above tau, if their directions are random.
fn expected(layer: &Layer, tau: f64, partner: Partner) -> f64 {
    let chance = Chance::new(dimension(layer), compared(layer));
    match partner {
        Partner::Eligible | Partner::Nearest => chance.partner_above(tau),
        // The one that is drawn.
        Partner::Random => chance.pair_above(tau),
    }
}

/// Numbers of a kernel.
fn dimension(layer: &Layer) -> usize {
    layer.shape.iter().product::<usize>() / layer.kernels
}

/// Kernels that are compared with each other, each with all others.
fn compared(layer: &Layer) -> usize {
    layer.kernels / layer.groups_compared()
}
