//! What a module's name says of when it runs among modules that could all run now.

use crate::layers::name::Segment;
use crate::layers::roles::{self, Role, ShortcutTurn};

/// The turn of a module: the lesser runs first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// A shortcut goes around something: it comes last.
    is_shortcut: bool,
    /// An upsampling opens its step of a decoder: all else is later.
    is_later: bool,
    /// Numbered convolutions, then numbered stages, then the rest, convolutions with a further word last.
    class: u8,
    number: Vec<(u64, char)>,
    /// Of branches the pooled one is last and the longer ones are later (all Inceptions).
    branch: (bool, usize),
    /// A joint follows the stage of its number; an upsampling comes before it.
    step: i8,
}

impl Turn {
    /// The turn that a name gives; `length` is that of the module's chain.
    pub fn of(segment: &Segment, length: usize) -> Self {
        let is_parallel = roles::is_parallel(segment);
        let is_numbered = !segment.ordinal.is_empty();
        let class = match (roles::is_convolution(segment), is_numbered) {
            _ if is_parallel => 2,
            // `conv_body` and `conv_hr` run behind the `body` (ESRGAN): before it they would be called a stem.
            (true, false) if segment.words.len() > 1 => 3,
            (true, true) => 0,
            (true, false) | (false, true) => 1,
            (false, false) => 2,
        };
        let opens_decoder_step =
            Role::of(segment) == Role::Decoder && !roles::is_decoder_step(segment);
        let step = if roles::opens_pair(segment) {
            -2
        } else if roles::is_joint(segment) && is_numbered {
            1
        } else if opens_decoder_step {
            -1
        } else {
            0
        };
        let (number, branch) = if is_parallel {
            (Vec::new(), (roles::is_pooled(segment), length))
        } else {
            (segment.ordinal.clone(), (false, 0))
        };
        Self {
            is_shortcut: roles::shortcut(segment) == Some(ShortcutTurn::Last),
            is_later: step != -1,
            class,
            number,
            branch,
            step,
        }
    }

    /// Without the bare fact that the module is called a convolution or not.
    pub fn without_class(self) -> Self {
        Self {
            class: self.class.min(1),
            ..self
        }
    }

    /// Without its number, which says nothing about a module of another list.
    pub fn without_number(self) -> Self {
        Self {
            number: Vec::new(),
            ..self
        }
    }
}
