//! The layer model against what real modules do (`fixtures/architectures`), and against what no module would.

pub(crate) mod architectures;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use inmerge_ckpt::checkpoint::{Dtype, Tensor};
use inmerge_ckpt::layers::{
    Copies, Declared, Error, Evidence, Kind, Layer, Layers, METADATA_KEY, NamePattern, NormBehind,
    OrderSource, Reason, Selection, Warning,
};
use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};

pub use architectures::tensor;
use architectures::{Model, Shortfall, check_all, folder, names};
use serde_json::{Value, json};

impl Model {
    fn named(name: &str) -> Self {
        Self::read(&folder().join(format!("{name}.tsv")))
    }
}

fn layers(tensors: &[Tensor]) -> Layers {
    with(tensors, &Selection::default()).unwrap()
}

fn with(tensors: &[Tensor], selection: &Selection) -> Result<Layers, Error> {
    Layers::of(tensors, &BTreeMap::new(), &Copies::none(), None, selection)
}

/// Where the layer model falls short, the atlas included.
const SHORTFALLS: &[Shortfall] = &[];

#[test]
fn architectures_come_out_as_they_run() {
    check_all(SHORTFALLS, layers);
}

#[test]
fn the_cut_falls_at_the_same_layer_under_any_prefix() {
    for name in [
        "torchvision-resnet18",
        "timm-densenet121",
        "timm-efficientnet_b0",
        "monai-BasicUNet_2d",
        "timm-convnext_tiny",
        "plain-encdec",
    ] {
        let model = Model::named(name);
        let plain = layers(&model.tensors);
        for prefix in [
            "module.",
            "_orig_mod.",
            "model.",
            "backbone.",
            "ema.",
            "module.model.",
            "net.",
            "encoder.",
            "state_dict.model.module.",
        ] {
            let prefixed: Vec<Tensor> = model
                .tensors
                .iter()
                .map(|t| tensor(&format!("{prefix}{}", t.name), &t.shape))
                .collect();
            let found = layers(&prefixed);
            let stripped: Vec<&str> = names(&found)
                .into_iter()
                .map(|name| name.strip_prefix(prefix).unwrap())
                .collect();
            assert_eq!(stripped, names(&plain), "{name} under `{prefix}`");
            assert!(
                found
                    .layers
                    .iter()
                    .zip(&plain.layers)
                    .all(|(a, b)| (a.kind, a.groups, a.reason) == (b.kind, b.groups, b.reason)),
                "{name} under `{prefix}`"
            );
        }
    }
}

#[test]
fn copies_are_counted_separately() {
    let model = Model::named("torchvision-resnet18");
    let twice: Vec<Tensor> = ["model.", "ema.module."]
        .iter()
        .flat_map(|prefix| {
            model
                .tensors
                .iter()
                .map(move |t| tensor(&format!("{prefix}{}", t.name), &t.shape))
        })
        .collect();
    let found = layers(&twice);
    let depths: Vec<usize> = found
        .layers
        .iter()
        .filter_map(|layer| layer.depth)
        .collect();
    assert_eq!(depths, (1..=20).chain(1..=20).collect::<Vec<_>>());
    assert_eq!(found.selected().count(), 20);
    assert!(
        found
            .warnings
            .iter()
            .any(|warning| matches!(warning, Warning::Networks { roots, are_copies: true } if roots.len() == 2))
    );
}

#[test]
fn a_chain_of_two_unets_is_counted_separately() {
    let unet = |net: &str, channels: usize| {
        [
            ("first.block.0", vec![8, channels, 3, 3]),
            ("first.block.3", vec![8, 8, 3, 3]),
            ("first.shortcut.0", vec![8, channels, 1, 1]),
            ("down_path.0.block.0", vec![16, 8, 3, 3]),
            ("down_path.0.block.3", vec![16, 16, 3, 3]),
            ("up_path.0.up_layer.block.0", vec![16, 8, 2, 2]),
            ("up_path.0.conv_bridge_layer.block.0", vec![8, 8, 3, 3]),
            ("up_path.0.conv_layer.block.0", vec![8, 16, 3, 3]),
            ("final", vec![1, 8, 1, 1]),
        ]
        .into_iter()
        .flat_map(|(module, shape)| {
            let kernels = if module.contains("up_layer") {
                shape[1]
            } else {
                shape[0]
            };
            [
                tensor(&format!("{net}.{module}.weight"), &shape),
                tensor(&format!("{net}.{module}.bias"), &[kernels]),
            ]
        })
        .collect::<Vec<_>>()
    };
    let tensors: Vec<Tensor> = [unet("unet1", 3), unet("unet2", 4)].concat();
    let found = layers(&tensors);
    let depths: Vec<usize> = found
        .layers
        .iter()
        .filter_map(|layer| layer.depth)
        .collect();
    assert_eq!(depths, (1..=9).chain(1..=9).collect::<Vec<_>>());
    assert_eq!(
        found.layers[5].name,
        "unet1.up_path.0.up_layer.block.0.weight"
    );
    assert_eq!(
        (found.layers[5].kind, found.layers[5].kernels),
        (Kind::Transposed, 8)
    );
    assert_eq!(found.layers[8].name, "unet1.final.weight");
}

#[test]
fn reasons_of_a_squeezenet_and_an_efficientnet() {
    let reason = |model: &str, name: &str| {
        layers(&Model::named(model).tensors)
            .layers
            .into_iter()
            .find(|layer| layer.name == name)
            .unwrap()
            .reason
    };
    assert_eq!(
        reason("torchvision-squeezenet1_1", "classifier.1.weight"),
        Some(Reason::Head)
    );
    assert_eq!(
        reason("torchvision-squeezenet1_1", "features.12.squeeze.weight"),
        None
    );
    assert_eq!(
        reason("torchvision-squeezenet1_1", "features.0.weight"),
        Some(Reason::Shallow)
    );
    assert_eq!(
        reason("timm-vgg16", "pre_logits.fc1.weight"),
        Some(Reason::Head)
    );
    assert_eq!(reason("timm-vgg16", "head.fc.weight"), Some(Reason::Linear));
    assert_eq!(
        reason("timm-efficientnet_b0", "blocks.6.0.se.conv_reduce.weight"),
        Some(Reason::SqueezeExcite)
    );
    assert_eq!(
        reason("timm-efficientnet_b0", "blocks.6.0.conv_dw.weight"),
        Some(Reason::Depthwise)
    );
    assert_eq!(reason("timm-efficientnet_b0", "conv_head.weight"), None);
    assert_eq!(
        reason(
            "torchvision-mobilenet_v3_small",
            "features.11.block.2.fc1.weight"
        ),
        Some(Reason::SqueezeExcite)
    );
    assert_eq!(
        reason("timm-ese_vovnet19b_dw", "stages.3.blocks.0.attn.fc.weight"),
        Some(Reason::SqueezeExcite)
    );
    assert_eq!(
        reason("monai-BasicUNet_2d", "final_conv.weight"),
        Some(Reason::Head)
    );
    assert_eq!(
        reason(
            "monai-AttentionUnet_2d",
            "model.1.attention.psi.0.conv.weight"
        ),
        Some(Reason::SingleKernel)
    );
    assert_eq!(
        reason("monai-UNet_2d", "model.2.0.conv.weight"),
        Some(Reason::Transposed)
    );
}

#[test]
fn linear_layers_count_when_asked_for() {
    let model = Model::named("torchvision-resnet18");
    let plain = layers(&model.tensors);
    let last = plain.layers.last().unwrap();
    assert_eq!(
        (last.name.as_str(), last.depth, last.reason),
        ("fc.weight", None, Some(Reason::Linear))
    );
    let kinds = BTreeSet::from([Kind::Linear]);
    let asked = with(
        &model.tensors,
        &Selection {
            kinds,
            ..Selection::default()
        },
    )
    .unwrap();
    let last = asked.layers.last().unwrap();
    assert_eq!((last.name.as_str(), last.depth), ("fc.weight", Some(21)));
    assert_eq!(asked.layers[0].reason, Some(Reason::Excluded));
}

#[test]
fn of_a_head_s_linear_layers_only_the_last_is_the_head() {
    let reasons = |model: &str| -> Vec<Option<Reason>> {
        let selection = Selection {
            kinds: BTreeSet::from([Kind::Linear]),
            ..Selection::default()
        };
        let layers = with(&Model::named(model).tensors, &selection).unwrap();
        let linear = layers
            .layers
            .iter()
            .filter(|layer| layer.kind == Kind::Linear);
        linear.map(|layer| layer.reason).collect()
    };
    assert_eq!(
        reasons("torchvision-vgg19"),
        [None, None, Some(Reason::Head)]
    );
    assert_eq!(reasons("torchvision-resnet18"), [Some(Reason::Head)]);
}

fn named(names: &[&str]) -> Declared {
    Declared::from_order(&names.join("\n"))
}

