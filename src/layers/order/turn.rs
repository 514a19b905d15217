//! The order by name of modules that could all run next.

use crate::layers::name::Segment;
use crate::layers::roles::{self, Role, ShortcutTurn};

/// Sort key of a module: the smallest runs first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    /// A shortcut goes around something: it comes last.
    is_shortcut: bool,
    /// An upsampling starts its step of a decoder; everything else is later.
    is_later: bool,
    /// 0: numbered convolutions; 1: other convolutions, numbered modules; 2: the rest; 3: convolutions with a further word.
    class: u8,
    number: Vec<(u64, char)>,
    /// Longer branches are later, and the pooled one is last (all Inceptions).
    branch: (bool, usize),
    /// What opens a pair (-2) or a decoder's step (-1) precedes the stage of its number, a joint (1) follows it.
    step: i8,
}

impl Turn {
    /// The key of a name; `length` is that of the module's chain.
    pub fn of(segment: &Segment, length: usize) -> Self {
        let is_parallel = roles::is_parallel(segment);
        let is_numbered = !segment.ordinal.is_empty();
        let class = match (roles::is_convolution(segment), is_numbered) {
            _ if is_parallel => 2,
            // `conv_body` and `conv_hr` run after the `body` (ESRGAN): before it, they would be named a stem.
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

    /// Merges classes 1 to 3, whose order is only a convention.
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
