//! Networks whose layers have their order.

use std::ops::Range;

/// A layer in its place, with what is known of what it is given.
#[derive(Clone, Debug)]
pub(in crate::layers) struct Step {
    /// Index into the candidates.
    pub candidate: usize,
    /// Channels it may be given, the likeliest first.
    pub given: Vec<usize>,
    /// Channels that the module before it on the main path may have given, whether it reads those or not.
    pub latest: Vec<usize>,
    /// The layer directly before it on a chain of single layers (`conv1` → `conv2`): that one feeds it.
    pub fed_by: Option<usize>,
    /// Reads the network's input.
    pub at_input: bool,
    /// Within the network's head or an auxiliary one.
    pub in_head: bool,
    /// Within a module that names it an output (`outc`, `final_conv`).
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
    /// What could as well run the other way round.
    pub open: Vec<OpenOrder<'a>>,
}

/// Two modules of which nothing but a convention of names, or the alphabet, says that the first runs before the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::layers) struct OpenOrder<'a> {
    /// Path of the one placed first.
    pub first: &'a str,
    /// Path of the one placed second.
    pub second: &'a str,
    /// The places from the first layer of the one to the last of the other, counted from 0.
    pub places: Range<usize>,
}
