//! `inspect`, `diff` and the common flags, driven from outside.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{Run, contents, fixture, program, read_json, run, skipped};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

fn demo() -> PathBuf {
    fixture("checkpoints/demo.safetensors")
}

/// The keys of a JSON object, sorted.
fn keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = object
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_screen_that_the_backend_lacks_is_refused_with_those_it_has() {
    for (backend, screen, said) in [
        (
            "cpu",
            "tf32",
            "--screen tf32 needs a GPU, but --backend cpu was given; use --screen f32 or int8",
        ),
        (
            "cuda:1",
            "int8",
            "--screen int8 needs the CPU, but --backend cuda:1 was given; use --screen f32, tf32 or bf16",
        ),
    ] {
        let run = run(args![
            "inspect",
            demo(),
            "--backend",
            backend,
            "--screen",
            screen
        ]);
        assert_eq!(run.code, Some(2), "{run}");
        assert!(run.stderr.contains(said), "{run}");
    }
}

#[test]
fn inspect_json_is_the_contract_s() {
    let report = run(args!["inspect", demo(), "--json"]).done().json();
    assert_eq!(
        keys(&report),
        [
            "bytes",
            "dtypes",
            "file",
            "layers",
            "metadata",
            "order_source",
            "parameters",
            "recognised",
            "tensors",
            "warnings"
        ]
    );
    assert_eq!(report["bytes"], fs::metadata(demo()).unwrap().len());
    assert_eq!(report["order_source"], "known");
    assert_eq!(
        report["recognised"],
        json!([{"root": "", "title": "torchvision resnet18", "convolutions": 20}])
    );
    let layers = report["layers"].as_array().unwrap();
    let layer_keys = [
        "copies",
        "depth",
        "dtype",
        "groups",
        "kernels",
        "kind",
        "kind_from",
        "name",
        "network",
        "norm",
        "place_from",
        "reason",
        "selected",
        "shape",
    ];
    assert!(layers.iter().all(|layer| keys(layer) == layer_keys));

    assert_eq!(layers[0]["name"], "conv1.weight");
    assert_eq!(layers[0]["depth"], 1);
    assert_eq!(layers[0]["reason"], "shallow");
    let depths: Vec<u64> = layers
        .iter()
        .filter_map(|layer| layer["depth"].as_u64())
        .collect();
    assert_eq!(depths, (1..=20).collect::<Vec<u64>>());
    for layer in layers {
        assert_eq!(layer["selected"], layer["reason"].is_null());
        let taken = layer["depth"].as_u64().is_some_and(|depth| depth > 10);
        assert_eq!(layer["selected"], taken, "{layer}");
    }
}

#[test]
fn inspect_shows_where_the_shallow_layers_end() {
    let report = run(args![
        "inspect",
        demo(),
        "--skip-shallow=3",
        "--exclude=layer4.*"
    ])
    .done();
    let line = |name: &str| {
        let mut lines = report.stdout.lines();
        lines
            .find(|line| line.contains(name))
            .unwrap_or_else(|| panic!("no {name}\n{report}"))
    };
    assert!(
        line("layer1.0.conv2.weight").ends_with("no: shallow"),
        "{report}"
    );
    assert!(line("layer1.1.conv1.weight").ends_with("yes"), "{report}");
    assert!(
        line("layer4.0.conv1.weight").ends_with("no: excluded"),
        "{report}"
    );
    assert!(report.stdout.contains("first 3 convolutions"), "{report}");
}