#[test]
fn a_list_comes_before_metadata_and_metadata_before_structure() {
    let tensors = [
        tensor("alpha.weight", &[8, 8, 3, 3]),
        tensor("beta.weight", &[8, 8, 3, 3]),
        tensor("gamma.weight", &[8, 8, 3, 3]),
    ];
    let metadata = BTreeMap::from([(
        METADATA_KEY.to_owned(),
        r#"["gamma.weight",{"name":"beta.weight","groups":2},"alpha.weight"]"#.to_owned(),
    )]);
    let selection = Selection {
        skip_shallow: 1,
        ..Selection::default()
    };
    let found = Layers::of(&tensors, &metadata, &Copies::none(), None, &selection).unwrap();
    assert_eq!(
        (found.source, names(&found)),
        (
            OrderSource::Metadata,
            vec!["gamma.weight", "beta.weight", "alpha.weight"]
        )
    );
    let of_layers = |of: fn(&Layer) -> (usize, Option<Reason>)| -> Vec<_> {
        found.layers.iter().map(of).collect()
    };
    assert_eq!(
        of_layers(|layer| (layer.groups, layer.reason)),
        [(1, Some(Reason::Shallow)), (2, None), (1, None)]
    );
    assert_eq!(found.warnings, []);

    for (list, flag, source) in [
        (
            Declared::from_order("# mine\nbeta.weight\n"),
            "--order",
            OrderSource::File,
        ),
        (
            Declared::from_json(r#"["beta.weight"]"#).unwrap(),
            "--layers",
            OrderSource::Declared,
        ),
    ] {
        let found = Layers::of(
            &tensors,
            &metadata,
            &Copies::none(),
            Some(&list),
            &selection,
        )
        .unwrap();
        assert_eq!(
            (found.source, names(&found)),
            (source, vec!["beta.weight", "alpha.weight", "gamma.weight"])
        );
        let incomplete = Warning::OrderIncomplete {
            origin: flag,
            first: "alpha.weight".into(),
            count: 2,
        };
        assert_eq!(
            found.warnings,
            [Warning::MetadataOverruled { flag }, incomplete.clone()]
        );
        let found = Layers::of(
            &tensors,
            &BTreeMap::new(),
            &Copies::none(),
            Some(&list),
            &selection,
        )
        .unwrap();
        assert_eq!(found.warnings, [incomplete]);
    }
    let same = Declared::from_json(&metadata[METADATA_KEY]).unwrap();
    let found = Layers::of(
        &tensors,
        &metadata,
        &Copies::none(),
        Some(&same),
        &selection,
    )
    .unwrap();
    assert_eq!(
        (found.source, found.warnings.len()),
        (OrderSource::Declared, 0)
    );

    let found = with(&tensors, &selection).unwrap();
    assert_eq!(found.source, OrderSource::Natural);
    assert!(matches!(found.warnings[..], [Warning::OpenOrder { .. }]));
}

#[test]
fn a_list_settles_what_feeds_a_layer() {
    // By names and shapes alone, `beta` may be a grouped convolution of `mid`'s 32 channels.
    let tensors = [
        tensor("alpha.weight", &[16, 8, 3, 3]),
        tensor("beta.weight", &[64, 16, 3, 3]),
        tensor("mid.weight", &[32, 32, 3, 3]),
        tensor("zeta.weight", &[32, 3, 3, 3]),
    ];
    let selection = Selection {
        skip_shallow: 0,
        ..Selection::default()
    };
    let list = named(&["zeta.weight", "mid.weight", "alpha.weight", "beta.weight"]);
    let found = Layers::of(
        &tensors,
        &BTreeMap::new(),
        &Copies::none(),
        Some(&list),
        &selection,
    )
    .unwrap();
    let beta = &found.layers[3];
    assert_eq!(
        (beta.name.as_str(), beta.groups, beta.reason),
        ("beta.weight", 1, None)
    );
    // What no predecessor explains stays untold, until its groups are declared.
    assert_eq!(found.layers[2].reason, Some(Reason::Unsupported));
    let list = r#"["zeta.weight","mid.weight",{"name":"alpha.weight","groups":4},"beta.weight"]"#;
    let list = Declared::from_json(list).unwrap();
    let found = Layers::of(
        &tensors,
        &BTreeMap::new(),
        &Copies::none(),
        Some(&list),
        &selection,
    )
    .unwrap();
    assert_eq!((found.layers[2].groups, found.layers[2].reason), (4, None));
    assert_eq!(found.warnings, []);
}

#[test]
fn a_list_stands_in_for_metadata_that_cannot_be_read() {
    let tensors = [
        tensor("a.weight", &[8, 8, 3, 3]),
        tensor("b.weight", &[8, 8, 3, 3]),
    ];
    let metadata = BTreeMap::from([(METADATA_KEY.to_owned(), "b, a".to_owned())]);
    let list = named(&["b.weight", "a.weight"]);
    let selection = Selection::default();
    let found = Layers::of(
        &tensors,
        &metadata,
        &Copies::none(),
        Some(&list),
        &selection,
    )
    .unwrap();
    assert_eq!(
        (found.source, names(&found)),
        (OrderSource::File, vec!["b.weight", "a.weight"])
    );
    assert_eq!(
        found.warnings,
        [Warning::MetadataOverruled { flag: "--order" }]
    );
    let refused = Layers::of(&tensors, &metadata, &Copies::none(), None, &selection);
    assert!(matches!(refused, Err(Error::NotAList { .. })));
}

/// Whatever names and shapes tell of the architectures, what is declared of them is what they are.
#[test]
fn architectures_are_what_is_declared() {
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "tsv") {
            continue;
        }
        let model = Model::read(&path);
        let ran = model.order();
        let others = model.convolutions.keys().map(String::as_str);
        let others = others.filter(|name| model.convolutions[*name].place.is_none());
        let truth: Vec<(&str, Kind, usize)> = ran
            .into_iter()
            .chain(others)
            .map(|name| (name, &model.convolutions[name]))
            .map(|(name, truth)| (name, truth.kind, truth.groups))
            .collect();
        let items = truth
            .iter()
            .map(|(name, kind, groups)| json!({"name": name, "kind": kind, "groups": groups}));
        let list = Declared::from_json(&items.collect::<Value>().to_string()).unwrap();
        let selection = Selection::default();
        let found = Layers::of(
            &model.tensors,
            &BTreeMap::new(),
            &Copies::none(),
            Some(&list),
            &selection,
        )
        .unwrap();
        let told: Vec<(&str, Kind, usize)> = found
            .layers
            .iter()
            .filter(|layer| layer.depth.is_some())
            .map(|layer| (layer.name.as_str(), layer.kind, layer.groups))
            .collect();
        assert_eq!(told, truth, "{}", model.name);
        assert_eq!(found.warnings, [], "{}", model.name);
    }
}

/// Tensors with these copies among them.
fn with_copies(tensors: &[Tensor], groups: &[&[&str]], list: Option<&Declared>) -> Layers {
    let index = |name: &&str| tensors.iter().position(|tensor| tensor.name == **name);
    let group = |names: &&[&str]| names.iter().map(|name| index(name).unwrap()).collect();
    let copies = Copies::of(groups.iter().map(group).collect());
    let selection = Selection {
        skip_shallow: 1,
        ..Selection::default()
    };
    Layers::of(tensors, &BTreeMap::new(), &copies, list, &selection).unwrap()
}

#[test]
fn copies_are_one_layer_at_one_depth() {
    let mut tensors = vec![
        tensor("stem.0.conv.weight", &[8, 1, 3, 3]),
        tensor("stem.0.all_modules.0.weight", &[8, 1, 3, 3]),
        tensor("body.conv.weight", &[8, 8, 3, 3]),
        tensor("decoder.stem.0.conv.weight", &[8, 1, 3, 3]),
        tensor("decoder.body.conv.weight", &[8, 8, 3, 3]),
    ];
    let groups: [&[&str]; 2] = [
        &[
            "decoder.stem.0.conv.weight",
            "stem.0.all_modules.0.weight",
            "stem.0.conv.weight",
        ],
        &["body.conv.weight", "decoder.body.conv.weight"],
    ];
    for _ in 0..2 {
        let found = with_copies(&tensors, &groups, None);
        assert_eq!(names(&found), ["stem.0.conv.weight", "body.conv.weight"]);
        let [stem, body] = &found.layers[..] else {
            panic!("{found:?}");
        };
        assert_eq!(
            stem.copies,
            ["decoder.stem.0.conv.weight", "stem.0.all_modules.0.weight"]
        );
        let of_tensors: Vec<&str> = std::iter::once(&stem.tensor)
            .chain(&stem.copy_tensors)
            .map(|&index| &tensors[index].name[..])
            .collect();
        assert_eq!(of_tensors, stem.names().collect::<Vec<_>>());
        assert_eq!(
            (stem.kind, stem.reason),
            (Kind::Conv, Some(Reason::Shallow))
        );
        assert_eq!((body.depth, body.reason), (Some(2), None));
        assert!(found.warnings.is_empty(), "{:?}", found.warnings);
        tensors.reverse();
    }
}

#[test]
fn a_list_may_name_a_layer_by_any_of_its_names() {
    let tensors = [
        tensor("a.weight", &[8, 8, 3, 3]),
        tensor("b.weight", &[8, 8, 3, 3]),
        tensor("ema.a.weight", &[8, 8, 3, 3]),
        tensor("ema.b.weight", &[8, 8, 3, 3]),
    ];
    let groups: [&[&str]; 2] = [&["a.weight", "ema.a.weight"], &["b.weight", "ema.b.weight"]];
    for list in [
        &["ema.b.weight", "a.weight"][..],
        &["b.weight", "a.weight", "ema.a.weight", "ema.b.weight"],
    ] {
        let list = named(list);
        let found = with_copies(&tensors, &groups, Some(&list));
        assert_eq!(names(&found), ["b.weight", "a.weight"]);
        assert_eq!(found.source, OrderSource::File);
        assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    }
}

