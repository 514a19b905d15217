//! Files of `torch.save`: read like the safetensors file with the same tensors, and merged in place, byte for byte.
//!
//! `fixtures/torch_cases.py` makes each file and what must become of it, without PyTorch and without the program.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use inmerge_ckpt::checkpoint::Checkpoint;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::{self, Run, contents, fixture, read_json, read_tensors, run};

/// A line of `fixtures/torch/cases.json`.
struct Case {
    name: String,
    ending: String,
    /// The golden case whose checkpoint it holds, and whose plan it gets.
    golden: String,
    flags: Vec<String>,
}

impl Case {
    fn all() -> Vec<Self> {
        let table = read_json(&fixture("torch/cases.json"));
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let cases = table.as_array().unwrap().iter();
        let cases = cases.map(|case| Self {
            name: text(&case["name"]),
            ending: text(&case["ending"]),
            golden: text(&case["case"]),
            flags: case["args"].as_array().unwrap().iter().map(text).collect(),
        });
        cases.collect()
    }

    fn input(&self) -> PathBuf {
        fixture(&format!("torch/{}.{}", self.name, self.ending))
    }

    fn merged(&self) -> Vec<u8> {
        let name = format!("torch/{}.merged.{}", self.name, self.ending);
        fs::read(fixture(&name)).unwrap()
    }

    /// The safetensors file with the same tensors.
    fn twin(&self) -> PathBuf {
        let cases = read_json(&fixture("golden/cases.json"));
        let mut cases = cases.as_array().unwrap().iter();
        let case = cases.find(|case| case["name"] == *self.golden).unwrap();
        fixture(&format!(
            "checkpoints/{}",
            case["checkpoint"].as_str().unwrap()
        ))
    }

    fn state_dict(&self) -> Vec<&String> {
        let is_choice = |flag: &&String| flag.starts_with("--state-dict");
        self.flags.iter().filter(is_choice).collect()
    }

    /// The flags of `apply`.
    fn applying(&self) -> Vec<&String> {
        let is_choice =
            |flag: &&String| flag.starts_with("--state-dict") || flag.starts_with("--momentum");
        self.flags.iter().filter(is_choice).collect()
    }

    fn merges_momentum(&self) -> bool {
        self.flags.iter().any(|flag| flag.starts_with("--momentum"))
    }
}

/// The file of a trainer: nested, with an optimizer's state and an average.
fn trainer() -> Case {
    let mut cases = Case::all().into_iter();
    cases.find(|case| case.name == "trainer").unwrap()
}

struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn refused(run: &Run, words: &[&str]) {
    assert_eq!(run.stderr.trim_end().lines().count(), 1, "{run}");
    refused_among(run, words);
}

/// The same, among other messages.
fn refused_among(run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{run}");
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?}\n{run}");
    }
}

#[test]
fn a_merge_changes_the_kernels_and_their_checksums_only() {
    for case in Case::all() {
        let desk = Desk::new();
        let (output, plan) = (desk.at("out.pt"), desk.at("plan.json"));
        let mut line = args!["merge", case.input(), &output, "--plan", &plan, "--no-sync"];
        line.extend(case.flags.iter().map(Into::into));

        run(line).done();

        assert!(fs::read(&output).unwrap() == case.merged(), "{}", case.name);
        let expected = read_json(&fixture(&format!("golden/{}.plan.json", case.golden)));
        assert_eq!(
            read_json(&plan)["layers"],
            expected["layers"],
            "{}",
            case.name
        );

        let again = desk.at("again.pt");
        let mut line = args!["apply", &plan, case.input(), &again, "--no-sync"];
        line.extend(case.applying().into_iter().map(Into::into));
        run(line).done();
        assert!(fs::read(&again).unwrap() == case.merged(), "{}", case.name);
    }
}

