//! What must hold of any merge: algebra on random checkpoints, and the statistics of the draws.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroU32;
use std::path::Path;

use clap::Parser;
use inmerge_ckpt::apply::apply;
use inmerge_ckpt::atomic::Durability;
use inmerge_ckpt::checkpoint::{Checkpoint, Destination, Draft};
use inmerge_ckpt::cli::Cli;
use inmerge_ckpt::commands;
use inmerge_ckpt::console::Terminal;
use inmerge_ckpt::layers::Kind;
use inmerge_ckpt::plan::{
    Cosine, Decision, Fraction, LayerParameters, Merge, Parameters, Partner, Plan, PlannedLayer,
    Recipe, Rules, SourceId, Task, Threshold,
};
use inmerge_ckpt::similarity::{Engine, NonFinite, Precision};
use inmerge_ckpt::weight::ConvWeight;
use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

/// A pointwise weight of `kernels.len()` kernels.
#[derive(Clone, Debug)]
struct Weight {
    name: String,
    kernels: Vec<Vec<f32>>,
}

/// Kernels of a few numbers from a small set, so that ties, zero kernels and equal kernels are common.
fn kernels() -> impl Strategy<Value = Vec<Vec<f32>>> {
    let numbers = prop::sample::select(vec![-1.0f32, -0.5, 0.0, 0.5, 1.0, 1.5]);
    (2usize..9, 1usize..5).prop_flat_map(move |(n, d)| {
        prop::collection::vec(prop::collection::vec(numbers.clone(), d), n)
    })
}

fn weights() -> impl Strategy<Value = Vec<Weight>> {
    prop::collection::vec(kernels(), 1..4).prop_map(|weights| {
        let names = ["b.weight", "a.weight", "c.weight"].map(str::to_owned);
        names
            .into_iter()
            .zip(weights)
            .map(|(name, kernels)| Weight { name, kernels })
            .collect()
    })
}

fn checkpoint(folder: &TempDir, file: &str, weights: &[Weight]) -> Checkpoint {
    let tensors: Vec<(&str, Vec<usize>, Vec<u8>)> = weights
        .iter()
        .map(|weight| {
            let shape = vec![weight.kernels.len(), weight.kernels[0].len(), 1];
            let bytes = weight
                .kernels
                .iter()
                .flatten()
                .flat_map(|v| v.to_le_bytes())
                .collect();
            (weight.name.as_str(), shape, bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (
            *name,
            TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a valid tensor"),
        )
    });
    let path = folder.path().join(file);
    safetensors::serialize_to_file(views, None, &path).expect("a writable folder");
    Checkpoint::open(&path).expect("a valid checkpoint")
}

fn parameters(tau: f64, alpha: f64, prob: f64, partner: Partner, seed: u64) -> Parameters {
    Parameters {
        tau: Threshold::Similarity(Cosine::try_from(tau).expect("within range")),
        alpha: Fraction::try_from(alpha).expect("within range"),
        prob: Fraction::try_from(prob).expect("within range"),
        skip_shallow: 0,
        partner,
        rounds: NonZeroU32::MIN,
        seed,
    }
}

fn decisions(source: &Checkpoint, parameters: &Parameters) -> Vec<(String, Decision)> {
    let tasks: Vec<Task<'_>> = source
        .tensors()
        .iter()
        .map(|tensor| Task {
            weight: ConvWeight::new(tensor, Kind::Pointwise, 1).expect("a convolution"),
            parameters: LayerParameters::from(parameters),
        })
        .collect();
    let rules = Rules {
        partner: parameters.partner,
        rounds: parameters.rounds,
        seed: parameters.seed,
        non_finite: NonFinite::Refuse,
        control: None,
    };
    let engine = Engine::Cpu(Precision::fastest());
    let decision = |task: &Task<'_>| {
        let tensor = task.weight.tensor();
        let decision =
            source.with_values(tensor, |values| task.decide(values, &rules, engine, &()));
        let decision = decision.expect("a readable file");
        (tensor.name.clone(), decision.expect("finite kernels"))
    };
    tasks.iter().map(decision).collect()
}

fn plan(source: &Checkpoint, parameters: &Parameters) -> Plan {
    let decisions = decisions(source, parameters)
        .into_iter()
        .zip(source.tensors());
    let layers = decisions
        .enumerate()
        .map(|(i, ((name, decision), tensor))| PlannedLayer {
            name,
            copies: Vec::new(),
            depth: Some(i + 1),
            kind: Kind::Pointwise,
            groups: 1,
            kernels: tensor.shape[0],
            shape: tensor.shape.clone(),
            tau: Some(decision.tau),
            alpha: Some(parameters.alpha),
            prob: Some(parameters.prob),
            max_similarity: decision.max_similarity,
            carried: Default::default(),
            merges: decision.merges,
        });
    Plan::new(
        SourceId::of(source),
        *parameters,
        layers.collect(),
        Vec::new(),
    )
}

