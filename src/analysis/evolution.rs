//! What became of the layers from epoch to epoch.

use super::Spread;

/// Several checkpoints of one run, in the order in which they were given.
#[derive(Clone, Debug, PartialEq)]
pub struct Evolution {
    /// What each checkpoint is called: the shortest ends of the paths that tell them apart.
    pub epochs: Vec<String>,
    /// Every layer that was analysed, in depth order.
    pub layers: Vec<LayerEvolution>,
}

/// What became of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerEvolution {
    /// Name of its weight.
    pub name: String,
    /// Its depth, from 1.
    pub depth: Option<usize>,
    /// Whether it takes part in merging.
    pub takes_part: bool,
    pub points: Vec<EpochPoint>,
}

/// A layer in one epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochPoint {
    /// The kernels' greatest similarities; `None` where no two kernels can be compared.
    pub nearest: Option<Spread>,
    /// The share of the kernels, in [0, 1], that have a partner above the threshold at which chance gives one to 1 %.
    pub above_chance: f64,
    /// exp of the entropy of the spectrum; `None` without spectrum.
    pub effective_rank: Option<f64>,
    /// ‖W‖ of the layer.
    pub norm: f64,
    /// ‖W − W′‖ / ‖W′‖, where W′ is the layer one epoch before; `None` in the first, and where that is no finite number.
    pub relative_change: Option<f64>,
}
