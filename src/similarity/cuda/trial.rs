//! The first work of a GPU that has been started: it compares a few kernels as it will those of layers, and the CPU looks at
//! every result. So a GPU that fails, or computes wrongly, is known before a layer is given to it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::checkpoint::FloatType;
use crate::layers::Kind;
use crate::splitmix::Stream;
use crate::weight::{KernelLayout, Rows};

use super::super::Error as SimilarityError;
use super::super::exact;
use super::super::tile::{Found, PairBounds, Tile};
use super::device::Device;
use super::error::{Cause, Error};
use super::layer::Layer;
use super::precision::DevicePrecision;
use super::tile::GroupRows;

/// How many kernels are compared: few enough to take no time, and more than one warp.
const KERNELS: usize = 40;

/// Numbers of each: no multiple of what unit vectors are padded to.
const LENGTH: usize = 27;

impl Device {
    /// Starts a GPU, whose memory `layers` at a time share equally, and has it compare a few kernels in the precision asked
    /// for, or in its best.
    ///
    /// # Errors
    ///
    /// If a library is missing, there is no GPU of this number, it lacks the precision, fails, or computes other than the CPU.
    pub(in super::super) fn start(
        ordinal: usize,
        layers: usize,
        precision: Option<DevicePrecision>,
    ) -> Result<(Arc<Self>, DevicePrecision), Error> {
        let device = Arc::new(Self::open(ordinal, layers)?);
        let precision = device.precision(precision)?;
        compare(&device, precision).map_err(|error| match error {
            SimilarityError::Device(error) => error,
            error => device.error("as it was tried", Cause::Other(error.to_string())),
        })?;
        // The times are those of layers.
        device.clock.reset();
        Ok((device, precision))
    }
}

/// Kernels without structure, as stored.
fn kernels() -> Vec<u8> {
    let signed = |counter| Stream(1).word(counter) as i64 as f32 / 2f32.powi(63);
    (0..(KERNELS * LENGTH) as u64)
        .flat_map(|counter| signed(counter).to_le_bytes())
        .collect()
}

/// Has the GPU compare all pairs of some kernels.
fn compare(device: &Arc<Device>, precision: DevicePrecision) -> Result<(), SimilarityError> {
    let values = kernels();
    let layout = KernelLayout::new(Kind::Conv, 1, &[KERNELS, LENGTH]).expect("a weight's shape");
    let rows = Rows::gather(&values, FloatType::F32, &layout);
    let (layer, measured) = Layer::load(device, precision, &rows, KERNELS, KERNELS)?;
    let norms: Vec<f64> = measured.iter().map(|(square, _)| square.sqrt()).collect();
    let similarity = |a: usize, b: usize| {
        let dot = exact::dot::<f32>(rows.row(a), rows.row(b));
        exact::cosine(dot, norms[a], norms[b])
    };
    let wrong = |what| SimilarityError::from(device.error("as it was tried", Cause::Wrong(what)));
    let seen = Mutex::new(0);
    let group = GroupRows {
        rows: &rows,
        norms: &norms,
        start: 0,
        len: KERNELS,
        part: KERNELS,
    };
    layer.for_each_tile(&group, &|tile: &mut dyn Tile| {
        let (row_places, column_places) = (tile.rows(), tile.columns());
        let reached = tile.reached()?;
        let greatest = |place: usize| {
            let others = (0..KERNELS).filter(|&other| other != place);
            let similarities = others.map(|other| similarity(place, other));
            similarities.fold(f64::NEG_INFINITY, f64::max)
        };
        let by_row = row_places.clone().zip(reached.rows);
        let by_column = column_places.clone().zip(reached.columns);
        if by_row
            .chain(by_column)
            .any(|(place, bound)| f64::from(bound) > greatest(place))
        {
            return Err(wrong("a product is off by more than its error bound"));
        }
        // Bounds that every pair reaches, so that all are compared by the definition.
        let bounds = PairBounds {
            tau: 0.0,
            rows: vec![-2.0; row_places.len()],
            columns: vec![-2.0; column_places.len()],
            pair: -2.0,
        };
        let mut is_right = true;
        let _whole = tile.find(&bounds, &mut |found: Found| {
            for pair in &found.open {
                is_right &= pair.similarity == Some(similarity(pair.a, pair.b));
            }
            *seen.lock().unwrap_or_else(PoisonError::into_inner) += found.open.len();
        })?;
        if is_right {
            Ok(())
        } else {
            Err(wrong("the product of two kernels differs from the CPU's"))
        }
    })?;
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    if seen == KERNELS * (KERNELS - 1) / 2 {
        Ok(())
    } else {
        Err(wrong("it finds other pairs than there are"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_differ_and_have_similarities_on_both_sides_of_zero() {
        let values = kernels();
        let rows: Vec<&[u8]> = values.chunks_exact(4 * LENGTH).collect();
        assert_eq!(rows.len(), KERNELS);
        let (mut above, mut below) = (0, 0);
        for (i, x) in rows.iter().enumerate() {
            for y in &rows[..i] {
                let (x_norm, y_norm) = (exact::norm::<f32>(x), exact::norm::<f32>(y));
                let similarity = exact::cosine(exact::dot::<f32>(x, y), x_norm, y_norm);
                assert!(similarity.abs() < 0.9, "{similarity}");
                above += u32::from(similarity > 0.1);
                below += u32::from(similarity < -0.1);
            }
        }
        assert!(above > 100 && below > 100, "{above} {below}");
    }
}