fn output(source: &Checkpoint, plan: &Plan, path: &Path) -> Vec<u8> {
    let recipe = Recipe::check(plan, source).expect("a plan that fits");
    let destination = Destination::check(source, path, true).expect("a writable place");
    let mut draft = Draft::begin(source, &destination).expect("a place to write to");
    apply(source, &recipe, Some(&mut draft), &()).expect("written");
    draft.publish(Durability::Unsynced).expect("published");
    std::fs::read(path).expect("the output")
}

fn policy() -> impl Strategy<Value = Partner> {
    prop::sample::select(vec![Partner::Eligible, Partner::Nearest, Partner::Random])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn merges_commute_and_repeat(
        weights in weights(),
        partner in policy(),
        tau in -1.0f64..1.0,
        seed in any::<u64>(),
        rotation in 0usize..7,
    ) {
        let folder = TempDir::new().unwrap();
        let source = checkpoint(&folder, "in", &weights);
        let plan = plan(&source, &parameters(tau, 0.8, 0.7, partner, seed));
        let once = output(&source, &plan, &folder.path().join("once"));
        prop_assert_eq!(&once, &output(&source, &plan, &folder.path().join("again")));

        let mut shuffled = plan.clone();
        shuffled.layers.reverse();
        for layer in &mut shuffled.layers {
            layer.merges.reverse();
            let length = layer.merges.len().max(1);
            layer.merges.rotate_left(rotation % length);
        }
        prop_assert_eq!(once, output(&source, &shuffled, &folder.path().join("shuffled")));
    }

    #[test]
    fn keeping_all_or_never_taking_a_turn_changes_nothing(
        weights in weights(),
        partner in policy(),
        tau in -1.0f64..1.0,
        seed in any::<u64>(),
        never in any::<bool>(),
    ) {
        let folder = TempDir::new().unwrap();
        let source = checkpoint(&folder, "in", &weights);
        let (alpha, prob) = if never { (0.5, 0.0) } else { (1.0, 1.0) };
        let plan = plan(&source, &parameters(tau, alpha, prob, partner, seed));
        prop_assert!(!never || plan.layers.iter().all(|layer| layer.merges.is_empty()));
        let after = output(&source, &plan, &folder.path().join("out"));
        prop_assert_eq!(after, std::fs::read(source.path()).unwrap());
    }

    #[test]
    fn a_plan_survives_json(
        weights in weights(),
        partner in policy(),
        tau in -1.0f64..1.0,
        alpha in 0.0f64..1.0,
        prob in 0.0f64..1.0,
        seed in any::<u64>(),
    ) {
        let folder = TempDir::new().unwrap();
        let source = checkpoint(&folder, "in", &weights);
        let plan = plan(&source, &parameters(tau, alpha, prob, partner, seed));
        prop_assert_eq!(&plan, &Plan::parse(&plan.to_json()).unwrap());
    }

    #[test]
    fn no_plan_is_too_strange(
        weights in weights(),
        seed in any::<u64>(),
        slips in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b"0123456789-.eE,:{}[]\"ntru ".to_vec())), 1..4),
    ) {
        let folder = TempDir::new().unwrap();
        let source = checkpoint(&folder, "in", &weights);
        let mut json = plan(&source, &parameters(-0.5, 0.8, 1.0, Partner::Nearest, seed)).to_json();
        for (place, byte) in slips {
            let place = place.index(json.len());
            json[place] = byte;
        }
        // Refused or followed, but never a panic.
        if let Ok(plan) = Plan::parse(&json)
            && let Ok(recipe) = Recipe::check(&plan, &source)
        {
            let changes = apply(&source, &recipe, None, &()).unwrap();
            for (change, layer) in changes.iter().zip(&plan.layers) {
                prop_assert!(change.merged <= layer.kernels);
            }
        }
    }

    #[test]
    fn other_layers_never_change_a_layers_decisions(
        weights in weights(),
        partner in policy(),
        tau in -1.0f64..1.0,
        seed in any::<u64>(),
    ) {
        let folder = TempDir::new().unwrap();
        let parameters = parameters(tau, 0.8, 0.5, partner, seed);
        let all = checkpoint(&folder, "all", &weights);
        let together: HashMap<_, _> = decisions(&all, &parameters).into_iter().collect();
        for (i, weight) in weights.iter().enumerate() {
            let alone = checkpoint(&folder, &format!("alone-{i}"), std::slice::from_ref(weight));
            let (name, decision) = decisions(&alone, &parameters).remove(0);
            prop_assert_eq!(&decision, &together[&name]);
        }
    }

    #[test]
    fn with_certain_turns_exactly_the_kernels_with_an_eligible_partner_merge(
        weights in weights(),
        tau in -1.0f64..1.0,
        seed in any::<u64>(),
    ) {
        let folder = TempDir::new().unwrap();
        let source = checkpoint(&folder, "in", &weights);
        let parameters = parameters(tau, 0.8, 1.0, Partner::Eligible, seed);
        let decisions: HashMap<_, _> = decisions(&source, &parameters).into_iter().collect();
        for Weight { name, kernels } in &weights {
            // On numbers this coarse a float64 sum is exact in any order; only the roots and the division round.
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(x * y)).sum::<f64>();
            let norm = |a: &[f32]| dot(a, a).sqrt();
            let eligible = |i: usize, j: usize| {
                let (a, b) = (&kernels[i][..], &kernels[j][..]);
                let alive = norm(a) > 0.0 && norm(b) > 0.0;
                i != j && alive && (dot(a, b) / (norm(a) * norm(b))).clamp(-1.0, 1.0) > tau
            };
            let n = kernels.len();
            let expected: Vec<usize> = (0..n).filter(|&i| (0..n).any(|j| eligible(i, j))).collect();
            let merges = &decisions[name].merges;
            prop_assert_eq!(merges.iter().map(|m| m.kernel).collect::<Vec<_>>(), expected);
            prop_assert!(merges.iter().all(|m| eligible(m.kernel, m.partner)));
        }
    }
}

