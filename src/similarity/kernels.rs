//! The kernels of one layer, ready to be compared.

use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;

use crate::weight::{ConvWeight, Rows, with_element};

use super::{Error, exact};

/// Kernels handled by one task at least: fewer are not worth a thread's while.
pub(super) const KERNELS_PER_TASK: usize = 512;

/// What to do with kernels that hold a NaN or an infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonFinite {
    /// Give up with an error.
    Refuse,
    /// Leave them as they are and let no other kernel merge with them.
    LeaveAlone,
}

/// The kernels of one layer with their norms, of which each is compared with those of its own group only.
#[derive(Clone, Debug)]
pub struct Kernels<'a> {
    rows: Rows<'a>,
    norms: Vec<f64>,
    group: usize,
}

impl<'a> Kernels<'a> {
    /// Takes the norm of every kernel of a weight, whose rows may have been merged already.
    ///
    /// # Errors
    ///
    /// [`Error::NonFinite`], with the layer's name, where kernels hold a NaN or an infinity and those are refused. A norm
    /// beyond float64 counts as infinite.
    pub fn new(
        weight: &ConvWeight<'_>,
        rows: Rows<'a>,
        non_finite: NonFinite,
    ) -> Result<Self, Error> {
        let kernels = weight.layout().kernels();
        let norms: Vec<f64> = (0..kernels)
            .into_par_iter()
            .with_min_len(KERNELS_PER_TASK)
            .map(|kernel| with_element!(rows.float(), E => exact::norm::<E>(rows.row(kernel))))
            .collect();
        let mut broken = (0..kernels).filter(|&kernel| !norms[kernel].is_finite());
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
            norms,
            group: kernels / weight.groups(),
        })
    }

    /// Number of kernels, `n`.
    pub fn len(&self) -> usize {
        self.norms.len()
    }

    /// Whether the layer has no kernels.
    pub fn is_empty(&self) -> bool {
        self.norms.is_empty()
    }

    /// The kernels' numbers.
    pub fn rows(&self) -> &Rows<'a> {
        &self.rows
    }

    /// Gives the kernels' numbers back.
    pub fn into_rows(self) -> Rows<'a> {
        self.rows
    }

    /// The norm of a kernel; NaN or infinite where it holds such a number.
    pub fn norm(&self, kernel: usize) -> f64 {
        self.norms[kernel]
    }

    /// Whether a kernel takes part: finite, and of norm at least [`exact::EPSILON`].
    pub fn is_live(&self, kernel: usize) -> bool {
        let norm = self.norms[kernel];
        norm.is_finite() && norm >= exact::EPSILON
    }

    /// The kernels that may merge with this one, itself included: those of its group.
    pub fn group_of(&self, kernel: usize) -> Range<usize> {
        let start = kernel / self.group * self.group;
        start..start + self.group
    }

    /// The groups in which kernels are compared, each with those of its kernels that take part.
    pub fn groups(&self) -> impl Iterator<Item = Group<'_, 'a>> {
        (0..self.len()).step_by(self.group).map(move |start| Group {
            kernels: self,
            members: self
                .group_of(start)
                .filter(|&kernel| self.is_live(kernel))
                .collect(),
        })
    }

    /// The similarity of two kernels by the float64 definition.
    pub fn similarity(&self, i: usize, j: usize) -> f64 {
        let (x, y) = (self.rows.row(i), self.rows.row(j));
        let dot = with_element!(self.rows.float(), E => exact::dot::<E>(x, y));
        exact::cosine(dot, self.norms[i], self.norms[j])
    }
}

/// The kernels of one group that take part.
#[derive(Clone, Debug)]
pub struct Group<'k, 'a> {
    kernels: &'k Kernels<'a>,
    members: Vec<usize>,
}

impl<'k, 'a> Group<'k, 'a> {
    /// The layer they belong to.
    pub fn kernels(&self) -> &'k Kernels<'a> {
        self.kernels
    }

    /// Their numbers within the layer, rising.
    pub fn members(&self) -> &[usize] {
        &self.members
    }

    /// The similarity of two members, given by their places in [`Group::members`], by the float64 definition.
    pub fn similarity(&self, a: usize, b: usize) -> f64 {
        self.kernels.similarity(self.members[a], self.members[b])
    }

    /// For every member the place of the first one that is the same bit for bit.
    pub(super) fn first_twins(&self) -> Vec<usize> {
        let mut first = HashMap::new();
        let rows = self
            .members
            .iter()
            .map(|&kernel| self.kernels.rows.row(kernel));
        rows.enumerate()
            .map(|(place, row)| *first.entry(row).or_insert(place))
            .collect()
    }

    /// Writes the unit vector of a member, rounded to float32 once.
    pub(super) fn write_unit_row(&self, place: usize, unit: &mut [f32]) {
        let kernel = self.members[place];
        let norm = self.kernels.norm(kernel);
        let row = self.kernels.rows.row(kernel);
        with_element!(self.kernels.rows.float(), E => {
            use crate::weight::Element;
            for (unit, x) in unit.iter_mut().zip(row.chunks_exact(E::SIZE)) {
                *unit = (E::read(x).widen() / norm) as f32;
            }
        });
    }
}

/// `n` float32 kernels with these bytes, for tests.
#[cfg(test)]
pub(crate) fn kernels_of(values: &[u8], n: usize, groups: usize) -> Kernels<'_> {
    use crate::checkpoint::{Dtype, FloatType, Tensor};
    use crate::layers::Kind;
    let tensor = Tensor {
        name: "w".to_owned(),
        dtype: Dtype::F32,
        shape: vec![n, values.len() / 4 / n],
        bytes: 0..values.len(),
    };
    let weight = ConvWeight::new(&tensor, Kind::Conv, groups).expect("a weight");
    let rows = Rows::gather(values, FloatType::F32, weight.layout());
    Kernels::new(&weight, rows, NonFinite::Refuse).expect("finite kernels")
}
