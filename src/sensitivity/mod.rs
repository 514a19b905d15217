//! How sensitive a net is to merging: variants of its checkpoint, each scored (the paper's Figures 2 and 3).
//!
//! A [`Sweep`] lists every point, fully resolved. The result of each point is appended to a journal as soon as it is known, and
//! [`Results`] are read from the journal.

mod error;
mod evaluator;
mod folder;
mod folder_lock;
mod guard;
mod journal;
mod measure;
mod outcome;
mod plan;
mod point;
mod points;
mod program;
mod recommend;
mod results;
mod run;
mod shard;
mod stages;
mod sweep;
mod variant;
mod vary;

pub use error::{Error, InvalidSweep};
pub(crate) use evaluator::Evaluation;
pub use folder::{begin, sweep_of};
pub use folder_lock::FolderLock;
#[cfg(test)]
pub(crate) use journal::Line as JournalLine;
pub(crate) use journal::parse as parse_part;
pub use journal::read;
pub(crate) use journal::{JournalPart, is_at_work, remove_abandoned_scratch};
pub use outcome::FinishedPoint;
pub(crate) use outcome::{MergedAtPoint, PointOutcome};
pub use plan::{PlanRequest, plan};
pub use point::Point;
pub(crate) use point::{Scope, Series, Variation};
pub use points::Variations;
pub(crate) use recommend::{Recommendation, StandardError};
pub use results::Results;
pub(crate) use results::{Average, Measure, Setting};
pub use run::{RunRequest, RunSummary, run};
pub use shard::Shard;
#[cfg(test)]
pub(crate) use sweep::SweepFile;
pub use sweep::{Evaluator, Sweep, SweptLayer};
pub use vary::Vary;