/// A weight and further names for it: none to three, shorter or longer than its own.
fn aliased() -> impl Strategy<Value = Vec<(Weight, Vec<String>)>> {
    let segment = prop::sample::select(vec!["conv", "conv2", "conv10", "list", "0", "all", "ema"]);
    let name = prop::collection::vec(segment, 1..4).prop_map(|path| path.join("."));
    let names = prop::collection::btree_set(name, 1..4);
    prop::collection::vec((kernels(), names), 1..5).prop_map(|weights| {
        let mut taken = HashSet::new();
        let weights = weights.into_iter().filter_map(|(kernels, names)| {
            let names = names.into_iter().map(|name| format!("{name}.weight"));
            let mut names = names.filter(|name| taken.insert(name.clone()));
            let name = names.next()?;
            Some((Weight { name, kernels }, names.collect()))
        });
        weights.collect()
    })
}

/// Runs a command of the program in this process; what it prints.
fn command(line: &[&str]) -> Vec<u8> {
    let cli = Cli::try_parse_from(["inmerge-ckpt"].iter().chain(line));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let cli = cli.expect("a valid command line");
    commands::run(&cli, &mut out, &mut err, Terminal::default()).expect("a run that succeeds");
    out
}

/// The values of a file's tensors by name, but for those named.
fn without(path: &Path, left_out: &HashSet<String>) -> BTreeMap<String, (Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(path).expect("a file");
    let file = SafeTensors::deserialize(&bytes).expect("a valid checkpoint");
    let tensors = file.tensors().into_iter();
    let tensors = tensors.filter(|(name, _)| !left_out.contains(name));
    tensors
        .map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec())))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn dropping_copies_and_merging_commute(
        weights in aliased(),
        partner in prop::sample::select(vec!["eligible", "nearest", "random"]),
        tau in -1.0f64..1.0,
        prob in 0.0f64..1.0,
        rounds in 1u32..4,
        skip in 0usize..3,
        seed in any::<u64>(),
        listed in any::<prop::sample::Index>(),
    ) {
        let folder = TempDir::new().unwrap();
        let all: Vec<Weight> = weights
            .iter()
            .flat_map(|(weight, aliases)| {
                let named = |name: &String| Weight { name: name.clone(), ..weight.clone() };
                std::iter::once(weight.clone()).chain(aliases.iter().map(named)).collect::<Vec<_>>()
            })
            .collect();
        let input = checkpoint(&folder, "in", &all).path().to_owned();
        let at = |name: &str| folder.path().join(name).display().to_string();
        // A list of some of the layers, by whichever names.
        let order = &all[listed.index(all.len())].name;
        let report = command(&["inspect", &at("in"), "--json"]);
        let report = crate::common::parsed("inspect", &report);
        let layers = report["layers"].as_array().expect("layers");
        // A network of which some layers are another's has gaps once those are dropped, and so other depths.
        prop_assume!(layers.iter().all(|layer| layer["network"].is_null()));
        let copies = layers.iter().flat_map(|layer| layer["copies"].as_array().expect("names"));
        let copies: HashSet<String> = copies.map(|name| name.as_str().expect("a name").to_owned()).collect();
        prop_assert_eq!(layers.len() + copies.len(), all.len());
        let stands = layers.iter().find(|layer| {
            layer["name"] == **order || layer["copies"].as_array().is_some_and(|names| names.contains(&order.as_str().into()))
        });
        let stands = stands.expect("every tensor is a layer's")["name"].as_str().expect("a name");

        let kept = without(&input, &copies);
        let views = kept.iter().map(|(name, (shape, bytes))| {
            (name, TensorView::new(Dtype::F32, shape.clone(), bytes).expect("a valid tensor"))
        });
        safetensors::serialize_to_file(views, None, Path::new(&at("dropped"))).expect("a writable folder");
        let number = |name: &str, value: &dyn std::fmt::Display| format!("--{name}={value}");
        let flags = [
            number("partner", &partner), number("tau", &tau), number("prob", &prob), number("rounds", &rounds),
            number("skip-shallow", &skip), number("seed", &seed), number("kinds", &"conv,pointwise,depthwise"),
            "--no-sync".to_owned(), "--threads=1".to_owned(),
        ];
        for (input, out, first) in [("in", "merged", &order[..]), ("dropped", "expected", stands)] {
            std::fs::write(at("order"), first).expect("a writable folder");
            let files = ["merge", &at(input), &at(out), "--order", &at("order")].map(str::to_owned);
            let line: Vec<&str> = files.iter().chain(&flags).map(String::as_str).collect();
            command(&line);
        }
        let merged = Path::new(&at("merged")).to_owned();
        prop_assert_eq!(without(&merged, &copies), without(Path::new(&at("expected")), &HashSet::new()));
        // And no two names disagree.
        let merged = without(&merged, &HashSet::new());
        for layer in layers {
            for copy in layer["copies"].as_array().expect("names") {
                let value = |name: &serde_json::Value| &merged[name.as_str().expect("a name")];
                prop_assert_eq!(value(&layer["name"]), value(copy));
            }
        }
    }
}

