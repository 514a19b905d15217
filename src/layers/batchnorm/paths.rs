//! Paths of modules, and what stands at them.

use crate::checkpoint::Tensor;
use crate::layers::name::Segment;

pub(super) fn is_vector(tensor: &Tensor, length: usize) -> bool {
    tensor.shape == [length] && tensor.float_type().is_some()
}

/// A path's last step.
pub(super) fn segment(module: &str) -> Segment {
    Segment::parse(split(module).1)
}

/// The path of a weight's module.
pub(super) fn module_of(name: &str) -> Option<&str> {
    name.strip_suffix(".weight")
}

/// A path's module and its last step.
pub(super) fn split(module: &str) -> (&str, &str) {
    module.rsplit_once('.').unwrap_or(("", module))
}
