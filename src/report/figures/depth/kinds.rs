//! The layers' kinds: pointwise layers differ so much from those with an extent in space that nets which alternate them are
//! shown as two sequences.

use plotters::style::RGBColor;

use crate::layers::Kind;
use crate::report::figures::DepthPoint;
use crate::report::figures::colours::{ACCENT, MARK, SECOND};

/// Kinds that look alike in a figure: the rare ones share one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Conv,
    Pointwise,
    Other,
}

impl Look {
    pub const ALL: [Self; 3] = [Self::Conv, Self::Pointwise, Self::Other];

    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::Conv => Self::Conv,
            Kind::Pointwise => Self::Pointwise,
            Kind::Depthwise | Kind::Transposed | Kind::Linear => Self::Other,
        }
    }

    /// Of boxes.
    pub fn tint(self) -> RGBColor {
        match self {
            Self::Conv => ACCENT,
            Self::Pointwise => SECOND,
            Self::Other => MARK,
        }
    }
}

/// The looks of layers, each with the names of its kinds, for a legend.
pub(super) fn looks(layers: &[&DepthPoint<'_>]) -> Vec<(Look, String)> {
    let found = |kind: &Kind| layers.iter().any(|layer| layer.facts.kind == *kind);
    let names = |look: Look| {
        let kinds = Kind::ALL.into_iter().filter(found);
        let of_look = kinds.filter(|kind| Look::of(*kind) == look);
        of_look.map(Kind::name).collect::<Vec<_>>().join(", ")
    };
    let looks = Look::ALL.into_iter().map(|look| (look, names(look)));
    looks.filter(|(_, names)| !names.is_empty()).collect()
}