#[test]
fn what_is_declared_of_layers_is_taken_by_every_command() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let list = json!([
        {"name": "layer4.1.conv2.weight", "groups": 4},
        {"name": "conv1.weight", "head": true},
        "layer1.0.conv1.weight",
    ]);
    let layers = at("layers.json");
    fs::write(&layers, list.to_string()).unwrap();
    let flags = || args!["--layers", &layers, "--skip-shallow=0", "--json"];
    let with = |command: Vec<OsString>| run(command.into_iter().chain(flags())).done().json();

    let found = with(args!["inspect", demo()]);
    assert_eq!(found["order_source"], "declared");
    let of = |layer: &Value| ["name", "depth", "groups", "reason"].map(|key| layer[key].clone());
    let first: Vec<_> = found["layers"].as_array().unwrap()[..3]
        .iter()
        .map(of)
        .collect();
    assert_eq!(
        json!(first),
        json!([
            ["layer4.1.conv2.weight", 1, 4, null],
            ["conv1.weight", 2, 1, "head"],
            ["layer1.0.conv1.weight", 3, 1, null],
        ])
    );
    let is_as_declared = |layers: &Value| {
        let layers = layers.as_array().unwrap();
        assert_eq!(layers[0]["name"], "layer4.1.conv2.weight");
        assert_eq!(
            (&layers[0]["depth"], &layers[0]["groups"]),
            (&json!(1), &json!(4))
        );
        assert_eq!(layers[1]["name"], "layer1.0.conv1.weight");
    };
    let plan = at("plan.json");
    with(args!["merge", demo(), "--dry-run", "--plan", &plan]);
    is_as_declared(&read_json(&plan)["layers"]);
    let sweep = args![
        "sensitivity",
        "plan",
        demo(),
        "--vary=tau=0.3,0.5",
        "--report",
        at("sweep")
    ];
    is_as_declared(&with(sweep)["sweep"]["layers"]);
    with(args![
        "analyze",
        demo(),
        "--include=layer4.1.*",
        "--no-spectrum",
        "--report",
        at("report")
    ]);
    let report = read_json(&at("report/report.json"));
    assert_eq!(report["layers"][0]["name"], "layer4.1.conv2.weight");
    assert_eq!(report["layers"][0]["groups"], 4);
}

#[test]
fn diff_names_the_kernels_that_a_plan_merged() {
    let folder = TempDir::new().unwrap();
    let (out, plan) = (
        folder.path().join("out.safetensors"),
        folder.path().join("plan.json"),
    );
    run(args![
        "merge",
        demo(),
        &out,
        "--tau=0.9",
        "--plan",
        &plan,
        "--no-sync"
    ])
    .done();
    let report = run(args!["diff", demo(), &out, "--json"]).done().json();
    assert_eq!(keys(&report), ["header_identical", "identical", "tensors"]);
    assert_eq!(report["identical"], false);
    assert_eq!(report["header_identical"], true);

    let mut planned: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for layer in read_json(&plan)["layers"].as_array().unwrap() {
        let merges = layer["merges"].as_array().unwrap();
        let kernels: Vec<Value> = merges.iter().map(|merge| merge["kernel"].clone()).collect();
        if !kernels.is_empty() {
            planned.insert(layer["name"].as_str().unwrap().to_owned(), kernels);
        }
    }
    assert!(!planned.is_empty());
    let found: BTreeMap<String, Vec<Value>> = report["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tensor| {
            assert_eq!(
                keys(tensor),
                [
                    "kernels_changed",
                    "max_abs",
                    "name",
                    "relative_change",
                    "status"
                ]
            );
            assert_eq!(tensor["status"], "changed");
            let kernels = tensor["kernels_changed"].as_array().unwrap().clone();
            (tensor["name"].as_str().unwrap().to_owned(), kernels)
        })
        .collect();
    assert_eq!(found, planned);
}

#[test]
fn diff_and_merge_agree_on_how_much_a_layer_changed() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.safetensors");
    let merged = run(args![
        "merge",
        demo(),
        &out,
        "--tau=0.9",
        "--no-sync",
        "--json"
    ])
    .done()
    .json();
    let differences = run(args!["diff", demo(), &out, "--json"]).done().json();
    for tensor in differences["tensors"].as_array().unwrap() {
        let layers = merged["layers"].as_array().unwrap();
        let layer = layers
            .iter()
            .find(|layer| layer["name"] == tensor["name"])
            .unwrap();
        let (a, b) = (
            tensor["relative_change"].as_f64().unwrap(),
            layer["relative_change"].as_f64().unwrap(),
        );
        // The same sum in two orders: by tensor and by kernel.
        assert!((a / b - 1.0).abs() < 1e-12, "{a} {b}");
    }
}

