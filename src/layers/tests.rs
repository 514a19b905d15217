//! How well names and shapes alone are read, on architectures that the atlas knows: no fingerprint is looked up here.

use std::collections::BTreeMap;

use super::architectures::{Shortfall, check_all};
use super::candidates::Candidate;
use super::known::KnownNetwork;
use super::{Copies, Layers, Selection, TableOrder};
use crate::checkpoint::Tensor;

/// Where it falls short.
const SHORTFALLS: &[Shortfall] = &[
    ("monai-AHNet_2d", [true, true, true], false, 0, 5),
    (
        "monai-BasicUNetPlusPlus_2d",
        [false, false, false],
        false,
        0,
        3,
    ),
    ("monai-BasicUNet_2d", [true, true, true], true, 0, 3),
    ("monai-BasicUNet_3d", [true, true, true], true, 0, 3),
    ("monai-DynUNet_3d_ds", [true, true, true], false, 0, 0),
    ("monai-FlexibleUNet_b0", [true, true, true], true, 0, 2),
    ("monai-SegResNetDS_3d", [true, true, true], true, 0, 4),
    ("monai-SwinUNETR_3d", [true, true, true], true, 0, 1),
    ("monai-UNETR_3d", [true, true, true], true, 0, 3),
    ("monai-UNet_2d", [true, true, true], true, 0, 4),
    ("monai-UNet_2d_deep", [true, true, true], true, 0, 5),
    ("timm-bat_resnext26ts", [true, false, false], false, 12, 10),
    ("timm-cspdarknet53", [true, true, true], true, 0, 1),
    ("timm-cspresnet50", [true, true, true], true, 0, 4),
    ("timm-dpn68", [true, false, false], false, 0, 25),
    ("timm-eca_nfnet_l0", [true, true, true], true, 0, 22),
    ("timm-efficientvit_b0", [true, true, true], true, 0, 4),
    ("timm-fastvit_t8", [true, true, true], true, 8, 0),
    ("timm-ghostnetv2_100", [true, true, false], false, 0, 0),
    ("timm-hgnet_tiny", [true, true, true], true, 0, 1),
    ("timm-hrnet_w18", [true, true, true], false, 0, 11),
    ("timm-legacy_seresnet50", [false, true, true], false, 0, 0),
    ("timm-mixnet_s", [true, true, true], false, 0, 14),
    ("timm-mobilevitv2_050", [true, true, false], false, 0, 0),
    ("timm-nfnet_f0", [true, true, true], true, 0, 22),
    ("timm-nfnet_l0", [true, true, true], true, 0, 22),
    ("timm-pvt_v2_b0", [true, true, true], false, 0, 9),
    ("timm-regnetv_040", [false, true, true], false, 0, 0),
    ("timm-regnety_004", [true, true, true], true, 0, 1),
    ("timm-res2net50_26w_4s", [true, true, true], true, 0, 40),
    ("timm-res2next50", [true, true, true], true, 0, 48),
    ("timm-resnest50d", [true, true, true], true, 0, 15),
    ("timm-skresnet18", [true, true, true], false, 0, 11),
    ("timm-skresnext50_32x4d", [true, true, true], true, 0, 32),
    ("timm-starnet_s1", [false, false, false], false, 0, 17),
    ("timm-tresnet_m", [true, true, true], false, 0, 0),
    (
        "torchvision-lraspp_mobilenet_v3_large",
        [true, true, true],
        false,
        0,
        0,
    ),
    ("torchvision-regnet_y_400mf", [true, true, true], true, 0, 1),
    ("torchvision-squeezenet1_0", [true, true, true], true, 0, 8),
    ("torchvision-squeezenet1_1", [true, true, true], true, 0, 8),
];

fn know_nothing(_: &[Candidate<'_>], _: &dyn Fn(usize) -> bool) -> Vec<KnownNetwork> {
    Vec::new()
}

#[test]
fn architectures_are_read_off_names_and_shapes() {
    check_all(SHORTFALLS, |tensors: &[Tensor]| {
        let selection = Selection::default();
        Layers::read(
            (tensors, TableOrder::Any),
            &BTreeMap::new(),
            &Copies::none(),
            None,
            &selection,
            know_nothing,
        )
        .unwrap()
    });
}
