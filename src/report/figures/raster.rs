//! Pictures with one pixel per cell, as `data:` URIs.

use super::colours::palette;
use crate::report::bitmap::{self, Colours};

/// A picture of indices into [`palette`], row by row.
pub(super) fn indexed(width: usize, height: usize, places: &[u8]) -> String {
    let palette = palette().iter().flat_map(|c| [c.0, c.1, c.2]).collect();
    let colours = Colours::Indexed {
        palette,
        opacity: Vec::new(),
    };
    bitmap::uri(&bitmap::cells([width, height], colours, places))
}

/// A picture of red, green and blue, row by row.
pub(super) fn rgb(width: usize, height: usize, colours: &[u8]) -> String {
    bitmap::uri(&bitmap::cells([width, height], Colours::Rgb, colours))
}