#[test]
fn a_glob_fits_a_layer_if_it_fits_any_of_its_names() {
    let tensors = [
        tensor("a.weight", &[8, 8, 3, 3]),
        tensor("b.weight", &[8, 8, 3, 3]),
        tensor("ema.b.weight", &[8, 8, 3, 3]),
    ];
    let copies = Copies::of(vec![vec![1, 2]]);
    let glob = vec!["ema.*".to_owned()];
    let none = Vec::new;
    for (include, exclude, expected) in [
        (glob.clone(), none(), [Some(Reason::Excluded), None]),
        (none(), glob, [None, Some(Reason::Excluded)]),
    ] {
        let selection = Selection {
            skip_shallow: 0,
            include,
            exclude,
            ..Selection::default()
        };
        let found = Layers::of(&tensors, &BTreeMap::new(), &copies, None, &selection).unwrap();
        let reasons: Vec<_> = found.layers.iter().map(|layer| layer.reason).collect();
        assert_eq!(reasons, expected);
    }
}

/// A transition waits for the stage of its number, and a decoder that counts down takes the highest number first: where
/// these two wait for each other, the modules run all the same. Widths that fit nowhere make counting down look better.
#[test]
fn modules_that_wait_for_each_other_are_not_lost() {
    let tensors: Vec<Tensor> = [
        ("enc1", 8, 3),
        ("enc2", 8, 8),
        ("enc3", 8, 8),
        ("dec3", 11, 8),
        ("dec2", 13, 101),
        ("dec1", 17, 103),
        ("up_transition3", 19, 107),
        ("up_transition2", 23, 109),
        ("up_transition1", 29, 113),
    ]
    .iter()
    .map(|&(name, out, reads)| tensor(&format!("{name}.conv.weight"), &[out, reads, 3, 3]))
    .collect();
    assert_eq!(names(&layers(&tensors)).len(), tensors.len());
}

#[test]
fn globs_narrow_and_admit() {
    let model = Model::named("torchvision-resnet18");
    let selection = Selection {
        include: vec!["layer[34].*".into()],
        exclude: vec!["*downsample*".into()],
        ..Selection::default()
    };
    let found = with(&model.tensors, &selection).unwrap();
    assert!(
        found
            .selected()
            .all(|layer| layer.name.starts_with("layer3") || layer.name.starts_with("layer4"))
    );
    assert_eq!(found.selected().count(), 8);
    let misspelt = Selection {
        include: vec!["layr4.0.conv1.weight".into()],
        ..Selection::default()
    };
    assert!(
        with(&model.tensors, &misspelt)
            .unwrap_err()
            .to_string()
            .contains("layer4.0.conv1.weight")
    );
    assert!(
        NamePattern::new("match", "layer4.*")
            .unwrap()
            .matches("layer4.1.conv2.weight")
    );
    let foreign = [
        tensor("net/conv2d_1/Conv2D/ReadVariableOp:0", &[3, 3, 16, 32]),
        tensor("net/conv2d_2/Conv2D/ReadVariableOp:0", &[32, 32, 3, 3]),
    ];
    assert!(layers(&foreign).layers.is_empty());
    let admitted = with(
        &foreign,
        &Selection {
            include: vec!["*/Conv2D/*".into()],
            skip_shallow: 0,
            ..Selection::default()
        },
    )
    .unwrap();
    assert_eq!(
        admitted
            .layers
            .iter()
            .map(|layer| layer.reason)
            .collect::<Vec<_>>(),
        [Some(Reason::Unsupported), None]
    );
    assert!(matches!(admitted.warnings[0], Warning::KernelsLast { .. }));
}

#[test]
fn parametrised_weights_are_listed_and_left_alone() {
    let tensors = [
        tensor("conv1.weight", &[16, 3, 3, 3]),
        tensor("conv2.weight_mask", &[16, 16, 3, 3]),
        tensor("conv2.weight_orig", &[16, 16, 3, 3]),
        tensor("conv3.parametrizations.weight.original0", &[16, 1, 1, 1]),
        tensor("conv3.parametrizations.weight.original1", &[16, 16, 3, 3]),
        tensor("conv4.weight_g", &[16, 1, 1, 1]),
        tensor("conv4.weight_v", &[16, 16, 3, 3]),
    ];
    let found = with(
        &tensors,
        &Selection {
            skip_shallow: 0,
            ..Selection::default()
        },
    )
    .unwrap();
    assert_eq!(
        found
            .selected()
            .map(|layer| layer.name.as_str())
            .collect::<Vec<_>>(),
        ["conv1.weight"]
    );
    assert_eq!(
        names(&found),
        [
            "conv1.weight",
            "conv2.weight_orig",
            "conv3.parametrizations.weight.original1",
            "conv4.weight_v"
        ]
    );
    assert_eq!(
        found
            .warnings
            .iter()
            .filter(|warning| matches!(warning, Warning::Parametrised { .. }))
            .count(),
        6
    );
}

#[test]
fn tables_cells_and_norms_are_no_layers() {
    let tensors = [
        tensor("pos_embed", &[1, 197, 768]),
        tensor("embedding.weight", &[1000, 64]),
        tensor("position_embedding.weight", &[512, 64]),
        tensor("lstm.weight_ih_l0", &[64, 64]),
        tensor("lstm_cell.weight_hh", &[64, 64]),
        tensor("attn.in_proj_weight", &[192, 64]),
        tensor("attn.relative_position_bias_table", &[169, 3]),
        tensor("norm.weight", &[64, 8, 8]),
        tensor("norm.bias", &[64, 8, 8]),
        tensor("bn.num_batches_tracked", &[]),
        Tensor {
            dtype: Dtype::I64,
            ..tensor("index.weight", &[4, 4, 3, 3])
        },
    ];
    assert!(layers(&tensors).layers.is_empty());
}

#[test]
fn what_reads_one_channel_may_be_a_stem() {
    let tensors = [
        tensor("conv1.weight", &[64, 1, 7, 7]),
        tensor("conv2.weight", &[64, 1, 3, 3]),
        tensor("layer1.0.conv1.weight", &[64, 64, 3, 3]),
        tensor("layer1.0.sa.conv1.weight", &[1, 2, 7, 7]),
    ];
    let found = layers(&tensors);
    let facts: Vec<(Kind, usize, Option<Reason>)> = found
        .layers
        .iter()
        .map(|layer| (layer.kind, layer.groups, layer.reason))
        .collect();
    assert_eq!(
        facts,
        [
            (Kind::Conv, 1, Some(Reason::Shallow)),
            (Kind::Depthwise, 64, Some(Reason::Depthwise)),
            (Kind::Conv, 1, Some(Reason::Shallow)),
            (Kind::Conv, 1, Some(Reason::SingleKernel))
        ]
    );
}

#[test]
fn numbered_ups_of_their_own_run_backward() {
    // The attention U-Net that many copy (`Conv1`…`Conv5`, `Up5`, `Att5`, `Up_conv5`, …, `Conv_1x1`).
    let mut expected = Vec::new();
    let mut tensors = Vec::new();
    let mut add = |module: String, shape: [usize; 4]| {
        expected.push(format!("{module}.weight"));
        tensors.push(tensor(&format!("{module}.weight"), &shape));
        tensors.push(tensor(&format!("{module}.bias"), &[shape[0]]));
    };
    let width = |level: usize| 8 << level;
    for level in 1..=5 {
        let reads = if level == 1 { 3 } else { width(level - 1) };
        add(format!("Conv{level}.conv.0"), [width(level), reads, 3, 3]);
        add(
            format!("Conv{level}.conv.3"),
            [width(level), width(level), 3, 3],
        );
    }
    for level in (2..=5).rev() {
        let narrow = width(level - 1);
        add(format!("Up{level}.up.1"), [narrow, width(level), 3, 3]);
        add(format!("Att{level}.W_g.0"), [narrow / 2, narrow, 1, 1]);
        add(format!("Att{level}.W_x.0"), [narrow / 2, narrow, 1, 1]);
        add(format!("Att{level}.psi.0"), [1, narrow / 2, 1, 1]);
        add(
            format!("Up_conv{level}.conv.0"),
            [narrow, width(level), 3, 3],
        );
        add(format!("Up_conv{level}.conv.3"), [narrow, narrow, 3, 3]);
    }
    add("Conv_1x1".into(), [1, width(1), 1, 1]);
    let found = layers(&tensors);
    assert_eq!(names(&found), expected);
    assert!(
        found
            .layers
            .iter()
            .all(|layer| layer.groups == 1 && matches!(layer.kind, Kind::Conv | Kind::Pointwise))
    );
    assert_eq!(found.layers.last().unwrap().reason, Some(Reason::Head));
}

