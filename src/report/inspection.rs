//! The result of `inspect`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::layers::{Layer, Layers, OrderSource, Recognised};

use super::printable;
use super::table::{Align, bytes, counted, name_with_copies, optional, shape, table};

/// What `inspect --json` prints.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct InspectReport<'s> {
    /// The checkpoint.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Number of tensors.
    pub tensors: usize,
    /// Elements of all tensors.
    pub parameters: u64,
    /// Number of tensors of each element type.
    pub dtypes: BTreeMap<String, usize>,
    /// The file's own metadata.
    pub metadata: &'s BTreeMap<String, String>,
    /// Where the depth order comes from.
    pub order_source: OrderSource,
    /// The networks, or parts of them, that are known from their libraries.
    pub recognised: Vec<Recognised>,
    /// The layers in depth order.
    #[cfg_attr(test, schemars(with = "Vec<crate::layers::PrintedLayer>"))]
    pub layers: &'s [Layer],
    /// What the user should know.
    pub warnings: Vec<String>,
    #[serde(skip)]
    skip_shallow: usize,
}

impl<'s> InspectReport<'s> {
    /// Reports on the layers found in a checkpoint.
    pub fn new(source: &'s Checkpoint, layers: &'s Layers, skip_shallow: usize) -> Self {
        let tensors = source.tensors();
        let mut dtypes = BTreeMap::new();
        for tensor in tensors {
            *dtypes.entry(tensor.dtype.to_string()).or_default() += 1;
        }
        Self {
            file: source.path().display().to_string(),
            bytes: source.size(),
            tensors: tensors.len(),
            parameters: tensors.iter().map(|tensor| tensor.elements() as u64).sum(),
            dtypes,
            metadata: source.metadata(),
            order_source: layers.source,
            recognised: layers.recognised.clone(),
            layers: &layers.layers,
            warnings: layers.warnings.iter().map(ToString::to_string).collect(),
            skip_shallow,
        }
    }

    /// The file, then a table of its layers.
    pub fn to_text(&self, width: usize) -> String {
        let dtypes: Vec<String> = self
            .dtypes
            .iter()
            .map(|(dtype, tensors)| format!("{tensors} {dtype}"))
            .collect();
        let selected = self.layers.iter().filter(|layer| layer.selected()).count();
        let mut text = format!(
            "{}: {}, {} ({}), {}\n",
            printable(&self.file),
            bytes(self.bytes),
            counted(self.tensors as u64, "tensor"),
            dtypes.join(", "),
            counted(self.parameters, "parameter"),
        );
        for network in &self.recognised {
            let root = match &network.root[..] {
                "" => "Recognised".to_owned(),
                root => format!("Recognised `{}`", printable(root)),
            };
            let convolutions = counted(network.convolutions as u64, "convolution");
            text += &format!("{root} as {}: {convolutions}.\n", network.title);
        }
        text += &format!(
            "Depth order from {}. The first {} convolutions are left alone (--skip-shallow); {} of {} take part.\n\n",
            origin(self.order_source),
            self.skip_shallow,
            selected,
            counted(self.layers.len() as u64, "layer"),
        );
        let columns = [
            ("depth", Align::Right),
            ("layer", Align::Name),
            ("kind", Align::Left),
            ("shape", Align::Left),
            ("from", Align::Left),
            ("takes part", Align::Left),
        ];
        let rows = self.layers.iter().map(|layer| {
            vec![
                optional(layer.depth, |depth| depth.to_string()),
                name_with_copies(&layer.name, &layer.copies),
                match layer.groups {
                    1 => layer.kind.to_string(),
                    groups => format!("{}/{groups}", layer.kind),
                },
                shape(&layer.shape),
                match (layer.place_from.to_string(), layer.kind_from.to_string()) {
                    (place, kind) if place == kind => place,
                    (place, kind) => format!("{place}/{kind}"),
                },
                match layer.reason {
                    None => "yes".to_owned(),
                    Some(reason) => format!("no: {reason}"),
                },
            ]
        });
        text + &table(&columns, rows, width)
    }
}

/// Where an order comes from, in words.
fn origin(source: OrderSource) -> &'static str {
    match source {
        OrderSource::Metadata => "the file's metadata",
        OrderSource::File => "the --order file",
        OrderSource::Known => "what is known of the network",
        OrderSource::Declared => "the --layers file",
        OrderSource::Definition => "the order of definition, which the state dict keeps",
        OrderSource::Structure => "the structure of names and shapes",
        OrderSource::Natural => "names and shapes, which leave some of it open",
    }
}
