//! Results as people and programs read them: values in, text or JSON out.

mod changes;
pub mod document;
pub mod figures;
pub mod folder;
mod inspection;
mod merging;
mod nothing_merged;
pub mod page;
mod printable;
pub mod redundancy;
#[cfg(test)]
mod sample;
mod summary;
mod table;
pub mod tables;

pub use changes::{DiffReport, TensorDifference};
pub use inspection::{InspectReport, InspectedLayer};
pub use merging::{FinishedRun, MergeReport, MergedLayer, Totals};
pub use nothing_merged::NothingMerged;
pub use printable::printable;
pub use redundancy::Redundancy;
pub use summary::AnalysisSummary;

/// The program that makes a report.
const TOOL: &str = concat!("inmerge-ckpt ", env!("CARGO_PKG_VERSION"));
