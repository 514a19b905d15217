//! From a checkpoint and the flags that select layers to the layers themselves.

use std::path::Path;

use crate::checkpoint::{Checkpoint, Tensor};
use crate::cli::LayerFlags;
use crate::error::Error;
use crate::layers::{Copies, Declared, Layer, Layers, Selection};
use crate::settings::{PartialSettings, Settings, utf8};
use crate::weight::ConvWeight;

/// Fills the gaps that the flags leave from the configuration file and the defaults.
pub(super) fn settings(
    flags: PartialSettings,
    config: Option<&Path>,
    source: &Checkpoint,
) -> Result<Settings, Error> {
    settings_for(flags, config, source.path())
}

/// The same before there is a checkpoint; an error names what the settings are for.
pub(super) fn settings_for(
    flags: PartialSettings,
    config: Option<&Path>,
    subject: &Path,
) -> Result<Settings, Error> {
    let file = config
        .map(PartialSettings::read)
        .transpose()?
        .unwrap_or_default();
    Settings::resolve(flags, file).map_err(|error| Error::Layers {
        file: subject.to_owned(),
        error,
    })
}

/// Finds and selects the layers of a checkpoint.
pub(super) fn find(
    source: &Checkpoint,
    flags: &LayerFlags,
    settings: &Settings,
) -> Result<Layers, Error> {
    let declared = declared(flags)?;
    find_in(source, declared.as_ref(), flags, settings)
}

/// What the file says of the layers that `--order` or `--layers` names.
pub(super) fn declared(flags: &LayerFlags) -> Result<Option<Declared>, Error> {
    if let Some(file) = &flags.order {
        return Ok(Some(Declared::from_order(&read("--order", file)?)));
    }
    let Some(file) = &flags.layers else {
        return Ok(None);
    };
    let declared = Declared::from_json(&read("--layers", file)?);
    let declared = declared.map_err(|error| Error::Layers {
        file: file.clone(),
        error,
    })?;
    Ok(Some(declared))
}

/// As [`find`], with what the flags' file said when it was read.
pub(super) fn find_in(
    source: &Checkpoint,
    declared: Option<&Declared>,
    flags: &LayerFlags,
    settings: &Settings,
) -> Result<Layers, Error> {
    let layers = Layers::of(
        source.tensors(),
        source.metadata(),
        &copies(source, &settings.selection)?,
        declared,
        &settings.selection,
    )
    .map_err(
        |error| match flags.order.as_ref().or(flags.layers.as_ref()) {
            Some(file) if error.is_about_named_list() => Error::Layers {
                file: file.clone(),
                error,
            },
            _ => failed(source, error),
        },
    )?;
    settings
        .check_tables(layers.layers.iter().flat_map(Layer::names))
        .map_err(|error| failed(source, error))?;
    Ok(layers)
}

/// Finds the weights that stand in a checkpoint under several names.
///
/// # Errors
///
/// Where it cannot be read.
pub(super) fn copies(source: &Checkpoint, selection: &Selection) -> Result<Copies, Error> {
    let page = |tensor: &Tensor| source.first_values(tensor, Copies::PAGE_BYTES);
    let with_values =
        |tensor: &Tensor, use_them: &mut dyn FnMut(&[u8])| source.with_values(tensor, use_them);
    Ok(Copies::find(
        source.tensors(),
        selection,
        page,
        with_values,
    )?)
}

/// A layer's weight, in the tensor that holds it.
///
/// # Errors
///
/// Where its kernels are too many or too long to be compared.
pub(super) fn weight<'a>(
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
    let bytes = std::fs::read(file).map_err(|error| Error::LayerList {
        flag,
        file: file.to_owned(),
        error,
    })?;
    let text = utf8(&bytes).map_err(|line| Error::LayerListNotText {
        flag,
        file: file.to_owned(),
        line,
    });
    text.map(str::to_owned)
}

fn failed(source: &Checkpoint, error: crate::layers::Error) -> Error {
    Error::Layers {
        file: source.path().to_owned(),
        error,
    }
}
