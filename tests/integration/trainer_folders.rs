//! Folders as Hugging Face's Trainer writes them: the weights are merged, and everything else comes along.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Run, contents, fixture, program, read_json, run};
use tempfile::TempDir;

const FLAGS: [&str; 3] = ["--skip-shallow=0", "--tau=0.6", "--no-sync"];

fn weights() -> Vec<u8> {
    fs::read(fixture("checkpoints/resnet-tiny.safetensors")).unwrap()
}

fn merged_weights() -> Vec<u8> {
    fs::read(fixture("golden/eligible.safetensors")).unwrap()
}

/// What lies beside the weights, in the order in which the Trainer writes it.
const OTHERS: [&str; 7] = [
    "config.json",
    "training_args.bin",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "README.md",
    "trainer_state.json",
];

/// A folder with a run of the Trainer in it.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Saves a checkpoint, all but what the Trainer writes last.
    fn begin(&self, name: &str) {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("model.safetensors"), weights()).unwrap();
        for other in &OTHERS[..OTHERS.len() - 1] {
            fs::write(folder.join(other), format!("{other} of {name}")).unwrap();
        }
    }

    fn finish(&self, name: &str) {
        fs::write(self.path(name).join(OTHERS[6]), "{}").unwrap();
    }

    fn save(&self, name: &str) {
        self.begin(name);
        self.finish(name);
    }

    fn merge(&self, input: &str, output: &str, more: &[&str]) -> Run {
        let mut args = args!["merge", self.path(input), self.path(output)];
        args.extend(FLAGS.iter().chain(more).map(Into::into));
        run(args)
    }

    fn watch(&self, more: &[&str]) -> Vec<OsString> {
        let mut args = args!["watch", self.path("run"), "--out", self.path("merged")];
        args.extend(
            FLAGS
                .iter()
                .chain(&["--poll=0.1"])
                .chain(more)
                .map(Into::into),
        );
        args
    }

    fn once(&self) -> Run {
        run(self.watch(&["--once"]))
    }

    fn wait(&self, more: &[&str]) -> Run {
        let mut args = args!["wait"];
        args.extend(more.iter().map(|word| match word.starts_with('-') {
            true => word.into(),
            false => self.path(word).into(),
        }));
        run(args)
    }

    /// Fails unless the second folder is the first with other weights.
    fn differ_in_weights_only(&self, input: &str, output: &str) {
        let [mut input, mut output] = [input, output].map(|folder| {
            let files = contents(&self.path(folder)).into_iter();
            files
                .map(|(path, bytes)| (path.file_name().unwrap().to_owned(), bytes))
                .collect::<BTreeMap<_, _>>()
        });
        let weights = OsStr::new("model.safetensors");
        let [old, new] = [&mut input, &mut output].map(|files| files.remove(weights));
        assert!(new.is_some() && old != new);
        assert!(input == output, "{:?} {:?}", input.keys(), output.keys());
    }
}

fn refused(run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{run}");
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?}\n{run}");
    }
}

fn is_merged(folder: &Path) {
    let found = fs::read(folder.join("model.safetensors")).unwrap();
    assert!(found == merged_weights(), "{}", folder.display());
}

// -------------------------------------------------------------------------------------------------------------- merge

#[test]
fn a_checkpoint_folder_is_merged_with_all_that_belongs_to_it() {
    let desk = Desk::new();
    desk.save("run/checkpoint-500");
    let out = "merged-500";
    let run = desk.merge("run/checkpoint-500", out, &["--plan", "/dev/null", "-q"]);
    refused(&run, &["/dev/null"]);
    let run = desk.merge("run/checkpoint-500", out, &[]).done();
    assert!(run.stderr.is_empty(), "{run}");
    is_merged(&desk.path(out));
    desk.differ_in_weights_only("run/checkpoint-500", out);
    // An earlier output is replaced as a whole, where that is asked for.
    refused(&desk.merge("run/checkpoint-500", out, &[]), &["--force"]);
    fs::write(desk.path(out).join("model.safetensors"), "old").unwrap();
    desk.merge("run/checkpoint-500", out, &["--force"]).done();
    is_merged(&desk.path(out));
}

#[test]
fn an_output_is_no_less_private_than_its_input() {
    let desk = Desk::new();
    desk.save("in");
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(desk.path(path), Permissions::from_mode(mode)).unwrap();
    };
    mode("in/model.safetensors", 0o600);
    mode("in/optimizer.pt", 0o640);
    mode("in", 0o700);
    desk.merge("in", "out", &[]).done();
    for (path, expected) in [
        ("out", 0o700),
        ("out/model.safetensors", 0o600),
        ("out/optimizer.pt", 0o640),
    ] {
        let status = fs::metadata(desk.path(path)).unwrap();
        assert_eq!(status.permissions().mode() & 0o777, expected, "{path}");
    }
}

