//! Modules in order, and the ties among them.

use crate::layers::roles::Role;

/// How a module takes part in its parent's flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowPath {
    /// On the main path.
    Main,
    /// Scales channels of the main path, and does not change their number.
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

/// Two modules whose order only a naming convention or the alphabet decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tie {
    pub first: usize,
    pub second: usize,
}

/// The order of the modules within one, and the pairs that may run in either order.
#[derive(Debug, Default)]
pub(super) struct Arrangement {
    pub placed: Vec<Placed>,
    pub ties: Vec<Tie>,
}
