//! What differs between two checkpoints.

use std::collections::BTreeMap;

use crate::checkpoint::{Checkpoint, Error, FloatType, Tensor};
use crate::layers::Layers;
use crate::similarity::exact;
use crate::weight::{Element, KernelLayout, Rows, with_element};

/// How a tensor of one checkpoint compares with that of the same name in the other.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// Only the first has it.
    OnlyInA,
    /// Only the second has it.
    OnlyInB,
    Shape,
    Dtype,
    Changed(Values),
}

/// How the values of a tensor differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Values {
    /// The kernels that differ, rising; empty for tensors that are no layer's weight.
    pub kernels_changed: Vec<usize>,
    /// ‖b − a‖ / ‖a‖; `None` where that is no finite number.
    pub relative_change: Option<f64>,
    /// The greatest |b − a|; `None` where that is no finite number.
    pub max_abs: Option<f64>,
}

/// Compares every tensor of `a` with that of the same name in `b`; `layers` are those of `a`. Tensors that are the same bit
/// for bit are left out; the rest come in order of their names.
///
/// # Errors
///
/// Where a file cannot be read.
pub fn diff(
    a: &Checkpoint,
    b: &Checkpoint,
    layers: &Layers,
) -> Result<Vec<(String, Difference)>, Error> {
    let mut pairs: BTreeMap<&str, (Option<&Tensor>, Option<&Tensor>)> = BTreeMap::new();
    for tensor in a.tensors() {
        pairs.entry(&tensor.name).or_default().0 = Some(tensor);
    }
    for tensor in b.tensors() {
        pairs.entry(&tensor.name).or_default().1 = Some(tensor);
    }
    let kernels: BTreeMap<&str, KernelLayout> = layers
        .layers
        .iter()
        .flat_map(|layer| {
            let tensors = std::iter::once(&layer.tensor).chain(&layer.copy_tensors);
            tensors.filter_map(|&index| {
                let tensor = &a.tensors()[index];
                let layout = KernelLayout::new(layer.kind, layer.groups, &tensor.shape)?;
                // Of a weight in another layout, runs along the first axis are no kernels.
                (layout.kernels() == layer.kernels).then_some((tensor.name.as_str(), layout))
            })
        })
        .collect();
    let mut differences = Vec::new();
    for (name, pair) in pairs {
        let difference = match pair {
            (Some(_), None) => Difference::OnlyInA,
            (None, Some(_)) => Difference::OnlyInB,
            (Some(x), Some(y)) if x.dtype != y.dtype => Difference::Dtype,
            (Some(x), Some(y)) if x.shape != y.shape => Difference::Shape,
            (Some(x), Some(y)) => {
                let layout = kernels.get(name);
                let float = x.float_type().filter(|_| !y.is_view());
                let values = a.with_values(x, |before| {
                    b.with_values(y, |after| {
                        let (before, after) = (x.row_major(before), y.row_major(after));
                        let is_changed = before != after;
                        is_changed.then(|| Values::between(&before, &after, float, layout))
                    })
                });
                match values?? {
                    Some(values) => Difference::Changed(values),
                    None => continue,
                }
            }
            (None, None) => continue,
        };
        differences.push((name.to_owned(), difference));
    }
    Ok(differences)
}

impl Values {
    fn between(
        a: &[u8],
        b: &[u8],
        float: Option<FloatType>,
        layout: Option<&KernelLayout>,
    ) -> Self {
        let Some(float) = float else {
            return Self::default();
        };
        let kernels_changed = layout.map_or_else(Vec::new, |layout| {
            let rows = |values| Rows::gather(values, float, layout);
            let (a, b) = (rows(a), rows(b));
            (0..layout.kernels())
                .filter(|&kernel| a.row(kernel) != b.row(kernel))
                .collect()
        });
        Self {
            kernels_changed,
            relative_change: relative_change(a, b, float),
            max_abs: finite(with_element!(float, E => max_abs::<E>(a, b))),
        }
    }
}

/// ‖b − a‖ / ‖a‖ of the same tensor's values in two checkpoints; `None` where that is no finite number.
pub fn relative_change(a: &[u8], b: &[u8], float: FloatType) -> Option<f64> {
    with_element!(float, E => {
        finite((exact::squared_distance::<E>(a, b) / exact::dot::<E>(a, a)).sqrt())
    })
}

fn finite(number: f64) -> Option<f64> {
    Some(number).filter(|number| number.is_finite())
}

/// The greatest |b − a|; NaN where there is one.
fn max_abs<E: Element>(a: &[u8], b: &[u8]) -> f64 {
    let values = a.chunks_exact(E::SIZE).zip(b.chunks_exact(E::SIZE));
    values
        .map(|(a, b)| (E::read(b).widen() - E::read(a).widen()).abs())
        .fold(0.0, |greatest, distance| match distance {
            _ if f64::is_nan(greatest) => greatest,
            _ if distance <= greatest => greatest,
            _ => distance,
        })
}