#[test]
fn momentum_is_merged_where_it_is_clear_whose_it_is() {
    let desk = Desk::new();
    let merge = |input: PathBuf, output: &str| {
        let flags = args![
            "--momentum=merge",
            "--tau=0.6",
            "--skip-shallow=0",
            "--no-sync"
        ];
        run([args!["merge", input, desk.at(output)], flags].concat())
    };
    let momentum = |name: &str| fixture(&format!("torch/momentum-{name}.pt"));
    refused(
        &merge(fixture("torch/plain.pt"), "o.pt"),
        &["no optimizer's momentum"],
    );
    // Without its optimizer the output has no momentum.
    refused(
        &merge(fixture("torch/adam.ckpt"), "o.safetensors"),
        &["no optimizer's momentum"],
    );
    refused(&merge(fixture("torch/shards"), "o"), &["in another file"]);
    refused(
        &merge(momentum("several"), "o.pt"),
        &["optimizer_states.0, optimizer_states.1"],
    );
    refused(
        &merge(momentum("unclear"), "o.pt"),
        &["optimizer_states.0 may be `layer", "named parameters"],
    );
    refused(
        &merge(momentum("unmatched"), "o.pt"),
        &["shape [3, 5, 7, 7]"],
    );
    refused(
        &merge(momentum("shared"), "o.pt"),
        &["exp_avg", "shares its bytes"],
    );
    assert_eq!(fs::read_dir(desk.0.path()).unwrap().count(), 0);
    // That of another state dict, or of other weights in this one, would fit as well.
    for (name, words) in [
        ("of-several", ["state_dict", "average"]),
        ("sorted", ["m.0.", "another weight"]),
        ("elsewhere", ["m.0.weight", "another weight"]),
        ("endless", ["exp_avg", "infinity"]),
    ] {
        refused(&merge(momentum(name), "o.pt"), &words);
    }
    assert_eq!(fs::read_dir(desk.0.path()).unwrap().count(), 0);
    // A watch has it merged in every checkpoint.
    let [input, merged] = ["in", "merged"].map(|name| desk.at(name));
    fs::create_dir(&input).unwrap();
    fs::copy(fixture("torch/adam.ckpt"), input.join("epoch1.ckpt")).unwrap();
    fs::copy(fixture("torch/plain.pt"), input.join("plain.pt")).unwrap();
    let flags = args![
        "--tau=0.6",
        "--skip-shallow=0",
        "--momentum=merge",
        "--no-sync"
    ];
    let watch = args![
        "watch",
        &input,
        "--out",
        &merged,
        "--once",
        "--poll=50ms",
        "--json"
    ];
    let watched = run([&watch[..], &flags].concat());
    refused_among(
        &watched,
        &["plain.pt: holds no optimizer's momentum", "1 of 2"],
    );
    let seed = watched.json()["parameters"]["seed"].to_string();
    let line = args![
        "merge",
        input.join("epoch1.ckpt"),
        desk.at("o.ckpt"),
        "--seed",
        seed
    ];
    run([&line[..], &flags].concat()).done();
    assert!(fs::read(merged.join("epoch1.ckpt")).unwrap() == fs::read(desk.at("o.ckpt")).unwrap());
    // It is said how much changed, and without the flag nothing does.
    let line = args![
        "merge",
        fixture("torch/adam.ckpt"),
        "--dry-run",
        "--tau=0.6",
        "--json",
        "--skip-shallow=0"
    ];
    let json = run([line.clone(), args!["--momentum=merge"]].concat())
        .done()
        .json();
    let layers = json["layers"].as_array().unwrap().iter();
    let merged = layers.filter(|layer| layer["merged"].as_u64() > Some(0));
    assert_eq!(json["momentum"], merged.count());
    // Order and shape tell no more than that some order would do.
    let warns = |file: &str| {
        let line = args!["merge", fixture(file), "--dry-run", "--momentum=merge"];
        run(line)
            .done()
            .stderr
            .contains("does not name its parameters")
    };
    assert!(warns("torch/adam.ckpt") && !warns("torch/named.pth"));
    assert!(run(line).done().json().get("momentum").is_none());
}

#[test]
fn a_safetensors_output_holds_the_state_dict_alone() {
    let cases = Case::all().into_iter();
    for case in cases.filter(|case| !case.merges_momentum()) {
        let desk = Desk::new();
        let output = desk.at("out.safetensors");
        let mut line = args!["merge", case.input(), &output, "--no-sync"];
        line.extend(case.flags.iter().map(Into::into));

        run(line).done();

        let golden = fixture(&format!("golden/{}.safetensors", case.golden));
        assert_eq!(
            read_tensors(&output),
            read_tensors(&golden),
            "{}",
            case.name
        );
        assert_eq!(
            fs::read_dir(desk.0.path()).unwrap().count(),
            1,
            "{}",
            case.name
        );
    }
}

