//! What the user should know of a checkpoint that was opened.

use super::Names;

/// Something about an input that is no reason not to read it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Notice {
    #[error(
        "the file holds several state dicts: read is {chosen}, which has the most convolutions; not read: {others} (--state-dict takes another)"
    )]
    OtherStateDicts { chosen: String, others: Names },
    #[error(
        "also changed is what shares its values with {names} elsewhere in the file (another state dict, an optimizer), as the trainer has it"
    )]
    SharedElsewhere { names: Names },
    #[error(
        "left unchanged: {names} (sharing a part of another tensor, or no plain numbers; save with .contiguous() or .clone() to merge it)"
    )]
    Views { names: Names },
    #[error("left unchanged: {names} (sparse, quantised, or of a type that is not known here)")]
    UnknownTensors { names: Names },
    #[error(
        "the file names {names}: Python imports and may run that where the file is loaded with weights_only=False; nothing of it was run here"
    )]
    ForeignCode { names: Names },
}
