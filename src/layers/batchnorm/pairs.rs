//! Convolutions and norms of one module, in pairs.

use std::collections::{HashMap, HashSet};

use super::paths::segment;
use crate::layers::behind::BatchNorm;
use crate::layers::roles;

/// A BatchNorm among others of its module.
pub(super) struct Sibling<'a> {
    pub path: &'a str,
    pub norm: BatchNorm,
    /// Its channels.
    pub length: usize,
}

/// A convolution of a module.
#[derive(Clone, Copy)]
pub(super) struct Conv<'a> {
    pub module: &'a str,
    /// The path by which it is paired with a norm.
    pub path: &'a str,
    pub reads: usize,
    pub gives: usize,
    pub is_linear: bool,
}

/// In which order a module has its norms and its convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Each norm behind a convolution.
    Behind,
    /// Each norm before one.
    Before,
    /// Lengths fit both.
    Either,
}

/// The convolutions of a module, each with the norm that belongs to it by number or by order; `None` if neither tells.
pub(super) fn pairs<'c, 'n>(
    convs: &[Conv<'c>],
    norms: &'n [Sibling<'n>],
) -> Option<Vec<(Conv<'c>, &'n Sibling<'n>)>> {
    // A classifier beside the stem of a ResNet, and gates, have no norms.
    let is_feature =
        |conv: &&Conv<'_>| !conv.is_linear && !roles::is_channel_gate(&segment(conv.path));
    let features: Vec<Conv<'_>> = convs.iter().filter(is_feature).copied().collect();
    let number = |path: &str| segment(path).ordinal;
    let by_number = || {
        let mut numbered: HashMap<Vec<(u64, char)>, Vec<&'n Sibling<'n>>> = HashMap::new();
        for norm in norms {
            numbered.entry(number(norm.path)).or_default().push(norm);
        }
        let mut taken = HashSet::new();
        let mut pairs = Vec::new();
        for conv in convs {
            let number = number(conv.path);
            match numbered.get(&number).map(Vec::as_slice) {
                Some(&[norm]) if taken.insert(number) => pairs.push((*conv, norm)),
                Some(_) => return None,
                None => {}
            }
        }
        (!pairs.is_empty()).then_some(pairs)
    };
    let by_order = || {
        let is_one_each = !norms.is_empty() && features.len() == norms.len();
        is_one_each.then(|| features.iter().copied().zip(norms).collect())
    };
    by_number().or_else(by_order)
}

/// Of the pairs of each module the convolutions whose norm is settled, given in which order all the file's modules have them.
pub(super) fn settled<'c, 'n>(
    modules: &[Vec<(Conv<'c>, &'n Sibling<'n>)>],
) -> Vec<(&'c str, &'n Sibling<'n>)> {
    let orders: Vec<Option<Order>> = modules.iter().map(|pairs| order(pairs)).collect();
    let has = |order| orders.contains(&Some(order));
    let usual = match (has(Order::Behind), has(Order::Before)) {
        (true, false) => Some(Order::Behind),
        (false, true) => Some(Order::Before),
        _ => None,
    };
    let mut settled = Vec::new();
    for (pairs, order) in modules.iter().zip(&orders) {
        let order = match order {
            Some(Order::Either) => usual,
            order => *order,
        };
        match order {
            Some(Order::Before) => {
                let next = pairs.iter().skip(1).map(|&(_, norm)| norm);
                let fitting = pairs.iter().zip(next);
                let fitting = fitting.filter(|((conv, _), norm)| norm.length == conv.gives);
                settled.extend(fitting.map(|((conv, _), norm)| (conv.module, norm)));
            }
            Some(_) => settled.extend(pairs.iter().map(|(conv, norm)| (conv.module, *norm))),
            None => {}
        }
    }
    settled
}

/// In which order these are, by their lengths; `None` if they fit neither.
fn order(pairs: &[(Conv<'_>, &Sibling<'_>)]) -> Option<Order> {
    let behind = pairs.iter().all(|(conv, norm)| norm.length == conv.gives);
    let before = pairs.iter().all(|(conv, norm)| norm.length == conv.reads);
    match (behind, before) {
        (true, false) => Some(Order::Behind),
        (false, true) => Some(Order::Before),
        (true, true) => Some(Order::Either),
        (false, false) => None,
    }
}
