//! The report as one self-contained page.

use crate::analysis::LayerDrawings;

use super::figures::Figure;
use super::redundancy::{FigureKind, LayerFacts, LayerMerges, Redundancy};
use crate::analysis::LayerNumbers;

/// A layer's section of the page, with small versions of its drawings. `figures` are the layer's, each with the stem of its
/// files.
pub fn section(
    _layer: &LayerFacts,
    _numbers: &LayerNumbers,
    _drawings: &LayerDrawings,
    _merges: Option<&LayerMerges>,
    _figures: &[(FigureKind, String, Figure)],
) -> String {
    todo!()
}

/// `index.html`. `overviews` are the figures of the whole net as `(stem, figure)`.
pub fn page(_report: &Redundancy, _overviews: &[(&str, Figure)]) -> String {
    todo!()
}
