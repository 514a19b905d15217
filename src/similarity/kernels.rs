//! The kernels of one layer, ready to be compared.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use crate::checkpoint::FloatType;
use crate::schedule::per_task;
use crate::simd::{self, Loop};
use crate::weight::{ConvWeight, Element, Rows, with_element};

use super::cpu::{BATCH, Batch, UnitVectors};
use super::exact::{self, LANES};
use super::products::Products;
use super::{Engine, Error, Precision, cuda};

/// What to do with kernels that contain a NaN or an infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonFinite {
    /// Give up with an error.
    Refuse,
    /// Leave them as they are and let no other kernel merge with them.
    LeaveAlone,
}

/// The kernels of one layer with their norms. Each is compared with the others of its own group only.
#[derive(Debug)]
pub struct Kernels<'a> {
    rows: Rows<'a>,
    measures: Vec<Measure>,
    group: usize,
    screen: Screen,
}

/// The data that similarities are screened with.
#[derive(Debug)]
enum Screen {
    /// None: every similarity is computed by the definition.
    None,
    /// Unit vectors, by group.
    Cpu(Vec<UnitVectors>),
    /// Unit vectors on a device.
    Device(cuda::Layer),
}

/// The data that a group's similarities are computed from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Computed<'k> {
    Cpu(&'k UnitVectors),
    Device(&'k cuda::Layer),
}

/// The measurements of a kernel, from one pass over its numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Measure {
    /// The dot product with itself.
    square: f64,
    norm: f64,
    /// Its share of the error bound of a screened similarity; NaN if it takes no part, so that no comparison holds.
    error: f32,
}

impl<'a> Kernels<'a> {
    /// Reads every kernel of a weight once (its rows may have been merged already), and computes its norm and, if an engine is to
    /// screen similarities, its unit vector.
    ///
    /// # Errors
    ///
    /// [`Error::NonFinite`], with the layer's name, if kernels contain a NaN or an infinity and those are refused; a norm that
    /// overflows float64 counts as infinite. [`Error::Device`] if a GPU fails.
    pub fn new(
        weight: &ConvWeight<'_>,
        rows: Rows<'a>,
        non_finite: NonFinite,
        screen: Option<Engine<'_>>,
    ) -> Result<Self, Error> {
        let kernels = weight.layout().kernels();
        let group = kernels / weight.groups();
        let (screen, measures) = match screen {
            Some(Engine::Device(device, precision)) => {
                let (layer, measured) =
                    cuda::Layer::load(device, precision, &rows, kernels, group)?;
                let measures = measured.into_iter().map(|(square, error)| Measure {
                    square,
                    norm: square.sqrt(),
                    error,
                });
                (Screen::Device(layer), measures.collect())
            }
            Some(Engine::Cpu(precision)) => {
                let (units, measures) = read(&rows, kernels, group, Some(precision));
                (Screen::Cpu(units), measures)
            }
            None => (Screen::None, read(&rows, kernels, group, None).1),
        };
        let mut broken = (0..kernels).filter(|&kernel| !measures[kernel].norm.is_finite());
        if non_finite == NonFinite::Refuse
            && let Some(first) = broken.next()
        {
            return Err(Error::NonFinite {
                layer: weight.tensor().name.clone(),
                count: 1 + broken.count(),
                kernels,
                first,
            });
        }
        Ok(Self {
            rows,
            measures,
            group,
            screen,
        })
    }

    /// Number of kernels, `n`.
    pub fn len(&self) -> usize {
        self.measures.len()
    }

    /// Whether the layer has no kernels.
    pub fn is_empty(&self) -> bool {
        self.measures.is_empty()
    }

