//! What a user says of the layers: their order and, where names and shapes may not tell, what they are.

mod list;
mod resolve;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::error::Error;
use super::warning::Warning;

pub use list::{Declared, METADATA_KEY};
pub(super) use resolve::Resolved;

/// The list that applies: the user's, or that of the metadata. A warning where the metadata says otherwise than the user.
pub(super) fn choose<'a>(
    declared: Option<&'a Declared>,
    metadata: &BTreeMap<String, String>,
) -> Result<(Option<Cow<'a, Declared>>, Option<Warning>), Error> {
    let of_file = Declared::from_metadata(metadata);
    let Some(declared) = declared else {
        return Ok((of_file?.map(Cow::Owned), None));
    };
    let agrees = match of_file {
        Ok(of_file) => of_file.is_none_or(|of_file| of_file.layers() == declared.layers()),
        // What cannot be read does not apply.
        Err(_) => false,
    };
    let flag = declared.origin();
    let warning = (!agrees).then_some(Warning::MetadataOverruled { flag });
    Ok((Some(Cow::Borrowed(declared)), warning))
}
