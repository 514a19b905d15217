//! Results as people and programs read them: values in, text or JSON out.

mod changes;
mod inspection;
mod merging;
mod nothing_merged;
mod printable;
mod table;

pub use changes::{DiffReport, TensorDifference};
pub use inspection::{InspectReport, InspectedLayer};
pub use merging::{FinishedRun, MergeReport, MergedLayer, Totals};
pub use nothing_merged::{NothingMerged, ThresholdHint};
pub use printable::printable;
