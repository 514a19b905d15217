//! Results as people and programs read them: values in, text or JSON out.

mod bitmap;
mod changes;
mod doctor;
pub(crate) mod document;
mod figure_kind;
pub mod figures;
pub mod folder;
mod inspection;
mod merging;
pub mod page;
mod picture;
mod printable;
pub(crate) mod redundancy;
#[cfg(test)]
mod sample;
pub(crate) mod sensitivity;
mod summary;
mod table;
pub(crate) mod tables;

use crate::TOOL;

pub(crate) use changes::DiffReport;
pub use doctor::{
    AutoReport, CpuReport, DoctorReport, FoundReport, GpuReport, LibraryReport, TriedReport,
    UnresponsiveReport,
};
#[cfg(test)]
pub(crate) use document::ReportJson;
pub(crate) use inspection::InspectReport;
pub(crate) use merging::MergeReport;
pub use printable::printable;
pub(crate) use redundancy::Redundancy;
#[cfg(test)]
pub(crate) use sensitivity::ResultsJson;
pub(crate) use summary::AnalysisSummary;
pub use table::COLUMNS;

/// What a backend is called, as a pattern for the schemas.
#[cfg(test)]
const BACKEND: &str = "^(cpu|cuda:[0-9]+)$";

/// The page of a report.
pub(crate) const PAGE: &str = "index.html";

pub(crate) const DOCUMENT: &str = "report.json";

/// The folder of the figures, with a slash after it.
pub(crate) const FIGURES: &str = "figures/";

/// A row for each layer.
pub(crate) const LAYERS: &str = "layers.csv";

/// A row for each of a layer's closest pairs.
pub(crate) const PAIRS: &str = "pairs.csv";
