//! What figures show, by their SVG and their PNG.

mod content;
mod contrast;
mod drawing;
mod golden;
mod layout;
pub(super) mod samples;
mod sensitivity;
