//! Whether a file's weights are those of a known network, at any width.

use std::collections::HashMap;

use super::atlas::{AtlasKind, AtlasLayer, Entry};

/// Shape of a weight, whose rank is at least 3.
pub(super) type Shape<'a> = &'a [usize];

/// The groups of each weight, if the file is the known network at some width: one mapping of channel counts (64 → 48, 128 →
/// 96, …) turns the known shapes into the file's. Counts that the network's input or classes set are not compared.
pub(super) fn groups(entry: &Entry, shapes: &[Shape<'_>]) -> Option<Vec<usize>> {
    if entry.layers.len() != shapes.len() {
        return None;
    }
    let mut widths = Widths::default();
    let mut groups = Vec::with_capacity(shapes.len());
    for (layer, shape) in entry.layers.iter().zip(shapes) {
        let is_point = shape[2..].iter().all(|&extent| extent == 1);
        if layer.point != is_point {
            return None;
        }
        groups.push(match layer.kind {
            AtlasKind::Convolution if layer.groups == 1 => 1,
            AtlasKind::Transposed => layer.groups,
            AtlasKind::Depthwise => {
                // The known depth multiplier.
                let multiple = layer.extents[0].checked_div(layer.groups)?.max(1);
                if shape[1] != 1 || !shape[0].is_multiple_of(multiple) {
                    return None;
                }
                shape[0] / multiple
            }
            // Set below, once the widths are known.
            AtlasKind::Convolution => 0,
        });
    }
    // The dense layers give the widths, and the widths give the groups of the others.
    for is_grouped in [false, true] {
        for ((layer, shape), groups) in entry.layers.iter().zip(shapes).zip(&mut groups) {
            if (*groups == 0) != is_grouped {
                continue;
            }
            if is_grouped {
                *groups = widths.groups(layer, shape)?;
            }
            let known = channels(layer.kind, layer.extents, layer.groups)?;
            let own = channels(layer.kind, [shape[0], shape[1]], *groups)?;
            let is_free = |side: usize| (side == 0 && layer.at_input) || (side == 1 && layer.head);
            for side in 0..2 {
                if !is_free(side) && !widths.agree(known[side], own[side]) {
                    return None;
                }
            }
        }
    }
    Some(groups)
}

/// The groups of each weight, if names alone determine them: all known networks of these names agree on each layer's kind,
/// depthwise or in one group, and its shape fits that. Widths may be any (a U-Net's with capped channels).
pub(super) fn groups_by_names(entries: &[Entry], shapes: &[Shape<'_>]) -> Option<Vec<usize>> {
    let (first, others) = entries.split_first()?;
    if first.layers.len() != shapes.len() {
        return None;
    }
    let layers = first.layers.iter().zip(shapes).enumerate();
    let groups = layers.map(|(at, (layer, shape))| {
        let is_point = shape[2..].iter().all(|&extent| extent == 1);
        let agree = others.iter().all(|other| {
            other.layers.get(at).is_some_and(|other| {
                (other.kind, other.groups == 1, other.point)
                    == (layer.kind, layer.groups == 1, layer.point)
            })
        });
        match layer.kind {
            _ if !agree => None,
            _ if layer.point != is_point => None,
            AtlasKind::Depthwise => {
                let multiple = layer.extents[0].checked_div(layer.groups)?.max(1);
                (shape[1] == 1 && shape[0].is_multiple_of(multiple)).then(|| shape[0] / multiple)
            }
            AtlasKind::Convolution if layer.groups == 1 => {
                (shape[1] > 1 || shape[0] == 1 || layer.at_input || layer.extents[1] == 1)
                    .then_some(1)
            }
            AtlasKind::Transposed if layer.groups == 1 => Some(1),
            AtlasKind::Convolution | AtlasKind::Transposed => None,
        }
    });
    groups.collect()
}

/// Input and output channels of a layer.
fn channels(kind: AtlasKind, extents: [usize; 2], groups: usize) -> Option<[usize; 2]> {
    let [first, second] = extents;
    let second = second.checked_mul(groups)?;
    Some(match kind {
        AtlasKind::Transposed => [first, second],
        _ => [second, first],
    })
}

/// Maps each known channel count to the file's.
#[derive(Default)]
struct Widths(HashMap<usize, usize>);

impl Widths {
    fn agree(&mut self, known: usize, own: usize) -> bool {
        *self.0.entry(known).or_insert(own) == own
    }

    /// The groups of a layer that is grouped in the known network.
    fn groups(&self, layer: &AtlasLayer, shape: Shape<'_>) -> Option<usize> {
        let known = layer.extents[1].checked_mul(layer.groups)?;
        let groups = match self.0.get(&known) {
            Some(own) if own.is_multiple_of(shape[1]) => own / shape[1],
            Some(_) => return None,
            None => layer.groups,
        };
        (groups > 0 && shape[0].is_multiple_of(groups)).then_some(groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(kind: AtlasKind, groups: usize, extents: [usize; 2]) -> AtlasLayer {
        AtlasLayer {
            forward_index: Some(0),
            kind,
            groups,
            extents,
            at_input: false,
            head: false,
            gate: false,
            point: false,
        }
    }

    fn entry() -> Entry {
        let stem = AtlasLayer {
            at_input: true,
            ..layer(AtlasKind::Convolution, 1, [64, 3])
        };
        let head = AtlasLayer {
            head: true,
            ..layer(AtlasKind::Convolution, 1, [10, 128])
        };
        Entry {
            title: "a net".to_owned(),
            layers: vec![
                stem,
                layer(AtlasKind::Depthwise, 64, [64, 1]),
                layer(AtlasKind::Convolution, 32, [128, 2]),
                layer(AtlasKind::Transposed, 1, [128, 64]),
                layer(AtlasKind::Convolution, 1, [128, 64]),
                head,
            ],
        }
    }

    fn of(shapes: [[usize; 2]; 6]) -> Option<Vec<usize>> {
        let shapes = shapes.map(|[out, reads]| [out, reads, 3, 3]);
        groups(&entry(), &shapes.each_ref().map(|shape| &shape[..]))
    }

    #[test]
    fn widths_input_and_classes_are_free() {
        let known = of([[64, 3], [64, 1], [128, 2], [128, 64], [128, 64], [10, 128]]);
        assert_eq!(known, Some(vec![1, 64, 32, 1, 1, 1]));
        let other = of([[48, 1], [48, 1], [96, 6], [96, 48], [96, 48], [2, 96]]);
        assert_eq!(other, Some(vec![1, 48, 8, 1, 1, 1]));
    }

    #[test]
    fn other_shapes_are_another_network() {
        for wrong in [
            [[64, 3], [64, 2], [128, 2], [128, 64], [128, 64], [10, 128]],
            [[64, 3], [64, 1], [128, 2], [64, 128], [128, 64], [10, 128]],
            [[64, 3], [64, 1], [128, 2], [128, 64], [128, 96], [10, 128]],
            [[64, 3], [64, 1], [128, 5], [128, 64], [128, 64], [10, 128]],
        ] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
    }
}
