//! What the user should know of a checkpoint that was opened.

use super::Names;

/// Something about an input that is no reason not to read it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Notice {
    #[error(
        "the file holds several state dicts: {chosen} is read, the one with the most convolutions; {others} stay as they are (another: --state-dict)"
    )]
    OtherStateDicts { chosen: String, others: Names },
    #[error(
        "not read, and left as they are: {names}, which show a part of a larger tensor; save them with .contiguous() or .clone() to merge them"
    )]
    Views { names: Names },
    #[error(
        "not read, and left as they are: {names}, which are sparse, quantised, or of a type that is not known here"
    )]
    UnknownTensors { names: Names },
    #[error(
        "names {names}, which Python imports and may run where this file is loaded without weights_only=True; nothing of that was run here"
    )]
    ForeignCode { names: Names },
}