#[test]
fn plain_numbers_are_natural() {
    let tensors: Vec<Tensor> = (1..=12)
        .rev()
        .map(|n| {
            tensor(
                &format!("conv{n}.weight"),
                &[8, if n == 1 { 3 } else { 8 }, 3, 3],
            )
        })
        .collect();
    let found = layers(&tensors);
    assert_eq!(
        names(&found),
        (1..=12)
            .map(|n| format!("conv{n}.weight"))
            .collect::<Vec<_>>()
    );
    assert_eq!(
        (found.source, found.warnings.len()),
        (OrderSource::Structure, 0)
    );
}

/// Seconds of a processor: what takes a time that grows with the square of the names takes minutes.
const QUICK: f64 = 20.0;

/// What this thread has taken of a processor, in seconds: other work on the machine does not count.
fn thread_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds since then.
fn took(start: f64) -> f64 {
    thread_time() - start
}

#[test]
fn large_headers_are_quick() {
    let mut tensors: Vec<Tensor> = (0..100_000)
        .map(|n| {
            tensor(
                &format!("a{n}b.c{}.d{n}.weight", n % 7),
                &[n % 97, n % 13, 3, 3],
            )
        })
        .collect();
    tensors.push(tensor(
        &format!("{}weight", ".".repeat(10_000)),
        &[4, 4, 3, 3],
    ));
    tensors.extend((0..2_000).map(|n| {
        tensor(
            &format!("{}.weight", "x.".repeat(n % 60)),
            &[usize::MAX, usize::MAX, 3],
        )
    }));
    let start = thread_time();
    assert!(layers(&tensors).layers.len() > 100_000);
    assert!(took(start) < QUICK, "took {} s", took(start));
}

#[test]
fn wide_modules_are_quick() {
    let stems = [
        "up",
        "dec",
        "conv",
        "Att",
        "branch",
        "transition",
        "se",
        "downsample",
        "x",
        "y",
        "z",
    ];
    let tables = [
        (0..50_000)
            .map(|n| {
                tensor(
                    &format!("{}{n}.weight", stems[n % 4]),
                    &[n % 251, n % 241, 3, 3],
                )
            })
            .collect::<Vec<_>>(),
        (0..50_000)
            .map(|n| {
                tensor(
                    &format!("a.{}{n}.b{}.weight", stems[n % 11], n % 3),
                    &[1 + n % 65_521, 1 + n % 32_749, 3, 3],
                )
            })
            .collect(),
        (0..50_000)
            .map(|n| {
                tensor(
                    &format!("model.s{n}_{}.weight", "k".repeat(n % 9)),
                    &[8, 8, 3, 3],
                )
            })
            .collect(),
    ];
    for table in tables {
        let start = thread_time();
        assert!(layers(&table).layers.len() >= 50_000);
        assert!(took(start) < QUICK, "took {} s", took(start));
    }
}

#[test]
fn groups_follow_from_the_layer_before() {
    let kinds = |tensors: &[Tensor]| {
        layers(tensors)
            .layers
            .iter()
            .map(|layer| {
                (
                    layer.kind,
                    layer.groups,
                    layer.reason == Some(Reason::Unsupported),
                )
            })
            .collect::<Vec<_>>()
    };
    // AlexNet as first published: its second convolution has two groups.
    let grouped = [
        tensor("features.0.weight", &[96, 3, 11, 11]),
        tensor("features.4.weight", &[256, 48, 5, 5]),
    ];
    assert_eq!(kinds(&grouped)[1], (Kind::Conv, 2, false));
    // Two that read the same: the second may stand beside the first.
    let beside = [
        tensor("conv1.weight", &[64, 3, 3, 3]),
        tensor("conv2.weight", &[128, 64, 3, 3]),
        tensor("conv3.weight", &[128, 64, 3, 3]),
    ];
    assert_eq!(kinds(&beside)[2], (Kind::Conv, 1, true));
}

#[test]
fn transposed_weights_are_told_by_bias_norm_and_name() {
    let kind = |tensors: &[Tensor], name: &str| {
        let found = layers(tensors);
        let layer = found
            .layers
            .iter()
            .find(|layer| layer.name == name)
            .unwrap();
        (
            layer.kind,
            layer.groups,
            layer.kernels,
            layer.reason == Some(Reason::Unsupported),
        )
    };
    let stem = tensor("a0.weight", &[64, 3, 3, 3]);
    let bias = [
        stem.clone(),
        tensor("a1.weight", &[64, 16, 2, 2]),
        tensor("a1.bias", &[32]),
    ];
    assert_eq!(kind(&bias, "a1.weight"), (Kind::Transposed, 2, 32, false));
    let norm = [
        tensor("main.0.weight", &[100, 512, 4, 4]),
        tensor("main.1.weight", &[512]),
    ];
    assert_eq!(
        kind(&norm, "main.0.weight"),
        (Kind::Transposed, 1, 512, false)
    );
    let name = [stem.clone(), tensor("deconv1.weight", &[64, 64, 3, 3])];
    assert_eq!(kind(&name, "deconv1.weight").0, Kind::Transposed);
    let nothing = [stem.clone(), tensor("a1.weight", &[64, 64, 2, 2])];
    assert!(kind(&nothing, "a1.weight").3);
    let misfit = [
        stem,
        tensor("a1.weight", &[64, 64, 3, 3]),
        tensor("a1.bias", &[63]),
    ];
    assert!(kind(&misfit, "a1.weight").3);
}

fn stored(name: &str, dtype: Dtype, shape: &[usize]) -> Tensor {
    Tensor {
        dtype,
        ..tensor(name, shape)
    }
}

fn in_format(format: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("format".to_owned(), format.to_owned())])
}

/// Everything but what lies before the cut, of a file with this metadata.
fn deep(tensors: &[Tensor], metadata: &BTreeMap<String, String>) -> Layers {
    let selection = Selection {
        skip_shallow: 0,
        ..Selection::default()
    };
    Layers::of(tensors, metadata, &Copies::none(), None, &selection).unwrap()
}

type Fact<'a> = (&'a str, Option<usize>, Kind, usize, Option<Reason>);

fn facts(found: &Layers) -> Vec<Fact<'_>> {
    let fact = |layer: &'_ Layer| (layer.depth, layer.kind, layer.groups, layer.reason);
    found
        .layers
        .iter()
        .map(|layer| {
            let (depth, kind, groups, reason) = fact(layer);
            (layer.name.as_str(), depth, kind, groups, reason)
        })
        .collect()
}

#[test]
fn adapters_are_listed_and_left_alone_and_their_base_layers_are_the_layers() {
    let model = Model::named("torchvision-resnet18");
    let plain = layers(&model.tensors);
    // As PEFT saves it: conv2 of every block adapted.
    let mut adapted = Vec::new();
    for own in &model.tensors {
        let Some(module) = own.name.strip_suffix(".conv2.weight") else {
            adapted.push(tensor(
                &format!("base_model.model.{}", own.name),
                &own.shape,
            ));
            continue;
        };
        let module = format!("base_model.model.{module}.conv2");
        let (out, reads) = (own.shape[0], own.shape[1]);
        adapted.push(tensor(&format!("{module}.base_layer.weight"), &own.shape));
        adapted.push(tensor(
            &format!("{module}.lora_A.default.weight"),
            &[4, reads, 3, 3],
        ));
        adapted.push(tensor(
            &format!("{module}.lora_B.default.weight"),
            &[out, 4, 1, 1],
        ));
        adapted.push(tensor(
            &format!("{module}.lora_magnitude_vector.default.weight"),
            &[1, out, 1, 1],
        ));
    }
    adapted.push(tensor(
        "base_model.model.fc.lora_A.default.weight",
        &[4, 512],
    ));
    let found = layers(&adapted);
    let stripped: Vec<String> = names(&found)
        .into_iter()
        .map(|name| {
            name.replace("base_model.model.", "")
                .replace(".base_layer", "")
        })
        .collect();
    assert_eq!(stripped, names(&plain));
    let of_layers = |found: &Layers| {
        let all = found.layers.iter().filter(|layer| layer.depth.is_some());
        all.map(|layer| (layer.kind, layer.groups, layer.reason))
            .collect::<Vec<_>>()
    };
    assert_eq!(of_layers(&found), of_layers(&plain));
    let factors: Vec<&Layer> = found
        .layers
        .iter()
        .filter(|layer| layer.name.contains("lora"))
        .collect();
    assert_eq!(factors.len(), 8 * 3 + 1);
    assert!(
        factors
            .iter()
            .all(|layer| (layer.depth, layer.reason) == (None, Some(Reason::Unsupported)))
    );
    assert_eq!(
        found.warnings,
        [Warning::Adapter {
            name: "base_model.model.fc.lora_A.default.weight".into(),
            others: 24
        }]
    );
    // An adapter saved by itself holds no layer at all, linear ones neither.
    let kohya = [
        tensor("lora_unet_conv_in.lora_down.weight", &[4, 4, 3, 3]),
        tensor("lora_unet_conv_in.lora_up.weight", &[320, 4, 1, 1]),
        tensor("lora_unet_mid_proj.lora_up.weight", &[320, 4]),
        tensor("lycoris_conv2.hada_w1_a", &[320, 4]),
        tensor("lycoris_conv2.hada_t1", &[4, 4, 3, 3]),
        tensor("lora_unet_conv_in.alpha", &[]),
    ];
    let selection = Selection {
        skip_shallow: 0,
        kinds: BTreeSet::from(Kind::ALL),
        ..Selection::default()
    };
    let found = with(&kohya, &selection).unwrap();
    assert_eq!(found.layers.len(), 5);
    assert_eq!(found.selected().count() + names(&found).len(), 0);
    assert!(matches!(
        &found.warnings[..],
        [Warning::Adapter { others: 4, .. }]
    ));
}

