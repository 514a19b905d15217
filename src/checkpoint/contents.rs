//! The tensors of a file, and what else it says.

use std::collections::BTreeMap;

use super::{Notice, Tensor};

/// What a file says that it holds.
#[derive(Debug)]
pub(super) struct Contents {
    /// In the order of their values; of a state dict in its own, which is that of the modules' definition.
    pub tensors: Vec<Tensor>,
    pub metadata: BTreeMap<String, String>,
    pub notices: Vec<Notice>,
}
