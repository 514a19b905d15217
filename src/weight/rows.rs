//! The kernels of a weight as the rows of a matrix.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

use crate::checkpoint::FloatType;
use crate::schedule::per_task;

use super::{Blend, KernelLayout};

/// Kernels as rows of stored numbers, `n × d`: those of the file, borrowed where they lie there in this order, and those
/// that were merged since.
#[derive(Clone, Debug)]
pub struct Rows<'a> {
    float: FloatType,
    row_bytes: usize,
    original: Cow<'a, [u8]>,
    merged: BTreeMap<usize, Vec<u8>>,
}

impl<'a> Rows<'a> {
    /// The kernels of a weight with these values. Transposed weights are gathered into a copy.
    ///
    /// # Panics
    ///
    /// If `values` is not of the layout's size.
    pub fn gather(values: &'a [u8], float: FloatType, layout: &KernelLayout) -> Self {
        let row_bytes = layout.kernel_len() * float.size();
        assert_eq!(values.len(), layout.kernels() * row_bytes);
        let original = if layout.is_contiguous() {
            Cow::Borrowed(values)
        } else {
            let mut rows = Vec::with_capacity(values.len());
            for kernel in 0..layout.kernels() {
                for run in layout.runs(kernel) {
                    let bytes = run.start * float.size()..run.end * float.size();
                    rows.extend_from_slice(&values[bytes]);
                }
            }
            Cow::Owned(rows)
        };
        Self {
            float,
            row_bytes,
            original,
            merged: BTreeMap::new(),
        }
    }

    /// Type of the numbers.
    pub fn float(&self) -> FloatType {
        self.float
    }

    /// Numbers in a row, `d`.
    pub fn row_len(&self) -> usize {
        self.row_bytes / self.float.size()
    }

    /// One kernel as it is now.
    pub fn row(&self, kernel: usize) -> &[u8] {
        match self.merged.get(&kernel) {
            Some(row) => row,
            None => self.original(kernel),
        }
    }

    /// One kernel as it is in the file.
    pub fn original(&self, kernel: usize) -> &[u8] {
        &self.original[kernel * self.row_bytes..(kernel + 1) * self.row_bytes]
    }

    /// Whether a kernel was merged.
    pub fn is_merged(&self, kernel: usize) -> bool {
        self.merged.contains_key(&kernel)
    }

    /// Some kernels as they are now, one after the other.
    pub fn bytes(&self, kernels: Range<usize>) -> Cow<'_, [u8]> {
        let as_in_file =
            &self.original[kernels.start * self.row_bytes..kernels.end * self.row_bytes];
        let mut merged = self.merged.range(kernels.clone()).peekable();
        if merged.peek().is_none() {
            return Cow::Borrowed(as_in_file);
        }
        let mut bytes = as_in_file.to_vec();
        for (kernel, row) in merged {
            bytes[(kernel - kernels.start) * self.row_bytes..][..self.row_bytes]
                .copy_from_slice(row);
        }
        Cow::Owned(bytes)
    }

    /// Bytes in a row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// One round of merges: every `(kernel, partner)` is blended from the rows as they were before the round, so the
    /// order of the pairs does not matter. A kernel must come first in one pair at most.
    pub fn merge_round(&mut self, pairs: &[(usize, usize)], blend: Blend) {
        let blended: Vec<(usize, Vec<u8>)> = pairs
            .par_iter()
            .with_min_len(per_task(3 * self.row_bytes))
            .map(|&(kernel, partner)| {
                let mut row = vec![0; self.row_bytes];
                blend.kernels(self.float, self.row(kernel), self.row(partner), &mut row);
                (kernel, row)
            })
            .collect();
        self.merged.extend(blended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Kind;

    #[test]
    fn transposed_kernels_are_gathered_input_by_input() {
        let layout = KernelLayout::new(Kind::Transposed, 1, &[2, 3, 2]).unwrap();
        let values: Vec<u8> = (0..12u16).flat_map(|v| v.to_le_bytes()).collect();
        let rows = Rows::gather(&values, FloatType::F16, &layout);
        let kernel: Vec<u8> = [2u16, 3, 8, 9]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        assert_eq!(rows.row(1), kernel);
        assert_eq!(rows.row_len(), 4);
    }

    #[test]
    fn a_round_reads_the_rows_as_they_were_before_it() {
        let layout = KernelLayout::new(Kind::Conv, 1, &[3, 1]).unwrap();
        let values: Vec<u8> = [1.0f32, 2.0, 4.0]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect();
        let mut rows = Rows::gather(&values, FloatType::F32, &layout);
        rows.merge_round(&[(0, 1), (1, 0), (2, 0)], Blend::new(0.5));
        let row = |kernel: usize| f32::from_le_bytes(rows.row(kernel).try_into().unwrap());
        assert_eq!([row(0), row(1), row(2)], [1.5, 1.5, 2.5]);
        assert_eq!(rows.original(0), &values[..4]);
    }
}