#[test]
fn diff_of_a_file_with_itself_finds_nothing() {
    let report = run(args!["diff", demo(), demo(), "--json"]).done().json();
    assert_eq!(
        report,
        json!({ "identical": true, "header_identical": true, "tensors": [] })
    );
}

/// Writes `(name, dtype, shape, bytes)` tensors.
fn write(path: &Path, tensors: &[(&str, Dtype, &[usize], &[u8])]) {
    let views = tensors.iter().map(|&(name, dtype, shape, bytes)| {
        (name, TensorView::new(dtype, shape.to_vec(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

#[test]
fn diff_tells_every_way_in_which_tensors_differ() {
    let folder = TempDir::new().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let bytes = |values: &[f32]| {
        values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let (x, y, nan) = (
        bytes(&[3.0, 4.0]),
        bytes(&[3.0, 1.0]),
        bytes(&[f32::NAN, 1.0]),
    );
    write(
        &a,
        &[
            ("changed", Dtype::F32, &[2], &x),
            ("counter", Dtype::I64, &[1], &[1, 0, 0, 0, 0, 0, 0, 0]),
            ("dtype", Dtype::F32, &[2], &x),
            ("gone", Dtype::F32, &[2], &x),
            ("nan", Dtype::F32, &[2], &x),
            ("same", Dtype::F32, &[2], &nan),
            ("shape", Dtype::F32, &[2], &x),
        ],
    );
    write(
        &b,
        &[
            ("changed", Dtype::F32, &[2], &y),
            ("counter", Dtype::I64, &[1], &[2, 0, 0, 0, 0, 0, 0, 0]),
            ("dtype", Dtype::I32, &[2], &x),
            ("nan", Dtype::F32, &[2], &nan),
            ("new", Dtype::F32, &[2], &x),
            ("same", Dtype::F32, &[2], &nan),
            ("shape", Dtype::F32, &[2, 1], &x),
        ],
    );
    let report = run(args!["diff", a, b, "--json"]).done().json();
    let found: Vec<(Value, Value, Value, Value)> = report["tensors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| {
            (
                t["name"].clone(),
                t["status"].clone(),
                t["relative_change"].clone(),
                t["max_abs"].clone(),
            )
        })
        .collect();
    let expected: Vec<_> = [
        ("changed", "changed", json!(0.6), json!(3.0)),
        ("counter", "changed", Value::Null, Value::Null),
        ("dtype", "dtype", Value::Null, Value::Null),
        ("gone", "only-in-a", Value::Null, Value::Null),
        ("nan", "changed", Value::Null, Value::Null),
        ("new", "only-in-b", Value::Null, Value::Null),
        ("shape", "shape", Value::Null, Value::Null),
    ]
    .map(|(name, status, change, greatest)| (json!(name), json!(status), change, greatest))
    .to_vec();
    assert_eq!(found, expected);
}

#[test]
fn diff_counts_no_kernels_where_they_lie_on_the_last_axis() {
    let folder = TempDir::new().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let shape = [3, 3, 16, 32];
    let mut bytes = vec![0; 4 * shape.iter().product::<usize>()];
    write(&a, &[("conv1.weight", Dtype::F32, &shape, &bytes)]);
    bytes[2] = 1;
    write(&b, &[("conv1.weight", Dtype::F32, &shape, &bytes)]);
    let report = run(args!["diff", a, b, "--json"]).done().json();
    assert_eq!(report["tensors"][0]["status"], "changed");
    assert_eq!(report["tensors"][0]["kernels_changed"], json!([]));
}

#[test]
fn diff_refuses_what_it_cannot_read() {
    let run = run(args!["diff", demo(), fixture("no-such-file")]);
    assert_eq!(run.code, Some(1), "{run}");
    assert!(run.stderr.contains("no-such-file"), "{run}");
}

#[test]
fn quiet_runs_print_nothing_but_what_is_wrong() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.safetensors");
    let run = run(args!["merge", demo(), &out, "--tau=0.9", "--no-sync", "-q"]).done();
    assert_eq!(
        (run.stdout.as_str(), run.stderr.as_str()),
        ("", ""),
        "{run}"
    );
    assert!(out.exists());
}

#[test]
fn verbose_runs_name_the_layers_left_alone_and_the_blas() {
    let run = run(args!["merge", demo(), "--dry-run", "--tau=0.9", "-v"]).done();
    assert!(run.stderr.contains("conv1.weight (shallow)"), "{run}");
    assert!(run.stderr.contains("OpenBLAS"), "{run}");
}

/// Fails unless a run failed with one line, which has these words in it.
fn refused(run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{run}");
    assert_eq!(run.stderr.lines().count(), 1, "{run}");
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?}\n{run}");
    }
}

#[test]
fn in_a_folder_that_was_deleted_nothing_is_written_and_one_sentence_says_why() {
    let desk = TempDir::new().unwrap();
    let gone = desk.path().join("gone");
    let demo = demo().canonicalize().unwrap();
    let elsewhere = desk.path().join("elsewhere");
    for args in [
        args!["merge", &demo, "o"],
        args!["merge", &demo, "o/p/../q"],
        args!["merge", &demo, "./o", "--report", "r"],
        args!["merge", &demo, "--dry-run", "--plan", "p"],
        args!["merge", &demo, &elsewhere, "--report", "r/s"],
        args!["analyze", &demo],
        args!["sensitivity", &demo, "--vary", "tau=0.5"],
        args!["watch", desk.path(), "--out", "o", "--once"],
    ] {
        fs::create_dir(&gone).unwrap();
        // A shell, as it must be in the folder before that is deleted.
        let mut command = Command::new("sh");
        command.args(["-c", "rmdir \"$PWD\"; exec \"$@\"", "sh"]);
        let output = command.arg(program()).args(&args).current_dir(&gone);
        let output = output.output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        let told = format!("{args:?}: {message}");
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert_eq!(message.lines().count(), 1, "{told}");
        assert!(
            message.contains("the current folder, which was deleted"),
            "{told}"
        );
        assert!(!gone.exists() && !elsewhere.exists());
    }
}

#[test]
fn what_is_not_meant_is_called_what_it_is() {
    let desk = TempDir::new().unwrap();
    let path = |name: &str| desk.path().join(name);
    let (plan, out) = (path("plan.json"), path("out"));
    let merge = args!["merge", demo(), "--dry-run", "--tau=0.9", "--plan", &plan];
    run(merge).done();

    // The arguments in another order.
    let order = "inmerge-ckpt apply PLAN IN OUT";
    let swapped = run(args!["apply", demo(), &plan, &out]);
    refused(&swapped, &["plan.json: is a plan", order]);
    let twice = run(args!["apply", &plan, &plan, &out]);
    refused(&twice, &["plan.json: is a plan", order]);
    let planless = run(args!["apply", demo(), demo(), &out]);
    refused(&planless, &["demo.safetensors: is a checkpoint", order]);

    // Links to nothing.
    let link = path("link");
    symlink("gone/file", &link).unwrap();
    let target = format!("link: is a link to {}", path("gone/file").display());
    for args in [
        args!["inspect", &link],
        args!["merge", &link, &out],
        args!["apply", &plan, &link, &out],
        args!["apply", &link, demo(), &out],
        args!["diff", demo(), &link],
    ] {
        refused(&run(args), &[&target, "not there"]);
    }

    // Links to what is no file.
    for output in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        if fs::symlink_metadata(output).is_ok() {
            let run = run(args!["merge", demo(), output, "--tau=0.9", "--force"]);
            refused(&run, &[output, "a device, a pipe", "name a regular file"]);
        }
    }

    // A file where a folder is to be.
    let below = run(args!["merge", demo(), plan.join("out"), "--tau=0.9"]);
    refused(&below, &["plan.json/out: ", "plan.json is not a folder"]);
    assert_eq!(contents(desk.path()).len(), 2);
}

/// Starts the program with these streams and waits for its exit code.
fn exit_code(args: Vec<OsString>, stdout: Stdio, stderr: Stdio) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inmerge-ckpt"));
    let status = command.args(args).stdout(stdout).stderr(stderr).status();
    status.expect("the program starts").code()
}

/// A pipe that nobody reads.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_reader_that_goes_away_changes_neither_work_nor_exit_code() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.safetensors");
    let merge = args!["merge", demo(), &out, "--tau=0.9", "--no-sync", "-v"];
    assert_eq!(exit_code(merge, Stdio::null(), closed_pipe()), Some(0));
    assert!(out.exists());

    let required = args!["merge", demo(), "--dry-run", "--tau=1", "--require-merges"];
    assert_eq!(exit_code(required, closed_pipe(), Stdio::null()), Some(3));
    assert_eq!(
        exit_code(args!["inspect", demo()], closed_pipe(), Stdio::null()),
        Some(0)
    );
}

