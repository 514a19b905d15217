//! Which layers are merged.

use std::collections::BTreeSet;

use super::error::Error;
use super::kind::Kind;
use super::pattern::NamePattern;
use super::reason::Reason;

/// What the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// `--skip-shallow`: how many convolutions, counted from the input of each network, are left alone.
    pub skip_shallow: usize,
    /// `--include`: if there are any, only layers that one of these globs fits are merged.
    pub include: Vec<String>,
    /// `--exclude`: layers that one of these globs fits are not merged.
    pub exclude: Vec<String>,
    /// `--kinds`: the kinds that are merged.
    pub kinds: BTreeSet<Kind>,
}

impl Selection {
    /// The default of [`Selection::skip_shallow`]: the authors' `shallow_layers = 10`.
    pub const SKIP_SHALLOW: usize = 10;
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            skip_shallow: Self::SKIP_SHALLOW,
            include: Vec::new(),
            exclude: Vec::new(),
            kinds: BTreeSet::from(Kind::DEFAULT),
        }
    }
}

/// A selection whose globs have been read.
pub(super) struct Globs {
    pub include: Vec<NamePattern>,
    pub exclude: Vec<NamePattern>,
}

impl Globs {
    /// Read the globs of a selection.
    pub fn of(selection: &Selection) -> Result<Self, Error> {
        let read = |origin, globs: &[String]| {
            globs
                .iter()
                .map(|glob| NamePattern::new(origin, glob))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            include: read("--include", &selection.include)?,
            exclude: read("--exclude", &selection.exclude)?,
        })
    }

    /// Each glob must fit some layer.
    pub fn require_matches<'a>(
        &self,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), Error> {
        self.include
            .iter()
            .chain(&self.exclude)
            .try_for_each(|pattern| pattern.require_match(names.clone()))
    }

    /// Whether the globs leave a layer out; a glob fits a layer if it fits one of the names of its weight.
    pub fn leave_out(&self, names: &[&str]) -> bool {
        let fits = |pattern: &NamePattern| pattern.matches_any(names.iter().copied());
        (!self.include.is_empty() && !self.include.iter().any(fits))
            || self.exclude.iter().any(fits)
    }
}

/// What the layer model knows of a layer when it decides.
pub(super) struct SelectionInput<'a> {
    /// All names of its weight.
    pub names: &'a [&'a str],
    pub kind: Kind,
    pub depth: Option<usize>,
    pub kernels: usize,
    pub supported: bool,
    pub gate: bool,
    pub head: bool,
}

/// Why a layer is not merged; the first of [`Reason::PRECEDENCE`] that applies.
pub(super) fn reason(
    input: &SelectionInput<'_>,
    selection: &Selection,
    globs: &Globs,
) -> Option<Reason> {
    if !input.supported {
        return Some(Reason::Unsupported);
    }
    if !selection.kinds.contains(&input.kind) {
        return Some(match input.kind {
            Kind::Depthwise => Reason::Depthwise,
            Kind::Transposed => Reason::Transposed,
            Kind::Linear => Reason::Linear,
            Kind::Conv | Kind::Pointwise => Reason::Excluded,
        });
    }
    if input.gate {
        Some(Reason::SqueezeExcite)
    } else if input.head {
        Some(Reason::Head)
    } else if input.kernels < 2 {
        Some(Reason::SingleKernel)
    } else if globs.leave_out(input.names) {
        Some(Reason::Excluded)
    } else if input
        .depth
        .is_some_and(|depth| depth <= selection.skip_shallow)
    {
        Some(Reason::Shallow)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_a_precedence() {
        let selection = Selection {
            skip_shallow: 5,
            exclude: vec!["a*".into()],
            ..Selection::default()
        };
        let globs = Globs::of(&selection).unwrap();
        let mut input = SelectionInput {
            names: &["b", "a"],
            kind: Kind::Depthwise,
            depth: Some(1),
            kernels: 1,
            supported: false,
            gate: true,
            head: true,
        };
        let mut given = Vec::new();
        for step in 0..7 {
            given.push(reason(&input, &selection, &globs));
            match step {
                0 => input.supported = true,
                1 => input.kind = Kind::Conv,
                2 => input.gate = false,
                3 => input.head = false,
                4 => input.kernels = 2,
                5 => input.names = &["b"],
                _ => {}
            }
        }
        input.depth = Some(6);
        given.push(reason(&input, &selection, &globs));
        let expected = [
            Reason::Unsupported,
            Reason::Depthwise,
            Reason::SqueezeExcite,
            Reason::Head,
            Reason::SingleKernel,
            Reason::Excluded,
            Reason::Shallow,
        ];
        assert_eq!(
            given,
            expected
                .map(Some)
                .into_iter()
                .chain([None])
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_kind_not_asked_for_is_a_reason() {
        let selection = Selection {
            kinds: BTreeSet::from([Kind::Depthwise]),
            ..Selection::default()
        };
        let globs = Globs::of(&selection).unwrap();
        for (kind, expected) in [
            (Kind::Conv, Reason::Excluded),
            (Kind::Pointwise, Reason::Excluded),
            (Kind::Transposed, Reason::Transposed),
            (Kind::Linear, Reason::Linear),
        ] {
            let input = SelectionInput {
                names: &["a"],
                kind,
                depth: Some(99),
                kernels: 9,
                supported: true,
                gate: false,
                head: false,
            };
            assert_eq!(reason(&input, &selection, &globs), Some(expected));
        }
    }
}
