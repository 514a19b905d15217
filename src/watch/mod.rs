//! Watching a folder in which a trainer saves checkpoints, and merging each one.
//!
//! The folder is polled, because network file systems do not report what another machine writes. A file is complete if it is
//! the same at two polls and its header fits its size. A `Record` lists what was merged, so that a watch that is
//! stopped or killed at any moment continues where it was.

mod error;
mod folders;
mod merging;
mod name;
mod poll;
mod record;
mod run;
mod seed;
mod stamp;
mod wait;

pub use error::Error;
pub(crate) use name::{is_checkpoint, is_unfinished, natural};
pub(crate) use poll::{FolderPoller, POLLS_BEFORE_WARNING, PollResult, Unchanged};
pub(crate) use record::parse as parse_record;
pub(crate) use record::{Entry, RECORD_NAME, Record};
#[cfg(test)]
pub(crate) use record::{Event, Header};
pub use run::{OnMerged, WatchRequest, run};
pub(crate) use seed::seed;
pub(crate) use stamp::{Stamp, Status};
pub use wait::{WaitRequest, wait};
