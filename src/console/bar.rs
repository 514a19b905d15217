//! How far a run has come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::meter::{Level, Meter, WorkEstimate};
use crate::similarity::Precision;

use super::Console;
use super::ticker::Ticker;

/// A bar that moves with the time that work takes, whatever its kind, and tells how much of each kind is done a second; drawn
/// on terminals only, from the first stage of the work on.
///
/// Its unit is the time in which a byte is copied. The rest is measured in it by the rates of one core of an AMD EPYC
/// (Zen 4); on another processor the bar is less even, but each kind of work still counts by its own amount.
pub(crate) struct WorkBar<'c, 'a> {
    console: &'c Console<'a>,
    bar: ProgressBar,
    /// Redraws the bar while it is shown.
    ticker: Mutex<Option<Ticker>>,
    done: Arc<Done>,
    products_per_unit: u64,
}

#[derive(Debug, Default)]
struct Done {
    bytes: AtomicU64,
    products: AtomicU64,
}

/// The time that a layer's byte takes, which is read, blended, written and read back, in units.
const UNITS_PER_LAYER_BYTE: u64 = 4;

impl<'c, 'a> WorkBar<'c, 'a> {
    pub(super) fn new(console: &'c Console<'a>, precision: Precision) -> Self {
        let done = Arc::new(Done::default());
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        Self {
            console,
            bar: bar.with_style(style(&done)),
            ticker: Mutex::default(),
            done,
            products_per_unit: match precision {
                Precision::Int8 => 40,
                Precision::F32 => 9,
            },
        }
    }

    fn show(&self) {
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        if ticker.is_none() && self.console.has_bars() {
            self.bar.reset_elapsed();
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            // Ticks show it at once, long before the first layer is done.
            *ticker = Some(Ticker::start(&self.bar, Duration::from_millis(200)));
        }
    }
}

impl Meter for WorkBar<'_, '_> {
    fn expect(&self, work: WorkEstimate) {
        self.bar.set_style(style(&self.done));
        let units = work
            .copied
            .saturating_add(work.layers.saturating_mul(UNITS_PER_LAYER_BYTE))
            .saturating_add(work.products / self.products_per_unit);
        self.bar.inc_length(units);
    }

    fn stage(&self, name: &'static str) {
        if self
            .bar
            .length()
            .is_some_and(|length| self.bar.position() >= length)
        {
            // No bar says how far this is: a disk takes its time.
            self.bar.set_style(waiting());
        }
        self.bar.set_message(name);
        self.show();
    }

    fn finish(&self) {
        let mut ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner);
        drop(ticker.take());
        self.bar.finish_and_clear();
        self.bar.set_draw_target(ProgressDrawTarget::hidden());
        self.bar.reset();
        self.bar.set_length(0);
        self.done.bytes.store(0, Ordering::Relaxed);
        self.done.products.store(0, Ordering::Relaxed);
    }

    fn copied(&self, bytes: u64) {
        self.done.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bar.inc(bytes);
    }

    fn blended(&self, bytes: u64) {
        self.done.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bar.inc(bytes * UNITS_PER_LAYER_BYTE);
    }

    fn multiplied(&self, products: u64) {
        self.done.products.fetch_add(products, Ordering::Relaxed);
        self.bar.inc(products / self.products_per_unit);
    }

    fn say(&self, level: Level, message: &str) {
        self.bar.suspend(|| self.console.say(level, message));
    }
}

impl Drop for WorkBar<'_, '_> {
    fn drop(&mut self) {
        self.finish();
    }
}

fn style(done: &Arc<Done>) -> ProgressStyle {
    let throughput = {
        let done = Arc::clone(done);
        move |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            let seconds = state.elapsed().as_secs_f64();
            let rates = [
                (&done.bytes, 1e6, "MB/s"),
                (&done.products, 1e9, "G products/s"),
            ];
            let rates = rates.map(|(number, unit, name)| {
                (number.load(Ordering::Relaxed) as f64 / unit / seconds, name)
            });
            // Before much is done, and of what a run does not do, there is no rate.
            let known = rates.iter().filter(|(rate, _)| (1.0..1e9).contains(rate));
            let known: Vec<String> = known
                .map(|(rate, name)| format!("{rate:.0} {name}"))
                .collect();
            // Text in memory takes whatever is written to it.
            let _ = write!(text, "{}", known.join(", "));
        }
    };
    let percent = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        // The last percent is done when the run is.
        let _ = write!(text, "{:>2.0}", (100.0 * state.fraction()).min(99.0));
    };
    ProgressStyle::with_template("{msg:>10} [{bar:20}] {percent_done} %  {throughput}  {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .with_key("throughput", throughput)
        .with_key("percent_done", percent)
}

/// For work of which nobody knows how long it takes.
fn waiting() -> ProgressStyle {
    let style = ProgressStyle::with_template("{msg:>10} {elapsed}");
    style.unwrap_or_else(|_| ProgressStyle::default_spinner())
}
