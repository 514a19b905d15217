//! From a checkpoint and what the user wants to the layers that take part.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::checkpoint::{self, Checkpoint, Tensor};
use crate::layers::{self, Copies, Declared, Layer, Layers, Selection, Warning};
use crate::settings::{self, PartialSettings, Settings, utf8};
use crate::weight::ConvWeight;

/// A checkpoint's layers could not be told or selected.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Error {
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    #[error(transparent)]
    Settings(#[from] settings::Error),
    #[error("{}: {error}", file.display())]
    Layers {
        file: PathBuf,
        error: Box<layers::Error>,
    },
    #[error("{flag} {}: cannot be read ({error}); check the path", file.display())]
    Unreadable {
        flag: &'static str,
        file: PathBuf,
        error: std::io::Error,
    },
    #[error(
        "{flag} {}: line {line} is no UTF-8; save it as UTF-8 text, or check the path",
        file.display()
    )]
    NotText {
        flag: &'static str,
        file: PathBuf,
        line: usize,
    },
    #[error(
        "{}: layer `{layer}` is too large to compare (more than 2147483647 kernels or numbers in one); leave it out with --exclude",
        file.display()
    )]
    Unmergeable { file: PathBuf, layer: String },
}

impl Error {
    fn of_layers(error: layers::Error, file: &Path) -> Self {
        Self::Layers {
            file: file.to_owned(),
            error: Box::new(error),
        }
    }
}

/// What a file says of the layers.
#[derive(Clone, Debug)]
pub struct Declaration {
    file: PathBuf,
    declared: Declared,
    /// Whether the file is a mere list of names.
    is_order: bool,
}

impl Declaration {
    /// Reads the depth order: one weight name a line (`--order`).
    ///
    /// # Errors
    ///
    /// Where the file cannot be read or is no text.
    pub fn read_order(file: &Path) -> Result<Self, Error> {
        Ok(Self {
            declared: Declared::from_order(&read("--order", file)?),
            file: file.to_owned(),
            is_order: true,
        })
    }

    /// Reads order, kinds, groups, heads and copies from JSON (`--layers`).
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, or does not describe layers.
    pub fn read_layers(file: &Path) -> Result<Self, Error> {
        let declared = Declared::from_json(&read("--layers", file)?);
        let declared = declared.map_err(|error| Error::of_layers(error, file))?;
        Ok(Self {
            declared,
            file: file.to_owned(),
            is_order: false,
        })
    }

    /// Adds it to a description of settings.
    pub fn describe(&self, description: &mut Value) {
        let flag = if self.is_order { "order" } else { "layers" };
        description[flag] = json!(self.declared);
    }
}

/// Fills the gaps that the flags leave from the configuration file and the defaults. An error names what the settings are for.
///
/// # Errors
///
/// Where the file cannot be read or is malformed, or a glob is.
pub fn settings(
    flags: PartialSettings,
    config: Option<&Path>,
    subject: &Path,
) -> Result<Settings, Error> {
    let file = config.map(PartialSettings::read).transpose()?;
    Settings::resolve(flags, file.unwrap_or_default())
        .map_err(|error| Error::of_layers(error, subject))
}

/// Finds a checkpoint's layers, and selects those that take part.
///
/// # Errors
///
/// Where the checkpoint cannot be read, a pattern or a declared name matches no layer, or layers contradict each other.
pub fn find(
    source: &Checkpoint,
    settings: &Settings,
    declaration: Option<&Declaration>,
) -> Result<Layers, Error> {
    let failed = |error| Error::of_layers(error, source.path());
    let selection = &settings.selection;
    let read = if source.is_in_definition_order() {
        Layers::of_state_dict
    } else {
        Layers::of
    };
    let mut layers = read(
        source.tensors(),
        source.metadata(),
        &copies(source, selection)?,
        declaration.map(|declaration| &declaration.declared),
        selection,
    )
    .map_err(|error| match declaration {
        Some(Declaration { file, .. }) if error.is_about_named_list() => {
            Error::of_layers(error, file)
        }
        _ => failed(error),
    })?;
    let notices = source.notices().iter().cloned().map(Warning::File);
    layers.warnings.splice(0..0, notices);
    settings
        .check_tables(layers.layers.iter().flat_map(Layer::names))
        .map_err(failed)?;
    Ok(layers)
}

/// Finds the weights that stand in a checkpoint under several names.
///
/// # Errors
///
/// Where it cannot be read.
pub fn copies(source: &Checkpoint, selection: &Selection) -> Result<Copies, checkpoint::Error> {
    let page = |tensor: &Tensor| source.first_values(tensor, Copies::PAGE_BYTES);
    let with_values =
        |tensor: &Tensor, use_them: &mut dyn FnMut(&[u8])| source.with_values(tensor, use_them);
    Copies::find(source.tensors(), selection, page, with_values)
}

/// A layer's weight, in the tensor that holds it.
///
/// # Errors
///
/// Where its kernels are too many or too long to be compared.
pub fn weight<'a>(
    source: &Checkpoint,
    layer: &Layer,
    tensor: &'a Tensor,
) -> Result<ConvWeight<'a>, Error> {
    let weight = ConvWeight::new(tensor, layer.kind, layer.groups);
    weight
        .map(|weight| weight.with_channels_last(layer.channels_last))
        .ok_or_else(|| Error::Unmergeable {
            file: source.path().to_owned(),
            layer: layer.name.clone(),
        })
}

fn read(flag: &'static str, file: &Path) -> Result<String, Error> {
    let bytes = std::fs::read(file).map_err(|error| Error::Unreadable {
        flag,
        file: file.to_owned(),
        error,
    })?;
    let text = utf8(&bytes).map_err(|line| Error::NotText {
        flag,
        file: file.to_owned(),
        line,
    });
    text.map(str::to_owned)
}
