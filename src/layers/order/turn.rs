//! What a module's name says of when it runs among modules that could all run now.

use crate::layers::name::Segment;
use crate::layers::roles::{self, Role};

/// The turn of a module: the lesser runs first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// A shortcut goes around something: it comes last.
    is_shortcut: bool,
    /// An upsampling opens its step of a decoder: all else is later.
    is_later: bool,
    /// Numbered convolutions, then numbered stages, then the rest, convolutions with a further word last.
    pub class: u8,
    pub number: Vec<(u64, char)>,
    /// Of branches the pooled one is last and the longer ones are later (all Inceptions).
    branch: (bool, usize),
    /// A joint follows the stage of its number; an upsampling comes before it.
    step: i8,
}

impl Turn {
    /// The turn that a name gives; `length` is that of the module's chain.
    pub fn of(segment: &Segment, length: usize) -> Self {
        let convolution = segment
            .words
            .first()
            .is_some_and(|word| word.starts_with("conv"));
        let side = roles::is_parallel(segment);
        let class = match (convolution, segment.ordinal.is_empty()) {
            _ if side => 2,
            // `conv_body` and `conv_hr` run behind the `body` (ESRGAN): before it they would be called a stem.
            (true, true) if segment.words.len() > 1 => 3,
            (true, false) => 0,
            (true, true) | (false, false) => 1,
            (false, true) => 2,
        };
        let step = if segment.has(&["reduce", "squeeze", "scale"]) {
            -2
        } else if roles::is_joint(segment) && !segment.ordinal.is_empty() {
            1
        } else {
            i8::from(Role::of(segment) != Role::Decoder || segment.has(&["dec", "decoder"])) - 1
        };
        let branch = if side {
            (segment.has(&["pool"]), length)
        } else {
            (false, 0)
        };
        Self {
            is_shortcut: roles::shortcut(segment) == Some(false),
            is_later: step != -1,
            class,
            number: if side {
                Vec::new()
            } else {
                segment.ordinal.clone()
            },
            branch,
            step,
        }
    }
}
