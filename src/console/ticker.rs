//! Bars that move while nothing is reported.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::ProgressBar;

/// A thread that draws a bar again and again until it is dropped. Unlike that of [`ProgressBar::enable_steady_tick`], which
/// panics where no thread can be started, it may be missing: the bar then moves with the work only.
#[derive(Debug)]
pub(super) struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Draws a bar now and whenever so much time has passed.
    pub fn start(bar: &ProgressBar, every: Duration) -> Self {
        bar.tick();
        let (stop, stopped) = channel();
        let bar = bar.clone();
        let tick = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
                bar.tick();
            }
        };
        Self {
            stop: Some(stop),
            thread: thread::Builder::new().spawn(tick).ok(),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
