//! Figures: values in, SVG out, and from that PNG.
//!
//! Each figure is drawn once, as SVG, with text as text; the PNG is the same drawing rendered with the font that comes with
//! the program, so neither needs a font of the system.

use crate::analysis::{
    Curve, Evolution, LayerDrawings, LayerNumbers, NetNumbers, PairPicture, Spectrum,
};
use crate::similarity::Nearest;

use super::redundancy::{LayerFacts, LayerMerges};

/// A figure, as SVG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure(String);

impl Figure {
    /// From a whole SVG document.
    #[cfg(test)]
    pub(crate) fn from_svg(svg: String) -> Self {
        Self(svg)
    }

    /// A whole SVG document.
    pub fn svg(&self) -> &str {
        &self.0
    }

    /// Rendered at twice its nominal size.
    pub fn png(&self) -> Vec<u8> {
        todo!()
    }

    /// For a page that shows it in its own colours: without the XML declaration and background, and with the colours of text,
    /// lines and grid as the CSS variables `--ink`, `--soft` and `--grid`.
    pub fn inline(&self) -> String {
        todo!()
    }
}

/// A layer as the overviews over depth show it.
#[derive(Clone, Copy, Debug)]
pub struct DepthPoint<'a> {
    /// What it is.
    pub facts: &'a LayerFacts,
    /// What was found out.
    pub numbers: &'a LayerNumbers,
}

/// A layer's similarity matrix in file order and, beside it, clustered; with the colour bar.
pub fn similarity(
    _layer: &LayerFacts,
    _drawings: &LayerDrawings,
    _merges: Option<&LayerMerges>,
) -> Figure {
    todo!()
}

/// The shares of a layer's pairs and kernels above τ, over τ.
pub fn layer_thresholds(
    _layer: &LayerFacts,
    _numbers: &LayerNumbers,
    _merges: Option<&LayerMerges>,
) -> Figure {
    todo!()
}

/// The same for all layers that take part.
pub fn net_thresholds(_net: &NetNumbers) -> Figure {
    todo!()
}

/// A histogram of the kernels' greatest similarities.
pub fn nearest(_layer: &LayerFacts, _nearest: &Nearest) -> Figure {
    todo!()
}

/// A layer's eigenvalues in falling order, on a logarithmic scale, with its ranks marked.
pub fn spectrum(_layer: &LayerFacts, _spectrum: &Spectrum) -> Figure {
    todo!()
}

/// Kernels of similar, orthogonal and opposite pairs, in the manner of the paper's Figure 1.
pub fn kernels(_layer: &LayerFacts, _pairs: &[PairPicture]) -> Figure {
    todo!()
}

/// The kernels' greatest similarities over depth: median, quartiles and maximum of every layer.
pub fn nearest_over_depth(_layers: &[DepthPoint<'_>], _skip_shallow: usize) -> Figure {
    todo!()
}

/// The ranks as shares of each layer's kernels over depth; `None` where no layer has a spectrum.
pub fn ranks_over_depth(_layers: &[DepthPoint<'_>], _skip_shallow: usize) -> Option<Figure> {
    todo!()
}

/// One figure for each of redundancy, effective rank (if it is known) and weight change, from epoch to epoch, as
/// `(stem, figure)`.
pub fn evolution(_evolution: &Evolution) -> Vec<(&'static str, Figure)> {
    todo!()
}

#[expect(unused, reason = "until figures are drawn")]
fn uses(_: &Curve) {}