#[test]
fn the_layers_are_those_of_the_safetensors_file() {
    let keys = [
        "name", "depth", "kind", "groups", "shape", "dtype", "kernels", "selected", "copies",
    ];
    for case in Case::all() {
        let layers = |path: PathBuf, flags: Vec<&String>| {
            let mut line = args!["inspect", path, "--json", "--skip-shallow=1"];
            line.extend(flags.into_iter().map(Into::into));
            let json = run(line).done().json();
            let layers: Vec<Vec<Value>> = json["layers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|layer| keys.map(|key| layer[key].clone()).to_vec())
                .collect();
            (layers, json["order_source"].clone())
        };
        let (own, source) = layers(case.input(), case.state_dict());
        assert_eq!(own, layers(case.twin(), Vec::new()).0, "{}", case.name);
        // The names of these are sorted, as they are once a file has been safetensors.
        let expected = if ["types", "named", "volumes-last"].contains(&&case.name[..]) {
            "structure"
        } else {
            "definition"
        };
        assert!(
            source == expected || source == "metadata",
            "{}: {source}",
            case.name
        );
    }
}

#[test]
fn a_trainer_s_file_is_replaced_in_place_with_force_only() {
    let (desk, case) = (Desk::new(), trainer());
    let path = desk.at("last.ckpt");
    fs::copy(case.input(), &path).unwrap();
    let mut line = args!["merge", &path, &path, "--no-sync"];
    line.extend(case.flags.iter().map(Into::into));

    refused(&run(line.clone()), &["--force"]);
    line.push("--force".into());
    let run = run(line).done();

    assert!(fs::read(&path).unwrap() == case.merged());
    assert!(run.stderr.contains("ema.shadow"), "{run}");
    assert_eq!(fs::read_dir(desk.0.path()).unwrap().count(), 1);
}

#[test]
fn every_command_reads_it() {
    let (desk, case) = (Desk::new(), trainer());
    let (input, twin) = (case.input(), case.twin());
    let merged = desk.at("merged.ckpt");
    fs::write(&merged, case.merged()).unwrap();

    let diff = run(args!["diff", &input, &merged, "--json"]).done().json();
    let golden = fixture(&format!("golden/{}.safetensors", case.golden));
    let expected = run(args!["diff", &twin, golden, "--json"]).done().json();
    assert_eq!(diff["tensors"], expected["tensors"]);
    assert_eq!(diff["header_identical"], true);
    let across = run(args!["diff", &input, &twin, "--json"]).done().json();
    assert_eq!(
        (&across["identical"], &across["header_identical"]),
        (&false.into(), &false.into())
    );
    assert_eq!(across["tensors"], Value::Array(Vec::new()));

    let layers = |path: &PathBuf, report: &str| {
        let flags = args!["--report", desk.at(report), "--json", "--skip-shallow=1"];
        let json = run([args!["analyze", path], flags].concat()).done().json();
        let mut layers = json["layers"].as_array().unwrap().clone();
        assert!(!layers.is_empty());
        // The one thing that the two files tell differently.
        layers
            .iter_mut()
            .for_each(|layer| drop(layer["place_from"].take()));
        layers
    };
    assert_eq!(layers(&input, "own"), layers(&twin, "twin"));

    let points = |path: &PathBuf, report: &str| {
        let flags = args![
            "--vary",
            "tau=0.5,0.8",
            "--skip-shallow=1",
            "--report",
            desk.at(report),
            "--json"
        ];
        let json = run([args!["sensitivity", path], flags].concat())
            .done()
            .json();
        let mut points = json["points"].as_array().unwrap().clone();
        assert_eq!(points.len(), 3);
        points
            .iter_mut()
            .for_each(|point| drop(point["seconds"].take()));
        points
    };
    assert_eq!(points(&input, "own-sweep"), points(&twin, "twin-sweep"));
}

#[test]
fn a_state_dict_is_named_by_its_keys() {
    let (desk, case) = (Desk::new(), trainer());
    let inspect =
        |path: PathBuf, key: &str| run(args!["inspect", path, "--state-dict", key, "--json"]);

    let average = inspect(case.input(), "ema.shadow").done().json();
    assert_eq!(average["tensors"], 1);
    assert_eq!(average["layers"][0]["name"], "head.weight");
    refused(
        &inspect(case.input(), "model"),
        &["`model`", "state_dict", "ema.shadow", "--state-dict"],
    );
    refused(&inspect(case.twin(), "model"), &["--state-dict"]);

    // A plan for one state dict is none for another.
    let plan = desk.at("plan.json");
    run(args![
        "merge",
        case.input(),
        "--dry-run",
        "--plan",
        &plan,
        "--skip-shallow=0"
    ])
    .done();
    let line = args![
        "apply",
        plan,
        case.input(),
        desk.at("out.ckpt"),
        "--state-dict=ema.shadow"
    ];
    refused(&run(line), &["plan.json"]);
    let average = fixture("torch/average.pth.tar");
    let plan = desk.at("average.json");
    let flags = args![
        "--dry-run",
        "--plan",
        &plan,
        "--state-dict=state_dict_ema",
        "--skip-shallow=0"
    ];
    run([args!["merge", &average], flags].concat()).done();
    let line = args!["apply", plan, average, desk.at("out.ckpt")];
    refused(&run(line), &["average.json", "--state-dict", "--prefix"]);
    assert!(!desk.at("out.ckpt").exists());
}

#[test]
fn a_safetensors_file_is_not_written_under_a_name_of_pytorch_s() {
    let (desk, case) = (Desk::new(), trainer());
    for name in ["out.pt", "out.ckpt", "out.bin", "out.pth"] {
        refused(
            &run(args!["merge", case.twin(), desk.at(name)]),
            &[name, ".safetensors"],
        );
        assert!(!desk.at(name).exists());
    }
}

/// A weight that shares a part with another tensor, wherever that is in the file, is left unchanged; what shares all of one is
/// told to change with it.
#[test]
fn what_lies_outside_of_the_state_dict_changes_only_where_that_is_said() {
    let desk = Desk::new();
    let (input, output) = (fixture("torch/flat.pt"), desk.at("out.pt"));
    let flags = args!["--tau=0.3", "--prob=1", "--skip-shallow=0", "--no-sync"];

    let merged = run([args!["merge", &input, &output], flags.clone()].concat()).done();

    let line = |word: &str| {
        merged
            .stderr
            .lines()
            .find(|line| line.contains(word))
            .unwrap()
    };
    let (unchanged, shared) = (line("sharing a part"), line("shares its values"));
    for (name, said) in [
        ("layer2.0.conv1.weight", unchanged),
        ("layer2.0.conv2.weight", shared),
        ("layer2.0.downsample.0.weight", unchanged),
    ] {
        assert!(said.contains(name), "{merged}");
    }
    let diff = |key: &str| {
        let json = run(args![
            "diff",
            &input,
            &output,
            "--state-dict",
            key,
            "--json"
        ])
        .done()
        .json();
        let tensors = json["tensors"].as_array().unwrap().iter();
        let names = tensors.map(|tensor| tensor["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let changed = diff("state_dict");
    assert!(changed.contains(&"layer2.0.conv2.weight".to_owned()));
    assert!(!changed.contains(&"layer2.0.conv1.weight".to_owned()));
    assert!(!changed.contains(&"layer2.0.downsample.0.weight".to_owned()));
    assert_eq!(diff("buffers"), Vec::<String>::new());
    assert_eq!(diff("ema"), ["layer2.0.conv2.weight"]);

    let converted = desk.at("out.safetensors");
    refused(
        &run([args!["merge", &input, &converted], flags].concat()),
        &["layer2.0.conv1.weight"],
    );
    assert!(!converted.exists());
}

/// Written over itself as safetensors, all but its weights would be gone.
#[test]
fn one_that_is_named_safetensors_is_not_converted_in_place() {
    let (desk, case) = (Desk::new(), trainer());
    let path = desk.at("last.safetensors");
    fs::copy(case.input(), &path).unwrap();

    let run = run(args!["merge", &path, &path, "--force", "--skip-shallow=0"]);

    refused(&run, &["torch.save", "rename"]);
    assert!(fs::read(&path).unwrap() == fs::read(case.input()).unwrap());
}

#[test]
fn shards_are_merged_as_a_folder() {
    let desk = Desk::new();
    let input = fixture("torch/shards");
    let files = |folder: &Path| -> Vec<(OsString, Vec<u8>)> {
        let files = contents(folder).into_iter();
        files
            .map(|(path, bytes)| (path.file_name().unwrap().to_owned(), bytes))
            .collect()
    };
    let expected = files(&fixture("torch/shards.merged"));
    let (own, index) = (desk.at("own"), input.join("pytorch_model.bin.index.json"));
    fs::create_dir(&own).unwrap();
    for (name, bytes) in files(&input) {
        fs::write(own.join(name), bytes).unwrap();
    }
    for (given, output) in [
        (&input, &desk.at("out")),
        (&index, &desk.at("by-index")),
        (&own, &own),
    ] {
        let flags = args!["--tau=0.6", "--skip-shallow=0", "--no-sync", "--force"];
        run([args!["merge", given, output], flags].concat()).done();
        assert!(files(output) == expected, "{}", given.display());
    }
    let shard = input.join("pytorch_model-00001-of-00002.bin");
    refused(
        &run(args!["inspect", shard]),
        &["pytorch_model.bin.index.json"],
    );
}

/// A watch takes them too, and names once what is none.
#[test]
fn a_watch_merges_them() {
    let (desk, case) = (Desk::new(), trainer());
    let (checkpoints, merged) = (desk.at("checkpoints"), desk.at("merged"));
    fs::create_dir(&checkpoints).unwrap();
    fs::copy(case.input(), checkpoints.join("epoch=3.ckpt")).unwrap();
    fs::copy(
        fixture("hostile/torch-no-state-dict.safetensors"),
        checkpoints.join("optimizer.pt"),
    )
    .unwrap();
    let whole = fs::read(fixture("torch/plain.pt")).unwrap();
    fs::write(checkpoints.join("last.pth"), &whole[..whole.len() - 1]).unwrap();
    let flags = args![
        "--once",
        "--poll=50ms",
        "--tau=0.6",
        "--skip-shallow=0",
        "--no-sync"
    ];
    let line = [args!["watch", &checkpoints, "--out", &merged], flags].concat();

    let run = common::run(line);

    assert!(
        run.stderr.contains("optimizer.pt") && run.stderr.contains("no state dict"),
        "{run}"
    );
    assert!(
        run.stderr.contains("last.pth") && run.stderr.contains("truncated"),
        "{run}"
    );
    let names = fs::read_dir(&merged)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<_> = names
        .filter(|name| !name.to_str().unwrap().starts_with('.'))
        .collect();
    assert_eq!(names, BTreeSet::from(["epoch=3.ckpt".into()]), "{run}");
    let diff = common::run(args![
        "diff",
        case.input(),
        merged.join("epoch=3.ckpt"),
        "--json"
    ]);
    assert!(!diff.done().json()["tensors"].as_array().unwrap().is_empty());
}

/// A pickle that would make a folder when it is loaded in Python.
#[test]
fn what_a_pickle_names_is_told_and_not_run() {
    let desk = Desk::new();
    let canary = desk.at("canary");
    let bytes = fs::read(fixture("torch/plain.pt")).unwrap();
    let folder = canary.to_str().unwrap();
    let mut call = b"cposix\nmkdir\nX".to_vec();
    call.extend((folder.len() as u32).to_le_bytes());
    call.extend(folder.as_bytes());
    call.extend(b"\x85R0");
    let path = desk.at("evil.pt");
    fs::write(&path, with_in_pickle(&bytes, &call)).unwrap();

    let run = run(args!["inspect", &path]).done();

    assert!(!canary.exists());
    assert!(
        run.stderr.contains("posix.mkdir") && run.stderr.contains("weights_only"),
        "{run}"
    );
}

/// A file of `torch.save` as it would be with these instructions at the beginning of its pickle, which comes first in it, and
/// with no checksums.
fn with_in_pickle(file: &[u8], instructions: &[u8]) -> Vec<u8> {
    let u16_at =
        |bytes: &[u8], at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let start = 30 + u16_at(file, 26) + u16_at(file, 28);
    let after_protocol = start + 2;
    let mut longer = file[..after_protocol].to_vec();
    longer.extend(instructions);
    longer.extend(&file[after_protocol..]);
    let moved = instructions.len() as u32;
    let add = |bytes: &mut Vec<u8>, at: usize| {
        let number = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) + moved;
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    };
    let directory = longer
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    let mut at = directory;
    while longer[at..].starts_with(b"PK\x01\x02") {
        if at == directory {
            add(&mut longer, at + 20);
            add(&mut longer, at + 24);
        } else {
            add(&mut longer, at + 42);
        }
        longer[at + 16..at + 20].fill(0);
        at += 46 + u16_at(&longer, at + 28) + u16_at(&longer, at + 30);
    }
    add(&mut longer, at + 16);
    longer
}

/// Cut off anywhere, the file is refused; with any one byte changed, it is read or refused. Neither panics.
#[test]
fn damage_anywhere_is_read_or_refused() {
    let desk = Desk::new();
    let path = desk.at("damaged.pt");
    let whole = fs::read(fixture("torch/volumes-last.pt")).unwrap();
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        assert!(Checkpoint::open(&path).is_err(), "cut at {end}");
    }
    let mut tables: BTreeMap<bool, usize> = BTreeMap::new();
    for at in 0..whole.len() {
        for byte in [0, 1, 0x2e, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            fs::write(&path, &damaged).unwrap();
            let opened = Checkpoint::open(&path);
            *tables.entry(opened.is_ok()).or_default() += 1;
            for tensor in opened.iter().flat_map(Checkpoint::tensors) {
                let read = opened.as_ref().unwrap().with_values(tensor, <[u8]>::len);
                assert_eq!(read.unwrap(), tensor.bytes.len(), "{byte} at {at}");
            }
        }
    }
    // Values and padding do not matter to what is read first, all else does.
    assert!(tables[&true] > 1000 && tables[&false] > 1000, "{tables:?}");
}
