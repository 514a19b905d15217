//! Networks with their layers in order.

use std::ops::Range;

/// A layer in the order, and what is known about its input.
#[derive(Clone, Debug)]
pub(in crate::layers) struct Step {
    /// Index into the candidates.
    pub candidate: usize,
    /// Input channels that it may have, likeliest first.
    pub given: Vec<usize>,
    /// Output channels that the module before it on the main path may have, whether or not it reads them.
    pub latest: Vec<usize>,
    /// The candidate known to feed it: the layer right before it in a chain of single layers (`conv1` → `conv2`).
    pub fed_by: Option<usize>,
    /// Reads the network's input.
    pub at_input: bool,
    /// Within the network's head or an auxiliary one.
    pub in_head: bool,
    /// Within a module named an output (`outc`, `final_conv`).
    pub in_final: bool,
    /// Within a squeeze-and-excite gate.
    pub in_gate: bool,
    /// Within a module called `attn`.
    pub in_attention: bool,
}

/// One of the networks in a file, its layers in order.
pub(in crate::layers) struct OrderedNetwork<'a> {
    /// Path of the module that holds it.
    pub root: String,
    /// Its layers in depth order.
    pub steps: Vec<Step>,
    /// Pairs of modules that may run in either order.
    pub open: Vec<OpenOrder<'a>>,
}

/// Two modules whose order only a naming convention or the alphabet decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::layers) struct OpenOrder<'a> {
    /// Path of the one placed first.
    pub first: &'a str,
    /// Path of the one placed second.
    pub second: &'a str,
    /// Steps from the first layer of the first module to the last of the second.
    pub range: Range<usize>,
}
