//! How far a sweep has come.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar that moves with each point, on terminals only.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// For so many points.
    pub fn new(points: usize, is_shown: bool) -> Self {
        if !is_shown {
            return Self(ProgressBar::hidden());
        }
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(points as u64), target);
        let template = "[{bar:30}] {pos} of {len} points  {eta} left  {wide_msg}";
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        bar.enable_steady_tick(Duration::from_millis(500));
        Self(bar)
    }

    /// A point is finished.
    pub fn finished(&self, what: String) {
        self.0.set_message(what);
        self.0.inc(1);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
