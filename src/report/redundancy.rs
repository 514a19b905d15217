//! The analysis of a checkpoint as it is reported: the value from which the page, the JSON and the tables are made.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::analysis::{Evolution, LayerNumbers, NetNumbers};
use crate::layers::Layer;
use crate::plan::{Parameters, SourceId};

use super::figure_kind::{FigureKind, FormatSets, LayerStem, Titles};

/// The analysis of a checkpoint.
#[derive(Clone, Debug)]
pub struct Redundancy {
    pub source: SourceId,
    /// Its path, as it was given.
    pub input: PathBuf,
    /// Layers left alone as shallow, L_s.
    pub skip_shallow: usize,
    /// The flags that selected its layers, word by word.
    pub selecting: Vec<String>,
    /// Those analysed, in depth order.
    pub layers: Vec<ReportedLayer>,
    /// The sums over the layers that take part.
    pub net: NetNumbers,
    /// How the kernels were merged, where the report is part of a merge.
    pub merging: Option<Parameters>,
    /// What became of the layers from epoch to epoch, where several checkpoints were given; the analysis itself is of the
    /// last one.
    pub evolution: Option<Evolution>,
    /// Which figures are there in other formats than SVG too.
    pub formats: FormatSets,
    /// Whether the figures' files have titles.
    pub titles: Titles,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// One layer of the analysis.
#[derive(Clone, Debug)]
pub struct ReportedLayer {
    pub facts: Layer,
    /// What was found out.
    pub numbers: LayerNumbers,
    /// What was merged in it, where the report is part of a merge and the layer takes part.
    pub merges: Option<LayerMerges>,
    /// What the names of its figures begin with.
    pub stem: LayerStem,
    pub figures: Vec<FigureKind>,
    /// Its section of the page, made while its drawings were at hand.
    pub section: String,
}

/// What was merged in a layer.
#[derive(Clone, Debug)]
pub struct LayerMerges {
    /// The layer's threshold as a number.
    pub tau: f64,
    /// The kernels that changed.
    pub kernels: BTreeSet<usize>,
    /// `(kernel, partner)` of every merge of every round.
    pub pairs: BTreeSet<(usize, usize)>,
}

impl LayerMerges {
    /// Whether one of these two kernels was blended with the other.
    pub fn join(&self, [a, b]: [usize; 2]) -> bool {
        self.pairs.contains(&(a, b)) || self.pairs.contains(&(b, a))
    }
}
