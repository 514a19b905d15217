//! The stages of a network, from the names of its layers.

use std::collections::HashMap;

use super::{Scope, SweptLayer};

/// The number of runs of several layers from which a level of names is taken for that of the stages.
const MIN_RUNS: usize = 3;

/// The stages, in depth order: runs of layers under one name, such as `layer3` or `features.denseblock4`.
///
/// The level of names is the first with at least three runs of several layers, or else the one with most, at least two.
/// If layers are only numbered, as in a VGG, a run ends where the number of kernels changes or a number is missing because of
/// pooling: `features.20–28`. Empty if neither separates stages.
pub fn stages(layers: &[SweptLayer]) -> Vec<Scope> {
    let names: Vec<Vec<&str>> = layers.iter().map(|layer| parts(&layer.name)).collect();
    let deepest = names.iter().map(Vec::len).max().unwrap_or(0);
    let mut best: Option<(usize, Vec<Scope>)> = None;
    for level in 1..deepest {
        let key = |index: usize| {
            let name = &names[index];
            name[..level.min(name.len())].join(".")
        };
        let runs = runs(layers, |a, b| key(a) == key(b), |first, _| key(first));
        let several = runs.iter().filter(|run| run.first < run.last).count();
        if several >= MIN_RUNS {
            return distinct(runs);
        }
        if several >= 2 && best.as_ref().is_none_or(|best| several > best.0) {
            best = Some((several, runs));
        }
    }
    distinct(match best {
        Some((_, runs)) => runs,
        None => numbered(layers, &names),
    })
}

/// The parts of a layer's name, without the final `weight`.
fn parts(name: &str) -> Vec<&str> {
    let name = name.strip_suffix(".weight").unwrap_or(name);
    name.split('.').collect()
}

/// Runs of consecutive layers that belong together. `is_same` and `label` take the indices of two layers.
fn runs(
    layers: &[SweptLayer],
    is_same: impl Fn(usize, usize) -> bool,
    label: impl Fn(usize, usize) -> String,
) -> Vec<Scope> {
    let indices: Vec<usize> = (0..layers.len()).collect();
    let run = |indices: &[usize]| {
        let (first, last) = (indices[0], indices[indices.len() - 1]);
        Scope {
            label: label(first, last),
            first: layers[first].depth,
            last: layers[last].depth,
        }
    };
    let runs = indices.chunk_by(|&a, &b| layers[a].depth < layers[b].depth && is_same(a, b));
    runs.map(run).collect()
}

/// The stages of layers whose names end in numbers.
fn numbered(layers: &[SweptLayer], names: &[Vec<&str>]) -> Vec<Scope> {
    let numbers: Option<Vec<(String, usize)>> = names
        .iter()
        .map(|name| {
            let (number, sequence) = name.split_last()?;
            Some((sequence.join("."), number.parse().ok()?))
        })
        .collect();
    let Some(numbers) = numbers else {
        return Vec::new();
    };
    let steps = numbers.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    let usual = steps
        .filter_map(|pair| pair[1].1.checked_sub(pair[0].1))
        .min();
    let is_same = |a: usize, b: usize| {
        let (one, next) = (&numbers[a], &numbers[b]);
        one.0 == next.0
            && next.1.checked_sub(one.1) == usual
            && layers[a].kernels == layers[b].kernels
    };
    let label = |first: usize, last: usize| {
        let name = names[first].join(".");
        if first == last {
            name
        } else {
            format!("{name}\u{2013}{}", numbers[last].1)
        }
    };
    let runs = runs(layers, is_same, label);
    match runs.iter().filter(|run| run.first < run.last).count() {
        0 => Vec::new(),
        _ => runs,
    }
}

/// Makes labels distinct by numbering those that repeat.
fn distinct(mut stages: Vec<Scope>) -> Vec<Scope> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for stage in &mut stages {
        let times = seen.entry(stage.label.clone()).or_default();
        *times += 1;
        if *times > 1 {
            stage.label = format!("{} ({times})", stage.label);
        }
    }
    stages
}

#[cfg(test)]
mod tests {
    use super::super::sweep::tests::layer;
    use super::*;

    fn labels(names: &[(&str, usize)]) -> Vec<String> {
        let layers: Vec<SweptLayer> = names
            .iter()
            .enumerate()
            .map(|(index, &(name, kernels))| layer(&format!("{name}.weight"), index + 1, kernels))
            .collect();
        let stages = stages(&layers);
        let stages = stages.iter();
        stages
            .map(|s| format!("{} {}-{}", s.label, s.first, s.last))
            .collect()
    }

    #[test]
    fn a_resnet_has_its_layers_and_the_stem() {
        let names = [
            ("conv1", 8),
            ("layer1.0.conv1", 8),
            ("layer1.0.conv2", 8),
            ("layer2.0.conv1", 8),
            ("layer2.0.downsample.0", 8),
            ("layer3.0.conv1", 8),
            ("layer3.1.conv1", 8),
        ];
        let expected = ["conv1 1-1", "layer1 2-3", "layer2 4-5", "layer3 6-7"];
        assert_eq!(labels(&names), expected);
    }

    #[test]
    fn a_common_container_is_looked_into() {
        let names = [
            ("features.conv0", 8),
            ("features.denseblock1.denselayer1.conv1", 8),
            ("features.denseblock1.denselayer1.conv2", 8),
            ("features.transition1.conv", 8),
            ("features.denseblock2.denselayer1.conv1", 8),
            ("features.denseblock2.denselayer1.conv2", 8),
            ("features.transition2.conv", 8),
            ("features.denseblock3.denselayer1.conv1", 8),
            ("features.denseblock3.denselayer1.conv2", 8),
        ];
        let expected = [
            "features.conv0 1-1",
            "features.denseblock1 2-3",
            "features.transition1 4-4",
            "features.denseblock2 5-6",
            "features.transition2 7-7",
            "features.denseblock3 8-9",
        ];
        assert_eq!(labels(&names), expected);
    }

    #[test]
    fn numbers_left_out_and_widths_part_a_sequence() {
        // VGG-16's first and last layers: pooling takes a number.
        let names = [
            ("features.0", 64),
            ("features.2", 64),
            ("features.5", 128),
            ("features.7", 128),
            ("features.17", 512),
            ("features.19", 512),
            ("features.21", 512),
            ("features.24", 512),
            ("features.26", 512),
            ("features.28", 512),
        ];
        let expected = [
            "features.0\u{2013}2 1-2",
            "features.5\u{2013}7 3-4",
            "features.17\u{2013}21 5-7",
            "features.24\u{2013}28 8-10",
        ];
        assert_eq!(labels(&names), expected);
    }

    #[test]
    fn names_that_tell_nothing_make_no_stages() {
        assert!(labels(&[("a", 1), ("b", 1), ("c", 1)]).is_empty());
        assert!(labels(&[("0", 4), ("7", 8), ("9", 16)]).is_empty());
        assert!(labels(&[]).is_empty());
    }

    #[test]
    fn a_name_that_comes_back_is_another_stage() {
        let names = [
            ("a.0", 1),
            ("a.1", 1),
            ("b.0", 1),
            ("b.1", 1),
            ("a.2", 1),
            ("a.3", 1),
        ];
        assert_eq!(labels(&names), ["a 1-2", "b 3-4", "a (2) 5-6"]);
    }
}