    /// The kernels' numbers.
    pub fn rows(&self) -> &Rows<'a> {
        &self.rows
    }

    /// Gives the kernels' numbers back.
    pub fn into_rows(self) -> Rows<'a> {
        self.rows
    }

    /// The dot product of every kernel with itself.
    pub fn squares(&self) -> Vec<f64> {
        self.measures.iter().map(|measure| measure.square).collect()
    }

    /// The Euclidean norm of every kernel; NaN if it contains a NaN, infinite if it contains an infinity or overflows float64.
    pub fn norms(&self) -> Vec<f64> {
        self.measures.iter().map(|measure| measure.norm).collect()
    }

    /// Whether a kernel takes part ([`exact::is_live`]).
    pub fn is_live(&self, kernel: usize) -> bool {
        exact::is_live(self.measures[kernel].norm)
    }

    /// The kernels that may merge with this one, itself included: those of its group.
    pub fn group_of(&self, kernel: usize) -> Range<usize> {
        let start = kernel / self.group * self.group;
        start..start + self.group
    }

    /// Number of kernels in a group.
    pub(super) fn group_len(&self) -> usize {
        self.group
    }

    /// Number of kernels of the groups that are computed together: several groups on a GPU, where they are small.
    pub(super) fn joined_len(&self) -> usize {
        match &self.screen {
            Screen::Device(layer) => layer.joined(),
            Screen::None | Screen::Cpu(_) => self.group,
        }
    }

    /// The data that the similarities of a group, from 0, are computed from; `None` if nothing is to be screened.
    pub(super) fn computed(&self, group: usize) -> Option<Computed<'_>> {
        match &self.screen {
            Screen::None => None,
            Screen::Cpu(units) => Some(Computed::Cpu(&units[group])),
            Screen::Device(layer) => Some(Computed::Device(layer)),
        }
    }

    /// Each kernel's share of the error bound of a screened similarity.
    pub(super) fn errors(&self, kernels: Range<usize>) -> Vec<f32> {
        let measures = &self.measures[kernels];
        measures.iter().map(|measure| measure.error).collect()
    }

    /// The dot product of a kernel with itself.
    pub(super) fn square(&self, kernel: usize) -> f64 {
        self.measures[kernel].square
    }

    /// The similarity of two kernels by the float64 definition.
    pub fn similarity(&self, i: usize, j: usize) -> f64 {
        let (x, y) = (self.rows.row(i), self.rows.row(j));
        let dot = with_element!(self.rows.float(), E => exact::dot::<E>(x, y));
        exact::cosine(dot, self.measures[i].norm, self.measures[j].norm)
    }

    /// The similarities of all of some kernels with all of some others, row-major.
    pub(super) fn similarities(
        &self,
        rows: &[usize],
        columns: &[usize],
        products: &mut Products,
    ) -> Vec<f64> {
        let numbers = |kernels: &[usize]| -> Vec<&[u8]> {
            kernels
                .iter()
                .map(|&kernel| self.rows.row(kernel))
                .collect()
        };
        let (xs, ys) = (numbers(rows), numbers(columns));
        let mut similarities =
            with_element!(self.rows.float(), E => products.of_all::<E>(&xs, &ys));
        let norm = |kernel: usize| self.measures[kernel].norm;
        let pairs = rows
            .iter()
            .flat_map(|&i| columns.iter().map(move |&j| (i, j)));
        for (value, (i, j)) in similarities.iter_mut().zip(pairs) {
            *value = exact::cosine(*value, norm(i), norm(j));
        }
        similarities
    }
}

/// The unit vectors of a layer's groups, and the measurements of every kernel.
fn read(
    rows: &Rows<'_>,
    kernels: usize,
    group: usize,
    screen: Option<Precision>,
) -> (Vec<UnitVectors>, Vec<Measure>) {
    let mut measures = vec![Measure::default(); kernels];
    let mut units: Vec<UnitVectors> = screen.map_or_else(Vec::new, |precision| {
        let groups = 0..kernels / group;
        let zero = |_| UnitVectors::zero(precision, group, rows.row_len());
        groups.map(zero).collect()
    });
    let mut batches = units.iter_mut().flat_map(UnitVectors::batches);
    let starts = (0..kernels)
        .step_by(group)
        .flat_map(|start| (start..start + group).step_by(BATCH));
    let measures_of_batches = measures
        .chunks_mut(group)
        .flat_map(|group| group.chunks_mut(BATCH));
    let work: Vec<_> = starts
        .zip(measures_of_batches)
        .map(|(start, measures)| (start, measures, batches.next()))
        .collect();
    work.into_par_iter()
        .with_min_len(per_task(BATCH * rows.row_bytes()))
        .for_each(|(start, measures, mut batch)| {
            for (place, measure) in measures.iter_mut().enumerate() {
                *measure = prepared(rows, start + place, batch.as_mut(), place);
            }
        });
    (units, measures)
}

