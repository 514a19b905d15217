//! The kernels of one convolution weight: where each lies, how its numbers are read, and how two are blended.

mod blend;
mod blend_loop;
mod conv;
mod element;
mod layout;
mod rows;

pub use blend::Blend;
pub use conv::ConvWeight;
pub use element::Element;
pub(crate) use element::with_element;
pub use layout::KernelLayout;
pub use rows::Rows;
