//! What a list declares about the layers: their order and, where names and shapes leave it open, their properties.

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

/// The list that applies: the user's, or else the metadata's; a warning if the metadata's differs from the user's.
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
        // An invalid list does not apply.
        Err(_) => false,
    };
    let flag = declared.origin();
    let warning = (!agrees).then_some(Warning::MetadataOverruled { flag });
    Ok((Some(Cow::Borrowed(declared)), warning))
}