#[test]
fn a_report_that_cannot_be_printed_fails_only_what_it_was_for() {
    let full = || Stdio::from(fs::File::create("/dev/full").unwrap());
    if !Path::new("/dev/full").exists() {
        return skipped("no /dev/full here");
    }
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.safetensors");
    let merge = args!["merge", demo(), &out, "--tau=0.9", "--no-sync"];
    assert_eq!(exit_code(merge, full(), Stdio::null()), Some(0));
    assert!(out.exists());
    assert_eq!(
        exit_code(args!["inspect", demo()], full(), Stdio::null()),
        Some(1)
    );
}

#[test]
fn names_that_are_no_text_are_no_trouble() {
    use std::os::unix::ffi::OsStrExt;
    let folder = TempDir::new().unwrap();
    let source = folder.path().join(OsStr::from_bytes(b"\xff.safetensors"));
    fs::copy(demo(), &source).unwrap();
    let out = folder.path().join(OsStr::from_bytes(b"\xfe.safetensors"));
    let report = run(args![
        "merge",
        &source,
        &out,
        "--tau=0.9",
        "--no-sync",
        "--json"
    ])
    .done()
    .json();
    assert!(report["totals"]["merged"].as_u64().unwrap() > 0);
    assert!(out.exists());
    run(args!["inspect", &source, "--json"]).done().json();
}

