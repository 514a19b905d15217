//! Results as people and programs read them: values in, text or JSON out.

mod bitmap;
mod changes;
mod doctor;
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
pub mod sensitivity;
mod summary;
mod table;
pub mod tables;

use crate::TOOL;

pub use changes::{DiffReport, TensorDifference};
pub use doctor::{
    AutoReport, DoctorReport, FoundReport, GpuReport, LibraryReport, ProcessorReport, TriedReport,
};
pub use inspection::{InspectReport, InspectedLayer};
pub use merging::{FinishedRun, MergeReport, MergedLayer, Totals};
pub use nothing_merged::NothingMerged;
pub use printable::printable;
pub use redundancy::Redundancy;
pub use sensitivity::SensitivitySummary;
pub use summary::AnalysisSummary;

/// The page of a report.
pub const PAGE: &str = "index.html";

/// All its numbers.
pub const DOCUMENT: &str = "report.json";

/// The folder of the figures, with a slash after it.
pub const FIGURES: &str = "figures/";

/// A row for each layer.
pub const LAYERS: &str = "layers.csv";

/// A row for each of a layer's closest pairs.
pub const PAIRS: &str = "pairs.csv";
