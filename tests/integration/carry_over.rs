//! `apply --prefix`: a plan applied to another checkpoint of the same net.

use std::path::{Path, PathBuf};

use crate::common::{
    Run, Tensor, fixture, read_json, read_tensors as read, run, write_tensors as write,
};
use safetensors::tensor::Dtype;
use serde_json::Value;
use tempfile::TempDir;

/// The tensors with a prefix before their names, and one more that is none of theirs.
fn renamed(tensors: &[Tensor], prefix: &str) -> Vec<Tensor> {
    let step = ("step".to_owned(), Dtype::I64, vec![1], vec![7; 8]);
    let tensors = tensors.iter().cloned();
    let renamed =
        tensors.map(|(name, dtype, shape, bytes)| (format!("{prefix}{name}"), dtype, shape, bytes));
    renamed.chain([step]).collect()
}

/// A checkpoint merged, with its plan.
struct Merged {
    folder: TempDir,
    source: PathBuf,
}

impl Merged {
    fn new(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let source = fixture("checkpoints").join(name);
        let merged = Self { folder, source };
        let (out, plan) = (merged.path("merged"), merged.path("plan"));
        let flags = args!["--tau=0.2", "--skip-shallow=0", "--prob=1", "--rounds=2"];
        let files = args!["merge", &merged.source, out, "--plan", plan, "--no-sync"];
        run(files.into_iter().chain(flags)).done();
        merged
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn apply(&self, to: &Path, prefix: &str) -> Run {
        let prefix = format!("--prefix={prefix}");
        let out = self.path("out");
        run(args![
            "apply",
            self.path("plan"),
            to,
            out,
            prefix,
            "--no-sync",
            "--json"
        ])
    }
}

#[test]
fn a_renamed_copy_becomes_what_merge_made_of_the_original() {
    for name in [
        "demo.safetensors",
        "dtypes.safetensors",
        "transposed-grouped.safetensors",
    ] {
        for prefix in ["ema.", "momentum.", "-odd ", ""] {
            let merged = Merged::new(name);
            let copy = merged.path("copy");
            write(&copy, &renamed(&read(&merged.source), prefix));
            let report = merged.apply(&copy, prefix).done().json();
            let expected = renamed(&read(&merged.path("merged")), prefix);
            let mut found = read(&merged.path("out"));
            let place = found.iter().position(|tensor| tensor.0 == "step").unwrap();
            let step = found.remove(place);
            found.push(step);
            assert!(found == expected, "{name} with prefix {prefix:?}");
            assert_ne!(
                read(&merged.source),
                read(&merged.path("merged")),
                "{name}: nothing merges"
            );

            let plan = read_json(&merged.path("plan"));
            let planned = plan["layers"].as_array().unwrap().iter();
            let planned =
                planned.map(|layer| format!("{prefix}{}", layer["name"].as_str().unwrap()));
            let reported = report["layers"].as_array().unwrap().iter();
            assert!(
                planned.eq(reported
                    .clone()
                    .map(|layer| layer["name"].as_str().unwrap()))
            );
            for layer in reported {
                // That of the planned checkpoint says nothing of this one.
                assert_eq!(layer["max_similarity"], Value::Null);
            }
        }
    }
}

/// The float32 values of a tensor of bfloat16.
fn widened(bytes: &[u8]) -> Vec<u8> {
    bytes
        .chunks(2)
        .flat_map(|half| [0, 0, half[0], half[1]])
        .collect()
}

#[test]
fn averaged_weights_may_be_of_another_dtype() {
    let merged = Merged::new("dtypes.safetensors");
    let source = read(&merged.source);
    let average: Vec<Tensor> = source
        .iter()
        .cloned()
        .map(|(name, dtype, shape, bytes)| match dtype {
            Dtype::BF16 => (name, Dtype::F32, shape, widened(&bytes)),
            _ => (name, dtype, shape, bytes),
        })
        .collect();
    let widened = |tensor: &&Tensor| {
        source
            .iter()
            .all(|other| (&other.0, other.1) != (&tensor.0, tensor.1))
    };
    write(&merged.path("ema"), &average);
    merged.apply(&merged.path("ema"), "").done();
    let out = read(&merged.path("out"));
    let plan = read_json(&merged.path("plan"));
    let wide: Vec<&Tensor> = out.iter().filter(widened).collect();
    assert!(!wide.is_empty(), "the fixture has no bfloat16");
    for (name, _, shape, bytes) in wide {
        let layers = plan["layers"].as_array().unwrap();
        let Some(layer) = layers.iter().find(|layer| layer["name"] == **name) else {
            continue;
        };
        let before = &average.iter().find(|tensor| tensor.0 == *name).unwrap().3;
        let size = bytes.len() / shape[0];
        let changed = (0..shape[0]).filter(|&kernel| {
            let kernel = kernel * size..(kernel + 1) * size;
            before[kernel.clone()] != bytes[kernel]
        });
        let mut planned: Vec<usize> = layer["merges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|merge| merge["kernel"].as_u64().unwrap() as usize)
            .collect();
        planned.sort_unstable();
        planned.dedup();
        assert!(!planned.is_empty(), "nothing merges in {name}");
        assert!(changed.eq(planned), "{name}");
    }
}

/// Fails unless a run was refused with these words and nothing written.
fn refused(merged: &Merged, run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{run}");
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?}\n{run}");
    }
    assert!(!merged.path("out").exists(), "{run}");
}

