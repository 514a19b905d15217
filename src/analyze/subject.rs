//! The layers of a checkpoint that are analysed.

use std::collections::BTreeMap;

use crate::analysis::{self, LayerDrawings, LayerNumbers, LayerTask};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::compute::Compute;
use crate::layers::{Layer, Layers, Reason};
use crate::meter::{Meter, WorkEstimate};
use crate::selection;
use crate::similarity::LayerSize;

use super::Error;

/// The layers of a checkpoint that are to be analysed: those that take part, and those that are left alone for their depth
/// only, as that is what the report is to help to choose.
#[derive(Debug)]
pub struct Subject<'a> {
    pub(super) source: &'a Checkpoint,
    pub(super) layers: Vec<(&'a Layer, LayerTask<'a>)>,
}

impl<'a> Subject<'a> {
    /// Of the layers as they were found, whether their spectra are computed.
    ///
    /// # Errors
    ///
    /// Where a layer is too large to be compared.
    pub fn new(source: &'a Checkpoint, layers: &'a Layers, spectrum: bool) -> Result<Self, Error> {
        let is_wanted = |layer: &&Layer| layer.selected() || layer.reason == Some(Reason::Shallow);
        let task = |layer: &'a Layer| {
            let tensor = &source.tensors()[layer.tensor];
            Ok((layer, task(source, layer, tensor, spectrum)?))
        };
        Ok(Self {
            source,
            layers: layers
                .layers
                .iter()
                .filter(is_wanted)
                .map(task)
                .collect::<Result<_, Error>>()?,
        })
    }

    /// The same layers of another checkpoint, to be measured and not drawn.
    ///
    /// # Errors
    ///
    /// Where it has not the same layers.
    pub fn counterpart(&self, source: &'a Checkpoint) -> Result<Self, Error> {
        let tensors: BTreeMap<&str, &Tensor> = source
            .tensors()
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor))
            .collect();
        let counterpart = |&(layer, ref own): &(&'a Layer, LayerTask<'a>)| {
            let is_alike = |tensor: &&Tensor| {
                let own = own.weight.tensor();
                tensor.shape == own.shape && tensor.dtype == own.dtype
            };
            let tensor = tensors.get(layer.name.as_str()).copied();
            let tensor = tensor.filter(is_alike).ok_or_else(|| Error::OtherRun {
                file: source.path().to_owned(),
                layer: layer.name.clone(),
                dtype: own.weight.tensor().dtype.to_string(),
                shape: layer.shape.clone(),
                other: self.source.path().to_owned(),
            })?;
            let mut task = task(source, layer, tensor, own.spectrum)?;
            task.drawings = false;
            Ok((layer, task))
        };
        Ok(Self {
            source,
            layers: self
                .layers
                .iter()
                .map(counterpart)
                .collect::<Result<_, Error>>()?,
        })
    }

    /// The work ahead.
    pub fn estimate(&self) -> WorkEstimate {
        let products = self.layers.iter().map(|(_, task)| task.products());
        WorkEstimate {
            products: products.fold(0, u64::saturating_add),
            ..WorkEstimate::default()
        }
    }

    /// The sizes of its layers.
    pub fn sizes(&self) -> Vec<LayerSize> {
        let weights = self.layers.iter().map(|(_, task)| &task.weight);
        weights.map(LayerSize::of).collect()
    }

    /// Analyses every layer, and has `finish` make something of each while its drawings are at hand.
    pub fn analyse<R: Send + Sync>(
        &self,
        compute: &Compute,
        meter: &dyn Meter,
        finish: impl Fn(usize, LayerNumbers, Option<LayerDrawings>) -> Result<R, Error> + Sync,
    ) -> Result<Vec<R>, Error> {
        let tasks: Vec<&LayerTask<'_>> = self.layers.iter().map(|(_, task)| task).collect();
        analysis::run(self.source, &tasks, compute, meter, finish)
    }
}

fn task<'a>(
    source: &Checkpoint,
    layer: &Layer,
    tensor: &'a Tensor,
    spectrum: bool,
) -> Result<LayerTask<'a>, Error> {
    Ok(LayerTask {
        weight: selection::weight(source, layer, tensor)?,
        spectrum,
        drawings: true,
    })
}
