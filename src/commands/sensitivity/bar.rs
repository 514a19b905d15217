//! How far a sweep has come.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::ticker::Ticker;

/// A bar that moves with each point, on terminals only.
pub(super) struct Bar {
    bar: ProgressBar,
    /// None for a bar that nobody sees.
    ticker: Option<Ticker>,
}

impl Bar {
    /// For so many points.
    pub fn new(points: usize, is_shown: bool) -> Self {
        if !is_shown {
            return Self {
                bar: ProgressBar::hidden(),
                ticker: None,
            };
        }
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(points as u64), target);
        let template = "[{bar:30}] {pos} of {len} points  {eta} left  {wide_msg}";
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        Self {
            ticker: Some(Ticker::start(&bar, Duration::from_millis(500))),
            bar,
        }
    }

    /// A point is finished.
    pub fn finished(&self, what: String) {
        self.bar.set_message(what);
        self.bar.inc(1);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        drop(self.ticker.take());
        self.bar.finish_and_clear();
    }
}
