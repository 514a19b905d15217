//! The analysis of one layer.

use crate::meter::Meter;
use crate::schedule::Load;
use crate::similarity::{Error, Nearest};
use crate::weight::ConvWeight;

use super::{Curve, Health, Pair, PairPicture, SimilarityMap, Spectrum, ThresholdHint};

/// One layer to analyse.
#[derive(Clone, Debug)]
pub struct LayerTask<'a> {
    /// The layer's weight.
    pub weight: ConvWeight<'a>,
    /// Whether to compute its spectrum.
    pub spectrum: bool,
    /// Whether to make what is drawn.
    pub drawings: bool,
}

/// What is kept of a layer: some numbers for each kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerNumbers {
    /// Euclidean norm of every kernel; NaN where it holds a NaN, infinite where it holds an infinity.
    pub norms: Vec<f64>,
    /// What is wrong with them.
    pub health: Health,
    /// Unordered pairs that are compared: both kernels take part and are of the same group.
    pub pairs: u64,
    /// Of these, those above each threshold.
    pub pairs_above: Curve,
    /// Kernels with a partner above each threshold.
    pub kernels_above: Curve,
    /// Every kernel's nearest neighbour.
    pub nearest: Nearest,
    /// Thresholds that merge [`SHARES`](super::SHARES) of the layer's kernels, where there are any.
    pub hints: Vec<ThresholdHint>,
    /// The pairs of greatest similarity, falling; ties go to the lowest numbers.
    pub closest: Vec<Pair>,
    /// Those of similarity nearest to 0, the nearest first.
    pub orthogonal: Vec<Pair>,
    /// Those of least similarity, rising.
    pub opposite: Vec<Pair>,
    /// The spectrum, if it was asked for and every number is finite.
    pub spectrum: Option<Spectrum>,
}

/// What is drawn of a layer, and then forgotten.
#[derive(Clone, Debug)]
pub struct LayerDrawings {
    /// The similarity matrix in file order.
    pub in_file_order: SimilarityMap,
    /// The same in an order that puts similar kernels side by side; `None` for layers too large to be ordered.
    pub clustered: Option<SimilarityMap>,
    /// Pictures of the kernels of some pairs; empty where kernels have no spatial extent.
    pub pairs: Vec<PairPicture>,
}

impl LayerTask<'_> {
    /// Multiply-adds that it takes.
    pub fn products(&self) -> u64 {
        todo!()
    }

    /// What it takes to be worked on.
    pub fn load(&self) -> Load<'_> {
        todo!()
    }

    /// Analyses the layer, whose weight has these values.
    ///
    /// # Errors
    ///
    /// Where the spectrum does not converge.
    pub fn analyse(
        &self,
        _values: &[u8],
        _meter: &dyn Meter,
    ) -> Result<(LayerNumbers, Option<LayerDrawings>), Error> {
        todo!()
    }
}
