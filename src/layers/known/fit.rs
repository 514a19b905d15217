//! Whether a file's weights are those of a known network, at whatever width.

use std::collections::HashMap;

use super::atlas::{AtlasKind, Entry, Fact};

/// A weight of the file: its shape, whose rank is at least 3.
pub(super) type Shape<'a> = &'a [usize];

/// The groups of each weight, if the file is the known network in some width: its channel counts are the known ones under
/// a renaming (64 → 48, 128 → 96, …). What the network's input and its classes set is left out of the comparison.
pub(super) fn groups(entry: &Entry, shapes: &[Shape<'_>]) -> Option<Vec<usize>> {
    if entry.facts.len() != shapes.len() {
        return None;
    }
    let mut widths = Widths::default();
    let mut groups = Vec::with_capacity(shapes.len());
    for (fact, shape) in entry.facts.iter().zip(shapes) {
        let is_point = shape[2..].iter().all(|&extent| extent == 1);
        if fact.point != is_point {
            return None;
        }
        groups.push(match fact.sort {
            AtlasKind::Convolution if fact.groups == 1 => 1,
            AtlasKind::Transposed => fact.groups,
            AtlasKind::Depthwise => {
                // As many kernels a channel as are known.
                let multiple = fact.extents[0].checked_div(fact.groups)?.max(1);
                if shape[1] != 1 || !shape[0].is_multiple_of(multiple) {
                    return None;
                }
                shape[0] / multiple
            }
            // Set below, once the widths are known.
            AtlasKind::Convolution => 0,
        });
    }
    // The dense layers say what the widths are; from those follow the groups of the others.
    for is_grouped in [false, true] {
        for ((fact, shape), groups) in entry.facts.iter().zip(shapes).zip(&mut groups) {
            if (*groups == 0) != is_grouped {
                continue;
            }
            if is_grouped {
                *groups = widths.groups(fact, shape)?;
            }
            let known = channels(fact.sort, fact.extents, fact.groups)?;
            let own = channels(fact.sort, [shape[0], shape[1]], *groups)?;
            let is_free = |side: usize| (side == 0 && fact.at_input) || (side == 1 && fact.head);
            for side in 0..2 {
                if !is_free(side) && !widths.agree(known[side], own[side]) {
                    return None;
                }
            }
        }
    }
    Some(groups)
}

/// The groups of each weight, if names alone tell them: the widths may be any (a U-Net's whose channels are capped), but
/// each layer looks like what it is in all known networks of these names, which have it in one group or depthwise.
pub(super) fn groups_by_names(entries: &[Entry], shapes: &[Shape<'_>]) -> Option<Vec<usize>> {
    let (first, others) = entries.split_first()?;
    if first.facts.len() != shapes.len() {
        return None;
    }
    let layers = first.facts.iter().zip(shapes).enumerate();
    let groups = layers.map(|(at, (fact, shape))| {
        let is_point = shape[2..].iter().all(|&extent| extent == 1);
        let agree = others.iter().all(|other| {
            other.facts.get(at).is_some_and(|other| {
                (other.sort, other.groups == 1, other.point)
                    == (fact.sort, fact.groups == 1, fact.point)
            })
        });
        match fact.sort {
            _ if !agree => None,
            _ if fact.point != is_point => None,
            AtlasKind::Depthwise => {
                let multiple = fact.extents[0].checked_div(fact.groups)?.max(1);
                (shape[1] == 1 && shape[0].is_multiple_of(multiple)).then(|| shape[0] / multiple)
            }
            AtlasKind::Convolution if fact.groups == 1 => {
                (shape[1] > 1 || shape[0] == 1 || fact.at_input || fact.extents[1] == 1)
                    .then_some(1)
            }
            AtlasKind::Transposed if fact.groups == 1 => Some(1),
            AtlasKind::Convolution | AtlasKind::Transposed => None,
        }
    });
    groups.collect()
}

/// Channels that a layer reads and gives.
fn channels(sort: AtlasKind, extents: [usize; 2], groups: usize) -> Option<[usize; 2]> {
    let [first, second] = extents;
    let second = second.checked_mul(groups)?;
    Some(match sort {
        AtlasKind::Transposed => [first, second],
        _ => [second, first],
    })
}

/// The file's channel count for each one known.
#[derive(Default)]
struct Widths(HashMap<usize, usize>);

impl Widths {
    fn agree(&mut self, known: usize, own: usize) -> bool {
        *self.0.entry(known).or_insert(own) == own
    }

    /// The groups of a layer that is grouped in the known network.
    fn groups(&self, fact: &Fact, shape: Shape<'_>) -> Option<usize> {
        let known = fact.extents[1].checked_mul(fact.groups)?;
        let groups = match self.0.get(&known) {
            Some(own) if own.is_multiple_of(shape[1]) => own / shape[1],
            Some(_) => return None,
            None => fact.groups,
        };
        (groups > 0 && shape[0].is_multiple_of(groups)).then_some(groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(sort: AtlasKind, groups: usize, extents: [usize; 2]) -> Fact {
        Fact {
            place: Some(0),
            sort,
            groups,
            extents,
            at_input: false,
            head: false,
            gate: false,
            point: false,
        }
    }

    fn entry() -> Entry {
        let stem = Fact {
            at_input: true,
            ..fact(AtlasKind::Convolution, 1, [64, 3])
        };
        let head = Fact {
            head: true,
            ..fact(AtlasKind::Convolution, 1, [10, 128])
        };
        Entry {
            title: "a net".to_owned(),
            facts: vec![
                stem,
                fact(AtlasKind::Depthwise, 64, [64, 1]),
                fact(AtlasKind::Convolution, 32, [128, 2]),
                fact(AtlasKind::Transposed, 1, [128, 64]),
                fact(AtlasKind::Convolution, 1, [128, 64]),
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