/// As in the cache of the Hugging Face Hub.
#[test]
fn in_place_weights_that_are_a_link_are_replaced_and_what_it_leads_to_is_not() {
    let desk = Desk::new();
    desk.save("in");
    fs::rename(desk.path("in/model.safetensors"), desk.path("blob")).unwrap();
    symlink("../blob", desk.path("in/model.safetensors")).unwrap();
    let run = desk.merge("in", "in", &["--force"]).done();
    assert!(run.stderr.is_empty(), "{run}");
    is_merged(&desk.path("in"));
    assert!(!desk.path("in/model.safetensors").is_symlink());
    assert!(fs::read(desk.path("blob")).unwrap() == weights());
    assert_eq!(contents(&desk.path("")).len(), 3);
}

#[test]
fn a_plan_goes_over_nothing_that_belongs_to_the_input() {
    let desk = Desk::new();
    desk.save("in");
    let before = contents(&desk.path("in"));
    for (out, name) in [("in", "optimizer.pt"), ("out", "config.json")] {
        let plan = desk.path("in").join(name);
        let flags = ["--force", "--plan", plan.to_str().unwrap()];
        refused(&desk.merge("in", out, &flags), &[name, "input"]);
    }
    assert!(contents(&desk.path("in")) == before);
}

#[test]
fn in_place_only_the_weights_change() {
    let desk = Desk::new();
    desk.save("run/checkpoint-500");
    fs::create_dir(desk.path("run/checkpoint-500/sub")).unwrap();
    let before = contents(&desk.path("run/checkpoint-500"));
    desk.merge("run/checkpoint-500", "run/checkpoint-500", &["--force"])
        .done();
    is_merged(&desk.path("run/checkpoint-500"));
    let mut after = contents(&desk.path("run/checkpoint-500"));
    after.insert(desk.path("run/checkpoint-500/model.safetensors"), weights());
    assert!(after == before);
}

#[test]
fn a_plan_fits_the_folder_and_its_file_alike() {
    let desk = Desk::new();
    desk.save("in");
    let plan = desk.path("plan.json");
    let file = "in/model.safetensors";
    desk.merge(
        file,
        "file.safetensors",
        &["--plan", plan.to_str().unwrap()],
    )
    .done();
    run(args!["apply", &plan, desk.path("in"), desk.path("out")]).done();
    is_merged(&desk.path("out"));
    // Every command takes the folder.
    let of = |input: &str| {
        let json = run(args!["inspect", desk.path(input), "--json"])
            .done()
            .json();
        json["layers"].clone()
    };
    assert_eq!(of("in"), of(file));
    let diff = run(args!["diff", desk.path("in"), desk.path("out"), "--json"]).done();
    assert_eq!(diff.json()["header_identical"], true);
}

#[test]
fn the_weights_are_those_that_hugging_face_s_libraries_load() {
    let desk = Desk::new();
    desk.save("in");
    let input = desk.path("in");
    // Other weights are named, and stay behind: they would not be merged.
    for name in ["pytorch_model.bin", "model.fp16.safetensors", "model.onnx"] {
        fs::write(input.join(name), "other").unwrap();
    }
    let run = desk.merge("in", "out", &[]).done();
    for name in ["pytorch_model.bin", "model.fp16.safetensors", "model.onnx"] {
        assert!(run.stderr.contains(name), "{run}");
        fs::remove_file(input.join(name)).unwrap();
    }
    desk.differ_in_weights_only("in", "out");
    fs::write(input.join("diffusion_pytorch_model.safetensors"), weights()).unwrap();
    let both = ["several checkpoints", "diffusion_pytorch_model.safetensors"];
    refused(&desk.merge("in", "new", &[]), &both);
    fs::remove_file(input.join("model.safetensors")).unwrap();
    desk.merge("in", "new", &[]).done();
    let found = fs::read(desk.path("new/diffusion_pytorch_model.safetensors")).unwrap();
    assert!(found == merged_weights());
    // As a pipeline of diffusers has them.
    fs::create_dir(desk.path("pipeline")).unwrap();
    for net in ["unet", "vae"] {
        fs::rename(
            desk.path(if net == "vae" { "in" } else { "new" }),
            desk.path("pipeline").join(net),
        )
        .unwrap();
    }
    refused(
        &desk.merge("pipeline", "other", &[]),
        &["unet/, vae/", "name one"],
    );
    desk.merge("pipeline/unet", "other", &[]).done();
    // What cannot be looked into is not taken for empty.
    fs::create_dir(desk.path("closed")).unwrap();
    symlink("loop", desk.path("closed/loop")).unwrap();
    refused(
        &desk.merge("closed", "never", &[]),
        &["closed/loop", "cannot be read"],
    );
}

