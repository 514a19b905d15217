//! What figures show, by their SVG and their PNG.

mod content;
mod drawing;
mod golden;
mod layout;
mod samples;
mod sensitivity;
