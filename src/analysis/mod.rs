//! How redundant the kernels of a layer are: pure numbers.
//!
//! Similarities are those of [`similarity`](crate::similarity): every number that comes from them is exact, by the float64
//! definition, on every machine. Spectra are computed by LAPACK in float64; what is drawn, in float32.

mod clusters;
mod curve;
mod evolution;
mod extremes;
mod health;
mod hint;
mod layer;
mod map;
mod net;
mod picture;
mod rounded;
mod spectrum;
mod spread;
mod tally;
#[cfg(test)]
mod tests;

pub use curve::{Curve, THRESHOLDS, threshold};
pub use evolution::{EpochPoint, Evolution, LayerEvolution};
pub use extremes::{Pair, Relation};
pub use health::Health;
pub use hint::{SHARES, ThresholdHint};
pub use layer::{LayerDrawings, LayerNumbers, LayerTask};
pub use map::{CELLS, SimilarityMap};
pub use net::NetNumbers;
pub use picture::{KernelPicture, PairPicture};
pub(crate) use rounded::rounded;
pub use spectrum::Spectrum;
pub use spread::Spread;