#[test]
fn convolutions_of_8_bits_count_in_depth_and_are_left_alone() {
    for (dtype, word) in [
        (Dtype::F8_E4M3, "F8_E4M3"),
        (Dtype::F8_E5M2, "F8_E5M2"),
        (Dtype::I8, "I8"),
        (Dtype::U8, "U8"),
    ] {
        let tensors = [
            tensor("conv1.weight", &[16, 3, 3, 3]),
            stored("conv2.weight", dtype, &[16, 16, 3, 3]),
            stored("conv3.weight", dtype, &[32, 16, 3, 3]),
            tensor("conv4.weight", &[32, 32, 3, 3]),
            // No convolutions: a quantised linear layer, a buffer and an index.
            stored("fc.weight", dtype, &[10, 32]),
            stored("mask", dtype, &[1, 1, 3, 3]),
            stored("shift.weight", Dtype::I64, &[4, 4, 3, 3]),
        ];
        let found = deep(&tensors, &BTreeMap::new());
        assert_eq!(
            facts(&found),
            [
                ("conv1.weight", Some(1), Kind::Conv, 1, None),
                (
                    "conv2.weight",
                    Some(2),
                    Kind::Conv,
                    1,
                    Some(Reason::Unsupported)
                ),
                (
                    "conv3.weight",
                    Some(3),
                    Kind::Conv,
                    1,
                    Some(Reason::Unsupported)
                ),
                ("conv4.weight", Some(4), Kind::Conv, 1, None),
            ]
        );
        let [warning] = &found.warnings[..] else {
            panic!("{:?}", found.warnings)
        };
        let text = warning.to_string();
        assert!(
            ["`conv2.weight` and 1 more are", word, "counted in depth"]
                .iter()
                .all(|part| text.contains(part)),
            "{text}"
        );
    }
}

#[test]
fn kernels_by_other_names_are_told_of_with_the_flag_that_takes_them() {
    let of = |names: &[&str], shapes: [&[usize]; 2]| -> Vec<Tensor> {
        names
            .iter()
            .zip(shapes.into_iter().cycle())
            .map(|(name, shape)| tensor(name, shape))
            .collect()
    };
    let keras: [&[usize]; 2] = [&[3, 3, 3, 16], &[3, 3, 16, 16]];
    let onnx: [&[usize]; 2] = [&[16, 3, 3, 3], &[16, 16, 3, 3]];
    for (names, shapes, glob, selected) in [
        (["conv1/kernel:0", "conv2/kernel:0"], keras, "*/kernel:0", 0),
        (
            ["params/Conv_0/kernel", "params/Conv_1/kernel"],
            keras,
            "*/kernel",
            0,
        ),
        (["Conv_0.kernel", "Conv_1.kernel"], keras, "*.kernel", 0),
        (
            ["a/Conv2D/ReadVariableOp:0", "b/Conv2D/ReadVariableOp:0"],
            keras,
            "*/ReadVariableOp:0",
            0,
        ),
        (["onnx::Conv_57", "onnx::Conv_60"], onnx, "onnx::Conv_*", 2),
        (["net_w1", "net_w2"], onnx, "net_w*", 2),
    ] {
        let tensors = of(&names, shapes);
        let found = deep(&tensors, &BTreeMap::new());
        assert!(found.layers.is_empty());
        let [warning] = &found.warnings[..] else {
            panic!("{names:?}: {:?}", found.warnings)
        };
        let text = warning.to_string();
        assert!(
            text.starts_with("2 tensors") && text.contains(names[0]),
            "{text}"
        );
        assert!(text.contains(&format!("--include '{glob}'")), "{text}");
        assert_eq!(text.contains("cannot be merged"), selected == 0, "{text}");
        // The flag does what the warning says.
        let selection = Selection {
            skip_shallow: 0,
            include: vec![glob.to_owned()],
            ..Selection::default()
        };
        let taken = with(&tensors, &selection).unwrap();
        assert_eq!(taken.layers.len(), 2, "{names:?}");
        assert_eq!(taken.selected().count(), selected, "{names:?}");
        let again = |warning: &Warning| matches!(warning, Warning::UnnamedKernels { .. });
        assert!(!taken.warnings.iter().any(again));
    }
    // Where convolutions have PyTorch's names, a buffer or two by another are none.
    let mut tensors = of(&["conv1.weight", "conv2.weight"], onnx);
    tensors.extend(of(&["blur.kernel", "pos"], onnx));
    assert!(deep(&tensors, &BTreeMap::new()).warnings.is_empty());
    // Nor are these, where there is no convolution at all.
    let others = [
        tensor("pos_embed", &[1, 64, 7, 7]),
        tensor("relative_position_bias_table", &[8, 8, 3, 3]),
        tensor("encoder/query/kernel", &[768, 12, 64]),
        tensor("cls_token", &[1, 1, 768]),
        tensor("fc.weight", &[10, 32]),
    ];
    assert!(deep(&others, &BTreeMap::new()).warnings.is_empty());
}

/// A stem, a depthwise and a pointwise convolution, grouped ones and a last one, as MLX and as PyTorch lay them out.
fn mobile(mlx: bool) -> Vec<Tensor> {
    let convolutions: [(&str, usize, usize, usize); 6] = [
        ("conv1", 32, 3, 7),
        ("layers.0.depthwise", 32, 1, 3),
        ("layers.0.pointwise", 64, 32, 1),
        ("layers.1.depthwise", 64, 1, 3),
        ("layers.1.pointwise", 64, 64, 1),
        ("conv2", 96, 64, 3),
    ];
    let tensors = convolutions.iter().flat_map(|&(name, out, reads, kernel)| {
        let shape = if mlx {
            [out, kernel, kernel, reads]
        } else {
            [out, reads, kernel, kernel]
        };
        [
            tensor(&format!("{name}.weight"), &shape),
            tensor(&format!("{name}.bias"), &[out]),
        ]
    });
    tensors.collect()
}

#[test]
fn mlx_checkpoints_come_out_as_pytorch_s_do() {
    let pytorch = deep(&mobile(false), &in_format("pt"));
    let kinds: Vec<Kind> = pytorch.layers.iter().map(|layer| layer.kind).collect();
    assert!(kinds.contains(&Kind::Depthwise) && kinds.contains(&Kind::Pointwise));
    let mlx = deep(&mobile(true), &in_format("mlx"));
    assert_eq!(facts(&mlx), facts(&pytorch));
    assert_eq!(mlx.warnings, []);
    assert!(mlx.layers.iter().all(|layer| layer.channels_last));
    // The metadata says it of files with PyTorch's axes, too.
    let misnamed = deep(&mobile(false), &in_format("mlx"));
    assert_eq!(misnamed, pytorch);
}

#[test]
fn what_only_seems_to_be_mlx_s_is_counted_and_left_alone() {
    let found = deep(&mobile(true), &BTreeMap::new());
    let pytorch = deep(&mobile(false), &BTreeMap::new());
    assert_eq!(names(&found), names(&pytorch));
    assert_eq!(found.selected().count(), 0);
    assert!(matches!(
        &found.warnings[..],
        [Warning::ChannelsLast { others: 5, .. }]
    ));
    // Transposed ones have the same axes in MLX, but their groups cannot be told.
    let mut tensors = mobile(true);
    tensors.push(tensor("upconv.weight", &[32, 2, 2, 96]));
    let found = deep(&tensors, &in_format("mlx"));
    let unsure = Warning::ChannelsLast {
        name: "upconv.weight".into(),
        others: 0,
    };
    assert!(found.warnings.contains(&unsure), "{:?}", found.warnings);
    assert!(found.selected().all(|layer| layer.name != "upconv.weight"));
}

#[test]
fn weights_with_the_kernels_on_the_last_axis_are_not_taken_for_three_kernels() {
    let flax = [
        tensor("conv1.weight", &[7, 7, 3, 64]),
        tensor("conv2.weight", &[3, 3, 64, 64]),
        tensor("conv3.weight", &[3, 3, 64, 1]),
        tensor("conv4.weight", &[1, 1, 64, 128]),
        tensor("conv5.weight", &[3, 3, 128, 128]),
    ];
    let found = deep(&flax, &BTreeMap::new());
    let kernels: Vec<(Option<usize>, usize, Option<Reason>)> = found
        .layers
        .iter()
        .map(|layer| (layer.depth, layer.kernels, layer.reason))
        .collect();
    let expected = [64, 64, 64, 128, 128]
        .into_iter()
        .enumerate()
        .map(|(at, kernels)| (Some(at + 1), kernels, Some(Reason::Unsupported)));
    assert_eq!(kernels, expected.collect::<Vec<_>>());
    assert!(matches!(
        &found.warnings[..],
        [Warning::KernelsLast { others: 4, .. }]
    ));
    let reasons = |tensors: &[Tensor]| -> Vec<Option<Reason>> {
        let found = deep(tensors, &BTreeMap::new());
        found.layers.iter().map(|layer| layer.reason).collect()
    };
    // One among PyTorch's, told by its shape, or by its bias.
    let mixed = [
        tensor("conv1.weight", &[64, 3, 3, 3]),
        tensor("conv2.weight", &[64, 64, 3, 3]),
        tensor("conv3.weight", &[3, 3, 64, 128]),
        tensor("conv4.weight", &[3, 3, 64, 64]),
        tensor("conv4.bias", &[64]),
    ];
    let unsupported = Some(Reason::Unsupported);
    assert_eq!(reasons(&mixed), [None, None, unsupported, unsupported]);
    // Few kernels, large ones: FCN's upsampling and others are PyTorch's.
    let few = [
        tensor("conv1.weight", &[8, 3, 3, 3]),
        tensor("conv2.weight", &[8, 8, 16, 16]),
        tensor("conv3.weight", &[3, 3, 7, 7]),
        tensor("upscore8.weight", &[21, 21, 16, 16]),
        tensor("upscore2.weight", &[2, 2, 64, 64]),
    ];
    let found = deep(&few, &BTreeMap::new());
    let foreign = |warning: &Warning| matches!(warning, Warning::KernelsLast { .. });
    assert!(!found.warnings.iter().any(foreign), "{:?}", found.warnings);
    assert_eq!(found.layers[0].kernels + found.layers[1].kernels, 16);
}

