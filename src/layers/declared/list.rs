//! A list of layers in order of execution, from a file or the metadata.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroUsize;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::layers::error::{Error, LIST_FLAGS};
use crate::layers::evidence::OrderSource;
use crate::layers::kind::Kind;

/// The metadata key of a list of layers, as [`Declared::from_json`] reads it.
pub const METADATA_KEY: &str = "inmerge.layers";

/// A list of layers in order of execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    source: OrderSource,
    layers: Vec<DeclaredLayer>,
}

/// What a list declares about one layer. What is `None` is inferred from names and shapes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct DeclaredLayer {
    /// Name of its weight.
    pub name: String,
    /// [`Kind::Conv`] and [`Kind::Pointwise`] only say that it is not transposed; the rest follows from groups and extents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Groups of its input channels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<NonZeroUsize>,
    /// Whether its kernels are classes or another output, not features.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<bool>,
    /// Whether its outputs scale channels, as those of a squeeze-and-excite gate do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<bool>,
    /// Path of the BatchNorm that reads its outputs, as `layer1.0.bn1`; empty if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<String>,
    /// Name of the layer whose weight it copies; a copy has no position in the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<String>,
}

impl Declared {
    /// Parses a `--layers` file: a JSON list whose items are weight names, or objects with `name` and any of `kind`,
    /// `groups`, `head`, `gate`, `norm` and `copy_of`.
    ///
    /// # Errors
    ///
    /// If the text is no such list; the message gives line and column.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        Self::read(OrderSource::Declared, text)
    }

    /// Parses an `--order` file: one weight name per line; blank lines and lines that start with `#` are skipped.
    pub fn from_order(text: &str) -> Self {
        let names = text.trim_start_matches('\u{feff}').lines().map(str::trim);
        let names = names.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self {
            source: OrderSource::File,
            layers: names.map(DeclaredLayer::named).collect(),
        }
    }

    /// The list in a checkpoint's own metadata, if there is one.
    ///
    /// # Errors
    ///
    /// If the metadata's value is no such list.
    pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Result<Option<Self>, Error> {
        let text = metadata.get(METADATA_KEY);
        text.map(|text| Self::read(OrderSource::Metadata, text))
            .transpose()
    }

    fn read(source: OrderSource, text: &str) -> Result<Self, Error> {
        let origin = origin(source);
        serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .map(|layers| Self { source, layers })
            .map_err(|error| Error::NotAList {
                origin,
                problem: error.to_string(),
            })
    }

    /// Where the list comes from.
    pub fn source(&self) -> OrderSource {
        self.source
    }

    /// The layers, in the order in which they were listed.
    pub fn layers(&self) -> &[DeclaredLayer] {
        &self.layers
    }

    /// Names of copies, each with the name of its original. A checkpoint need not hold both.
    pub fn copies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.layers
            .iter()
            .filter_map(|layer| Some((layer.name.as_str(), layer.copy_of.as_deref()?)))
    }

    /// Names of layers, each with the path of the norm that is declared for it.
    pub(in crate::layers) fn norms(&self) -> impl Iterator<Item = (&str, &str)> {
        self.layers
            .iter()
            .filter_map(|layer| Some((layer.name.as_str(), layer.norm.as_deref()?)))
    }

    /// Its name in messages.
    pub(in crate::layers) fn origin(&self) -> &'static str {
        origin(self.source)
    }
}

fn origin(source: OrderSource) -> &'static str {
    match source {
        OrderSource::File => LIST_FLAGS[0],
        OrderSource::Declared => LIST_FLAGS[1],
        _ => "metadata `inmerge.layers`",
    }
}

impl Serialize for Declared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.layers.serialize(serializer)
    }
}

impl DeclaredLayer {
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }
}

// `remote` keeps serde's derived code as plain functions, for items with keys; a name alone is an item without others.

impl Serialize for DeclaredLayer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self == Self::named(&self.name) {
            serializer.serialize_str(&self.name)
        } else {
            Self::serialize(self, serializer)
        }
    }
}

impl<'de> Deserialize<'de> for DeclaredLayer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrItem)
    }
}

/// Unlike serde's untagged enums, it reports what is wrong with an item, and where.
struct NameOrItem;

impl<'de> Visitor<'de> for NameOrItem {
    type Value = DeclaredLayer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a weight name or an object with `name`")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<DeclaredLayer, E> {
        Ok(DeclaredLayer::named(name))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<DeclaredLayer, A::Error> {
        DeclaredLayer::deserialize(MapAccessDeserializer::new(map))
    }
}
