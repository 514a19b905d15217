//! A tile of screened similarities, and what can be asked of it, wherever it was computed.

use std::ops::Range;

use crate::splitmix::Stream;

use super::Error;
use super::tau_bins::INTERVALS;

/// Screened similarities of the kernels at some places of a group (rows) with those at some (columns): all that anybody
/// learns of them goes through here, so that they need not be where they are asked for.
///
/// Every kernel has an error bound, and a screened similarity is off by no more than those of its row and its column
/// together. A kernel that takes no part has NaN for a bound, for which no comparison holds. On the diagonal, where
/// rows and columns are the same, each pair counts once, with the lower place for its row.
pub trait Tile {
    /// Places along the rows.
    fn rows(&self) -> Range<usize>;

    /// Places along the columns.
    fn columns(&self) -> Range<usize>;

    /// Number of pairs in it, or nearly so.
    fn pairs(&self) -> usize {
        let (rows, columns) = (self.rows(), self.columns());
        let all = rows.len() * columns.len();
        if rows == columns { all / 2 } else { all }
    }

    /// What the greatest similarities of its kernels surely reach.
    ///
    /// # Errors
    ///
    /// Where it is on a device that fails; as in all that follow.
    fn reached(&mut self) -> Result<Reached, Error>;

    /// Hands the pairs that must be compared to `take`, in one part or several. Or computes itself again in higher
    /// precision, where so many are open that this is faster; then it is to be asked again for what its kernels reach.
    fn find(&mut self, bounds: &PairBounds, take: &mut dyn FnMut(Found))
    -> Result<Screened, Error>;

    /// By row and by column, the number within the layer of the kernel to which that row's, or column's, stream gives the
    /// least word, among those surely more similar to it than `tau`, with that word. `streams` is by place of the group; the first kernel of
    /// the group has the number `start`.
    fn preferred(
        &mut self,
        tau: f32,
        streams: &[Option<Stream>],
        start: usize,
    ) -> Result<Preferred, Error>;

    /// For each of three losses of a similarity, minus itself, its magnitude and itself, the least of the most that the
    /// losses of different pairs can be: as many as are wanted below a bound, if there are.
    fn least_losses(&mut self, wanted: [LossBound; 3]) -> Result<[Vec<f32>; 3], Error>;

    /// Counts the pairs by interval between thresholds, and hands those to `take` that may be in several, or whose losses
    /// may be as low as these.
    fn count_by_interval(
        &mut self,
        losses: [f32; 3],
        take: &mut dyn FnMut(Counted),
    ) -> Result<(), Error>;

    /// The sums over cells of a map: row-major, from the first row's cell to the last one's and likewise for columns,
    /// given the cells of all rows and all columns, which do not fall.
    fn sum_by_cell(&mut self, rows: &[usize], columns: &[usize]) -> Result<Vec<CellSum>, Error>;

    /// The similarities themselves, row-major; without meaning where pairs do not count.
    fn values(&mut self) -> Result<&[f32], Error>;
}

/// What the greatest similarities of a tile's kernels surely reach, by row and by column.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// By row.
    pub rows: Vec<f32>,
    /// By column.
    pub columns: Vec<f32>,
}

/// Which pairs must be compared: what a similarity must be able to reach to count.
#[derive(Clone, Debug)]
pub struct PairBounds {
    /// Pairs that may be on either side of this.
    pub tau: f32,
    /// By row, for pairs of its kernel; infinite where nobody asks.
    pub rows: Vec<f32>,
    /// By column.
    pub columns: Vec<f32>,
    /// For any pair.
    pub pair: f32,
}

/// Whether a tile has given what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Screened {
    /// It has.
    Whole,
    /// It has not, and has become more precise.
    Refined,
}

/// A pair that must be compared, by place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenPair {
    /// The row's place.
    pub a: usize,
    /// The column's.
    pub b: usize,
    /// The most that their similarity can be.
    pub at_most: f32,
    /// Whether it may be on either side of the threshold.
    pub is_undecided: bool,
    /// The similarity, by the float64 definition, where it was computed along with the screen.
    pub similarity: Option<f64>,
}

/// What a tile, or a part of it, holds that counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Pairs that must be compared.
    pub open: Vec<OpenPair>,
    /// The number of pairs surely above the threshold.
    pub pairs_above: u64,
}

/// The least word of a stream, and the kernel that has it.
pub type Preference = Option<(u64, usize)>;

/// Which kernels are preferred, by row and by column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferred {
    /// By row.
    pub rows: Vec<Preference>,
    /// By column.
    pub columns: Vec<Preference>,
}

/// How many losses below which bound are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossBound {
    /// The bound.
    pub below: f32,
    /// How many.
    pub count: usize,
}

/// The pairs of a tile, or of a part of it, by interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// Pairs surely in each interval.
    pub counts: [u64; INTERVALS],
    /// The others, and all that may be of low loss: places, and the similarity by the float64 definition where it was computed
    /// along with the screen.
    pub open: Vec<(usize, usize, Option<f64>)>,
}

/// The pairs of one cell of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellSum {
    /// Of their similarities, in units of 1/[`CellSum::ONE`].
    pub sum: i64,
    /// Number of pairs.
    pub pairs: u32,
    /// The greatest similarity, in the same units.
    pub max: i32,
}

impl CellSum {
    /// Of no pair.
    pub const EMPTY: Self = Self {
        sum: 0,
        pairs: 0,
        max: i32::MIN,
    };

    /// 1 in the fixed point in which similarities are summed, so that the order of the sum does not show.
    pub const ONE: f32 = (1 << 30) as f32;

    /// Adds other pairs.
    #[inline(always)]
    pub fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.pairs += other.pairs;
        self.max = self.max.max(other.max);
    }

    /// The mean and the greatest similarity; NaN where there is no pair.
    pub fn mean_and_max(&self) -> (f32, f32) {
        if self.pairs == 0 {
            return (f32::NAN, f32::NAN);
        }
        let similarity = |fixed: f64| (fixed / f64::from(Self::ONE)) as f32;
        let mean = self.sum as f64 / f64::from(self.pairs);
        (similarity(mean), similarity(self.max.into()))
    }
}

/// The places of the tiles that cover the upper triangle of a square of `n`, with at most `side` places along a side.
pub(super) fn upper_tiles(
    n: usize,
    side: usize,
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let part = move |start: usize| start..(start + side).min(n);
    (0..n).step_by(side).flat_map(move |row| {
        let columns = (row..n).step_by(side);
        columns.map(move |column| (part(row), part(column)))
    })
}