#[test]
fn norms_over_pictures_forms_and_capsules_are_no_layers() {
    let tensors = [
        tensor("conv1.weight", &[16, 3, 3, 3]),
        tensor("ln1.weight", &[16, 28, 28]),
        tensor("norm.weight", &[16, 28, 28]),
        tensor("body.0.weight", &[16, 16, 3, 3]),
        tensor("body.1.weight", &[16, 28, 28]),
        tensor("body.2.weight", &[16, 16, 3, 3]),
        tensor("body.3.weight", &[16, 28, 28]),
        tensor("body.3.bias", &[16, 28, 28]),
        tensor("bilinear.weight", &[8, 16, 16]),
        tensor("bilinear.bias", &[8]),
        tensor("capsule.weight", &[10, 32, 16, 8]),
        tensor("primary_capsules.weight", &[32, 16, 9, 9]),
    ];
    let found = deep(&tensors, &BTreeMap::new());
    let mut listed: Vec<&str> = found
        .layers
        .iter()
        .map(|layer| layer.name.as_str())
        .collect();
    listed.sort_unstable();
    assert_eq!(
        listed,
        [
            "body.0.weight",
            "body.2.weight",
            "conv1.weight",
            "primary_capsules.weight"
        ]
    );
    // Neither name nor shape tells: a convolution, as ever.
    let plain = [
        tensor("conv1.weight", &[16, 3, 5]),
        tensor("conv2.weight", &[8, 16, 16]),
    ];
    assert_eq!(deep(&plain, &BTreeMap::new()).layers.len(), 2);
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        "(conv|layer|block|down|up|dec|enc|se|fc|branch|transition|downsample|proj|stem|head)[0-9]{0,2}[ab]?",
        "[0-9]{1,2}",
        "[a-zA-Z_]{0,4}[0-9x]{0,3}",
        "\\PC{0,3}",
    ]
}

fn table() -> impl Strategy<Value = Vec<Tensor>> {
    let ending = prop_oneof![8 => Just("weight"), 2 => Just("bias"), 1 => Just("weight_orig"), 1 => Just("weight_g"), 1 => Just("parametrizations.weight.original1")];
    let extent = prop_oneof![8 => prop_oneof![Just(1_usize), Just(2), Just(3), Just(8), Just(16), Just(32)], 1 => Just(0), 1 => any::<usize>()];
    let name =
        (prop::collection::vec(segment(), 0..5), ending).prop_map(|(mut segments, ending)| {
            segments.push(ending.to_owned());
            segments.join(".")
        });
    prop::collection::btree_map(name, prop::collection::vec(extent, 0..6), 0..40).prop_map(
        |table| {
            table
                .iter()
                .map(|(name, shape)| tensor(name, shape))
                .collect()
        },
    )
}

/// A layer model without what depends on the file's order by its nature: the indices of tensors.
fn essence(found: &Layers) -> Vec<Layer> {
    let without = |layer: &Layer| {
        let mut layer = Layer {
            tensor: 0,
            copy_tensors: Vec::new(),
            ..layer.clone()
        };
        for behind in &mut layer.behind {
            behind.bias = behind.bias.map(|_| 0);
            if let NormBehind::Found(norm) = &mut behind.norm {
                (norm.mean, norm.variance) = (0, 0);
                norm.scale = norm.scale.map(|_| 0);
                norm.shift = norm.shift.map(|_| 0);
            }
        }
        layer
    };
    found.layers.iter().map(without).collect()
}

proptest! {
    #[test]
    fn no_table_panics_and_its_order_plays_no_part(tensors in table(), seed in any::<u64>(), linear in any::<bool>()) {
        let mut kinds = BTreeSet::from(Kind::DEFAULT);
        if linear {
            kinds.insert(Kind::Linear);
        }
        let selection = Selection { kinds, skip_shallow: 3, ..Selection::default() };
        let found = with(&tensors, &selection).unwrap();
        let shuffled = shuffle(tensors.clone(), seed);
        let again = with(&shuffled, &selection).unwrap();
        prop_assert_eq!(essence(&found), essence(&again));
        prop_assert_eq!(&found.warnings, &again.warnings);
        for layer in &again.layers {
            prop_assert_eq!(&shuffled[layer.tensor].name, &layer.name);
            let part = ["weight_g", "weight_mask", "original0"].iter().any(|part| layer.name.ends_with(part));
            prop_assert!(layer.depth.is_some() || part || (layer.shape.len() == 2 && !linear), "{layer:?}");
        }
    }

    #[test]
    fn architectures_are_the_same_in_any_order(seed in any::<u64>(), which in 0_usize..6) {
        let name = ["timm-hrnet_w18", "monai-AttentionUnet_2d", "timm-ghostnet_100", "torchvision-inception_v3", "timm-regnety_004", "plain-yolo"][which];
        let model = Model::named(name);
        let plain = essence(&layers(&model.tensors));
        prop_assert_eq!(plain, essence(&layers(&shuffle(model.tensors, seed))));
    }
}

/// A permutation of the tensors that depends on the seed only.
fn shuffle(mut tensors: Vec<Tensor>, seed: u64) -> Vec<Tensor> {
    let mut state = seed | 1;
    for at in (1..tensors.len()).rev() {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        tensors.swap(at, (state >> 33) as usize % (at + 1));
    }
    tensors
}

/// Weights of these names and shapes.
fn net(weights: &[(&str, &[usize])]) -> Vec<Tensor> {
    weights
        .iter()
        .map(|(name, shape)| tensor(&format!("{name}.weight"), shape))
        .collect()
}

/// The same below a prefix.
fn below(prefix: &str, tensors: &[Tensor]) -> Vec<Tensor> {
    tensors
        .iter()
        .map(|own| tensor(&format!("{prefix}{}", own.name), &own.shape))
        .collect()
}

fn vgg_like() -> Vec<Tensor> {
    net(&[
        ("conv1", &[16, 3, 3, 3]),
        ("conv2", &[16, 16, 3, 3]),
        ("conv3", &[32, 16, 3, 3]),
        ("conv4", &[32, 32, 3, 3]),
        ("conv5", &[64, 32, 3, 3]),
        ("conv6", &[64, 64, 3, 3]),
    ])
}

/// A generator: two strided convolutions, two transposed ones with biases, an image.
fn generator() -> Vec<Tensor> {
    let mut tensors = net(&[
        ("model.0", &[16, 3, 7, 7]),
        ("model.2", &[32, 16, 3, 3]),
        ("model.4", &[32, 16, 3, 3]),
        ("model.6", &[3, 16, 7, 7]),
    ]);
    tensors.push(tensor("model.4.bias", &[16]));
    tensors
}

fn discriminator(reads: usize) -> Vec<Tensor> {
    net(&[
        ("model.0", &[16, reads, 4, 4]),
        ("model.2", &[32, 16, 4, 4]),
        ("model.5", &[64, 32, 4, 4]),
        ("model.8", &[1, 64, 4, 4]),
    ])
}

