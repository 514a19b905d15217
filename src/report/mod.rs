//! Results as people and programs read them: values in, text or JSON out.

mod changes;
mod inspection;
mod merging;
mod nothing_merged;
mod table;

pub use changes::{DiffReport, TensorDifference};
pub use inspection::{InspectReport, InspectedLayer};
pub use merging::{MergeReport, MergedLayer, Totals};
pub use nothing_merged::{NothingMerged, ThresholdHint};
