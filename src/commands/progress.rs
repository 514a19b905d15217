//! How far a run has come.

use std::iter::Sum;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::meter::Meter;
use crate::similarity::Precision;

use super::ticker::Ticker;

/// A bar that moves with the time that work takes, whatever its kind, and tells how much of each kind is done a second.
///
/// Its unit is the time in which a byte is copied. The rest is measured in it by the rates of one core of an AMD EPYC
/// (Zen 4); on another processor the bar is less even, but each kind of work still counts by its own amount.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    /// None for a bar that nobody sees.
    ticker: Option<Ticker>,
    done: Arc<Done>,
    products_per_unit: u64,
}

/// The work behind.
#[derive(Debug, Default)]
struct Done {
    bytes: AtomicU64,
    products: AtomicU64,
}

/// The time that a layer's byte takes, which is read, blended, written and read back, in units.
const UNITS_PER_LAYER_BYTE: u64 = 4;

/// The work ahead.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Amount {
    /// Bytes that are copied as they are.
    pub copied: u64,
    /// Bytes of layers.
    pub layers: u64,
    /// Multiply-adds.
    pub products: u64,
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), |sum, more| Self {
            copied: sum.copied.saturating_add(more.copied),
            layers: sum.layers.saturating_add(more.layers),
            products: sum.products.saturating_add(more.products),
        })
    }
}

impl Progress {
    /// A bar on stderr.
    pub fn new(what: &'static str, amount: Amount, precision: Precision) -> Self {
        let products_per_unit = match precision {
            Precision::Int8 => 40,
            Precision::F32 => 9,
        };
        let length = amount
            .copied
            .saturating_add(amount.layers.saturating_mul(UNITS_PER_LAYER_BYTE))
            .saturating_add(amount.products / products_per_unit);
        let done = Arc::new(Done::default());
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(
            "{msg:>10} [{bar:40}] {percent:>3} %  {throughput}  {eta} left",
        )
        .unwrap_or_else(|_| ProgressStyle::default_bar());
        let throughput = {
            let done = Arc::clone(&done);
            move |state: &ProgressState, text: &mut dyn std::fmt::Write| {
                let seconds = state.elapsed().as_secs_f64();
                let megabytes = done.bytes.load(Ordering::Relaxed) as f64 / 1e6 / seconds;
                let billions = done.products.load(Ordering::Relaxed) as f64 / 1e9 / seconds;
                // Text in memory takes whatever is written to it.
                let _ = write!(text, "{megabytes:.0} MB/s, {billions:.0} G products/s");
            }
        };
        let style = style
            .progress_chars("=> ")
            .with_key("throughput", throughput);
        let bar = bar.with_style(style).with_message(what);
        Self {
            // Ticks show it at once, long before the first layer is done.
            ticker: Some(Ticker::start(&bar, Duration::from_millis(200))),
            bar,
            done,
            products_per_unit,
        }
    }

    /// One that nobody sees.
    pub fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            ticker: None,
            done: Arc::default(),
            products_per_unit: 1,
        }
    }

    /// Says what is being done now.
    pub fn now(&self, what: &'static str) {
        self.bar.set_message(what);
    }

    /// Removes the bar.
    pub fn finish(self) {
        drop(self.ticker);
        self.bar.finish_and_clear();
    }
}

impl Meter for Progress {
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
}
