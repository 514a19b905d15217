//! A sensitivity sweep as tables, as JSON, and in words.

mod document;
pub(in crate::report) mod labels;
mod recommended;
#[cfg(test)]
pub(in crate::report) mod sample;
pub(in crate::report) use recommended::sentences;
mod summary;
mod table;
mod write;

#[cfg(test)]
pub(crate) use document::ResultsJson;
pub use document::results_json;
pub use summary::SensitivitySummary;
pub use table::results_csv;
pub use write::write;

/// The merge that a sweep recommends, for `--config`.
pub const RECOMMENDED: &str = "recommended.toml";

/// All numbers of a sweep, a row for each point.
pub const RESULTS_TABLE: &str = "results.csv";

/// The same, and what they come to over the repetitions.
pub const RESULTS: &str = "results.json";
