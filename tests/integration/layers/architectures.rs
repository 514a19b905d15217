//! What modules of public networks really do, as `fixtures/architectures` has it, and how well a layer model knows that.
//!
//! `src/layers/tests.rs` includes this file too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use inmerge_ckpt::checkpoint::{Dtype, Tensor};
use inmerge_ckpt::layers::{Kind, Layer, Layers, Reason};

/// What a fixture says of a convolution.
pub struct Truth {
    pub kind: Kind,
    pub groups: usize,
    pub place: Option<usize>,
}

/// An architecture.
pub struct Model {
    pub name: String,
    pub tensors: Vec<Tensor>,
    pub convolutions: BTreeMap<String, Truth>,
}

impl Model {
    pub fn read(path: &Path) -> Self {
        let mut model = Self {
            name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
            tensors: Vec::new(),
            convolutions: BTreeMap::new(),
        };
        let mut name = String::new();
        for line in fs::read_to_string(path).unwrap().lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            name.truncate(fields[0].parse().unwrap());
            name.push_str(fields[1]);
            let shape: Vec<usize> = fields[2]
                .split('x')
                .map(|extent| extent.parse().unwrap())
                .collect();
            model.tensors.push(tensor(&name, &shape));
            if let [kind, groups, place] = fields[3..] {
                let truth = Truth {
                    kind: kind.parse().unwrap(),
                    groups: groups.parse().unwrap(),
                    place: place.parse().ok(),
                };
                model.convolutions.insert(name.clone(), truth);
            }
        }
        model
    }

    /// Names of the convolutions that ran, in the order they did.
    pub fn order(&self) -> Vec<&str> {
        let mut order: Vec<(usize, &str)> = self
            .convolutions
            .iter()
            .filter_map(|(name, truth)| Some((truth.place?, name.as_str())))
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, name)| name).collect()
    }
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/architectures")
}

pub fn tensor(name: &str, shape: &[usize]) -> Tensor {
    Tensor {
        name: name.to_owned(),
        dtype: Dtype::F32,
        shape: shape.to_vec(),
        shard: 0,
        bytes: 0..0,
        arrangement: Default::default(),
    }
}

/// The names of the layers that have a depth.
pub fn names(layers: &Layers) -> Vec<&str> {
    layers
        .layers
        .iter()
        .filter(|layer| layer.depth.is_some())
        .map(|layer| layer.name.as_str())
        .collect()
}

/// How well the layer model does on an architecture.
#[derive(Debug, PartialEq, Eq)]
pub struct Score {
    /// Whether the sets of the first 5, 10 and 20 are the true ones.
    pub sets: [bool; 3],
    /// Whether the whole order is.
    pub whole: bool,
    /// Convolutions whose kind or groups are wrong and which are not skipped for it.
    pub wrong: usize,
    /// Convolutions skipped because kind or groups could not be told.
    pub untold: usize,
}

/// What a layer model found in an architecture, against the truth.
pub fn score(model: &Model, found: &Layers) -> Score {
    let found_names = names(found);
    let order = model.order();
    let ran: Vec<&str> = found_names
        .iter()
        .copied()
        .filter(|name| {
            model
                .convolutions
                .get(*name)
                .is_some_and(|truth| truth.place.is_some())
        })
        .collect();
    let first = |names: &[&str], count: usize| {
        names
            .iter()
            .take(count)
            .map(|&name| name.to_owned())
            .collect::<BTreeSet<String>>()
    };
    assert_eq!(
        found_names.len(),
        model.convolutions.len(),
        "{}: a convolution is missing or too many are found",
        model.name
    );
    let untold = |reason: &Option<Reason>| *reason == Some(Reason::Unsupported);
    let wrong = |layer: &&Layer| {
        let truth = &model.convolutions[&layer.name];
        !untold(&layer.reason) && (truth.kind, truth.groups) != (layer.kind, layer.groups)
    };
    let counted = || found.layers.iter().filter(|layer| layer.depth.is_some());
    Score {
        // The first 20 are counted over everything the file holds, so layers that only run in training count too.
        sets: [5, 10, 20]
            .map(|count| first(&order, count) == first(&found_names, count.min(order.len()))),
        whole: ran == order,
        wrong: counted().filter(wrong).count(),
        untold: counted().filter(|layer| untold(&layer.reason)).count(),
    }
}

/// Model, sets of the first 5, 10 and 20, whole order, wrong and untold kinds or groups.
pub type Shortfall = (&'static str, [bool; 3], bool, usize, usize);

/// Holds a layer model to all architectures. One that is not among the shortfalls must be right in everything; both a
/// regression and an improvement fail, with the rows that should stand there.
pub fn check_all(shortfalls: &[Shortfall], layers: impl Fn(&[Tensor]) -> Layers) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "tsv"))
        .collect();
    paths.sort();
    assert!(
        paths.len() >= 190,
        "fixtures are missing: only {} found",
        paths.len()
    );
    let mut differences = Vec::new();
    for path in paths {
        let model = Model::read(&path);
        let right = (model.name.as_str(), [true; 3], true, 0, 0);
        let (_, sets, whole, wrong, untold) = *shortfalls
            .iter()
            .find(|shortfall| shortfall.0 == model.name)
            .unwrap_or(&right);
        let expected = Score {
            sets,
            whole,
            wrong,
            untold,
        };
        let actual = score(&model, &layers(&model.tensors));
        if actual != expected {
            let Score {
                sets,
                whole,
                wrong,
                untold,
            } = actual;
            differences.push(format!(
                "    ({:?}, {sets:?}, {whole}, {wrong}, {untold}),",
                model.name
            ));
        }
    }
    assert!(
        differences.is_empty(),
        "these rows of SHORTFALLS should read:\n{}",
        differences.join("\n")
    );
}
