//! The order of definition, which a state dict keeps, as a source of the depth order.

use std::collections::BTreeMap;

use inmerge_ckpt::checkpoint::Tensor;
use inmerge_ckpt::layers::{Copies, Declared, Evidence, Layers, OrderSource, Selection, Warning};

use crate::layers::tensor;

/// The layers of a state dict with these weights, of which the first few are shallow.
fn layers(weights: &[(&str, &[usize])], shallow: usize, declared: Option<&Declared>) -> Layers {
    let tensors: Vec<Tensor> = weights
        .iter()
        .map(|(name, shape)| tensor(name, shape))
        .collect();
    let selection = Selection {
        skip_shallow: shallow,
        ..Selection::default()
    };
    Layers::of_state_dict(
        &tensors,
        &BTreeMap::new(),
        &Copies::none(),
        declared,
        &selection,
    )
    .unwrap()
}

fn names(layers: &Layers) -> Vec<&str> {
    layers.layers.iter().map(|layer| &layer.name[..]).collect()
}

/// Modules whose names and shapes say nothing of their order.
const NAMELESS: [(&str, &[usize]); 4] = [
    ("quartz.weight", &[24, 3, 3, 3]),
    ("onyx.weight", &[24, 24, 3, 3]),
    ("amber.weight", &[24, 24, 3, 3]),
    ("jade.weight", &[24, 24, 3, 3]),
];

#[test]
fn it_decides_where_names_and_shapes_leave_the_order_open() {
    let found = layers(&NAMELESS, 2, None);

    assert_eq!(found.source, OrderSource::Definition);
    assert_eq!(names(&found), NAMELESS.map(|(name, _)| name));
    let depths: Vec<_> = found.layers.iter().map(|layer| layer.depth).collect();
    assert_eq!(depths, [1, 2, 3, 4].map(Some));
    assert!(
        found
            .layers
            .iter()
            .all(|layer| layer.place_from == Evidence::Definition)
    );
    assert_eq!(found.selected().count(), 2);
}

/// `onyx` or `amber` is shallow: by names that is a guess, by definition too, and the two differ.
#[test]
fn where_names_and_shapes_have_it_otherwise_it_is_doubted() {
    let found = layers(&NAMELESS, 2, None);
    let doubts = |found: &Layers| {
        let doubts = found.warnings.iter();
        doubts
            .filter(|warning| matches!(warning, Warning::OrderOfDefinition { .. }))
            .count()
    };
    assert_eq!(doubts(&found), 1, "{:?}", found.warnings);

    // A decoder that is defined before its encoder.
    let decoder_first: [(&str, &[usize]); 4] = [
        ("decoder.0.weight", &[16, 32, 3, 3]),
        ("decoder.1.weight", &[8, 16, 3, 3]),
        ("encoder.0.weight", &[16, 3, 3, 3]),
        ("encoder.1.weight", &[32, 16, 3, 3]),
    ];
    let found = layers(&decoder_first, 2, None);
    let doubt = Warning::OrderOfDefinition {
        before: "decoder.0.weight".to_owned(),
        behind: "encoder.0.weight".to_owned(),
    };
    assert_eq!(found.warnings, [doubt]);

    let chain = [
        NAMELESS[0],
        ("stage1.weight", &[24, 24, 3, 3]),
        ("stage2.weight", &[24, 24, 3, 3]),
    ];
    assert_eq!(doubts(&layers(&chain, 2, None)), 0);
    assert_eq!(doubts(&layers(&NAMELESS, 0, None)), 0);
}

#[test]
fn what_is_declared_wins() {
    let order = "jade.weight\namber.weight\nonyx.weight\nquartz.weight\n";
    let found = layers(&NAMELESS, 2, Some(&Declared::from_order(order)));

    assert_eq!(found.source, OrderSource::File);
    assert_eq!(names(&found), order.lines().collect::<Vec<_>>());
    assert!(found.warnings.is_empty());
}
