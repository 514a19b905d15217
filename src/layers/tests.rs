//! How well names and shapes alone are read, on architectures that the atlas knows: no fingerprint is looked up here.

use std::collections::BTreeMap;

use super::architectures::{Shortfall, check_all};
use super::candidates::Candidate;
use super::known::KnownNetwork;
use super::{Copies, Layers, Selection};
use crate::checkpoint::Tensor;

/// Where it falls short.
const SHORTFALLS: &[Shortfall] = &[];

fn know_nothing(_: &[Candidate<'_>], _: &dyn Fn(usize) -> bool) -> Vec<KnownNetwork> {
    Vec::new()
}

#[test]
fn architectures_are_read_off_names_and_shapes() {
    check_all(SHORTFALLS, |tensors: &[Tensor]| {
        let selection = Selection::default();
        Layers::read(
            tensors,
            &BTreeMap::new(),
            &Copies::none(),
            None,
            &selection,
            know_nothing,
        )
        .unwrap()
    });
}
