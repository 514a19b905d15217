//! Modules in their order, and what of that is open.

use crate::layers::roles::Role;

/// How a module takes part in its parent's flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowPath {
    /// On the main path.
    Main,
    /// Scales the channels of what it is given; the main path's counts pass by it.
    Gate,
    /// Around the main path: reads the parent's input.
    Shortcut,
}

/// A module among its ordered siblings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    pub node: usize,
    pub path: FlowPath,
    pub role: Role,
    /// Modules of one chain share this.
    pub chain: usize,
}

impl Placed {
    /// A gate or a shortcut, which is on no chain.
    pub fn beside(node: usize, path: FlowPath) -> Self {
        Self {
            node,
            path,
            role: Role::Body,
            chain: usize::MAX,
        }
    }
}

/// Two modules of which the first was placed before the second by nothing but a convention of names or the alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tie {
    pub first: usize,
    pub second: usize,
}

/// The order of the modules within one, and what of it could as well be the other way round.
#[derive(Debug, Default)]
pub(super) struct Arrangement {
    pub placed: Vec<Placed>,
    pub ties: Vec<Tie>,
}
