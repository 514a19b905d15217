//! A tile of screened similarities, and the questions that it answers, wherever it was computed.

use std::ops::Range;

use crate::splitmix::Stream;

use super::Error;
use super::tau_bins::INTERVALS;

/// The screened similarities of some kernels of a group (rows) with others (columns). Callers only ask questions, so that the
/// similarities can stay in the memory in which they were computed.
///
/// A screened similarity is off by no more than the error bounds of its row and its column together, unless it is −2: then it is below
/// the floor that the caller named. A kernel that takes no part
/// has the bound NaN, for which no comparison holds. On the diagonal, where rows and columns are the same, each pair counts
/// once, with the lower place as its row.
pub trait Tile {
    /// The places of the kernels along the rows.
    fn rows(&self) -> Range<usize>;

    /// The places of the kernels along the columns.
    fn columns(&self) -> Range<usize>;

    /// Number of pairs, approximately.
    fn pairs(&self) -> usize {
        let (rows, columns) = (self.rows(), self.columns());
        let all = rows.len() * columns.len();
        if rows == columns { all / 2 } else { all }
    }

    /// Lower bounds of the greatest similarities of its kernels.
    ///
    /// # Errors
    ///
    /// If it is on a GPU that fails; the same holds for the methods below.
    fn reached(&mut self) -> Result<Reached, Error>;

    /// Calls `take` with the pairs that must be compared, once or several times. If so many are open that it is faster, the tile is
    /// computed again in higher precision instead; the caller then starts over with [`Tile::reached`].
    fn find(&mut self, bounds: &PairBounds, take: &mut dyn FnMut(Found))
    -> Result<Screened, Error>;

    /// Takes note of pairs that were compared, so that they need not be compared again for another question.
    fn note(&mut self, compared: Vec<OpenPair>);

    /// For each row and each column, among the kernels that are certainly more similar to it than `tau`, the one to which its stream
    /// gives the least word: that word, and the kernel's number within the layer. `streams` is indexed by place in the group, whose
    /// first kernel has the number `start`.
    fn preferred(
        &mut self,
        tau: f32,
        streams: &[Option<Stream>],
        start: usize,
    ) -> Result<Preferred, Error>;

    /// For each of three losses of a similarity s (−s, |s| and s), the smallest upper bounds of the losses of different pairs: up to
    /// `count` of them that are `below` a bound.
    fn least_losses(&mut self, wanted: [LossBound; 3]) -> Result<[Vec<f32>; 3], Error>;

    /// Counts the pairs by interval between thresholds, and calls `take` with the counts and with the pairs that may be in several
    /// intervals or whose losses may be as low as these.
    fn count_by_interval(
        &mut self,
        losses: [f32; 3],
        take: &mut dyn FnMut(Counted),
    ) -> Result<(), Error>;

    /// The sums over the cells of a heatmap, row-major, from the first row's cell to the last row's and likewise for columns.
    /// `rows` and `columns` give the cell of each row and each column, in rising order.
    fn sum_by_cell(&mut self, rows: &[usize], columns: &[usize]) -> Result<Vec<CellSum>, Error>;

    /// The similarities, row-major; meaningless for pairs that do not count.
    fn values(&mut self) -> Result<&[f32], Error>;
}

/// Lower bounds of the greatest similarities of a tile's kernels.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    pub rows: Vec<f32>,
    pub columns: Vec<f32>,
}

/// Which pairs must be compared: what a similarity must be able to reach to count.
#[derive(Clone, Debug)]
pub struct PairBounds {
    /// Pairs that may be on either side of this.
    pub tau: f32,
    /// By row, for pairs of its kernel; infinite where nobody asks.
    pub rows: Vec<f32>,
    pub columns: Vec<f32>,
    pub pair: f32,
}

/// Whether [`Tile::find`] has given its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Screened {
    /// It has, to `take`.
    Whole,
    /// It has not, and has become more precise.
    Refined,
}

/// A pair that must be compared: the places of its row `a` and its column `b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenPair {
    pub a: usize,
    pub b: usize,
    /// An upper bound of their similarity.
    pub at_most: f32,
    /// Whether it may be on either side of the threshold.
    pub is_undecided: bool,
    /// The similarity by the float64 definition, if it was computed along with the screen.
    pub similarity: Option<f64>,
}

/// What [`Tile::find`] found in a tile or a part of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Pairs that must be compared.
    pub open: Vec<OpenPair>,
    /// Number of pairs that are certainly above the threshold.
    pub pairs_above: u64,
}

/// The least word of a stream, and the kernel that has it.
pub type Preference = Option<(u64, usize)>;

/// Which kernels are preferred, by row and by column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preferred {
    pub rows: Vec<Preference>,
    pub columns: Vec<Preference>,
}

/// How many losses below a bound are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossBound {
    pub below: f32,
    pub count: usize,
}

/// The pairs of a tile, or of a part of it, by interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// Pairs that are certainly in each interval.
    pub counts: [u64; INTERVALS],
    /// The others, and all that may have a low loss: places, and the similarity by the float64 definition if it was computed
    /// along with the screen.
    pub open: Vec<(usize, usize, Option<f64>)>,
}

/// The pairs of one cell of a heatmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CellSum {
    /// Sum of their similarities, in units of 1/[`CellSum::ONE`].
    pub sum: i64,
    pub pairs: u32,
    /// The greatest similarity, in the same units.
    pub max: i32,
}

impl CellSum {
    pub const EMPTY: Self = Self {
        sum: 0,
        pairs: 0,
        max: i32::MIN,
    };

    /// 1 in the fixed-point numbers in which similarities are summed, so that the result does not depend on the order.
    pub const ONE: f32 = (1 << 30) as f32;

    /// A similarity in units of 1/[`CellSum::ONE`].
    #[inline(always)]
    pub fn fixed(similarity: f32) -> i32 {
        (similarity.clamp(-1.0, 1.0) * Self::ONE) as i32
    }

    /// Of one pair, whose similarity is in these units.
    #[inline(always)]
    pub fn of(fixed: i32) -> Self {
        Self {
            sum: fixed.into(),
            pairs: 1,
            max: fixed,
        }
    }

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
