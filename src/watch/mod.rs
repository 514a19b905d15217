//! Watching a folder in which a trainer drops checkpoints: which of them are complete, what was done with them, and the
//! seed of each.
//!
//! The folder is looked at from time to time: network file systems tell nobody of what another machine writes. A file that
//! is the same at two `Looks` and whose header fits its size is complete; the `Record` says what was merged, so that
//! a watch that ends at any moment, by whatever cause, goes on where it was.

mod error;
mod folders;
mod look;
mod merging;
mod name;
mod record;
mod run;
mod seed;
mod stamp;

pub use error::Error;
pub(crate) use look::{LOOKS_BEFORE_A_WARNING, Looks, Unchanged};
pub(crate) use name::{is_checkpoint, natural};
pub(crate) use record::parse as parse_record;
pub(crate) use record::{Entry, RECORD_NAME, Record};
pub use run::{OnMerged, WatchRequest, run};
pub(crate) use seed::seed;
pub(crate) use stamp::{Stamp, Status};