#[test]
fn a_folder_is_written_as_a_folder() {
    let desk = Desk::new();
    desk.save("in");
    for out in ["out.safetensors", "out.pt", "out/model.safetensors"] {
        refused(
            &desk.merge("in", out, &[]),
            &["is a folder", "name a folder"],
        );
    }
    assert_eq!(contents(&desk.path("")).len(), 2);
}

// -------------------------------------------------------------------------------------------------------------- watch

#[test]
fn a_watch_merges_each_folder_once_it_is_finished() {
    let desk = Desk::new();
    desk.save("run/checkpoint-500");
    desk.begin("run/checkpoint-1000");
    desk.save("run/tmp-checkpoint-1500");
    symlink("checkpoint-500", desk.path("run/latest")).unwrap();
    fs::create_dir(desk.path("run/logs")).unwrap();
    fs::write(desk.path("run/logs/events"), "x").unwrap();
    let run = desk.once().done();
    assert!(
        run.stderr.contains("checkpoint-1000: is not finished"),
        "{run}"
    );
    assert!(run.stderr.contains("latest: a link to another"), "{run}");
    assert!(!run.stderr.contains("logs"), "{run}");
    assert_eq!(contents(&desk.path("merged")).len(), 2, "{run}");
    desk.differ_in_weights_only("run/checkpoint-500", "merged/checkpoint-500");

    desk.finish("run/checkpoint-1000");
    desk.once().done();
    desk.differ_in_weights_only("run/checkpoint-1000", "merged/checkpoint-1000");
    let before = contents(&desk.path("merged/checkpoint-500"));
    let run = desk.once().done();
    assert!(run.stderr.contains("nothing to merge"), "{run}");
    // A folder is another checkpoint where any of its files is.
    fs::write(desk.path("run/checkpoint-500/optimizer.pt"), "a newer one").unwrap();
    desk.once().done();
    desk.differ_in_weights_only("run/checkpoint-500", "merged/checkpoint-500");
    let mut after = contents(&desk.path("merged/checkpoint-500"));
    let optimizer = desk.path("merged/checkpoint-500/optimizer.pt");
    assert_eq!(
        after
            .insert(optimizer.clone(), before[&optimizer].clone())
            .unwrap(),
        b"a newer one"
    );
    assert!(after == before);
}

#[test]
fn what_the_watch_did_not_write_or_cannot_take_is_kept_and_said() {
    let desk = Desk::new();
    desk.save("run/checkpoint-500");
    desk.once().done();
    // Somebody's own file in an output: nothing is lost.
    fs::write(desk.path("merged/checkpoint-500/notes.txt"), "precious").unwrap();
    fs::write(desk.path("run/checkpoint-500/optimizer.pt"), "a newer one").unwrap();
    refused(&desk.once(), &["would be lost", "notes.txt", "1 of 1"]);
    fs::remove_file(desk.path("merged/checkpoint-500/notes.txt")).unwrap();
    desk.once().done();
    fs::write(
        desk.path("merged/checkpoint-500/model.safetensors"),
        weights(),
    )
    .unwrap();
    fs::write(desk.path("run/checkpoint-500/optimizer.pt"), "the newest").unwrap();
    refused(&desk.once(), &["checkpoint-500", "did not write"]);

    let desk = Desk::new();
    fs::create_dir(desk.path("run/checkpoint-500")).unwrap();
    fs::create_dir(desk.path("run/fold_0")).unwrap();
    desk.save("run/checkpoint-500/unet");
    fs::write(desk.path("run/fold_0/final.safetensors"), weights()).unwrap();
    fs::write(desk.path("run/model.h5"), "x").unwrap();
    // None of these is a checkpoint that is left unmerged.
    let run = desk.once().done();
    for name in ["unet/", "fold_0: is a folder", "model.h5: neither"] {
        assert_eq!(run.stderr.matches(name).count(), 1, "{run}");
    }
}

#[test]
fn folders_are_merged_once_each_through_kills() {
    let desk = Desk::new();
    let names: Vec<String> = (1..=8)
        .map(|step| format!("checkpoint-{}", step * 100))
        .collect();
    let start = || {
        let mut command = Command::new(program());
        command.args(desk.watch(&["-q"])).stdin(Stdio::null());
        command.spawn().unwrap()
    };
    let mut watch = start();
    for (number, name) in names.iter().enumerate() {
        desk.save(&format!("run/{name}"));
        thread::sleep(Duration::from_millis(60 * (number as u64 % 5)));
        watch.kill().unwrap();
        watch.wait().unwrap();
        watch = start();
    }
    let begun = Instant::now();
    let is_done = |name: &str| {
        let record = fs::read_to_string(desk.path("merged/.inmerge-watch.jsonl"));
        let record = record.unwrap_or_default();
        let lines = record.lines().filter(|line| line.contains("\"done\""));
        lines
            .filter(|line| line.contains(&format!("\"{name}\"")))
            .count()
            == 1
    };
    while !names.iter().all(|name| is_done(name)) {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "not all were merged"
        );
        thread::sleep(Duration::from_millis(20));
    }
    watch.kill().unwrap();
    watch.wait().unwrap();
    for name in &names {
        desk.differ_in_weights_only(&format!("run/{name}"), &format!("merged/{name}"));
    }
    // What the killed runs left is gone with the next one.
    desk.once().done();
    assert_eq!(contents(&desk.path("merged")).len(), names.len() + 1);
}