/// Depth restarts in each of several networks, and a warning names them.
#[test]
fn depth_restarts_in_every_network() {
    let resnet = Model::named("torchvision-resnet18").tensors;
    let mobilenet = Model::named("torchvision-mobilenet_v2").tensors;
    let twice = |first: &str, second: &str| {
        let mut both = below(first, &resnet);
        both.extend(below(second, &resnet));
        both
    };
    let with = |tensors: Vec<Tensor>, more: Vec<Tensor>| [tensors, more].concat();
    let ensemble: Vec<Tensor> = (0..5)
        .flat_map(|member| below(&format!("models.{member}."), &vgg_like()))
        .collect();
    for (what, tensors, roots, are_copies) in [
        (
            "a net without a prefix beside its average",
            with(resnet.clone(), below("ema.", &resnet)),
            vec!["", "ema"],
            true,
        ),
        (
            "an average in a wrapper",
            with(vgg_like(), below("ema.module.", &vgg_like())),
            vec!["", "ema"],
            true,
        ),
        (
            "MoCo",
            twice("encoder_q.", "encoder_k."),
            vec!["encoder_k", "encoder_q"],
            true,
        ),
        (
            "an ensemble",
            ensemble,
            vec!["models.0", "models.1", "models.2", "models.3", "models.4"],
            true,
        ),
        (
            "generator and discriminator",
            with(below("G.", &generator()), below("D.", &discriminator(6))),
            vec!["D", "G"],
            false,
        ),
        (
            "CycleGAN",
            [
                below("netG_A.", &generator()),
                below("netG_B.", &generator()),
                below("netD_A.", &discriminator(3)),
                below("netD_B.", &discriminator(3)),
            ]
            .concat(),
            vec!["netD_A", "netD_B", "netG_A", "netG_B"],
            false,
        ),
        (
            "teacher and student of different make",
            with(below("teacher.", &resnet), below("student.", &mobilenet)),
            vec!["student", "teacher"],
            false,
        ),
        (
            "a net and the network of its loss",
            with(vgg_like(), below("perceptual_loss.vgg.", &vgg_like())),
            vec!["", "perceptual_loss"],
            false,
        ),
        (
            "autoencoder and denoiser",
            with(below("vae.", &generator()), below("unet.", &vgg_like())),
            vec!["unet", "vae"],
            false,
        ),
    ] {
        let found = layers(&tensors);
        let warned = found.warnings.iter().find_map(|warning| match warning {
            Warning::Networks { roots, are_copies } => Some((roots.clone(), *are_copies)),
            _ => None,
        });
        let roots: Vec<String> = roots.into_iter().map(str::to_owned).collect();
        let (named, copies) = warned.unwrap_or_else(|| panic!("{what}: no warning"));
        assert_eq!(named, roots, "{what}");
        if what != "a net and the network of its loss" {
            assert_eq!(copies, are_copies, "{what}");
        }
        for root in &roots {
            let own = found.layers.iter();
            let own = own.filter(|layer| layer.network.as_ref() == Some(root));
            let depths: Vec<usize> = own.filter_map(|layer| layer.depth).collect();
            assert!(!depths.is_empty(), "{what}: {root}");
            assert!(
                depths.iter().copied().eq(1..=depths.len()),
                "{what}: {root}: {depths:?}"
            );
        }
    }
}

/// Branches that something joins are one network: depth counts through both.
#[test]
fn branches_that_join_are_one_network() {
    let branches = || {
        let mut tensors = below("rgb.", &vgg_like());
        tensors.extend(below("depth.", &vgg_like()));
        tensors
    };
    let mut by_convolution = branches();
    by_convolution.extend(net(&[("fusion", &[64, 128, 1, 1])]));
    let mut by_linear = branches();
    by_linear.push(tensor("classifier.weight", &[10, 128]));
    let mut nets = below("axial_net.", &vgg_like());
    nets.extend(below("coronal_net.", &vgg_like()));
    nets.push(tensor("classifier.weight", &[1, 128]));
    for tensors in [by_convolution, by_linear, nets] {
        let found = layers(&tensors);
        assert!(found.layers.iter().all(|layer| layer.network.is_none()));
        let depths: Vec<usize> = found
            .layers
            .iter()
            .filter_map(|layer| layer.depth)
            .collect();
        assert!(depths.iter().copied().eq(1..=depths.len()), "{depths:?}");
    }
}

/// An average of which some layers have not moved: those are the model's layers too, and the others keep their depth.
#[test]
fn an_average_that_has_moved_in_part_keeps_its_depths() {
    let mut tensors = below("model.", &vgg_like());
    tensors.extend(below("ema.", &vgg_like()));
    let index = |name: &str| {
        tensors
            .iter()
            .position(|tensor| tensor.name == name)
            .unwrap()
    };
    let equal = ["conv1", "conv2", "conv4"].map(|layer| {
        vec![
            index(&format!("model.{layer}.weight")),
            index(&format!("ema.{layer}.weight")),
        ]
    });
    let copies = Copies::of(equal.to_vec());
    let selection = Selection {
        skip_shallow: 2,
        ..Selection::default()
    };
    let found = Layers::of(&tensors, &BTreeMap::new(), &copies, None, &selection).unwrap();
    assert_eq!(found.layers.len(), 9);
    let depth = |name: &str| {
        let mut layers = found.layers.iter();
        layers
            .find(|layer| layer.names().any(|own| own == name))
            .unwrap()
            .depth
    };
    for prefix in ["model.", "ema."] {
        for place in 1..=6 {
            let name = format!("{prefix}conv{place}.weight");
            assert_eq!(depth(&name), Some(place), "{name}");
        }
    }
    let shallow = found
        .layers
        .iter()
        .filter(|layer| layer.reason == Some(Reason::Shallow));
    assert_eq!(shallow.count(), 2);
}

/// A known network is recognised at any width, under any prefix, with another input and other classes; and a stranger with
/// its names is not taken for it.
#[test]
fn known_networks_are_recognised() {
    let resnet = Model::named("torchvision-resnet50").tensors;
    let found = layers(&resnet);
    assert_eq!(found.source, OrderSource::Known);
    assert_eq!(found.recognised[0].convolutions, 53);
    let is_known =
        |layer: &&Layer| (layer.place_from, layer.kind_from) == (Evidence::Known, Evidence::Known);
    assert_eq!(found.layers.iter().filter(is_known).count(), 53);

    let narrow: Vec<Tensor> = resnet
        .iter()
        .map(|own| {
            let mut shape = own.shape.clone();
            for extent in shape.iter_mut().take(2).filter(|extent| **extent > 3) {
                *extent /= 4;
            }
            if own.name == "conv1.weight" {
                shape[1] = 1;
            }
            tensor(&own.name, &shape)
        })
        .collect();
    assert_eq!(layers(&narrow).source, OrderSource::Known);

    let mut decoder = below("segmentation.encoder.", &resnet);
    decoder.extend(net(&[
        ("segmentation.decoder.up", &[256, 2048, 3, 3]),
        ("segmentation.out", &[2, 256, 1, 1]),
    ]));
    let found = layers(&decoder);
    assert_eq!(found.source, OrderSource::Structure);
    assert_eq!(found.recognised[0].root, "segmentation.encoder");
    assert_eq!(found.layers.iter().filter(is_known).count(), 53);

    // In a ResNeXt of these names the convolutions in space are grouped.
    let grouped: Vec<Tensor> = resnet
        .iter()
        .map(|own| {
            let mut shape = own.shape.clone();
            if own.name.ends_with("conv2.weight") {
                shape[1] /= 4;
            }
            tensor(&own.name, &shape)
        })
        .collect();
    let found = layers(&grouped);
    let wrong = found.layers.iter().filter(|layer| {
        layer.name.ends_with("conv2.weight") && layer.groups != 4 && layer.reason.is_none()
    });
    assert_eq!(wrong.count(), 0);
}

/// nnU-Net's weights stand under several names; safetensors' `save_model` keeps the first in byte order, and whoever drops
/// the others himself another. All are recognised, with whatever features there are.
#[test]
fn a_network_is_known_by_any_of_its_shared_names() {
    let features = [16, 32, 48, 48, 48];
    let stages: Vec<(usize, usize)> = std::iter::once(1).chain(features).zip(features).collect();
    let blocks = |encoder: &str, decoder: &str, layer: &str| {
        let mut weights: Vec<(String, Vec<usize>)> = Vec::new();
        for (stage, &(reads, out)) in stages.iter().enumerate() {
            let path = format!("{encoder}.stages.{stage}.0.convs");
            weights.push((format!("{path}.0.{layer}"), vec![out, reads, 3, 3]));
            weights.push((format!("{path}.1.{layer}"), vec![out, out, 3, 3]));
        }
        for stage in 0..4 {
            let (below, out) = (features[4 - stage], features[3 - stage]);
            let path = format!("{decoder}.stages.{stage}.convs");
            weights.push((
                format!("{decoder}.transpconvs.{stage}"),
                vec![below, out, 2, 2],
            ));
            weights.push((format!("{path}.0.{layer}"), vec![out, 2 * out, 3, 3]));
            weights.push((format!("{path}.1.{layer}"), vec![out, out, 3, 3]));
            weights.push((format!("{decoder}.seg_layers.{stage}"), vec![2, out, 1, 1]));
        }
        let tensors = weights.iter();
        let tensors = tensors.map(|(name, shape)| tensor(&format!("{name}.weight"), shape));
        tensors.collect::<Vec<Tensor>>()
    };
    for (encoder, layer) in [("encoder", "conv"), ("decoder.encoder", "all_modules.0")] {
        let found = layers(&blocks(encoder, "decoder", layer));
        assert_eq!(found.source, OrderSource::Known, "{encoder} {layer}");
        let heads = found
            .layers
            .iter()
            .filter(|layer| layer.reason == Some(Reason::Head));
        assert!(heads.count() >= 1);
        let stem = &found.layers[0];
        assert!(stem.name.contains("stages.0.0.convs.0"), "{}", stem.name);
        let transposed = found
            .layers
            .iter()
            .filter(|layer| layer.kind == Kind::Transposed);
        assert_eq!(transposed.count(), 4);
    }
}

