//! The limits on memory that this process runs under.

use std::fmt;

use rustix::process::{Resource, getrlimit};

/// What memory the process may take at most, in bytes: in words why there is no more, and the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Everything that is mapped.
    address_space: Option<u64>,
    /// What is mapped to be written.
    data: Option<u64>,
}

impl MemoryLimits {
    /// Those in force now.
    pub fn current() -> Self {
        Self {
            address_space: getrlimit(Resource::As).current,
            data: getrlimit(Resource::Data).current,
        }
    }
}

/// In the unit in which shells set them. Nothing is allocated for it, for memory may have run out.
impl fmt::Display for MemoryLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kibibytes = |limit: u64| limit >> 10;
        match (self.address_space, self.data) {
            (None, None) => f.write_str("the machine or its container has no more; free some"),
            (Some(all), None) => write!(
                f,
                "the address space is limited to {} KiB (ulimit -v); raise that limit",
                kibibytes(all)
            ),
            (None, Some(data)) => {
                write!(
                    f,
                    "data are limited to {} KiB (ulimit -d); raise that limit",
                    kibibytes(data)
                )
            }
            (Some(all), Some(data)) => write!(
                f,
                "the address space is limited to {} KiB (ulimit -v) and data to {} KiB (ulimit -d); raise these limits",
                kibibytes(all),
                kibibytes(data)
            ),
        }
    }
}