#[test]
fn tensor_names_do_not_command_the_terminal() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("red.safetensors");
    let bytes = [0u8; 4 * 8];
    write(
        &path,
        &[(
            "a\u{1b}[31mred\nline.weight",
            Dtype::F32,
            &[4, 2, 1],
            &bytes,
        )],
    );
    let inspected = run(args!["inspect", path]).done();
    assert!(!inspected.stdout.contains('\u{1b}'), "{inspected}");
    assert!(
        inspected.stdout.contains("red\\nline.weight"),
        "{inspected}"
    );
}

#[test]
fn a_random_run_that_merges_nothing_still_shows_each_layer_s_largest_similarity() {
    let merge = args![
        "merge",
        demo(),
        "--dry-run",
        "--tau=0.99",
        "--partner=random",
        "--prob=1",
        "--json"
    ];
    let report = run(merge).done().json();
    let layers = report["layers"].as_array().unwrap();
    assert!(
        layers.iter().all(|layer| layer["max_similarity"].is_f64()),
        "{report}"
    );
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.contains("--partner eligible"), "{warning}");
    assert!(!warning.contains("raise --prob"), "{warning}");
}

#[test]
fn a_percentage_too_small_to_merge_anything_says_why() {
    let report = run(args![
        "merge",
        demo(),
        "--dry-run",
        "--tau=1%",
        "--prob=1",
        "--json"
    ])
    .done()
    .json();
    let warning = |place: usize| report["warnings"][place].as_str().unwrap();
    assert!(warning(0).contains("--tau 10% reaches all"), "{report}");
    assert!(warning(1).contains("give a larger percentage"), "{report}");
}