/// The alphabet alone puts `alpha` before `beta`: said aloud where the cut falls between them, and not elsewhere.
#[test]
fn an_open_order_is_doubted_where_the_cut_falls() {
    let tensors = net(&[
        ("stem", &[16, 3, 3, 3]),
        ("alpha", &[16, 16, 3, 3]),
        ("beta", &[16, 16, 3, 3]),
        ("gamma", &[32, 16, 3, 3]),
    ]);
    for (skip_shallow, doubted) in [(0, false), (1, false), (2, true), (4, false)] {
        let selection = Selection {
            skip_shallow,
            ..Selection::default()
        };
        let found = with(&tensors, &selection).unwrap();
        let named = found.warnings.iter().any(|warning| {
            matches!(warning, Warning::OpenOrder { first, second, .. } if first == "alpha" && second == "beta")
        });
        assert_eq!(named, doubted, "{skip_shallow}: {:?}", found.warnings);
        let expected = if doubted {
            OrderSource::Natural
        } else {
            OrderSource::Structure
        };
        assert_eq!(found.source, expected);
        let guessed = found
            .layers
            .iter()
            .filter(|layer| layer.place_from == Evidence::Guessed);
        assert!(guessed.count() >= 2);
    }
}

/// Orders that words or numbers got wrong: what channels say outranks them.
#[test]
fn channels_outrank_words_and_numbers() {
    for (what, weights, expected) in [
        (
            "only one can read an image, though the other is called a patch embedding (TransUNet)",
            vec![
                ("embeddings.patch_embeddings", vec![96, 64, 1, 1]),
                ("embeddings.hybrid.root.conv", vec![16, 3, 7, 7]),
                ("embeddings.hybrid.body.0", vec![64, 16, 3, 3]),
            ],
            vec![
                "embeddings.hybrid.root.conv",
                "embeddings.hybrid.body.0",
                "embeddings.patch_embeddings",
            ],
        ),
        (
            "stages counted down",
            vec![
                ("stage1.0", vec![64, 32, 3, 3]),
                ("stage2.0", vec![32, 16, 3, 3]),
                ("stage3.0", vec![16, 1, 3, 3]),
            ],
            vec!["stage3.0", "stage2.0", "stage1.0"],
        ),
        (
            "letters backwards",
            vec![
                ("a.0", vec![64, 32, 3, 3]),
                ("b.0", vec![32, 16, 3, 3]),
                ("c.0", vec![16, 1, 3, 3]),
            ],
            vec!["c.0", "b.0", "a.0"],
        ),
        (
            "a mirrored decoder (SegNet)",
            vec![
                ("conv11", vec![16, 3, 3, 3]),
                ("conv11d", vec![2, 16, 3, 3]),
                ("conv21", vec![32, 16, 3, 3]),
                ("conv21d", vec![16, 32, 3, 3]),
            ],
            vec!["conv11", "conv21", "conv21d", "conv11d"],
        ),
        (
            "lists whose members take turns",
            vec![
                ("convs.0", vec![16, 1, 3, 3]),
                ("convs.1", vec![32, 16, 3, 3]),
                ("downs.0", vec![16, 16, 2, 2]),
                ("downs.1", vec![32, 32, 2, 2]),
            ],
            vec!["convs.0", "downs.0", "convs.1", "downs.1"],
        ),
        (
            "a shortcut that is one layer beside lists",
            vec![
                ("convs.0", vec![8, 3, 3, 3]),
                ("convs.1", vec![8, 8, 3, 3]),
                ("layers.0", vec![8, 8, 3, 3]),
                ("layers.1", vec![8, 8, 3, 3]),
                ("skip", vec![8, 3, 1, 1]),
            ],
            vec!["convs.0", "convs.1", "layers.0", "layers.1", "skip"],
        ),
        (
            "shortcuts beside a list of blocks",
            vec![
                ("blocks.0.0", vec![16, 3, 3, 3]),
                ("blocks.0.1", vec![16, 16, 3, 3]),
                ("blocks.1.0", vec![16, 16, 3, 3]),
                ("blocks.1.1", vec![16, 16, 3, 3]),
                ("skip.0", vec![16, 3, 1, 1]),
                ("skip.1", vec![16, 16, 1, 1]),
            ],
            vec![
                "blocks.0.0",
                "blocks.0.1",
                "skip.0",
                "blocks.1.0",
                "blocks.1.1",
                "skip.1",
            ],
        ),
        (
            "a grid (nested U-Net)",
            vec![
                ("conv0_0", vec![16, 3, 3, 3]),
                ("conv0_1", vec![16, 48, 3, 3]),
                ("conv0_2", vec![16, 64, 3, 3]),
                ("conv1_0", vec![32, 16, 3, 3]),
                ("conv1_1", vec![32, 96, 3, 3]),
                ("conv2_0", vec![64, 32, 3, 3]),
            ],
            vec![
                "conv0_0", "conv1_0", "conv0_1", "conv2_0", "conv1_1", "conv0_2",
            ],
        ),
        (
            "offsets before the convolution that they steer",
            vec![
                ("conv1", vec![16, 3, 3, 3]),
                ("conv2", vec![16, 16, 3, 3]),
                ("conv2_offset", vec![18, 16, 3, 3]),
            ],
            vec!["conv1", "conv2_offset", "conv2"],
        ),
    ] {
        let weights: Vec<(&str, &[usize])> = weights
            .iter()
            .map(|(name, shape)| (*name, shape.as_slice()))
            .collect();
        let found = layers(&net(&weights));
        let order: Vec<&str> = names(&found)
            .into_iter()
            .map(|name| name.strip_suffix(".weight").unwrap())
            .collect();
        assert_eq!(order, expected, "{what}");
    }
}

/// Kinds and groups that could be others: left alone, with a warning that names the layer.
#[test]
fn kinds_in_doubt_are_left_alone_with_their_names() {
    for (what, weights, doubtful) in [
        (
            "an autoencoder without biases",
            vec![
                ("encoder.0", vec![16, 1, 4, 4]),
                ("encoder.3", vec![32, 16, 4, 4]),
                ("decoder.0", vec![32, 32, 4, 4]),
                ("decoder.3", vec![32, 16, 4, 4]),
                ("decoder.6", vec![16, 8, 4, 4]),
            ],
            vec!["decoder.0", "decoder.3", "decoder.6"],
        ),
        (
            "spatial filters behind temporal ones on one channel (EEGNet)",
            vec![
                ("block1.0", vec![8, 1, 1, 64]),
                ("block1.2", vec![16, 1, 22, 1]),
                ("block2.0", vec![16, 16, 1, 1]),
            ],
            vec!["block1.2"],
        ),
        (
            "groups that fit",
            vec![("conv1", vec![64, 3, 3, 3]), ("conv2", vec![64, 32, 1, 1])],
            vec!["conv2"],
        ),
        (
            "upsamplings by any other name (nnU-Net v1)",
            vec![
                ("context.0", vec![16, 1, 3, 3]),
                ("context.1", vec![32, 16, 3, 3]),
                ("context.2", vec![32, 32, 3, 3]),
                ("tu.0", vec![32, 32, 2, 2]),
                ("tu.1", vec![32, 16, 2, 2]),
                ("localization.0", vec![32, 64, 3, 3]),
                ("localization.1", vec![16, 32, 3, 3]),
            ],
            vec!["tu.0", "tu.1"],
        ),
    ] {
        let weights: Vec<(&str, &[usize])> = weights
            .iter()
            .map(|(name, shape)| (*name, shape.as_slice()))
            .collect();
        let selection = Selection {
            skip_shallow: 0,
            ..Selection::default()
        };
        let found = with(&net(&weights), &selection).unwrap();
        for layer in doubtful {
            let name = format!("{layer}.weight");
            let own = found
                .layers
                .iter()
                .find(|layer| layer.name == name)
                .unwrap();
            assert_eq!(own.reason, Some(Reason::Unsupported), "{what}: {name}");
            let says = |warning: &Warning| warning.to_string().contains(&name);
            assert!(
                found.warnings.iter().any(says),
                "{what}: {:?}",
                found.warnings
            );
        }
    }
}

/// What nothing reads or normalises at the end is a head; ASPP and decoders called `classifier` are none.
#[test]
fn heads_are_told_by_structure() {
    let mut tensors = net(&[
        ("backbone.conv1", &[16, 3, 3, 3]),
        ("backbone.conv2", &[64, 16, 3, 3]),
        ("classifier.0.convs.0.0", &[32, 64, 1, 1]),
        ("classifier.0.convs.1.0", &[32, 64, 3, 3]),
        ("classifier.0.project.0", &[32, 64, 1, 1]),
        ("classifier.1", &[32, 32, 3, 3]),
        ("classifier.4", &[21, 32, 1, 1]),
    ]);
    for (name, length) in [
        ("classifier.0.convs.0.1.weight", 32),
        ("classifier.0.convs.1.1.weight", 32),
        ("classifier.0.project.1.weight", 32),
        ("classifier.2.weight", 32),
        ("classifier.4.bias", 21),
    ] {
        tensors.push(tensor(name, &[length]));
    }
    let selection = Selection {
        skip_shallow: 0,
        ..Selection::default()
    };
    let found = with(&tensors, &selection).unwrap();
    let heads: Vec<&str> = found
        .layers
        .iter()
        .filter(|layer| layer.reason == Some(Reason::Head))
        .map(|layer| layer.name.as_str())
        .collect();
    assert_eq!(heads, ["classifier.4.weight"]);
}
