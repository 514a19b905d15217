use std::collections::BTreeMap;

use crate::checkpoint::Dtype;
use crate::layers::{Copies, Layers, Selection};

use super::*;

/// The module of each convolution with that of its norm; `?` where it is in doubt, `-` where none was found. A line of a network is a
/// weight's module with its shape, or a norm's with its length.
fn norms(network: &[(&str, &[usize])], list: Option<&str>) -> Result<Vec<(String, String)>, Error> {
    let parts = ["weight", "bias", "running_mean", "running_var"];
    let tensors = network.iter().flat_map(|&(module, shape)| {
        let parts = if shape.len() == 1 {
            &parts[..]
        } else {
            &parts[..1]
        };
        parts.iter().map(move |part| Tensor {
            name: format!("{module}.{part}"),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            shard: 0,
            bytes: 0..0,
            arrangement: Default::default(),
        })
    });
    let tensors: Vec<Tensor> = tensors.collect();
    let list = list.map(Declared::from_json).transpose()?;
    let layers = Layers::of(
        &tensors,
        &BTreeMap::new(),
        &Copies::none(),
        list.as_ref(),
        &Selection::default(),
    )?;
    let found = layers.layers.iter().map(|layer| {
        let norm = match &layer.behind[0].norm {
            NormBehind::Found(norm) => &norm.module,
            NormBehind::Doubtful => "?",
            NormBehind::None => "none",
            NormBehind::NotFound => "-",
        };
        let module = layer.name.trim_end_matches(".weight");
        (module.to_owned(), norm.to_owned())
    });
    Ok(found.collect())
}

fn check(network: &[(&str, &[usize])], expected: &[(&str, &str)]) {
    let mut found = norms(network, None).unwrap();
    found.sort();
    let mut expected: Vec<(String, String)> = expected
        .iter()
        .map(|&(module, norm)| (module.to_owned(), norm.to_owned()))
        .collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn by_number_and_by_place_in_a_sequence() {
    check(
        &[
            ("conv1", &[8, 3, 3, 3]),
            ("bn1", &[8]),
            ("layer1.0.conv1", &[8, 8, 3, 3]),
            ("layer1.0.bn1", &[8]),
            ("layer1.0.conv2", &[12, 8, 3, 3]),
            ("layer1.0.bn2", &[12]),
            ("layer1.0.downsample.0", &[12, 8, 1, 1]),
            ("layer1.0.downsample.1", &[12]),
            ("fc", &[5, 12]),
        ],
        &[
            ("conv1", "bn1"),
            ("layer1.0.conv1", "layer1.0.bn1"),
            ("layer1.0.conv2", "layer1.0.bn2"),
            ("layer1.0.downsample.0", "layer1.0.downsample.1"),
            ("fc", "-"),
        ],
    );
}

#[test]
fn by_order_where_gates_have_none() {
    // EfficientNet's block, with squeeze-and-excite; MONAI's convolution, alone in its module.
    check(
        &[
            ("_expand_conv", &[24, 4, 1, 1]),
            ("_bn0", &[24]),
            ("_depthwise_conv", &[24, 1, 3, 3]),
            ("_bn1", &[24]),
            ("_se_reduce", &[6, 24, 1, 1]),
            ("_se_expand", &[24, 6, 1, 1]),
            ("_project_conv", &[8, 24, 1, 1]),
            ("_bn2", &[8]),
            ("head.conv1.conv", &[10, 8, 3, 3]),
            ("head.norm1", &[10]),
        ],
        &[
            ("_expand_conv", "_bn0"),
            ("_depthwise_conv", "_bn1"),
            ("_se_reduce", "-"),
            ("_se_expand", "-"),
            ("_project_conv", "_bn2"),
            ("head.conv1.conv", "head.norm1"),
        ],
    );
}

#[test]
fn a_norm_before_its_convolution_belongs_to_the_one_before() {
    // DenseNet: what the last convolution of a layer gives is put beside other channels, and has no norm of its own.
    check(
        &[
            ("features.conv0", &[8, 3, 3, 3]),
            ("features.norm0", &[8]),
            ("features.a.norm1", &[8]),
            ("features.a.conv1", &[16, 8, 1, 1]),
            ("features.a.norm2", &[16]),
            ("features.a.conv2", &[4, 16, 3, 3]),
            ("features.b.norm1", &[12]),
            ("features.b.conv1", &[16, 12, 1, 1]),
            ("features.b.norm2", &[16]),
            ("features.b.conv2", &[4, 16, 3, 3]),
            ("features.norm5", &[16]),
        ],
        &[
            ("features.conv0", "features.norm0"),
            ("features.a.conv1", "features.a.norm2"),
            ("features.a.conv2", "-"),
            ("features.b.conv1", "features.b.norm2"),
            ("features.b.conv2", "-"),
        ],
    );
}

#[test]
fn where_lengths_fit_both_orders_nothing_is_guessed() {
    let blocks: &[(&str, &[usize])] = &[
        ("a.norm1", &[8]),
        ("a.conv1", &[8, 8, 3, 3]),
        ("a.norm2", &[8]),
        ("a.conv2", &[8, 8, 3, 3]),
    ];
    check(blocks, &[("a.conv1", "?"), ("a.conv2", "?")]);
    // A block of the same file in which they can only be before.
    let widening: &[(&str, &[usize])] = &[
        ("b.norm1", &[8]),
        ("b.conv1", &[6, 8, 3, 3]),
        ("b.norm2", &[6]),
        ("b.conv2", &[9, 6, 3, 3]),
    ];
    check(
        &[blocks, widening].concat(),
        &[
            ("a.conv1", "a.norm2"),
            ("a.conv2", "?"),
            ("b.conv1", "b.norm2"),
            ("b.conv2", "-"),
        ],
    );
}

#[test]
fn of_other_lengths_there_is_none() {
    check(
        &[
            ("conv1", &[8, 3, 3, 3]),
            ("bn1", &[12]),
            ("up.0", &[8, 8, 1, 1]),
            ("up.1", &[2]),
        ],
        &[("conv1", "-"), ("up.0", "-")],
    );
}

#[test]
fn a_list_says_which_it_is_or_that_there_is_none() {
    let network: &[(&str, &[usize])] = &[
        ("a", &[8, 3, 3, 3]),
        ("b", &[8, 8, 3, 3]),
        ("n", &[8]),
        ("m", &[6]),
    ];
    let list = r#"[{"name":"a.weight","norm":"n"},{"name":"b.weight","norm":""}]"#;
    let found = norms(network, Some(list)).unwrap();
    let expected = [("a", "n"), ("b", "none")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(found, expected);
    for (norm, says) in [
        ("bn", "no BatchNorm with running statistics at `bn`"),
        ("m", "`m` has 6 channels"),
    ] {
        let list = format!(r#"[{{"name":"a.weight","norm":"{norm}"}},"b.weight"]"#);
        let error = norms(network, Some(&list)).unwrap_err().to_string();
        assert!(
            error.contains(says) && error.contains("--layers"),
            "{error}"
        );
    }
}
