//! Putting files and folders in place in one step.
//!
//! An output is written to the same disk without a name or under a temporary one, and then put in place as a whole: nobody ever
//! sees a half-written output, and if writing fails, whatever was there before is untouched.

mod attributes;
mod claim;
mod durability;
mod error;
mod exchange;
mod file;
mod folder;
mod inventory;
mod keep;
mod leftovers;
mod link;
mod replaced;
mod temporary_file;
mod temporary_folder;
mod warning;

pub use durability::Durability;
pub use error::{Error, Problem};
pub use file::FileDestination;
pub use warning::Warning;

pub(crate) use attributes::take_over;
pub(crate) use folder::{Existing, FolderDestination, or_here, refuse_deleted_here};
pub(crate) use inventory::{Entry, Inventory};
pub(crate) use keep::Keeper;
pub(crate) use leftovers::{clean_all, moved_away};
pub(crate) use link::missing_target;
pub(crate) use replaced::Replaced;
pub(crate) use temporary_file::{TemporaryFile, remove_abandoned};
pub(crate) use temporary_folder::TemporaryFolder;
