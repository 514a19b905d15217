//! Ending what hangs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// No run takes a tenth of that on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Kills processes that take too long.
#[derive(Clone, Debug, Default)]
pub struct Watchdog {
    /// When each began; `None` once it was killed.
    watched: Arc<Mutex<HashMap<i32, Option<Instant>>>>,
}

impl Watchdog {
    pub fn new() -> Self {
        let dog = Self::default();
        let watched = Arc::downgrade(&dog.watched);
        thread::spawn(move || guard(&watched));
        dog
    }

    /// Watches a process until that is ended.
    pub fn watch(&self, process: i32) -> Watched<'_> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.insert(process, Some(Instant::now()));
        Watched { dog: self, process }
    }
}

/// A process that is watched.
#[derive(Debug)]
pub struct Watched<'a> {
    dog: &'a Watchdog,
    process: i32,
}

impl Watched<'_> {
    /// Whether the process had to be killed.
    pub fn end(self) -> bool {
        let watched = self.dog.watched.lock();
        let mut watched = watched.unwrap_or_else(PoisonError::into_inner);
        watched.remove(&self.process) == Some(None)
    }
}

fn guard(watched: &Weak<Mutex<HashMap<i32, Option<Instant>>>>) {
    while let Some(watched) = watched.upgrade() {
        let mut processes = watched.lock().unwrap_or_else(PoisonError::into_inner);
        for (process, began) in processes.iter_mut() {
            if began.is_some_and(|began| began.elapsed() > LIMIT) {
                let _ = kill(Pid::from_raw(*process), Signal::SIGKILL);
                *began = None;
            }
        }
        drop(processes);
        drop(watched);
        thread::sleep(Duration::from_millis(500));
    }
}
