//! `analyze` and `merge --report`, driven from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{contents, fixture, parsed, program, read_json, run};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use tempfile::TempDir;

fn demo() -> PathBuf {
    fixture("checkpoints/demo.safetensors")
}

/// What leaves a report of the demo at the figures of a quarter of its layers.
const FEW_LAYERS: &str = "--include=layer4.*";

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for temporary files")
}

/// Every file under a folder, by its path from there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for (path, bytes) in contents(folder) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let inner = files(&path).into_iter();
            found.extend(inner.map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            found.insert(name, bytes);
        }
    }
    found
}

/// Writes a checkpoint of convolutions with these numbers.
fn checkpoint(path: &Path, layers: &[(&str, [usize; 4], Vec<f32>)]) {
    let layers: Vec<(&str, [usize; 4], Vec<u8>)> = layers
        .iter()
        .map(|(name, shape, values)| {
            let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (*name, *shape, bytes)
        })
        .collect();
    let views = layers.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap();
        (*name, view)
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// Numbers without structure.
fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / 16_777_216.0 - 0.5
        })
        .collect()
}

#[test]
fn a_report_holds_what_it_is_said_to_hold() {
    let folder = folder();
    let report = folder.path().join("report");
    let run = run(args!["analyze", demo(), "--report", &report]).done();
    assert!(run.stdout.contains("layer4.1.conv2.weight"), "{run}");
    assert!(run.stdout.contains(report.to_str().unwrap()), "{run}");

    let files = files(&report);
    let json = parsed("report", &files["report.json"]);
    assert_eq!(json["format"], "inmerge-report");
    let layers = json["layers"].as_array().unwrap();
    let inspected = self::run(args!["inspect", demo(), "--json"]).done().json();
    let expected: Vec<&Value> = inspected["layers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|layer| layer["selected"] == true || layer["reason"] == "shallow")
        .collect();
    assert_eq!(layers.len(), expected.len());
    let mut wanted: BTreeSet<String> = ["index.html", "report.json", "layers.csv", "pairs.csv"]
        .map(str::to_owned)
        .into();
    for (layer, expected) in layers.iter().zip(expected) {
        for key in [
            "name", "depth", "kind", "groups", "shape", "dtype", "kernels", "selected", "reason",
        ] {
            assert_eq!(layer[key], expected[key], "{key}");
        }
        let figures = layer["figures"].as_object().unwrap();
        wanted.extend(figures.values().map(svg));
        for kind in ["similarity", "thresholds", "nearest", "spectrum"] {
            assert!(figures.contains_key(kind), "{kind} of {}", layer["name"]);
        }
        let is_pointwise = layer["kind"] == "pointwise";
        assert_eq!(figures.contains_key("kernels"), !is_pointwise);
    }
    let overviews = json["figures"].as_object().unwrap();
    wanted.extend(overviews.values().map(svg));
    for end in [".pdf", ".png"] {
        wanted.extend(overviews.values().map(|figure| beside(figure, end)));
    }
    wanted.insert("report.files".to_owned());
    assert_eq!(files.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    let links = String::from_utf8_lossy(&files["index.html"]).into_owned();
    for end in [".pdf\"", ".png\""] {
        assert_eq!(links.matches(end).count(), overviews.len(), "{end}");
    }
    for (name, bytes) in &files {
        let beginning: &[u8] = match name.rsplit_once('.') {
            Some((_, "png")) => b"\x89PNG\r\n\x1a\n",
            Some((_, "svg")) => b"<",
            Some((_, "pdf")) => b"%PDF-",
            _ => b"",
        };
        assert!(bytes.starts_with(beginning), "{name}");
    }
    assert_eq!(contents(folder.path()).len(), 1, "nothing lies beside it");
}

/// A figure's file, as the report gives it.
fn svg(figure: &Value) -> String {
    figure.as_str().unwrap().to_owned()
}

/// The file beside it that ends so.
fn beside(figure: &Value, end: &str) -> String {
    svg(figure).replace(".svg", end)
}

/// Every figure has a PNG, or none has, as it is asked for, and a PDF alike; the page links to no other, and all else is the same.
#[test]
fn figures_are_in_other_formats_too_where_that_is_asked_for() {
    for (flag, end) in [("--png", ".png"), ("--pdf", ".pdf")] {
        let folder = folder();
        let report = |which: &str| {
            let report = folder.path().join(which);
            run(args!["analyze", demo(), flag, which, "--report", &report]).done();
            files(&report)
        };
        let [all, overview, none] = ["all", "overview", "none"].map(report);

        let of_format = |files: &BTreeMap<String, Vec<u8>>| -> BTreeSet<String> {
            let names = files.keys().filter(|name| name.ends_with(end));
            names.cloned().collect()
        };
        let svgs = all.keys().filter(|name| name.ends_with(".svg"));
        let expected: BTreeSet<String> = svgs.map(|name| name.replace(".svg", end)).collect();
        assert_eq!(of_format(&all), expected);
        assert_eq!(of_format(&overview).len(), 3);
        assert!(of_format(&none).is_empty());
        for (files, name) in [(&all, "all"), (&overview, "overview"), (&none, "none")] {
            let page = String::from_utf8_lossy(&files["index.html"]).into_owned();
            let links = page.split("href=\"").skip(1).filter_map(|rest| {
                let link = rest.split('"').next()?;
                link.ends_with(end).then(|| link.to_owned())
            });
            assert_eq!(links.collect::<BTreeSet<_>>(), of_format(files), "{name}");
            for (path, bytes) in files {
                let differs =
                    path.ends_with(end) || ["index.html", "report.files"].contains(&&path[..]);
                assert!(differs || all[path] == *bytes, "{path} with {name}");
            }
        }
    }
}

#[test]
fn the_report_does_not_depend_on_threads_or_repetition() {
    let folder = folder();
    let reports = [("1", "a"), ("4", "b"), ("4", "c")].map(|(threads, name)| {
        let report = folder.path().join(name);
        run(args![
            "analyze",
            demo(),
            "--report",
            &report,
            "--threads",
            threads
        ])
        .done();
        files(&report)
    });
    for other in &reports[1..] {
        assert!(reports[0].keys().eq(other.keys()));
        for (name, bytes) in &reports[0] {
            assert!(*bytes == other[name], "{name} differs");
        }
    }
}

#[test]
fn json_on_stdout_is_the_report_s() {
    let folder = folder();
    let report = folder.path().join("report");
    let run = run(args![
        "analyze",
        demo(),
        FEW_LAYERS,
        "--report",
        &report,
        "--json"
    ])
    .done();
    assert_eq!(run.json(), read_json(&report.join("report.json")));
    assert_eq!(run.stderr, "");
}

#[test]
fn the_default_folder_is_named_after_the_checkpoint() {
    let folder = folder();
    fs::copy(demo(), folder.path().join("epoch 3.safetensors")).unwrap();
    let binary = env!("CARGO_BIN_EXE_inmerge-ckpt");
    let done = std::process::Command::new(binary)
        .args([
            "analyze",
            "epoch 3.safetensors",
            "-q",
            "--no-spectrum",
            FEW_LAYERS,
        ])
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(done.success());
    let json = read_json(&folder.path().join("reports/epoch 3/report.json"));
    assert_eq!(json["source"]["file"], "epoch 3.safetensors");
    assert!(json["layers"][0]["spectrum"].is_null());
}

#[test]
fn checkpoints_of_one_name_have_reports_of_their_own() {
    let folder = folder();
    let at = |path: &str| folder.path().join(path);
    for run in ["r1", "r2"] {
        fs::create_dir(at(run)).unwrap();
        fs::copy(demo(), at(&format!("{run}/last.safetensors"))).unwrap();
    }
    fs::create_dir(at("r1/sub")).unwrap();
    let absolute = at("r2/last.safetensors");
    let inputs = [
        "r1/last.safetensors",
        "r1/sub/../last.safetensors",
        absolute.to_str().unwrap(),
    ];
    for input in inputs {
        let done = std::process::Command::new(program())
            .args(["analyze", input, "-q", "--no-spectrum", FEW_LAYERS])
            .current_dir(folder.path())
            .status()
            .unwrap();
        assert!(done.success());
    }
    let mut reports: Vec<_> = fs::read_dir(at("reports"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    reports.sort();
    assert_eq!(reports, ["r1-last", "r2-last"]);
}

#[test]
fn a_report_is_replaced_as_a_whole() {
    let folder = folder();
    let report = folder.path().join("report");
    run(args!["analyze", demo(), FEW_LAYERS, "--report", &report]).done();
    let small = fixture("checkpoints/conv1d.safetensors");
    let again = args!["analyze", &small, "--report", &report, "--skip-shallow=0"];
    run(again.clone()).done();
    let other = folder.path().join("other");
    run(args![
        "analyze",
        &small,
        "--report",
        &other,
        "--skip-shallow=0"
    ])
    .done();
    assert_eq!(files(&report), files(&other));

    fs::write(report.join("notes.txt"), "mine").unwrap();
    let refused = run(again.clone());
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("notes.txt"), "{refused}");
    assert!(refused.stderr.contains("--force"), "{refused}");
    run([again, args!["--force"]].concat()).done();
    assert_eq!(fs::read(report.join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn a_file_by_the_name_of_one_of_the_report_s_is_not_replaced() {
    let folder = folder();
    let [report, output] = ["report", "out.safetensors"].map(|name| folder.path().join(name));
    fs::create_dir(&report).unwrap();
    fs::write(report.join("index.html"), "mine").unwrap();
    for args in [
        args!["analyze", demo(), "--report", &report, "--force"],
        args!["merge", demo(), &output, "--report", &report, "--force"],
    ] {
        let refused = run(args);
        assert_eq!(refused.code, Some(1), "{refused}");
        assert!(refused.stderr.contains("index.html"), "{refused}");
        assert_eq!(fs::read(report.join("index.html")).unwrap(), b"mine");
        assert!(!output.exists());
    }
}

#[test]
fn the_page_s_command_takes_the_same_layers() {
    let folder = folder();
    let report = folder.path().join("report");
    let selecting = ["--skip-shallow=3", "--exclude=layer[2-4].*", "--kinds=conv"];
    let mut args = args!["analyze", demo(), "--report", &report];
    args.extend(selecting.map(Into::into));
    run(args).done();
    let page = fs::read_to_string(report.join("index.html")).unwrap();
    let flags = " --skip-shallow 3 --exclude 'layer[2-4].*' --kinds conv";
    assert!(page.contains(flags));
}

#[test]
fn numbers_that_merge_refuses_are_not_healthy() {
    let folder = folder();
    let [report, input] = ["report", "in.safetensors"].map(|name| folder.path().join(name));
    let values: Vec<u8> = noise(54, 1)
        .iter()
        .flat_map(|&v| (f64::from(v) * 1e200).to_le_bytes())
        .collect();
    let view = TensorView::new(Dtype::F64, vec![6, 1, 3, 3], &values).unwrap();
    safetensors::serialize_to_file([("conv.weight", view)], None, &input).unwrap();
    let run = run(args![
        "analyze",
        &input,
        "--report",
        &report,
        "--skip-shallow=0"
    ])
    .done();
    assert!(run.stderr.contains("--allow-nonfinite"), "{run}");
    let json = read_json(&report.join("report.json"));
    let broken = &json["layers"][0]["health"]["non_finite"];
    assert_eq!(*broken, serde_json::json!([0, 1, 2, 3, 4, 5]));
}

#[test]
fn bad_input_leaves_nothing_and_takes_nothing_away() {
    let folder = folder();
    let report = folder.path().join("report");
    let analyze =
        |input: &Path, flag: &str| run(args!["analyze", input, "--report", &report, flag]);
    let whole = fs::read(demo()).unwrap();
    let truncated = folder.path().join("truncated.safetensors");
    fs::write(&truncated, &whole[..whole.len() - 100]).unwrap();
    let failures = [
        (truncated.as_path(), "--no-spectrum"),
        (Path::new("missing.safetensors"), "--no-spectrum"),
        (&demo(), "--include=nothing.like.it"),
        (&demo(), "--config=missing.toml"),
    ];
    for (input, flag) in failures {
        let failed = analyze(input, flag);
        assert_eq!(failed.code, Some(1), "{failed}");
        assert_eq!(failed.stderr.lines().count(), 1, "{failed}");
        assert!(!report.exists());
    }
    assert_eq!(analyze(&demo(), "--tau=0.5").code, Some(2));

    analyze(&demo(), FEW_LAYERS).done();
    let before = files(&report);
    for (input, flag) in failures {
        assert_eq!(analyze(input, flag).code, Some(1));
        assert_eq!(files(&report), before);
    }
    assert_eq!(contents(folder.path()).len(), 2, "the input and the report");
}

#[test]
fn where_no_layer_takes_part_the_report_says_so() {
    let folder = folder();
    let report = folder.path().join("report");
    let run = run(args!["analyze", demo(), "--report", &report, "--exclude=*"]).done();
    assert!(run.stderr.contains("no layer"), "{run}");
    let json = read_json(&report.join("report.json"));
    assert_eq!(json["layers"].as_array().unwrap().len(), 0);
}

#[test]
fn kernels_that_hold_no_numbers_are_reported() {
    let folder = folder();
    let report = folder.path().join("report");
    let input = fixture("checkpoints/nonfinite.safetensors");
    let run = run(args![
        "analyze",
        input,
        "--report",
        &report,
        "--skip-shallow=0"
    ])
    .done();
    assert!(run.stderr.contains("NaN"), "{run}");
    let json = read_json(&report.join("report.json"));
    let broken = json["layers"].as_array().unwrap().iter().any(|layer| {
        !layer["health"]["non_finite"].as_array().unwrap().is_empty() && layer["spectrum"].is_null()
    });
    assert!(broken, "a layer with broken kernels has no spectrum");
}

#[test]
fn a_merge_s_report_marks_what_was_merged() {
    let folder = folder();
    let [report, output, plan] =
        ["report", "out.safetensors", "plan.json"].map(|name| folder.path().join(name));
    let merge = args![
        "merge",
        demo(),
        &output,
        "--tau=0.9",
        "--report",
        &report,
        "--plan",
        &plan
    ];
    let merged = run(merge.clone()).done();
    assert!(merged.stdout.contains(report.to_str().unwrap()), "{merged}");
    let (json, plan) = (read_json(&report.join("report.json")), read_json(&plan));
    assert_eq!(json["merging"]["tau"], plan["parameters"]["tau"]);
    let planned = plan["layers"].as_array().unwrap();
    let mut with_merges = 0;
    for layer in json["layers"].as_array().unwrap() {
        let plan = planned.iter().find(|plan| plan["name"] == layer["name"]);
        let Some(plan) = plan else {
            assert_eq!(layer["reason"], "shallow");
            assert!(layer["merged"].is_null());
            continue;
        };
        let kernels: Vec<&Value> = plan["merges"]
            .as_array()
            .unwrap()
            .iter()
            .map(|merge| &merge["kernel"])
            .collect();
        let marked: Vec<&Value> = layer["merged"]["kernels"]
            .as_array()
            .unwrap()
            .iter()
            .collect();
        assert_eq!(marked, kernels);
        assert_eq!(layer["max_similarity"], plan["max_similarity"]);
        with_merges += usize::from(!kernels.is_empty());
    }
    assert!(with_merges > 1);
    // The checkpoint is what it would have been without a report.
    let plain = folder.path().join("plain.safetensors");
    run(args!["merge", demo(), &plain, "--tau=0.9"]).done();
    assert_eq!(fs::read(output).unwrap(), fs::read(plain).unwrap());
}

#[test]
fn a_dry_run_writes_the_report_it_is_asked_for() {
    let folder = folder();
    let report = folder.path().join("report");
    let merge = args!["merge", demo(), FEW_LAYERS, "--dry-run"];
    run([merge, args!["--report", &report]].concat()).done();
    assert_eq!(contents(folder.path()).len(), 1);
    assert!(report.join("index.html").is_file());
}

#[test]
fn a_report_does_not_lie_in_the_way_of_other_outputs() {
    let folder = folder();
    let report = folder.path().join("report");
    let [output, plan] =
        ["report/out.safetensors", "report/plan.json"].map(|name| folder.path().join(name));
    let whole = folder.path().join("out.safetensors");
    for args in [
        args!["merge", demo(), &output, "--report", &report],
        args![
            "merge",
            demo(),
            &whole,
            "--report",
            &report,
            "--plan",
            &plan
        ],
        args!["merge", demo(), &whole, "--report", &whole],
    ] {
        let refused = run(args);
        assert_eq!(refused.code, Some(1), "{refused}");
        assert!(contents(folder.path()).is_empty(), "{refused}");
    }
}

#[test]
fn in_place_the_report_is_of_the_checkpoint_before() {
    let folder = folder();
    let [report, expected, file] =
        ["report", "expected", "model.safetensors"].map(|name| folder.path().join(name));
    fs::copy(demo(), &file).unwrap();
    let merge = |output: &Path, report: &Path| {
        let args = args![
            "merge",
            &file,
            output,
            FEW_LAYERS,
            "--force",
            "--tau=0.9",
            "--report",
            report
        ];
        run(args).done();
        files(report)
    };
    let other = folder.path().join("other.safetensors");
    let aside = merge(&other, &expected);
    assert_eq!(merge(&file, &report), aside);
    assert_eq!(fs::read(&file).unwrap(), fs::read(&other).unwrap());
}

#[test]
fn several_checkpoints_are_compared_epoch_by_epoch() {
    let folder = folder();
    let shape = [6, 4, 3, 3];
    let names = ["a.weight", "b.weight"];
    let first: Vec<Vec<f32>> = vec![noise(216, 1), noise(216, 2)];
    // From epoch to epoch `a` is doubled, and `b` stays as it is.
    let epochs: Vec<PathBuf> = (0..3)
        .map(|epoch| {
            let path = folder.path().join(format!("epoch{epoch}.safetensors"));
            let a = first[0].iter().map(|v| v * 2f32.powi(epoch)).collect();
            checkpoint(
                &path,
                &[(names[0], shape, a), (names[1], shape, first[1].clone())],
            );
            path
        })
        .collect();
    let report = folder.path().join("report");
    let mut args = args!["analyze", "--skip-shallow=0", "--report", &report];
    args.extend(epochs.iter().map(|path| path.clone().into_os_string()));
    run(args).done();
    let json = read_json(&report.join("report.json"));
    assert_eq!(json["source"]["file"], "epoch2.safetensors");
    let evolution = &json["evolution"];
    assert_eq!(
        evolution["epochs"],
        serde_json::json!(["epoch0", "epoch1", "epoch2"])
    );
    let layers = evolution["layers"].as_array().unwrap();
    let points = |layer: usize, key: &str| -> Vec<Option<f64>> {
        let points = layers[layer]["points"].as_array().unwrap();
        points.iter().map(|point| point[key].as_f64()).collect()
    };
    assert_eq!(layers[0]["name"], names[0]);
    assert_eq!(points(0, "relative_change"), [None, Some(1.0), Some(1.0)]);
    assert_eq!(points(1, "relative_change"), [None, Some(0.0), Some(0.0)]);
    let norms = points(0, "norm");
    assert_eq!(norms[1].unwrap(), 2.0 * norms[0].unwrap());
    let ranks = points(0, "effective_rank");
    assert!((ranks[0].unwrap() - ranks[2].unwrap()).abs() < 1e-9);

    // Of checkpoints that are not of one run, the first layer that differs is named.
    let other = folder.path().join("other.safetensors");
    checkpoint(&other, &[(names[0], shape, first[0].clone())]);
    let failed = run(args![
        "analyze",
        &other,
        &epochs[0],
        "--skip-shallow=0",
        "--report",
        &report
    ]);
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.stderr.contains("b.weight"), "{failed}");
    assert!(failed.stderr.contains("other.safetensors"), "{failed}");
}
