use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use super::list::DeclaredLayer;
use super::*;
use crate::checkpoint::{Dtype, Tensor};
use crate::layers::{Copies, Kind, Layer, Layers, OrderSource, Reason, Selection};

fn metadata(text: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(METADATA_KEY.to_owned(), text.to_owned())])
}

fn tensors(shapes: &[(&str, &[usize])]) -> Vec<Tensor> {
    let tensor = |&(name, shape): &(&str, &[usize])| Tensor {
        name: name.to_owned(),
        dtype: Dtype::F32,
        shape: shape.to_vec(),
        shard: 0,
        bytes: 0..0,
        arrangement: Default::default(),
    };
    shapes.iter().map(tensor).collect()
}

fn layers(shapes: &[(&str, &[usize])], list: &str) -> Result<Layers, Error> {
    let selection = Selection {
        skip_shallow: 0,
        kinds: Kind::ALL.into(),
        ..Selection::default()
    };
    let list = Declared::from_json(list)?;
    Layers::of(
        &tensors(shapes),
        &BTreeMap::new(),
        &Copies::none(),
        Some(&list),
        &selection,
    )
}

/// The only layer of a file, of this shape and bias, declared with these keys.
fn one(shape: &[usize], bias: Option<usize>, keys: &str) -> Result<Layer, Error> {
    let bias = bias.map(|length| [length]);
    let mut shapes: Vec<(&str, &[usize])> = vec![("x.weight", shape)];
    shapes.extend(bias.iter().map(|bias| ("x.bias", bias.as_slice())));
    let found = layers(&shapes, &format!(r#"[{{"name":"x.weight",{keys}}}]"#))?;
    assert!(found.warnings.is_empty(), "{keys}: {:?}", found.warnings);
    Ok(found.layers[0].clone())
}

#[test]
fn an_order_file_has_comments_and_blank_lines() {
    let list = Declared::from_order("# depth order\r\n\r\n conv1.weight \nconv2.weight\n");
    let names = ["conv1.weight", "conv2.weight"].map(DeclaredLayer::named);
    assert_eq!(
        (list.source(), list.layers()),
        (OrderSource::File, &names[..])
    );
}

#[test]
fn items_are_names_or_objects() {
    let text = r#"["a",{"name":"b"},{"name":"c","kind":"transposed","groups":2,"head":true,"gate":false,"norm":"n"},{"name":"d","copy_of":"c"}]"#;
    let list = Declared::from_json(text).unwrap();
    let c = DeclaredLayer {
        name: "c".to_owned(),
        kind: Some(Kind::Transposed),
        groups: NonZeroUsize::new(2),
        head: Some(true),
        gate: Some(false),
        norm: Some("n".to_owned()),
        copy_of: None,
    };
    assert_eq!(list.layers()[1..3], [DeclaredLayer::named("b"), c]);
    assert_eq!(list.copies().collect::<Vec<_>>(), [("d", "c")]);
    // An item with only a name is written as a string.
    let written = serde_json::to_string(&list).unwrap();
    assert_eq!(written, text.replace(r#"{"name":"b"}"#, r#""b""#));
    let of_file = Declared::from_metadata(&metadata(&written))
        .unwrap()
        .unwrap();
    assert_eq!(of_file.source(), OrderSource::Metadata);
    assert_eq!(of_file.layers(), list.layers());
    assert_eq!(Declared::from_metadata(&BTreeMap::new()), Ok(None));
}

#[test]
fn an_invalid_list_is_refused_with_its_position() {
    for (text, words) in [
        ("", "line 1"),
        ("{}", "line 1"),
        ("[\n 3\n]", "line 2 column 2"),
        (
            "[\n {\"name\":\"a\",\"grups\":2}\n]",
            "unknown field `grups`",
        ),
        ("[{\"name\":\"a\",\"groups\":2,\n\"groups\":2}]", "line 2"),
        ("[{\"kind\":\"conv\"}]", "missing field `name`"),
        (
            "[{\"name\":\"a\",\"kind\":\"convolution\"}]",
            "unknown variant `convolution`",
        ),
        ("[{\"name\":\"a\",\"groups\":0}]", "nonzero"),
        ("[{\"name\":\"a\",\"groups\":1.5}]", "nonzero"),
        ("[\"a\"] []", "trailing"),
    ] {
        let message = Declared::from_json(text).unwrap_err().to_string();
        assert!(message.starts_with("--layers"), "{message}");
        assert!(message.contains(words), "{text}: {message}");
        let message = Declared::from_metadata(&metadata(text)).unwrap_err();
        let message = message.to_string();
        assert!(message.contains("inmerge.layers"), "{message}");
        assert!(message.contains("`--layers FILE`"), "{message}");
    }
}

#[test]
fn names_are_found_once_each() {
    let shapes: [(&str, &[usize]); 3] = [
        ("a.weight", &[8, 8, 3, 3]),
        ("a.bias", &[8]),
        ("b.weight", &[8, 8, 3, 3]),
    ];
    let refused = |list: &str| layers(&shapes, list).unwrap_err();
    let Error::OrderUnknown { near, .. } = refused(r#"["b.wieght"]"#) else {
        panic!("it is unknown");
    };
    assert!(near.contains(&"b.weight".to_owned()), "{near:?}");
    assert!(matches!(
        refused(r#"["a.bias"]"#),
        Error::OrderNotALayer { .. }
    ));
    assert!(matches!(
        refused(r#"["a.weight",{"name":"a.weight"}]"#),
        Error::OrderTwice { .. }
    ));
}

#[test]
fn kinds_and_groups_are_as_declared() {
    // Shape, length of the bias, declared keys → kind, groups, kernels.
    for (shape, bias, keys, expected) in [
        (&[8, 4, 3, 3][..], None, r#""groups":2"#, (Kind::Conv, 2, 8)),
        (
            &[8, 4, 1, 1],
            None,
            r#""kind":"conv""#,
            (Kind::Pointwise, 1, 8),
        ),
        (
            &[8, 4, 1, 1],
            Some(8),
            r#""kind":"pointwise","groups":4"#,
            (Kind::Pointwise, 4, 8),
        ),
        (
            &[8, 1, 3, 3],
            None,
            r#""kind":"depthwise""#,
            (Kind::Depthwise, 8, 8),
        ),
        (
            &[8, 1, 3, 3],
            None,
            r#""kind":"depthwise","groups":4"#,
            (Kind::Depthwise, 4, 8),
        ),
        (
            &[8, 1, 3, 3],
            None,
            r#""kind":"conv","groups":8"#,
            (Kind::Depthwise, 8, 8),
        ),
        (
            &[8, 1, 3, 3],
            None,
            r#""groups":8"#,
            (Kind::Depthwise, 8, 8),
        ),
        (&[8, 1, 3, 3], None, r#""kind":"conv""#, (Kind::Conv, 1, 8)),
        (
            &[8, 4, 3],
            None,
            r#""kind":"transposed""#,
            (Kind::Transposed, 1, 4),
        ),
        (
            &[8, 4, 3],
            None,
            r#""kind":"transposed","groups":2"#,
            (Kind::Transposed, 2, 8),
        ),
        (
            &[8, 4, 3],
            Some(16),
            r#""kind":"transposed""#,
            (Kind::Transposed, 4, 16),
        ),
        (
            &[8, 8, 2, 2],
            None,
            r#""kind":"transposed""#,
            (Kind::Transposed, 1, 8),
        ),
        // By its even kernel it might be transposed.
        (&[8, 8, 2, 2], None, r#""kind":"conv""#, (Kind::Conv, 1, 8)),
        (
            &[8, 4],
            None,
            r#""kind":"linear","groups":1"#,
            (Kind::Linear, 1, 8),
        ),
    ] {
        let layer = one(shape, bias, keys).unwrap();
        assert_eq!(
            (layer.kind, layer.groups, layer.kernels),
            expected,
            "{shape:?} {keys}"
        );
        assert_eq!(layer.reason, None, "{shape:?} {keys}");
    }
}

#[test]
fn what_shapes_contradict_is_refused() {
    for (shape, bias, keys, words) in [
        (
            &[8, 4, 3, 3][..],
            None,
            r#""groups":3"#,
            "do not divide its 8 kernels",
        ),
        (
            &[8, 4, 3, 3],
            None,
            r#""kind":"depthwise""#,
            "read 4 channels",
        ),
        (
            &[8, 1, 3, 3],
            None,
            r#""kind":"depthwise","groups":1"#,
            "leave `groups` out",
        ),
        (
            &[8, 1, 3, 3],
            None,
            r#""kind":"depthwise","groups":5"#,
            "do not divide",
        ),
        (
            &[8, 4, 3, 3],
            None,
            r#""kind":"pointwise""#,
            "not pointwise",
        ),
        (&[8, 4, 3, 3], None, r#""kind":"linear""#, "not linear"),
        (&[8, 4], None, r#""kind":"conv""#, "it is linear"),
        (
            &[8, 4],
            None,
            r#""kind":"linear","groups":2"#,
            "cannot have 2 groups",
        ),
        (&[8, 4], None, r#""groups":2"#, "cannot have 2 groups"),
        (
            &[8, 4, 3, 3],
            None,
            r#""kind":"transposed","groups":3"#,
            "the 8 input channels",
        ),
        (
            &[8, 4, 3, 3],
            Some(8),
            r#""kind":"transposed","groups":1"#,
            "its bias has 8",
        ),
        (
            &[8, 4, 3, 3],
            Some(7),
            r#""kind":"transposed""#,
            "its bias has 7",
        ),
        (&[8, 4, 3, 3], Some(4), r#""kind":"conv""#, "its bias has 4"),
        (
            &[8, 4, 3, 3],
            Some(4),
            r#""groups":2"#,
            "transposed convolution",
        ),
    ] {
        let error = one(shape, bias, keys).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Contradiction { .. }), "{message}");
        assert!(message.contains("`x.weight`"), "{message}");
        assert!(message.contains(words), "{keys}: {message}");
    }
}

#[test]
fn heads_and_gates_are_as_declared() {
    let reason = |keys| one(&[8, 4, 1, 1], None, keys).unwrap().reason;
    assert_eq!(reason(r#""head":true"#), Some(Reason::Head));
    assert_eq!(reason(r#""gate":true"#), Some(Reason::SqueezeExcite));
    let shapes: [(&str, &[usize]); 3] = [
        ("stem.weight", &[8, 3, 3, 3]),
        ("se.fc1.weight", &[2, 8, 1, 1]),
        ("head.weight", &[4, 8, 1, 1]),
    ];
    let reasons = |list| -> Vec<_> {
        let found = layers(&shapes, list).unwrap();
        found.layers.iter().map(|layer| layer.reason).collect()
    };
    assert_eq!(
        reasons(r#"["stem.weight","se.fc1.weight","head.weight"]"#),
        [None, Some(Reason::SqueezeExcite), Some(Reason::Head)]
    );
    assert_eq!(
        reasons(
            r#"["stem.weight",{"name":"se.fc1.weight","gate":false},{"name":"head.weight","head":false}]"#
        ),
        [None; 3]
    );
}

#[test]
fn a_listed_layer_may_have_any_name() {
    let found = layers(&[("onnx::Conv_57", &[8, 4, 3, 3])], r#"["onnx::Conv_57"]"#).unwrap();
    assert_eq!(found.layers[0].reason, None);
}

#[test]
fn copies_have_no_depth() {
    let shape: &[usize] = &[8, 8, 3, 3];
    let shapes = [
        ("a.weight", shape),
        ("b.weight", shape),
        ("c.weight", shape),
    ];
    let list =
        r#"["c.weight",{"name":"a.weight","copy_of":"c.weight"},{"name":"b.weight","groups":2}]"#;
    let rows = |found: Layers| -> Vec<(String, Option<usize>, Option<Reason>)> {
        let row = |layer: Layer| (layer.name, layer.depth, layer.reason);
        found.layers.into_iter().map(row).collect()
    };
    let row = |name: &str, depth, reason| (name.to_owned(), depth, reason);
    let (b, c) = (
        row("b.weight", Some(2), None),
        row("c.weight", Some(1), None),
    );
    let found = layers(&shapes, list).unwrap();
    // Their values have not been compared.
    let unequal = Warning::UnequalCopy {
        name: "a.weight".to_owned(),
        original: "c.weight".to_owned(),
    };
    assert_eq!(found.warnings, [unequal]);
    let a = row("a.weight", None, Some(Reason::Excluded));
    assert_eq!(rows(found), [c.clone(), b.clone(), a]);
    // A checkpoint may hold only one of the names.
    assert_eq!(rows(layers(&shapes[1..], list).unwrap()), [c, b.clone()]);
    let found = layers(&shapes[..2], list).unwrap();
    assert_eq!(rows(found), [row("a.weight", Some(1), None), b]);
}

#[test]
fn impossible_copies_are_refused() {
    let shapes: [(&str, &[usize]); 3] = [
        ("a.weight", &[8, 8, 3, 3]),
        ("b.weight", &[8, 8, 3, 3]),
        ("c.weight", &[8, 8, 1, 1]),
    ];
    for (list, words) in [
        (
            r#"[{"name":"a.weight","copy_of":"b.weight"}]"#,
            "is not in the list",
        ),
        (
            r#"["b.weight",{"name":"a.weight","copy_of":"b.wieght"}]"#,
            "near: `b.weight`",
        ),
        (
            r#"[{"name":"a.weight","copy_of":"a.weight"}]"#,
            "copy itself",
        ),
        (
            r#"["c.weight",{"name":"a.weight","copy_of":"b.weight"},{"name":"b.weight","copy_of":"c.weight"}]"#,
            "copy itself",
        ),
        (
            r#"["c.weight",{"name":"a.weight","copy_of":"c.weight"}]"#,
            "another dtype or shape",
        ),
        (
            r#"["b.weight",{"name":"a.weight","copy_of":"b.weight","groups":2}]"#,
            "with other properties",
        ),
    ] {
        let message = layers(&shapes, list).unwrap_err().to_string();
        assert!(message.contains("`a.weight`"), "{message}");
        assert!(message.contains(words), "{list}: {message}");
    }
}
