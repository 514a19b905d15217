//! How redundant the kernels of a layer are: pure numbers.
//!
//! Similarities are those of [`similarity`](crate::similarity): every number that comes from them is exact, by the float64
//! definition, on every machine. Spectra are computed by LAPACK in float64; what is drawn, in float32.

mod chance;
mod clusters;
mod curve;
mod dimension;
mod evolution;
mod extremes;
mod health;
mod hint;
mod layer;
mod map;
mod net;
mod picture;
mod rounded;
mod run;
mod spectrum;
mod spread;
mod tally;
#[cfg(test)]
mod tests;

pub(crate) use chance::CHANCE_PERCENT;
pub use chance::{ByChance, Expected};
pub use curve::THRESHOLDS;
pub(crate) use curve::{Curve, threshold};
pub(crate) use evolution::{EpochPoint, Evolution, LayerEvolution};
pub use extremes::Pair;
pub(crate) use extremes::Relation;
pub(crate) use health::Health;
#[cfg(test)]
pub(crate) use hint::SHARES;
pub(crate) use hint::ThresholdHint;
pub(crate) use layer::LayerDrawings;
pub use layer::{LayerNumbers, LayerTask};
#[cfg(test)]
pub(crate) use map::CELLS;
pub(crate) use map::SimilarityMap;
pub(crate) use net::NetNumbers;
pub(crate) use picture::{KernelPicture, PairPicture};
pub(crate) use rounded::{rounded, to_digits};
pub(crate) use run::run;
pub use spectrum::Spectrum;
pub(crate) use spread::Spread;