#[test]
fn outputs_go_into_no_checkpoint_of_the_run() {
    let desk = Desk::new();
    desk.save("run/checkpoint-500");
    fs::create_dir(desk.path("run/checkpoint-500/sub")).unwrap();
    for out in [
        "run/checkpoint-500",
        "run/checkpoint-500/sub",
        "run/checkpoint-500/new",
    ] {
        let args = args!["watch", desk.path("run"), "--out", desk.path(out), "--once"];
        refused(&run(args), &["checkpoint-500", "elsewhere"]);
    }
    assert!(!desk.path("run/checkpoint-500/new").exists());
    fs::create_dir(desk.path("merged")).unwrap();
    let record = desk.path("merged/.inmerge-watch.jsonl");
    assert!(
        Command::new("mkfifo")
            .arg(&record)
            .status()
            .unwrap()
            .success()
    );
    refused(
        &desk.once(),
        &[".inmerge-watch.jsonl", "not a regular file"],
    );
    let source = format!("--source={}", desk.path("run/checkpoint-500").display());
    refused(
        &desk.wait(&["merged/checkpoint-500", &source]),
        &["not a regular file"],
    );
}

// --------------------------------------------------------------------------------------------------------------- wait

#[test]
fn a_trainer_waits_for_what_a_watch_makes_of_its_checkpoint() {
    let desk = Desk::new();
    let (source, output) = ("run/checkpoint-500", "merged/checkpoint-500");
    let wait = |more: &[&str]| {
        let is_timed = more.iter().any(|flag| flag.starts_with("--timeout"));
        let patience: &[&str] = if is_timed {
            &[]
        } else {
            &["--timeout=1", "--poll=0.1"]
        };
        desk.wait(&[&[output], patience, more].concat())
    };
    refused(&wait(&[]), &["not there after 1 s", "watch"]);
    desk.save(source);
    let of_source = desk.path(source);
    let of_source = format!("--source={}", of_source.display());
    refused(&wait(&[&of_source]), &["no watch has written"]);
    desk.once().done();
    wait(&[]).done();
    let json = wait(&[&of_source, "--json"]).done().json();
    assert_eq!(json["output"], desk.path(output).to_str().unwrap());
    assert!(json["seconds"].as_f64().unwrap() < 1.0);
    // The trainer saves under the same name again: what is there is of an earlier state.
    fs::write(desk.path(source).join("optimizer.pt"), "a newer one").unwrap();
    wait(&[]).done();
    refused(&wait(&[&of_source]), &["another state of the source"]);
    let waiting = thread::scope(|scope| {
        let waiting =
            scope.spawn(|| desk.wait(&[output, "--timeout=60", "--poll=0.1", &of_source]));
        desk.once().done();
        waiting.join().unwrap()
    });
    waiting.done();
    fs::remove_dir_all(desk.path(output)).unwrap();
    refused(&wait(&[&of_source]), &["taken away"]);
    refused(
        &wait(&["--source=/nowhere/epoch3.ckpt"]),
        &["/nowhere/epoch3.ckpt", "another name"],
    );
    refused(
        &wait(&["--source=/nowhere/checkpoint-500", "--timeout=0"]),
        &["there is no /nowhere/checkpoint-500"],
    );
    assert_eq!(wait(&["--timeout=soon"]).code, Some(2));
}

#[test]
fn the_record_names_each_folder_and_its_seed() {
    let desk = Desk::new();
    desk.save("run/checkpoint-500");
    let json = run(desk.watch(&["--once", "--json"])).done().json();
    let seed = json["parameters"]["seed"].to_string();
    let plan = desk.path("plan.json");
    let flags = ["--seed", &seed, "--plan", plan.to_str().unwrap()];
    desk.merge("run/checkpoint-500", "alone", &flags).done();
    assert_eq!(
        contents(&desk.path("alone"))
            .into_values()
            .collect::<Vec<_>>(),
        contents(&desk.path("merged/checkpoint-500"))
            .into_values()
            .collect::<Vec<_>>()
    );
    assert_eq!(read_json(&plan)["source"]["file"], "checkpoint-500");
}
