//! How far a sweep has come.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::meter::{Level, Meter};

use super::Console;
use super::ticker::Ticker;

/// A bar that moves with each point of a sweep, on terminals; elsewhere each point is a line.
pub(crate) struct PointsBar<'c, 'a> {
    console: &'c Console<'a>,
    bar: ProgressBar,
    /// When the first point was begun.
    started: OnceLock<Instant>,
    /// Redraws the bar while it is shown.
    ticker: Mutex<Option<Ticker>>,
}

impl<'c, 'a> PointsBar<'c, 'a> {
    pub(super) fn new(console: &'c Console<'a>) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let template = "[{bar:20}] {pos} of {len} points  {eta} left  {wide_msg}";
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        Self {
            console,
            bar: bar.with_style(style.progress_chars("=> ")),
            started: OnceLock::new(),
            ticker: Mutex::default(),
        }
    }
}

impl Meter for PointsBar<'_, '_> {
    fn point(&self, done: usize, all: usize, line: &str) {
        let started = self.started.get_or_init(Instant::now);
        if !self.console.has_bars() {
            if done > 0 {
                let left = match all - done {
                    0 => String::new(),
                    left => {
                        let seconds = started.elapsed().as_secs_f64() / done as f64 * left as f64;
                        let time = Duration::from_secs(seconds.round() as u64);
                        format!(" ({} left)", humantime::format_duration(time))
                    }
                };
                let line = format!("{done}/{all}{left}  {line}");
                self.console.say(Level::Status, &line);
            }
            return;
        }
        self.bar.set_length(all as u64);
        self.bar.set_message(line.to_owned());
        self.bar.set_position(done as u64);
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        ticker.get_or_insert_with(|| {
            self.bar.reset_elapsed();
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            Ticker::start(&self.bar, Duration::from_millis(500))
        });
    }

    fn finish(&self) {
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        drop(ticker.take());
        self.bar.finish_and_clear();
    }

    fn say(&self, level: Level, message: &str) {
        self.bar.suspend(|| self.console.say(level, message));
    }
}

impl Drop for PointsBar<'_, '_> {
    fn drop(&mut self) {
        self.finish();
    }
}
