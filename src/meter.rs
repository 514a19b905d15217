//! How the work tells how far it has come.

/// Is told of work as it is done, by several threads at once.
pub trait Meter: Sync {
    /// Bytes of a checkpoint that were copied as they are.
    fn copied(&self, _bytes: u64) {}

    /// Bytes of layers that were dealt with.
    fn blended(&self, _bytes: u64) {}

    /// Multiply-adds of similarities.
    fn multiplied(&self, _products: u64) {}
}

/// For those who do not want to know.
impl Meter for () {}