/// `(observed − expected) / σ` of a count of independent events of probability `p`.
fn sigmas(observed: usize, trials: u64, p: f64) -> f64 {
    let expected = trials as f64 * p;
    (observed as f64 - expected) / (expected * (1.0 - p)).sqrt()
}

/// Six kernels in the plane: 0 to 3 parallel, and 4 and 5 parallel, at right angles to them.
fn two_families(folder: &TempDir) -> Checkpoint {
    let kernels = [
        [1.0, 0.0],
        [2.0, 0.0],
        [3.0, 0.0],
        [4.0, 0.0],
        [0.0, 1.0],
        [0.0, 2.0],
    ];
    let weight = Weight {
        name: "w.weight".to_owned(),
        kernels: kernels.map(Vec::from).to_vec(),
    };
    checkpoint(folder, "families", &[weight])
}

/// How often each kernel merges, and with which partner, over many seeds.
fn frequencies(
    partner: Partner,
    prob: f64,
    seeds: u64,
) -> ([usize; 6], BTreeMap<(usize, usize), usize>) {
    let folder = TempDir::new().unwrap();
    let source = two_families(&folder);
    let (mut turns, mut pairs) = ([0; 6], BTreeMap::new());
    for seed in 0..seeds {
        let (_, decision) =
            decisions(&source, &parameters(0.5, 0.8, prob, partner, seed)).remove(0);
        for Merge {
            kernel, partner, ..
        } in decision.merges
        {
            turns[kernel] += 1;
            *pairs.entry((kernel, partner)).or_default() += 1;
        }
    }
    (turns, pairs)
}

#[test]
fn eligible_partners_are_drawn_evenly() {
    let (prob, seeds) = (0.3, 20_000);
    let (turns, pairs) = frequencies(Partner::Eligible, prob, seeds);
    for count in turns {
        assert!(sigmas(count, seeds, prob).abs() < 5.0, "{turns:?}");
    }
    for kernel in 0..4 {
        for partner in (0..4).filter(|&partner| partner != kernel) {
            let count = pairs[&(kernel, partner)];
            assert!(sigmas(count, seeds, prob / 3.0).abs() < 5.0, "{pairs:?}");
        }
    }
    assert_eq!(pairs.len(), 4 * 3 + 2);
}

#[test]
fn random_partners_are_drawn_evenly_among_all_and_then_tested() {
    let (prob, seeds) = (0.3, 20_000);
    let (_, pairs) = frequencies(Partner::Random, prob, seeds);
    for (pair, &count) in &pairs {
        assert!(
            sigmas(count, seeds, prob / 5.0).abs() < 5.0,
            "{pair:?}: {pairs:?}"
        );
    }
    assert_eq!(pairs.len(), 4 * 3 + 2);
}
