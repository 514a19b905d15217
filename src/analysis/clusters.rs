//! An order of kernels that puts similar ones side by side.

use std::cmp::Ordering;
use std::sync::{Mutex, PoisonError};

use kodama::{Dendrogram, Method, linkage};

use crate::similarity::{Error, Tile};

/// Kernels of a group that are ordered at most: their dissimilarities take half their square in float32, here 128 MiB.
pub(super) const MOST: usize = 8192;

/// How unlike the kernels of a group are to each other, of those that take part.
pub(super) struct Dissimilarities {
    /// For every place of the group, how many before it take part.
    ranks: Vec<usize>,
    is_live: Vec<bool>,
    /// Row by row, those of each with all after it.
    condensed: Vec<f32>,
}

impl Dissimilarities {
    /// Bytes that they take for a group of `n`; 0 where they are not made.
    pub fn memory(n: usize) -> usize {
        if n > MOST {
            return 0;
        }
        n * n.saturating_sub(1) / 2 * size_of::<f32>()
    }

    /// Those of a group; these places take part.
    pub fn new(is_live: Vec<bool>) -> Self {
        let mut live = 0usize;
        let rank = |&is_live: &bool| {
            live += usize::from(is_live);
            live - usize::from(is_live)
        };
        let ranks = is_live.iter().map(rank).collect();
        Self {
            ranks,
            is_live,
            condensed: vec![0.0; live * live.saturating_sub(1) / 2],
        }
    }

    fn live(&self) -> usize {
        self.is_live.iter().filter(|&&is_live| is_live).count()
    }

    /// Takes them from tiles.
    pub fn writer(&mut self) -> Writer<'_> {
        let live = self.live();
        let mut rest = &mut self.condensed[..];
        let rows = (0..live).map(|rank| {
            let (row, others) = std::mem::take(&mut rest).split_at_mut(live - rank - 1);
            rest = others;
            Mutex::new(row)
        });
        Writer {
            rows: rows.collect(),
            ranks: &self.ranks,
            is_live: &self.is_live,
        }
    }

    /// The places of the group in the order of the leaves of the tree that average linkage makes. Of two branches that meet,
    /// the one that is tighter in itself stands first, so a kernel that joins others after them; ties go to the lowest place.
    /// Places that take no part stand last.
    pub fn order(mut self) -> Vec<usize> {
        let places = 0..self.is_live.len();
        let (live, dead): (Vec<usize>, Vec<usize>) = places.partition(|&place| self.is_live[place]);
        // `kodama` takes one kernel for none.
        let ranks = match live.len() {
            0 | 1 => (0..live.len()).collect(),
            _ => leaves(&linkage(&mut self.condensed, live.len(), Method::Average)),
        };
        let ordered = ranks.into_iter().map(|rank| live[rank]);
        ordered.chain(dead).collect()
    }
}

/// Writes dissimilarities, several threads at once.
pub(super) struct Writer<'d> {
    rows: Vec<Mutex<&'d mut [f32]>>,
    ranks: &'d [usize],
    is_live: &'d [bool],
}

impl Writer<'_> {
    /// Takes a tile of the group into account.
    ///
    /// # Errors
    ///
    /// Those of the tile.
    pub fn visit(&self, tile: &mut dyn Tile) -> Result<(), Error> {
        let (rows, columns) = (tile.rows(), tile.columns());
        let values = tile.values()?;
        for (place, values) in rows.zip(values.chunks_exact(columns.len())) {
            if !self.is_live[place] {
                continue;
            }
            let rank = self.ranks[place];
            let mut out = self.rows[rank]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let pairs = columns.clone().zip(values);
            for (column, value) in pairs.skip((place + 1).saturating_sub(columns.start)) {
                if self.is_live[column] {
                    out[self.ranks[column] - rank - 1] = (1.0 - value).max(0.0);
                }
            }
        }
        Ok(())
    }
}

/// A branch of the tree.
#[derive(Clone, Copy)]
struct Branch {
    /// The dissimilarity at which it came together; infinite for a leaf, which is not tight by any merit of its own.
    height: f32,
    lowest: usize,
    /// The branches that met; those of a leaf are none.
    parts: Option<[usize; 2]>,
}

impl Branch {
    fn order(&self, other: &Self) -> Ordering {
        let by_height = self.height.total_cmp(&other.height);
        by_height.then(self.lowest.cmp(&other.lowest))
    }
}

/// The leaves of a tree, from its first branch to its last.
fn leaves(dendrogram: &Dendrogram<f32>) -> Vec<usize> {
    let leaf = |leaf| Branch {
        height: f32::INFINITY,
        lowest: leaf,
        parts: None,
    };
    let mut branches: Vec<Branch> = (0..dendrogram.observations()).map(leaf).collect();
    for step in dendrogram.steps() {
        let mut parts = [step.cluster1, step.cluster2];
        parts.sort_by(|&a, &b| branches[a].order(&branches[b]));
        branches.push(Branch {
            height: step.dissimilarity,
            lowest: parts
                .map(|part| branches[part].lowest)
                .into_iter()
                .min()
                .unwrap_or(0),
            parts: Some(parts),
        });
    }
    let mut leaves = Vec::with_capacity(dendrogram.observations());
    let mut open: Vec<usize> = branches.len().checked_sub(1).into_iter().collect();
    while let Some(branch) = open.pop() {
        match branches[branch].parts {
            Some([first, last]) => open.extend([last, first]),
            None => leaves.push(branch),
        }
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of points on a line whose dissimilarity is their distance; NaN takes no part.
    fn order(points: &[f32]) -> Vec<usize> {
        let is_live: Vec<bool> = points.iter().map(|point| !point.is_nan()).collect();
        let mut all = Dissimilarities::new(is_live);
        let live: Vec<f32> = points
            .iter()
            .copied()
            .filter(|point| !point.is_nan())
            .collect();
        let pairs = (0..live.len()).flat_map(|a| (a + 1..live.len()).map(move |b| (a, b)));
        all.condensed = pairs.map(|(a, b)| (live[a] - live[b]).abs()).collect();
        all.order()
    }

    #[test]
    fn tight_clusters_stand_first_and_what_takes_no_part_last() {
        // Kernel 3 joins {1, 4}, the tightest pair, at 0.875; {0, 5} met at 0.5.
        assert_eq!(
            order(&[9.0, 1.0, f32::NAN, 2.0, 1.25, 9.5]),
            [0, 5, 1, 4, 3, 2]
        );
    }

    #[test]
    fn ties_go_to_the_lowest() {
        assert_eq!(order(&[5.0, 0.0, 6.0, 1.0]), [0, 2, 1, 3]);
        assert_eq!(order(&[0.0; 5])[..2], [0, 1]);
    }

    #[test]
    fn one_kernel_and_none_have_an_order() {
        assert_eq!(order(&[1.0]), [0]);
        assert_eq!(order(&[]), [0usize; 0]);
        assert_eq!(order(&[f32::NAN, f32::NAN]), [0, 1]);
        assert_eq!(order(&[f32::NAN, 1.0]), [1, 0]);
    }
}
