//! What the user should know of a checkpoint that was opened.

use super::Names;

/// Something about an input that is no reason not to read it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Notice {
    #[error(
        "the file holds several state dicts: read is {chosen}, which has the most convolutions, and left unchanged {others} (--state-dict takes another)"
    )]
    OtherStateDicts { chosen: String, others: Names },
    #[error(
        "left unchanged: {names} (part of a larger tensor; save with .contiguous() or .clone() to merge it)"
    )]
    Views { names: Names },
    #[error("left unchanged: {names} (sparse, quantised, or of a type that is not known here)")]
    UnknownTensors { names: Names },
    #[error(
        "the file names {names}: Python imports and may run that where the file is loaded with weights_only=False; nothing of it was run here"
    )]
    ForeignCode { names: Names },
}