#[test]
fn a_wrong_prefix_names_the_layer_looked_for_and_the_right_prefix() {
    let merged = Merged::new("demo.safetensors");
    let first = read_json(&merged.path("plan"))["layers"][0]["name"].clone();
    let first = first.as_str().unwrap();
    let ema = merged.path("ema");
    write(&ema, &renamed(&read(&merged.source), "ema.module."));
    let wrong = merged.apply(&ema, "ema.");
    let looked_for = format!("`ema.{first}`");
    refused(
        &merged,
        &wrong,
        &[&looked_for, "--prefix 'ema.'", "--prefix 'ema.module.'"],
    );
    // Another net altogether.
    let other = merged.apply(&fixture("checkpoints/conv1d.safetensors"), "");
    refused(
        &merged,
        &other,
        &["is not in the checkpoint", "--prefix ''", "make a plan"],
    );
}

#[test]
fn without_a_prefix_the_plan_is_for_its_own_source_and_the_one_that_is_meant_is_named() {
    let merged = Merged::new("demo.safetensors");
    let tensors = read(&merged.source);
    let apply = |plan: &str, to: &Path| {
        let plan = merged.path(plan);
        let run = run(args!["apply", plan, to, merged.path("out")]);
        refused(&merged, &run, &["another checkpoint"]);
        run
    };
    for prefix in ["ema.", "ema_model.", "module.ema/"] {
        let ema = merged.path("ema");
        write(&ema, &renamed(&tensors, prefix));
        let run = apply("plan", &ema);
        refused(&merged, &run, &[&format!("with --prefix '{prefix}'")]);
        assert!(!run.stderr.contains("make a plan"), "{run}");
        merged.apply(&ema, prefix).done();
        std::fs::remove_file(merged.path("out")).unwrap();
    }
    // The other way round no prefix helps.
    let ema = merged.path("ema");
    write(&ema, &renamed(&tensors, "ema."));
    let flags = args!["--tau=0.2", "--skip-shallow=0", "--prob=1"];
    let plan = args!["merge", &ema, "--dry-run", "--plan", merged.path("of-ema")];
    run(plan.into_iter().chain(flags)).done();
    let run = apply("of-ema", &merged.source);
    refused(
        &merged,
        &run,
        &["`ema.` before them", "make a plan for this one"],
    );
    // The same names in another file: another epoch, or an average.
    let same = merged.path("same");
    write(&same, &renamed(&tensors, ""));
    let run = apply("plan", &same);
    refused(&merged, &run, &["make a plan for this one", "--prefix ''"]);
    // Some of the layers are not all of them, and another net is another net.
    write(&ema, &renamed(&tensors[..tensors.len() / 2], "ema."));
    for other in [&ema, &fixture("checkpoints/conv1d.safetensors")] {
        let run = apply("plan", other);
        refused(&merged, &run, &["make a plan for this one"]);
        assert!(!run.stderr.contains("prefix"), "{run}");
    }
}

#[test]
fn a_layer_of_another_shape_is_refused() {
    let merged = Merged::new("demo.safetensors");
    let plan = read_json(&merged.path("plan"));
    let name = plan["layers"][0]["name"].as_str().unwrap();
    let mut tensors = renamed(&read(&merged.source), "ema.");
    let tensor = tensors
        .iter_mut()
        .find(|tensor| tensor.0 == format!("ema.{name}"));
    let (_, _, shape, bytes) = tensor.unwrap();
    let kernel = bytes.len() / shape[0];
    shape[0] -= 1;
    bytes.truncate(kernel * shape[0]);
    write(&merged.path("ema"), &tensors);
    let run = merged.apply(&merged.path("ema"), "ema.");
    refused(&merged, &run, &[&format!("`ema.{name}`"), "shape"]);
}
