//! Plans: which kernels merge, decided before anything is written; read and written as JSON.

mod carried;
mod carry_over;
mod control;
mod decide;
mod document;
mod draws;
mod error;
mod parameters;
mod partners;
mod recipe;

pub use carried::{Carried, Carry};
pub use control::Control;
pub use decide::{Decision, Rules, Task};
pub use document::{Merge, Plan, PlannedLayer, SkippedLayer, SourceId};
pub use draws::Draws;
pub(crate) use draws::PartnerDraw;
pub use error::{Error, Problem};
pub(crate) use parameters::CHANCE;
pub(crate) use parameters::InvalidParameter;
pub use parameters::{
    Cosine, Fraction, LayerParameters, Parameters, Partner, Percent, Threshold, ThresholdScale,
};
pub use recipe::{CarriedTensors, LayerRecipe, Recipe};
