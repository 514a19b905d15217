//! How the library tells whoever called it how far it has come, and what the user should hear meanwhile.

use std::iter::Sum;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who asked to hear more, such as which BLAS computes.
    Detail,
    /// What is being done.
    Status,
    /// What the user should know.
    Warning,
}

/// The work ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkEstimate {
    /// Bytes of a checkpoint that are copied as they are.
    pub copied: u64,
    /// Bytes of layers that are dealt with.
    pub layers: u64,
    /// Multiply-adds of similarities.
    pub products: u64,
}

impl Sum for WorkEstimate {
    fn sum<I: Iterator<Item = Self>>(estimates: I) -> Self {
        estimates.fold(Self::default(), |sum, more| Self {
            copied: sum.copied.saturating_add(more.copied),
            layers: sum.layers.saturating_add(more.layers),
            products: sum.products.saturating_add(more.products),
        })
    }
}

/// Is told of work as it is done, by several threads at once. Nothing depends on what it makes of that.
pub trait Meter: Sync {
    /// More work is ahead, besides what was announced before.
    fn expect(&self, _work: WorkEstimate) {}

    /// A stage of the work begins, whose name is a word such as "merging".
    fn stage(&self, _name: &'static str) {}

    /// All announced work is done or was given up.
    fn finish(&self) {}

    /// Bytes of a checkpoint were copied as they are.
    fn copied(&self, _bytes: u64) {}

    /// Bytes of layers were dealt with.
    fn blended(&self, _bytes: u64) {}

    /// Multiply-adds of similarities were computed.
    fn multiplied(&self, _products: u64) {}

    /// `done` of a sweep's `all` points are finished; `line` is the result of the last one. Told once before the first.
    fn point(&self, _done: usize, _all: usize, _line: &str) {}

    /// Something that the user may want to hear now.
    fn say(&self, _level: Level, _message: &str) {}
}

/// For those who do not want to know.
impl Meter for () {}