#[test]
fn layers_too_narrow_for_their_share_are_told_of_where_others_merge() {
    let warnings = |tau: &str| {
        let line = args!["merge", demo(), "--dry-run", tau, "--prob=1", "--json"];
        let report = run(line).done().json();
        assert_ne!(report["totals"]["merged"], 0, "{report}");
        report["warnings"].as_array().unwrap().clone()
    };
    // Of 20 kernels 1.5, of 28 kernels 2.1.
    let told = warnings("--tau=7.5%");
    let said = told[0].as_str().unwrap();
    for part in [
        "In 5 of the 10 layers that take part, tau is a share of fewer than two kernels",
        "7.5% of the 20 of `layer3.0.conv1.weight` is 1, rounded down",
        "--tau 10% reaches all",
    ] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    assert_eq!(warnings("--tau=10%").len(), told.len() - 1);

    let one = ["--tau=5%", "--include=layer3.0.conv1.*"];
    let files = args!["merge", demo(), "--dry-run", "--json"];
    let report = run(files.into_iter().chain(one.map(Into::into)))
        .done()
        .json();
    let said = report["warnings"].to_string();
    assert!(
        said.contains("In the one layer that takes part, tau is a share of fewer than two kernels"),
        "{said}"
    );
}

#[test]
fn layers_in_which_chance_alone_reaches_tau_are_told_of() {
    let told = |checkpoint: &str, flags: &[&str]| {
        let mut line = args![
            "merge",
            fixture(checkpoint),
            "--dry-run",
            "--prob=1",
            "--json"
        ];
        line.extend(flags.iter().map(Into::into));
        let report = run(line).done().json();
        assert_ne!(report["totals"]["merged"], 0, "{report}");
        let warnings = report["warnings"].as_array().unwrap().iter();
        let mut warnings = warnings.map(|warning| warning.as_str().unwrap().to_owned());
        warnings.find(|warning| warning.contains("numbers were random"))
    };
    // The shares are 1 − (1 − ½·I₁₋τ²((d−1)/2, ½))^(m−1) of m kernels of d numbers, by scipy's betainc.
    let demo = "checkpoints/demo.safetensors";
    let said = told(demo, &[]).unwrap();
    for part in [
        "In 2 of the 10 layers that take part",
        "in `layer3.0.downsample.0.weight` 96 % of 20 kernels of 12 numbers, at tau 0.3.",
    ] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    // Of 12 kernels in 3 groups; of 12 that are compared with each other it would be 97 %.
    let grouped = [
        "--tau=0.1",
        "--skip-shallow=0",
        "--include=layer1.0.conv2.*",
    ];
    let said = told("checkpoints/grouped.safetensors", &grouped).unwrap();
    assert!(
        said.contains("62 % of 4 kernels of 36 numbers, which are a group, at tau 0.1"),
        "{said}"
    );

    // The two depthwise layers, whose kernels are compared with all others of the layer, are at 79 and 91 %.
    let depthwise = ["--skip-shallow=0", "--kinds=conv,pointwise,depthwise"];
    let said = told("checkpoints/depthwise.safetensors", &depthwise).unwrap();
    assert!(said.contains("In 5 of the 6 layers"), "{said}");
    // Of a partner that is drawn it is ½·I₁₋τ²((d−1)/2, ½): below half down to τ = 0.
    let random = |tau| told(demo, &["--partner=random", tau]);
    assert!(
        random("--tau=-0.01")
            .unwrap()
            .contains("In 10 of the 10 layers")
    );
    assert_eq!(random("--tau=0.01"), None);

    for flags in [
        &["--tau=10%"][..],
        &["--tau=chance=60%"],
        &["--partner=random"],
        &["--tau=0.6"],
    ] {
        assert_eq!(told(demo, flags), None, "{flags:?}");
    }
}

#[test]
fn all_pairs_of_a_huge_checkpoint_are_not_compared_to_explain_that_nothing_merged() {
    // 2.25·10¹² multiply-adds; a random partner takes 3·10⁶.
    let huge = ("conv.weight", Dtype::F16, &[1_500_000, 2, 1, 1][..]);
    let flags = ["--skip-shallow=0", "--partner=random", "--tau=0.3"];
    let warnings = warnings_of_merging(&[huge], &flags);
    assert!(warnings[0].contains("as large as this"), "{warnings:?}");
}

