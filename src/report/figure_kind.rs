//! What a figure shows, and what its files are called after.

use crate::plan::ThresholdScale;
use crate::sensitivity::{Measure, Series};

/// Some of a report's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureSet {
    /// All of them.
    All,
    /// Those of the whole net.
    Overview,
    /// None.
    None,
}

/// Which figures a report has in other formats too; all are there as SVG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormatSets {
    /// As PNG, which takes most of the time and room of a report where it has all of them.
    pub png: FigureSet,
    /// As PDF.
    pub pdf: FigureSet,
}

impl Default for FormatSets {
    /// The overview in all formats.
    fn default() -> Self {
        Self {
            png: FigureSet::Overview,
            pdf: FigureSet::Overview,
        }
    }
}

impl FormatSets {
    /// The formats of a figure of a single layer.
    pub fn of_layers(self) -> Formats {
        let has = |set| set == FigureSet::All;
        Formats {
            png: has(self.png),
            pdf: has(self.pdf),
        }
    }

    /// The formats of a figure of the whole net.
    pub fn of_net(self) -> Formats {
        let has = |set| set != FigureSet::None;
        Formats {
            png: has(self.png),
            pdf: has(self.pdf),
        }
    }
}

/// In which formats a figure is there besides SVG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats {
    /// As PNG.
    pub png: bool,
    /// As PDF.
    pub pdf: bool,
}

impl Formats {
    /// In every format.
    pub const ALL: Self = Self {
        png: true,
        pdf: true,
    };
}

/// Whether the files of figures have titles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Titles {
    /// Title and subtitle above each.
    #[default]
    Drawn,
    /// None, as in a paper, whose captions say what they do. Legends and notes stay.
    LeftOut,
}

impl Titles {
    /// Drawn unless they are to be left out.
    pub fn unless(left_out: bool) -> Self {
        match left_out {
            true => Self::LeftOut,
            false => Self::Drawn,
        }
    }
}

/// What a figure shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// A layer's similarity matrix, in file order and clustered.
    Similarity,
    /// A layer's pairs and kernels above τ.
    Thresholds,
    /// The histogram of the greatest similarities of a layer's kernels.
    Nearest,
    /// A layer's eigenvalues.
    Spectrum,
    /// Kernels of some pairs of a layer.
    Kernels,
    /// The kernels' greatest similarities in each layer, over depth.
    NearestOverDepth,
    /// The pairs and kernels above τ of all layers that take part.
    NetThresholds,
    /// The ranks of each layer, over depth.
    RanksOverDepth,
    /// The median of each layer's greatest similarities, from epoch to epoch.
    RedundancyOverEpochs,
    /// The 95th percentile of each layer's greatest similarities, from epoch to epoch.
    UpperRedundancyOverEpochs,
    /// The share of each layer's kernels that are more alike than chance makes them, from epoch to epoch.
    AboveChanceOverEpochs,
    /// The effective rank of each layer, from epoch to epoch.
    EffectiveRankOverEpochs,
    /// The relative change of each layer's weight, from epoch to epoch.
    WeightChangeOverEpochs,
    /// A measure of a sweep over what varies.
    Sweep(SweepFigure),
}

/// Which figure of a sweep it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepFigure {
    /// The series of its settings.
    pub series: Series,
    /// The two parameters of a map; `None` for a curve.
    pub crossed: Option<[Series; 2]>,
    /// The scale of its thresholds.
    pub tau: ThresholdScale,
    /// What is measured.
    pub measure: Measure,
}

impl FigureKind {
    /// The name of its files without their ending; for a figure of a layer, what follows the layer's own name there
    /// (`LayerStem`).
    pub fn stem(self) -> String {
        let name = match self {
            Self::Similarity => "similarity",
            Self::Thresholds => "thresholds",
            Self::Nearest => "nearest",
            Self::Spectrum => "spectrum",
            Self::Kernels => "kernels",
            Self::NearestOverDepth => "nearest-over-depth",
            Self::NetThresholds => "net-thresholds",
            Self::RanksOverDepth => "ranks-over-depth",
            Self::RedundancyOverEpochs => "evolution-redundancy",
            Self::UpperRedundancyOverEpochs => "evolution-upper-redundancy",
            Self::AboveChanceOverEpochs => "evolution-above-chance",
            Self::EffectiveRankOverEpochs => "evolution-effective-rank",
            Self::WeightChangeOverEpochs => "evolution-weight-change",
            Self::Sweep(figure) => return figure.stem(),
        };
        name.to_owned()
    }
}

impl SweepFigure {
    fn stem(self) -> String {
        let Self {
            series, measure, ..
        } = self;
        let scale = match self.tau {
            ThresholdScale::Similarity => "",
            ThresholdScale::Share => "-share",
            ThresholdScale::Chance => "-chance",
        };
        match self.crossed {
            None => format!("{series}{scale}-{}", measure.name()),
            Some([x, y]) => format!("{series}-{x}{scale}-{y}-{}", measure.name()),
        }
    }
}

/// What the names of a layer's figures begin with: its place, which keeps names apart and sorts them, and its own name as far
/// as every file system takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerStem(String);

impl LayerStem {
    /// Most characters of a layer's name.
    const LENGTH: usize = 80;

    /// Of the layer at a place among those analysed, from 1, and with this name.
    pub fn new(place: usize, name: &str) -> Self {
        let name = name.strip_suffix(".weight").unwrap_or(name);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let plain = name.chars().map(|c| if is_plain(c) { c } else { '_' });
        let plain: String = plain.take(Self::LENGTH).collect();
        Self(format!("{place:03}-{plain}"))
    }

    /// The name of the files of one of the layer's figures, without their ending.
    pub fn of(&self, kind: FigureKind) -> String {
        format!("{}.{}", self.0, kind.stem())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_named_so_that_every_file_system_takes_it() {
        let stem = |place, name: &str| LayerStem::new(place, name).of(FigureKind::Nearest);
        assert_eq!(
            stem(7, "layer1.0.conv1.weight"),
            "007-layer1.0.conv1.nearest"
        );
        assert_eq!(
            stem(12, "a/b c\u{202e}\\:*.weight"),
            "012-a_b_c____.nearest"
        );
        let long = stem(1, &"x".repeat(500));
        assert_eq!(long.len(), 4 + LayerStem::LENGTH + ".nearest".len());
    }
}
