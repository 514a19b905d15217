//! `--carry`: biases and BatchNorms that change along with merged kernels. What they become is in the golden files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Run, Tensor, fixture, read_json, read_tensors, run, write_tensors};
use serde_json::json;
use tempfile::TempDir;

/// A folder with a checkpoint of the tensors of `norms.safetensors`, changed.
struct Desk {
    folder: TempDir,
    source: PathBuf,
}

impl Desk {
    fn new(change: impl Fn(&mut Tensor)) -> Self {
        let folder = TempDir::new().unwrap();
        let source = folder.path().join("in.safetensors");
        let mut tensors = read_tensors(&fixture("checkpoints/norms.safetensors"));
        tensors.iter_mut().for_each(change);
        write_tensors(&source, &tensors);
        Self { folder, source }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn merge(&self, out: &str, flags: &[&str]) -> Run {
        let mut line = args!["merge", &self.source, self.at(out), "--no-sync", "--json"];
        line.extend(args![
            "--skip-shallow=0",
            "--prob=1",
            "--tau=0.3",
            "--plan",
            self.at("plan")
        ]);
        line.extend(flags.iter().map(Into::into));
        run(line)
    }
}

/// The names of the tensors that differ between two files.
fn changed(a: &Path, b: &Path) -> BTreeSet<String> {
    let pairs = read_tensors(a).into_iter().zip(read_tensors(b));
    let pairs = pairs.filter(|(a, b)| a != b);
    pairs.map(|(a, _)| a.0).collect()
}

#[test]
fn only_what_was_asked_for_changes() {
    let desk = Desk::new(|_| ());
    let norm = ["bn1", "bn2", "bn3", "bn4"];
    let statistics = norm.map(|norm| {
        [
            format!("{norm}.running_mean"),
            format!("{norm}.running_var"),
        ]
    });
    let affine = norm.map(|norm| [format!("{norm}.weight"), format!("{norm}.bias")]);
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    let own = names(&["conv2.bias", "conv3.bias"]);
    let statistics = [statistics.concat(), own].concat();
    let biases = names(&["mix.bias", "narrow.bias"]);
    for (carry, expected) in [
        ("norm", statistics.clone()),
        ("affine", affine.concat()),
        ("bias", biases.clone()),
        ("bias,norm", [statistics.clone(), biases.clone()].concat()),
        (
            "norm,affine,bias",
            [statistics, affine.concat(), biases].concat(),
        ),
    ] {
        let json = desk
            .merge("out", &["--carry", carry, "--force"])
            .done()
            .json();
        assert_eq!(json["carried"], expected.len());
        let changed = changed(&desk.source, &desk.at("out"));
        let carried = changed.into_iter().filter(|name| !is_kernels(name));
        assert!(
            carried.eq(expected.into_iter().collect::<BTreeSet<_>>()),
            "{carry}"
        );
        // The plan says all of it.
        let applied = run(args![
            "apply",
            desk.at("plan"),
            &desk.source,
            desk.at("again"),
            "--force",
            "--no-sync",
            "--json"
        ]);
        assert_eq!(applied.done().json()["carried"], json["carried"]);
        assert_eq!(
            fs::read(desk.at("again")).unwrap(),
            fs::read(desk.at("out")).unwrap()
        );
    }
    let json = desk.merge("plain", &["--force"]).done().json();
    assert!(json.get("carried").is_none());
}

fn is_kernels(name: &str) -> bool {
    name.ends_with(".weight") && !name.starts_with("bn")
}

#[test]
fn layers_without_a_norm_are_named_and_a_list_settles_them() {
    let desk = Desk::new(|_| ());
    let run = desk.merge("out", &["--carry=norm"]).done();
    assert!(
        run.stderr
            .contains("no BatchNorm was found behind `mix.weight` and one more merged layer"),
        "{run}"
    );
    let list = ["conv1", "conv2", "conv3", "conv4", "mix", "narrow"].map(|name| {
        let norm = if name == "conv1" { "bn4" } else { "" };
        json!({ "name": format!("{name}.weight"), "norm": norm })
    });
    fs::write(desk.at("layers.json"), json!(list).to_string()).unwrap();
    let layers = desk.at("layers.json").display().to_string();
    let run = desk
        .merge("listed", &["--carry=norm", "--layers", &layers, "--force"])
        .done();
    assert!(!run.stderr.contains("no BatchNorm"), "{run}");
    let changed = changed(&desk.source, &desk.at("listed"));
    let norms: Vec<&String> = changed
        .iter()
        .filter(|name| name.contains("running"))
        .collect();
    assert_eq!(norms, ["bn4.running_mean", "bn4.running_var"]);
}

#[test]
fn a_bias_that_stays_because_a_norm_is_in_doubt_is_told_of() {
    // Norms that no number and no place tells apart from each other.
    let desk = Desk::new(|tensor| {
        tensor.0 = tensor.0.replace("bn", "norm_x").replace("conv", "layer_");
    });
    let extra = desk.at("extra.safetensors");
    let mut tensors = read_tensors(&desk.source);
    let twins: Vec<Tensor> = tensors
        .iter()
        .filter(|tensor| tensor.0.starts_with("norm_x2"))
        .map(|tensor| {
            (
                tensor.0.replace("norm_x2", "other2"),
                tensor.1,
                tensor.2.clone(),
                tensor.3.clone(),
            )
        })
        .collect();
    tensors.extend(twins);
    write_tensors(&extra, &tensors);
    let line = args![
        "merge",
        &extra,
        desk.at("out"),
        "--no-sync",
        "--skip-shallow=0",
        "--prob=1",
        "--tau=0.3",
        "--carry=bias"
    ];
    let run = run(line).done();
    assert!(
        run.stderr.contains("no BatchNorm was found behind `layer_"),
        "{run}"
    );
    let changed = changed(&extra, &desk.at("out"));
    assert!(
        !changed.contains("layer_2.bias") && changed.contains("mix.bias"),
        "{changed:?}"
    );
}

#[test]
fn an_average_in_a_file_of_its_own_gets_statistics_of_its_own() {
    // Other kernels: other similarities, and so other variances.
    let desk = Desk::new(|_| ());
    desk.merge("out", &["--carry=norm"]).done();
    let average = Desk::new(|tensor| {
        if tensor.0 == "conv1.weight" {
            tensor.3.rotate_left(4 * 27);
        }
    });
    let apply = |plan: &Path, out: &str| {
        let line = args![
            "apply",
            plan,
            &average.source,
            average.at(out),
            "--prefix=",
            "--no-sync",
            "--json"
        ];
        assert_eq!(run(line).done().json()["carried"], 10);
        read_tensors(&average.at(out))
    };
    let found = apply(&desk.at("plan"), "out");
    let named = |tensors: &[Tensor], name: &str| {
        tensors
            .iter()
            .find(|tensor| tensor.0 == name)
            .unwrap()
            .3
            .clone()
    };
    let own = read_tensors(&desk.at("out"));
    assert_eq!(
        named(&found, "bn1.running_mean"),
        named(&own, "bn1.running_mean")
    );
    assert_ne!(
        named(&found, "bn1.running_var"),
        named(&own, "bn1.running_var")
    );
    assert_eq!(
        named(&found, "bn2.running_var"),
        named(&own, "bn2.running_var")
    );
}

#[test]
fn statistics_that_cannot_be_are_refused_and_nothing_is_written() {
    let bits = |x: f32| x.to_le_bytes();
    for (name, value, what) in [
        ("bn1.running_mean", f32::NAN, "holds a NaN or an infinity"),
        (
            "bn1.running_var",
            f32::INFINITY,
            "holds a NaN, an infinity or a negative variance",
        ),
        (
            "bn1.running_var",
            -1.0,
            "holds a NaN, an infinity or a negative variance",
        ),
    ] {
        let desk = Desk::new(|tensor| {
            if tensor.0 == name {
                tensor.3[..4].copy_from_slice(&bits(value));
            }
        });
        let refused = desk.merge("out", &["--carry=norm"]);
        assert_eq!(refused.code, Some(1));
        assert!(
            refused.stderr.contains(&format!("`{name}` {what}")),
            "{refused}"
        );
        assert!(!desk.at("out").exists());
        desk.merge("out", &["--carry=bias", "--force"]).done();
    }
}

#[test]
fn a_plan_that_names_other_tensors_is_refused() {
    let desk = Desk::new(|_| ());
    desk.merge("out", &["--carry=norm"]).done();
    let plan = read_json(&desk.at("plan"));
    for (names, says) in [
        (
            json!(["bn9.running_mean"]),
            "`bn9.running_mean`, which is to change along with it, is not in the checkpoint",
        ),
        (
            json!(["bn2.running_mean"]),
            "must be 8 floating-point numbers, one a kernel, and is F16 [9]",
        ),
        (
            json!(["bn1.bias", "bn1.bias"]),
            "`bn1.bias`, which is to change along with it, is listed twice",
        ),
        (json!(["conv1.weight"]), "is listed twice"),
    ] {
        let mut plan = plan.clone();
        plan["layers"][0]["carried"]["blended"] = names;
        fs::write(desk.at("wrong"), plan.to_string()).unwrap();
        let refused = run(args![
            "apply",
            desk.at("wrong"),
            &desk.source,
            desk.at("other"),
            "--no-sync"
        ]);
        assert_eq!(refused.code, Some(1));
        assert!(refused.stderr.contains(says), "{refused}");
        assert!(!desk.at("other").exists());
    }
}

#[test]
fn watch_carries_them_along_too() {
    let desk = Desk::new(|_| ());
    let merged = desk.at("merged");
    let watched = desk.at("watched");
    fs::create_dir(&watched).unwrap();
    fs::copy(&desk.source, watched.join("in.safetensors")).unwrap();
    let flags = ["--skip-shallow=0", "--prob=1", "--tau=0.3", "--carry=norm"];
    let line = args![
        "watch",
        &watched,
        "--out",
        &merged,
        "--once",
        "--no-sync",
        "--json"
    ];
    let line: Vec<_> = line.into_iter().chain(flags.map(Into::into)).collect();
    let json = run(line.clone()).done().json();
    assert_eq!(json["carried"], 10);
    let seed = format!("--seed={}", json["parameters"]["seed"]);
    desk.merge("out", &["--carry=norm", &seed]).done();
    let found = fs::read(merged.join("in.safetensors")).unwrap();
    assert_eq!(found, fs::read(desk.at("out")).unwrap());
    // Its record is of these settings.
    let other = run(line
        .into_iter()
        .filter(|word| word.to_str() != Some("--carry=norm")));
    assert_eq!(other.code, Some(1), "{other}");
}
