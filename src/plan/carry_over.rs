//! Carrying a plan over to another checkpoint of the same net, such as averaged weights (EMA) or an optimizer's momentum.

use std::collections::{HashMap, HashSet};

use crate::checkpoint::Checkpoint;

use super::{Plan, PlannedLayer, Problem, SourceId};

impl Plan {
    /// The same merges for `source`, a checkpoint whose names are the plan's with `prefix` in front. Its header, size and
    /// dtypes may differ from those of the plan's checkpoint. [`Recipe::check`](super::Recipe::check) compares shapes and
    /// kernels.
    ///
    /// If a weight has several names, one of them is enough: an optimizer keeps one buffer for all. Those that exist must
    /// hold the same values, as in any plan.
    ///
    /// The similarities are dropped, because they belong to the kernels of the plan's checkpoint.
    ///
    /// # Errors
    ///
    /// If the checkpoint has none of a layer's names.
    pub fn carried_over(mut self, prefix: &str, source: &Checkpoint) -> Result<Self, Problem> {
        let names = source.tensors().iter().map(|tensor| &tensor.name[..]);
        let names: HashSet<&str> = names.collect();
        for layer in &mut self.layers {
            let own = std::iter::once(&layer.name).chain(&layer.copies);
            let mut there: Vec<String> = own
                .map(|name| format!("{prefix}{name}"))
                .filter(|name| names.contains(&name[..]))
                .collect();
            if there.is_empty() {
                let name = format!("{prefix}{}", layer.name);
                return Err(missing(name, prefix, layer, source));
            }
            layer.copies = there.split_off(1);
            layer.name = there.remove(0);
            // An optimizer keeps no running statistics.
            for list in [&mut layer.carried.blended, &mut layer.carried.variances] {
                list.iter_mut().for_each(|name| name.insert_str(0, prefix));
                list.retain(|name| names.contains(&name[..]));
            }
            layer.max_similarity = None;
            for merge in &mut layer.merges {
                merge.similarity = None;
            }
        }
        for layer in &mut self.skipped {
            layer.name.insert_str(0, prefix);
        }
        self.source = SourceId::of(source);
        Ok(self)
    }
}

/// How a checkpoint's names relate to those of a plan for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation<'a> {
    /// They are the plan's with this prefix, which may be empty.
    Before(&'a str),
    /// They are the plan's without this prefix.
    Without(&'a str),
}

impl Plan {
    /// How the names in a checkpoint relate to those of the plan's layers; `None` if no prefix matches all names and shapes.
    pub(super) fn relation<'a>(&'a self, source: &'a Checkpoint) -> Option<Relation<'a>> {
        let tensors = source.tensors().iter();
        let shapes: HashMap<&str, &[usize]> = tensors
            .map(|tensor| (&tensor.name[..], &tensor.shape[..]))
            .collect();
        let has = |name: &str, layer: &PlannedLayer| {
            shapes.get(name).is_some_and(|shape| *shape == layer.shape)
        };
        let has_all = |name: &dyn Fn(&str) -> Option<String>| {
            let mut layers = self.layers.iter();
            layers.all(|layer| name(&layer.name).is_some_and(|name| has(&name, layer)))
        };
        let first = self.layers.first()?;
        let before =
            prefixes(first, source).find(|prefix| has_all(&|name| Some(format!("{prefix}{name}"))));
        let without = || {
            let ends = first.name.match_indices(PREFIX_ENDS);
            let mut prefixes = ends.map(|(at, end)| &first.name[..at + end.len()]);
            prefixes.find(|&prefix| has_all(&|name| Some(name.strip_prefix(prefix)?.to_owned())))
        };
        before
            .map(Relation::Before)
            .or_else(|| without().map(Relation::Without))
    }
}

/// How a prefix ends, unless it is empty.
const PREFIX_ENDS: [char; 3] = ['.', '/', '_'];

/// The prefixes under which a checkpoint has a layer.
fn prefixes<'a>(layer: &PlannedLayer, source: &'a Checkpoint) -> impl Iterator<Item = &'a str> {
    source.tensors().iter().filter_map(|tensor| {
        let prefix = tensor.name.strip_suffix(&layer.name[..])?;
        let is_prefix = prefix.is_empty() || prefix.ends_with(PREFIX_ENDS);
        (is_prefix && tensor.shape == layer.shape).then_some(prefix)
    })
}

/// The error that names the missing tensor, and a prefix under which the checkpoint has the layer, if there is one.
fn missing(name: String, prefix: &str, layer: &PlannedLayer, source: &Checkpoint) -> Problem {
    let remedy = match prefixes(layer, source).next() {
        Some(other) => format!("with --prefix '{other}' it would be found"),
        None => "correct the prefix, or make a plan for this checkpoint".to_owned(),
    };
    Problem::UnknownNamesake {
        name,
        prefix: prefix.to_owned(),
        layer: layer.name.clone(),
        remedy,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::plan::Recipe;

    use super::*;

    #[test]
    fn only_names_and_shapes_need_to_fit() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let source = Checkpoint::open(&fixtures.join("checkpoints/demo.safetensors")).unwrap();
        let mut plan = Plan::read(&fixtures.join("golden/demo.plan.json")).unwrap();
        plan.source.bytes += 1;
        assert!(Recipe::check(&plan, &source).is_err());
        let carried = plan.clone().carried_over("", &source).unwrap();
        assert_eq!(carried.source, SourceId::of(&source));
        let recipe = Recipe::check(&carried, &source).unwrap();
        let merges = recipe.layers.iter().flat_map(|layer| layer.rounds.concat());
        let planned = plan.layers.iter().flat_map(|layer| &layer.merges);
        assert!(merges.eq(planned.map(|merge| (merge.kernel, merge.partner))));

        plan.layers[0].shape[0] += 1;
        let other_shape = plan.carried_over("", &source).unwrap();
        let refused = Recipe::check(&other_shape, &source).unwrap_err();
        assert!(matches!(refused, Problem::OtherShape { .. }), "{refused}");
    }
}