/// Merges a file of these tensors, all zeros; the warnings.
fn warnings_of_merging(tensors: &[(&str, Dtype, &[usize])], flags: &[&str]) -> Vec<String> {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("in.safetensors");
    let bytes =
        |dtype: Dtype, shape: &[usize]| shape.iter().product::<usize>() * dtype.bitsize() / 8;
    let most = tensors.iter().map(|&(_, dtype, shape)| bytes(dtype, shape));
    let zeros = vec![0; most.max().unwrap()];
    let tensors: Vec<(&str, Dtype, &[usize], &[u8])> = tensors
        .iter()
        .map(|&(name, dtype, shape)| (name, dtype, shape, &zeros[..bytes(dtype, shape)]))
        .collect();
    write(&file, &tensors);
    let mut args = args!["merge", file, "--dry-run", "--json"];
    args.extend(flags.iter().map(Into::into));
    let report = run(args).done().json();
    let warnings = report["warnings"].as_array().unwrap().iter();
    warnings
        .map(|warning| warning.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn no_advice_is_given_that_cannot_help() {
    type Named<'a> = (&'a str, Dtype, &'a [usize]);
    let keras: [Named<'_>; 2] = [
        ("conv1/kernel:0", Dtype::F32, &[3, 3, 3, 8]),
        ("conv2/kernel:0", Dtype::F32, &[3, 3, 8, 8]),
    ];
    let quantised: [Named<'_>; 1] = [("conv1.weight", Dtype::I8, &[8, 3, 3, 3])];
    let shallow: [Named<'_>; 1] = [("conv1.weight", Dtype::F32, &[8, 3, 3, 3])];
    for flags in [&["--skip-shallow=0"] as &[&str], &[]] {
        let warnings = warnings_of_merging(&keras, flags).join("\n");
        assert!(warnings.contains("holds no layer"), "{warnings}");
        assert!(warnings.contains("--include '*/kernel:0'"), "{warnings}");
        assert!(!warnings.contains("--skip-shallow"), "{warnings}");
        let warnings = warnings_of_merging(&quantised, flags).join("\n");
        assert!(warnings.contains("no layer takes part"), "{warnings}");
        assert!(warnings.contains("I8"), "{warnings}");
        assert!(!warnings.contains("--skip-shallow"), "{warnings}");
    }
    let warnings = warnings_of_merging(&shallow, &[]).join("\n");
    assert!(warnings.contains("--skip-shallow below 10"), "{warnings}");
}

#[test]
fn help_shows_the_defaults() {
    let help = run(args!["merge", "--help"]).done().stdout;
    // Whichever way its lines are broken.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for (flag, default) in [
        ("--tau <T>", "0.3"),
        ("--alpha <A>", "0.8"),
        ("--prob <P>", "0.3"),
        ("--skip-shallow <N>", "10"),
        ("--partner <POLICY>", "eligible"),
        ("--rounds <N>", "1"),
        ("--kinds <KINDS>", "conv,pointwise"),
    ] {
        let (_, about) = help.split_once(flag).unwrap();
        let (_, shown) = about.split_once("[default: ").unwrap();
        assert!(shown.starts_with(&format!("{default}]")), "{flag}: {shown}");
    }
}

#[test]
fn the_citation_is_of_this_version() {
    let citation = Path::new(env!("CARGO_MANIFEST_DIR")).join("CITATION.cff");
    let citation = fs::read_to_string(citation).unwrap();
    let version = format!("version: {}", env!("CARGO_PKG_VERSION"));
    assert!(citation.lines().any(|line| line == version), "{version}");
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.safetensors");
    let printed = run(args!["merge", demo(), out, "--tau=0.9", "--no-sync"])
        .done()
        .stdout;
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    // The last line holds the time it took.
    let lines: Vec<&str> = printed
        .lines()
        .filter(|line| !line.starts_with("Wrote"))
        .collect();
    assert!(
        readme.contains(&lines.join("\n")),
        "README.md shows another table than:\n{printed}"
    );
}
