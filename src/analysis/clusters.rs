//! An order of kernels that puts similar ones side by side.

use std::cmp::Ordering;
use std::sync::{Mutex, PoisonError};

use kodama::{Dendrogram, Method, linkage};

use crate::similarity::{Error, Tile};

/// Kernels of a group that are ordered at most: their dissimilarities take half their square in float32, here 128 MiB.
pub(super) const MOST: usize = 8192;

/// How unlike the kernels of each group are to each other, of those that take part.
pub(super) struct Dissimilarities {
    /// Places of a group; the last may have fewer.
    group: usize,
    /// For every place, how many before it in its group take part.
    ranks: Vec<usize>,
    is_live: Vec<bool>,
    /// For every group, how many take part.
    live: Vec<usize>,
    /// For every group, row by row, those of each with all after it.
    condensed: Vec<Vec<f32>>,
}

impl Dissimilarities {
    /// Bytes that they take for a group of `n`; 0 where they are not made.
    pub fn memory(n: usize) -> usize {
        if n > MOST {
            return 0;
        }
        n * n.saturating_sub(1) / 2 * size_of::<f32>()
    }

    /// Those of groups of so many places; these places take part.
    pub fn new(is_live: Vec<bool>, group: usize) -> Self {
        let mut ranks = Vec::with_capacity(is_live.len());
        let (mut live, mut condensed) = (Vec::new(), Vec::new());
        for group in is_live.chunks(group) {
            let mut before = 0usize;
            for &is_live in group {
                ranks.push(before);
                before += usize::from(is_live);
            }
            live.push(before);
            condensed.push(vec![0.0; before * before.saturating_sub(1) / 2]);
        }
        Self {
            group,
            ranks,
            is_live,
            live,
            condensed,
        }
    }

    /// Takes them from tiles.
    pub fn writer(&mut self) -> Writer<'_> {
        let mut rows = Vec::with_capacity(self.is_live.len());
        for (is_live, condensed) in self.is_live.chunks(self.group).zip(&mut self.condensed) {
            let mut after = is_live.iter().filter(|&&is_live| is_live).count();
            let mut rest = &mut condensed[..];
            for &is_live in is_live {
                rows.push(is_live.then(|| {
                    after -= 1;
                    let (row, others) = std::mem::take(&mut rest).split_at_mut(after);
                    rest = others;
                    Mutex::new(row)
                }));
            }
        }
        Writer {
            group: self.group,
            rows,
            ranks: &self.ranks,
        }
    }

    /// The places, group by group, each in the order of the leaves of the tree that average linkage makes. Of two branches that
    /// meet, the one that is tighter in itself stands first, so a kernel that joins others after them; ties go to the lowest
    /// place. Places that take no part stand last in their group.
    pub fn order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.is_live.len());
        let starts = (0..).step_by(self.group);
        let groups = self.is_live.chunks(self.group).zip(&self.condensed);
        for (start, (is_live, condensed)) in starts.zip(groups) {
            let places = start..start + is_live.len();
            let (live, dead): (Vec<usize>, Vec<usize>) =
                places.partition(|&place| self.is_live[place]);
            // `kodama` takes one kernel for none.
            let ranks = match live.len() {
                0 | 1 => (0..live.len()).collect(),
                // The tree is made in the place of its dissimilarities.
                _ => {
                    let mut condensed = condensed.clone();
                    leaves(&linkage(&mut condensed, live.len(), Method::Average))
                }
            };
            order.extend(ranks.into_iter().map(|rank| live[rank]));
            order.extend(dead);
        }
        order
    }

    /// The places after this one in its group that take part, and how similar it is to each; none if it takes no part itself.
    pub fn after(&self, place: usize) -> impl Iterator<Item = (usize, f32)> {
        let group = place / self.group;
        let all = &self.condensed[group];
        let row = if self.is_live[place] {
            // From the end, the rows of the last r are r·(r − 1)/2 numbers.
            let rest = self.live[group] - self.ranks[place];
            &all[all.len() - rest * (rest - 1) / 2..][..rest - 1]
        } else {
            &[]
        };
        let end = self.is_live.len().min((group + 1) * self.group);
        let places = (place + 1..end).filter(|&other| self.is_live[other]);
        places.zip(row.iter().map(|dissimilarity| 1.0 - dissimilarity))
    }
}

/// Writes dissimilarities, several threads at once.
pub(super) struct Writer<'d> {
    group: usize,
    /// For every place that takes part, those with all after it in its group.
    rows: Vec<Option<Mutex<&'d mut [f32]>>>,
    ranks: &'d [usize],
}

impl Writer<'_> {
    /// Takes a tile of the groups into account.
    ///
    /// # Errors
    ///
    /// Those of the tile.
    pub fn visit(&self, tile: &mut dyn Tile) -> Result<(), Error> {
        let (rows, columns) = (tile.rows(), tile.columns());
        let values = tile.values()?;
        for (place, values) in rows.zip(values.chunks_exact(columns.len())) {
            let Some(row) = &self.rows[place] else {
                continue;
            };
            let mut out = row.lock().unwrap_or_else(PoisonError::into_inner);
            let group_end = (place / self.group + 1) * self.group;
            let after = columns.start.max(place + 1)..columns.end.min(group_end);
            if after.is_empty() {
                continue;
            }
            let first = self.ranks[after.start] - self.ranks[place] - 1;
            let values = values.iter().skip(after.start - columns.start);
            let live = self.rows[after].iter().zip(values);
            let live = live.filter(|(row, _)| row.is_some());
            let out = out[first..].iter_mut();
            for (out, (_, value)) in out.zip(live) {
                *out = (1.0 - value).max(0.0);
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

    /// Of points on a line whose dissimilarity is their distance, in groups of so many; NaN takes no part.
    fn dissimilarities(group: usize, points: &[f32]) -> Dissimilarities {
        let is_live: Vec<bool> = points.iter().map(|point| !point.is_nan()).collect();
        let mut all = Dissimilarities::new(is_live, group);
        let groups = points.chunks(group).zip(&mut all.condensed);
        for (points, condensed) in groups {
            let live: Vec<f32> = points
                .iter()
                .copied()
                .filter(|point| !point.is_nan())
                .collect();
            let pairs = (0..live.len()).flat_map(|a| (a + 1..live.len()).map(move |b| (a, b)));
            *condensed = pairs.map(|(a, b)| (live[a] - live[b]).abs()).collect();
        }
        all
    }

    fn order_in(group: usize, points: &[f32]) -> Vec<usize> {
        dissimilarities(group, points).order()
    }

    /// That of one group.
    fn order(points: &[f32]) -> Vec<usize> {
        order_in(points.len().max(1), points)
    }

    #[test]
    fn each_group_has_an_order_of_its_own() {
        let nan = f32::NAN;
        assert_eq!(
            order_in(4, &[5.0, 0.0, 6.0, 1.0, nan, 9.0, nan, 9.0, 1.0, 2.0]),
            [0, 2, 1, 3, 5, 7, 4, 6, 8, 9]
        );
    }

    #[test]
    fn similarities_are_those_of_pairs_that_are_compared() {
        let all = dissimilarities(3, &[5.0, f32::NAN, 4.5, 1.0, 1.25, 1.75, 9.0]);
        let known: Vec<(usize, usize, f32)> = (0..7)
            .flat_map(|a| all.after(a).map(move |(b, similarity)| (a, b, similarity)))
            .collect();
        assert_eq!(
            known,
            [(0, 2, 0.5), (3, 4, 0.75), (3, 5, 0.25), (4, 5, 0.5)]
        );
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
