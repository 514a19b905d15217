//! Which layer a figure is of.

use crate::layers::Layer;

use super::text::{name, things};

/// A layer's name, for a title.
pub(super) fn title(layer: &Layer) -> String {
    name(&layer.name)
}

/// The line below the title: what is shown of a layer, and what the layer is.
pub(super) fn subtitle(what: &str, layer: &Layer) -> String {
    let shape: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
    // Not broken across lines.
    let shape = shape.join("\u{a0}\u{d7}\u{a0}");
    let mut parts = vec![what.to_owned()];
    if let Some(depth) = layer.depth {
        parts.push(format!("depth\u{a0}{depth}"));
    }
    parts.push(format!("{} {shape}", layer.kind));
    parts.push(things(layer.kernels as u64, "kernel"));
    if layer.groups > 1 {
        parts.push(things(layer.groups as u64, "group"));
    }
    if let Some(reason) = layer.reason {
        parts.push(reason.name().to_owned());
    }
    parts.join(" \u{b7} ")
}