/// Measures a kernel, and writes its unit vector to its place in a batch, if there is one.
fn prepared(
    rows: &Rows<'_>,
    kernel: usize,
    batch: Option<&mut Batch<'_>>,
    place: usize,
) -> Measure {
    let row = rows.row(kernel);
    let (square, greatest) = square_and_greatest(rows.float(), row);
    let mut measure = Measure {
        square,
        norm: square.sqrt(),
        error: f32::NAN,
    };
    if let Some(batch) = batch.filter(|_| exact::is_live(measure.norm)) {
        let error =
            with_element!(rows.float(), E => batch.write::<E>(place, row, measure.norm, greatest));
        measure.error = error as f32;
    }
    measure
}

/// [`exact::dot`] of a kernel with itself, and the greatest magnitude of its numbers, reading it once.
pub(crate) fn square_and_greatest(float: FloatType, row: &[u8]) -> (f64, f64) {
    with_element!(float, E => simd::widest(SquareAndGreatest::<E> {
        row,
        of: PhantomData,
    }))
}

struct SquareAndGreatest<'a, E> {
    row: &'a [u8],
    of: PhantomData<E>,
}

impl<E: Element> Loop for SquareAndGreatest<'_, E> {
    type Output = (f64, f64);

    #[inline(always)]
    fn run(self) -> (f64, f64) {
        let mut squares = [0.0f64; LANES];
        let mut greatest = [0.0f64; LANES];
        let mut chunks = self.row.chunks_exact(LANES * E::SIZE);
        for chunk in chunks.by_ref() {
            take(exact::widened::<E>(chunk), &mut squares, &mut greatest);
        }
        // Padding with zeros changes no lane: a sum of squares is never −0.
        let rest = exact::widened::<E>(chunks.remainder());
        take(rest, &mut squares, &mut greatest);
        (
            exact::in_halves(squares),
            greatest.into_iter().fold(0.0, f64::max),
        )
    }
}

#[inline(always)]
fn take(numbers: [f64; LANES], squares: &mut [f64; LANES], greatest: &mut [f64; LANES]) {
    for lane in 0..LANES {
        let x = numbers[lane];
        squares[lane] += x * x;
        greatest[lane] = if x.abs() > greatest[lane] {
            x.abs()
        } else {
            greatest[lane]
        };
    }
}

/// `n` float32 kernels with these bytes, for tests.
#[cfg(test)]
pub(crate) fn kernels_of(
    values: &[u8],
    n: usize,
    groups: usize,
    precision: Precision,
) -> Kernels<'_> {
    use crate::checkpoint::{Dtype, Tensor};
    use crate::layers::Kind;
    let tensor = Tensor {
        name: "w".to_owned(),
        dtype: Dtype::F32,
        shape: vec![n, values.len() / 4 / n],
        shard: 0,
        bytes: 0..values.len(),
        arrangement: Default::default(),
    };
    let weight = ConvWeight::new(&tensor, Kind::Conv, groups).expect("a weight");
    let rows = Rows::gather(values, FloatType::F32, weight.layout());
    Kernels::new(
        &weight,
        rows,
        NonFinite::Refuse,
        Some(Engine::Cpu(precision)),
    )
    .expect("finite kernels")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_kernel_is_measured_as_by_definition(x in prop::collection::vec(-1e30f32..1e30, 1..70)) {
            let row: Vec<u8> = x.iter().flat_map(|x| x.to_le_bytes()).collect();
            let (square, greatest) = square_and_greatest(FloatType::F32, &row);
            prop_assert_eq!(square.to_bits(), exact::dot::<f32>(&row, &row).to_bits());
            prop_assert_eq!(greatest, f64::from(x.iter().fold(0.0, |m: f32, x| m.max(x.abs()))));
        }
    }
}
