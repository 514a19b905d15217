//! The time that layers take on a GPU.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time that layers took on a GPU so far, summed over layers that run at once: it may exceed the time that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceTimes {
    /// From the copy of a layer's kernels to its results, including the CPU's part.
    pub working: Duration,
    /// The part of it that copied kernels. They come from memory that is not pinned, so the call returns once the driver has read
    /// the last of it.
    pub copying: Duration,
}

impl fmt::Display for DeviceTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [working, copying] = [self.working, self.copying].map(|time| time.as_secs_f64());
        write!(
            f,
            "layers took {working:.6} s there, {copying:.6} s of it to copy them"
        )
    }
}

/// Adds up [`DeviceTimes`].
#[derive(Debug, Default)]
pub(super) struct Clock {
    pub working: Sum,
    pub copying: Sum,
}

/// A sum of times, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Sum(AtomicU64);

/// A running measurement, added to its sum when it is dropped.
pub(super) struct Running<'s> {
    sum: &'s Sum,
    start: Instant,
}

impl Clock {
    /// Forgets the times so far.
    pub fn reset(&self) {
        for sum in [&self.working, &self.copying] {
            sum.0.store(0, Ordering::Relaxed);
        }
    }

    pub fn times(&self) -> DeviceTimes {
        let time = |sum: &Sum| Duration::from_nanos(sum.0.load(Ordering::Relaxed));
        DeviceTimes {
            working: time(&self.working),
            copying: time(&self.copying),
        }
    }
}

impl Sum {
    /// Measures the time until the returned value is dropped.
    #[must_use]
    pub fn run(&self) -> Running<'_> {
        Running {
            sum: self,
            start: Instant::now(),
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let nanoseconds = self.start.elapsed().as_nanos() as u64;
        self.sum.0.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}
