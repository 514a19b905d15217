//! An order of kernels that puts similar ones side by side.
