//! `watch`: every checkpoint that a trainer drops is merged once, whatever happens to the watch.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::common::{
    self, Run, contents, fixture, parsed, places, program, run, skipped, write_tensors,
};
use rustix::process::{Pid, Signal, kill_process};
use safetensors::Dtype;
use serde_json::Value;
use tempfile::TempDir;

const POLL: &str = "--poll=0.1";

/// At a lower threshold chance alone gives most kernels of a layer a partner, which is warned of.
const TAU: &str = "--tau=0.6";

const FLAGS: [&str; 2] = [TAU, "--seed=11"];

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A checkpoint unlike those of other numbers.
fn checkpoint(number: usize) -> Vec<u8> {
    let mut bytes = fs::read(fixture("checkpoints/demo.safetensors")).unwrap();
    for place in places(&bytes) {
        for at in place.bytes.step_by(4 * 37) {
            // The lower half of a float32's fraction.
            bytes[at] ^= number as u8;
            bytes[at + 1] ^= (number * 7) as u8;
        }
    }
    bytes
}

/// A folder with a trainer's and a watch's in it.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        Self { folder }
    }

    fn input(&self, name: &str) -> PathBuf {
        self.folder.path().join("in").join(name)
    }

    fn output(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    fn args(&self, more: &[&str]) -> Vec<OsString> {
        let mut args = args!["watch", self.input(""), "--out", self.output("")];
        args.extend(args!["--json", "--threads=1"]);
        if !more.iter().any(|flag| flag.starts_with("--poll")) {
            args.push(POLL.into());
        }
        args.extend(FLAGS.iter().chain(more).map(Into::into));
        args
    }

    fn once(&self) -> Run {
        run(self.args(&["--once"]))
    }

    fn start(&self, more: &[&str]) -> Watch {
        let log = self.folder.path().join("log");
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new(program());
        command.args(self.args(more)).stdin(Stdio::null());
        let command = command.stdout(log.try_clone().unwrap()).stderr(log);
        Watch(command.spawn().unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The warnings with this word.
    fn warnings(&self, word: &str) -> Vec<String> {
        let log = self.log();
        let lines = log
            .lines()
            .filter(|line| line.starts_with("warning") && line.contains(word));
        lines.map(str::to_owned).collect()
    }

    /// The size of the record.
    fn recorded_bytes(&self) -> u64 {
        let record = fs::metadata(self.output(".inmerge-watch.jsonl"));
        record.map_or(0, |record| record.len())
    }

    /// The record's lines but for the first, those of one event.
    fn record(&self, event: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.output(".inmerge-watch.jsonl")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().map(|line| parsed("watch-record-line", line));
        lines.filter(|line| line["event"] == event).collect()
    }

    /// The names in the folder of the outputs, the record left out.
    fn outputs(&self) -> Vec<String> {
        let names = contents(&self.output("")).into_keys();
        let names = names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
        names
            .filter(|name| name != ".inmerge-watch.jsonl")
            .collect()
    }

    fn wait_for(&self, what: &str, happens: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !happens(self) {
            assert!(start.elapsed() < PATIENCE, "never: {what}\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Fails unless the output is what `merge` makes of this input with the recorded seed.
    fn is_as_merged(&self, input: &[u8], entry: &Value) {
        let name = entry["name"].as_str().unwrap();
        let seed = entry["seed"].to_string();
        let [source, merged] = ["source", "merged"].map(|name| self.folder.path().join(name));
        fs::write(&source, input).unwrap();
        let files = args!["merge", source, &merged, "--force", "--no-sync", "-q"];
        let flags = args![TAU, "--seed", seed];
        run(files.into_iter().chain(flags)).done();
        let expected = fs::read(merged).unwrap();
        assert!(expected != input, "nothing merges in {name}");
        assert!(
            fs::read(self.output(name)).unwrap() == expected,
            "{name} is another"
        );
    }
}

/// A watch that runs.
struct Watch(Child);

impl Watch {
    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id() as i32).expect("a process");
        kill_process(pid, signal).unwrap();
    }

    /// Ends it as a service manager does. Its exit code, and how long it took.
    fn terminate(mut self) -> (Option<i32>, Duration) {
        let start = Instant::now();
        self.signal(Signal::TERM);
        let status = self.0.wait().unwrap();
        (status.code(), start.elapsed())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // One that has ended is none to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Numbers that look random and are the same each time.
fn random(state: &mut u64, below: u64) -> u64 {
    *state = state
        .wrapping_mul(6364136223846793005)
        .wrapping_add(1442695040888963407);
    (*state >> 33) % below
}

/// Writes a checkpoint as some trainer or other does.
fn drop_one(desk: &Desk, name: &str, bytes: &[u8], number: usize) {
    let path = desk.input(name);
    match number % 5 {
        0 => fs::write(path, bytes).unwrap(),
        1 => {
            let unfinished = desk.input(&format!("{name}.tmp"));
            fs::write(&unfinished, bytes).unwrap();
            fs::rename(unfinished, path).unwrap();
        }
        2 => {
            let unfinished = desk.input(&format!(".{name}"));
            fs::write(&unfinished, &bytes[..bytes.len() / 3]).unwrap();
            thread::sleep(Duration::from_millis(300));
            fs::write(&unfinished, bytes).unwrap();
            fs::rename(unfinished, path).unwrap();
        }
        // In place, in parts, with more than two looks between them: in the middle of the data and of the header.
        other => {
            let mut file = File::create(path).unwrap();
            let cut = if other == 3 { bytes.len() / 2 } else { 100 };
            for part in [
                &bytes[..cut],
                &bytes[cut..bytes.len() - 1],
                &bytes[bytes.len() - 1..],
            ] {
                file.write_all(part).unwrap();
                thread::sleep(Duration::from_millis(700));
            }
        }
    }
}

#[test]
fn shards_are_left_alone() {
    let desk = Desk::new();
    fs::write(desk.input("epoch1.safetensors"), checkpoint(1)).unwrap();
    for number in 1..=2 {
        let shard = format!("model-0000{number}-of-00002.safetensors");
        fs::write(desk.input(&shard), checkpoint(number)).unwrap();
    }
    let run = desk.once();
    refused(&run, &["2 of 3 new checkpoints"]);
    assert_eq!(desk.outputs(), ["epoch1.safetensors"], "{run}");
    let said = run
        .stderr
        .lines()
        .filter(|line| line.contains("left alone"));
    assert_eq!(said.count(), 2, "{run}");
    assert!(run.stderr.contains("model.safetensors.index.json"), "{run}");
}

#[test]
fn fifty_checkpoints_are_merged_once_each_through_bursts_and_kills() {
    let desk = Desk::new();
    let names: Vec<String> = (0..50)
        .map(|number| format!("epoch{number}.safetensors"))
        .collect();
    let expected: BTreeMap<&str, Vec<u8>> = names
        .iter()
        .enumerate()
        .map(|(number, name)| (&name[..], checkpoint(number)))
        .collect();
    fs::write(desk.input("tmpab12.safetensors"), checkpoint(99)).unwrap();
    fs::write(desk.input("best.tmp.safetensors"), checkpoint(99)).unwrap();
    let mut kills = 0;
    thread::scope(|scope| {
        let trainer = scope.spawn(|| {
            for burst in (0..50).collect::<Vec<_>>().chunks(10) {
                thread::scope(|scope| {
                    for &number in burst {
                        let (desk, name) = (&desk, &names[number]);
                        let bytes = &expected[&name[..]];
                        scope.spawn(move || drop_one(desk, name, bytes, number));
                    }
                });
            }
        });
        let mut state = 5;
        while !trainer.is_finished() {
            let watch = desk.start(&[]);
            let (start, recorded) = (Instant::now(), desk.recorded_bytes());
            let time = Duration::from_millis(150 + random(&mut state, 500));
            // At any time, or a moment after it begins to merge.
            let at_any_time = random(&mut state, 3) == 0;
            while start.elapsed() < time && (at_any_time || desk.recorded_bytes() == recorded) {
                thread::sleep(Duration::from_millis(1));
            }
            if start.elapsed() < time {
                thread::sleep(Duration::from_micros(random(&mut state, 20_000)));
            }
            watch.kill();
            kills += 1;
        }
    });
    assert!(kills > 5);
    let merged_before = desk.record("done").len();
    assert!(
        (1..=50).contains(&merged_before),
        "the kills left it no time: {}",
        desk.log()
    );
    let watch = desk.start(&[]);
    desk.wait_for("all are merged", |desk| desk.record("done").len() >= 50);
    // Two looks more find nothing to do.
    thread::sleep(Duration::from_millis(300));
    let (code, _) = watch.terminate();
    assert_eq!(code, Some(0), "{}", desk.log());

    let mut outputs = desk.outputs();
    outputs.sort_unstable();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.sort_unstable();
    assert_eq!(outputs, all);
    let done = desk.record("done");
    let mut recorded: Vec<&str> = done
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    recorded.sort_unstable();
    assert_eq!(recorded, all);
    for entry in &done {
        desk.is_as_merged(&expected[entry["name"].as_str().unwrap()], entry);
    }
    assert_eq!(desk.warnings(""), Vec::<String>::new());
}

#[test]
fn once_merges_what_is_complete_and_prints_a_line_for_each() {
    let desk = Desk::new();
    for number in [10, 9] {
        fs::write(
            desk.input(&format!("epoch{number}.safetensors")),
            checkpoint(number),
        )
        .unwrap();
    }
    fs::write(desk.input("weights"), checkpoint(3)).unwrap();
    symlink("weights", desk.input("last.safetensors")).unwrap();
    fs::write(desk.input("notes.txt"), "not a checkpoint").unwrap();
    fs::write(desk.input("half.safetensors"), &checkpoint(1)[..5000]).unwrap();
    let first = desk.once().done();
    let lines = first.stdout.lines();
    let lines: Vec<Value> = lines.map(|line| parsed("merge", line)).collect();
    let names = [
        "epoch9.safetensors",
        "epoch10.safetensors",
        "last.safetensors",
    ];
    assert_eq!(lines.len(), names.len(), "{first}");
    let done = desk.record("done");
    for ((line, name), entry) in lines.iter().zip(names).zip(&done) {
        assert_eq!(entry["name"], name);
        assert_eq!(line["input"], desk.input(name).display().to_string());
        assert_eq!(line["output"], desk.output(name).display().to_string());
        assert_eq!(line["parameters"]["seed"], entry["seed"]);
        assert!(line["totals"]["merged"].as_u64() > Some(0), "{line}");
    }
    for (number, entry) in [9, 10, 3].into_iter().zip(&done) {
        desk.is_as_merged(&checkpoint(number), entry);
    }
    assert_ne!(done[0]["seed"], done[1]["seed"]);
    // The same keys as `merge --json` prints.
    let merge = run(args!["merge", desk.input("weights"), "--dry-run", "--json"])
        .done()
        .json();
    let keys = |object: &Value| {
        object
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&lines[0]), keys(&merge));
    assert_eq!(
        first.stderr.matches("half.safetensors").count(),
        1,
        "{first}"
    );

    let before = contents(&desk.output(""));
    let second = desk.once().done();
    assert_eq!(second.stdout, "");
    assert!(contents(&desk.output("")) == before);
}

#[test]
fn without_json_each_line_says_what_was_merged() {
    let desk = Desk::new();
    fs::write(desk.input("a.safetensors"), checkpoint(1)).unwrap();
    let args = desk
        .args(&["--once"])
        .into_iter()
        .filter(|arg| arg != "--json");
    let run = run(args).done();
    let seed = desk.record("done")[0]["seed"].to_string();
    assert_eq!(run.stdout.lines().count(), 1, "{run}");
    for word in ["a.safetensors: ", " kernels merged (", &seed, "wrote "] {
        assert!(run.stdout.contains(word), "no {word:?}\n{run}");
    }
}

#[test]
fn what_is_the_same_in_every_checkpoint_is_warned_of_once() {
    let desk = Desk::new();
    for number in [1, 2, 3] {
        let name = format!("epoch{number}.safetensors");
        fs::write(desk.input(&name), checkpoint(number)).unwrap();
    }
    let args = desk.args(&["--once", "--tau=0.3"]);
    let run = run(args.into_iter().filter(|arg| arg != TAU)).done();
    assert_eq!(desk.record("done").len(), 3, "{run}");
    let warnings = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("warning"));
    let warnings: Vec<&str> = warnings.collect();
    assert_eq!(warnings.len(), 1, "{run}");
    assert!(
        warnings[0].contains("even if their numbers were random"),
        "{run}"
    );
}

#[test]
fn a_checkpoint_that_is_replaced_is_merged_again() {
    let desk = Desk::new();
    let name = "last.safetensors";
    for number in 1..=2 {
        fs::write(desk.input("new"), checkpoint(number)).unwrap();
        fs::rename(desk.input("new"), desk.input(name)).unwrap();
        desk.once().done();
        let done = desk.record("done");
        assert_eq!(done.len(), number);
        desk.is_as_merged(&checkpoint(number), &done[number - 1]);
    }
    // Without an output it stays merged: outputs may be taken away.
    fs::remove_file(desk.output(name)).unwrap();
    assert_eq!(desk.once().done().stdout, "");
    // A time of its own makes it another.
    File::options()
        .write(true)
        .open(desk.input(name))
        .unwrap()
        .set_modified(SystemTime::now() + Duration::from_secs(60))
        .unwrap();
    desk.once().done();
    desk.is_as_merged(&checkpoint(2), &desk.record("done")[2]);
}

#[test]
fn a_watch_killed_before_its_last_line_knows_its_output_again() {
    let desk = Desk::new();
    let name = "a.safetensors";
    fs::write(desk.input(name), checkpoint(1)).unwrap();
    desk.once().done();
    let record = desk.output(".inmerge-watch.jsonl");
    let text = fs::read_to_string(&record).unwrap();
    let before = fs::metadata(desk.output(name)).unwrap();
    // The line itself is missing, and torn.
    for cut in [text.trim_end().rfind('\n').unwrap() + 1, text.len() - 5] {
        fs::write(&record, &text[..cut]).unwrap();
        assert_eq!(desk.record("done").len(), 0);
        assert_eq!(desk.once().done().stdout, "");
        assert_eq!(fs::read_to_string(&record).unwrap(), text);
        let after = fs::metadata(desk.output(name)).unwrap();
        assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    }
    // Killed before the output appeared.
    fs::write(&record, &text[..text.trim_end().rfind('\n').unwrap() + 1]).unwrap();
    fs::remove_file(desk.output(name)).unwrap();
    desk.once().done();
    desk.is_as_merged(&checkpoint(1), &desk.record("done")[0]);
}

/// Fails unless a run failed with these words in its message.
fn refused(run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{run}");
    for word in words {
        assert!(run.stderr.contains(word), "no {word:?}\n{run}");
    }
}

#[test]
fn other_settings_are_refused() {
    let desk = Desk::new();
    fs::write(desk.input("a.safetensors"), checkpoint(1)).unwrap();
    desk.once().done();
    fs::write(desk.input("b.safetensors"), checkpoint(2)).unwrap();
    let before = contents(&desk.output(""));
    let layers = desk.folder.path().join("layers.json");
    fs::write(&layers, r#"[{"name":"conv1.weight","head":true}]"#).unwrap();
    let layers = format!("--layers={}", layers.display());
    for (flag, words) in [
        ("--alpha=0.7", &["alpha", "0.8", "0.7"][..]),
        (
            &layers,
            &["layers", r#"{"head":true,"name":"conv1.weight"}"#],
        ),
        ("--exclude=layer4*", &["exclude", "layer4*"]),
        ("--allow-nonfinite", &["allow_nonfinite"]),
    ] {
        let run = run(desk.args(&["--once", flag]));
        refused(&run, words);
        refused(&run, &["--out"]);
    }
    assert!(contents(&desk.output("")) == before);
    // What cannot change a byte may change.
    run(desk.args(&["--once", "--screen=f32", "--prob=0.3"])).done();
    assert_eq!(desk.record("done").len(), 2);
}

#[test]
fn a_file_that_the_watch_did_not_write_is_kept() {
    let desk = Desk::new();
    fs::create_dir(desk.output("")).unwrap();
    fs::write(desk.input("a.safetensors"), checkpoint(1)).unwrap();
    fs::write(desk.input("b.safetensors"), checkpoint(2)).unwrap();
    fs::write(desk.output("a.safetensors"), "precious").unwrap();
    refused(&desk.once(), &["a.safetensors", "did not write", "1 of 2"]);
    assert_eq!(fs::read(desk.output("a.safetensors")).unwrap(), b"precious");
    desk.is_as_merged(&checkpoint(2), &desk.record("done")[0]);
    // An output that somebody has changed is no longer the watch's.
    fs::write(desk.output("b.safetensors"), "precious").unwrap();
    fs::write(desk.input("b.safetensors"), checkpoint(3)).unwrap();
    refused(&desk.once(), &["b.safetensors", "did not write"]);
    assert_eq!(fs::read(desk.output("b.safetensors")).unwrap(), b"precious");
    // In the way of a watch that goes on, it is said once; once it is gone the watch does its work.
    let watch = desk.start(&[]);
    desk.wait_for("a warning", |desk| desk.log().contains("b.safetensors"));
    fs::remove_file(desk.output("b.safetensors")).unwrap();
    desk.wait_for("b is merged", |desk| desk.record("done").len() == 2);
    assert_eq!(
        desk.log().matches("did not write").count(),
        2,
        "{}",
        desk.log()
    );
    watch.terminate();
    desk.is_as_merged(&checkpoint(3), &desk.record("done")[1]);
}

#[test]
fn nothing_is_merged_into_a_folder_that_took_the_place_of_the_outputs() {
    let desk = Desk::new();
    let _watch = desk.start(&[]);
    desk.wait_for("the watch begins", |desk| desk.recorded_bytes() > 0);
    let away = desk.folder.path().join("away");
    fs::rename(desk.output(""), &away).unwrap();
    fs::create_dir(desk.output("")).unwrap();
    fs::write(desk.input("a.safetensors"), checkpoint(0)).unwrap();
    desk.wait_for("a warning", |desk| !desk.warnings("put it back").is_empty());
    assert!(desk.outputs().is_empty());
    fs::remove_dir(desk.output("")).unwrap();
    fs::rename(&away, desk.output("")).unwrap();
    desk.wait_for("the merge", |desk| desk.record("done").len() == 1);
    assert_eq!(desk.outputs(), ["a.safetensors"]);
}

#[test]
fn a_second_watch_on_the_same_outputs_is_refused() {
    let desk = Desk::new();
    let watch = desk.start(&[]);
    desk.wait_for("the watch starts", |desk| desk.log().contains("watching"));
    refused(&desk.once(), &["another watch", "--out"]);
    let (code, time) = watch.terminate();
    assert_eq!(code, Some(0));
    assert!(time < Duration::from_secs(2), "{time:?}");
    desk.once().done();
}

#[test]
fn an_interrupted_watch_sleeps_no_longer() {
    let desk = Desk::new();
    let mut watch = desk.start(&["--poll=3600"]);
    desk.wait_for("the watch starts", |desk| desk.log().contains("watching"));
    thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    watch.signal(Signal::INT);
    assert_eq!(watch.0.wait().unwrap().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn what_is_broken_or_cannot_be_merged_is_said_once_and_stops_nothing() {
    let desk = Desk::new();
    let mut diverged = checkpoint(1);
    for place in places(&diverged.clone()) {
        diverged[place.bytes][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    }
    fs::write(desk.input("diverged.safetensors"), diverged).unwrap();
    fs::write(desk.input("broken.safetensors"), &checkpoint(1)[..9000]).unwrap();
    fs::write(desk.input("other.safetensors"), b"\x80\x02}q\x00. a pickle").unwrap();
    let watch = desk.start(&["--poll=0.05"]);
    for name in ["diverged", "broken", "other"] {
        desk.wait_for(name, |desk| desk.warnings(name).len() == 1);
    }
    fs::write(desk.input("good.safetensors"), checkpoint(2)).unwrap();
    desk.wait_for("good is merged", |desk| desk.record("done").len() == 1);
    // As many looks again, and more.
    thread::sleep(Duration::from_millis(2500));
    for name in ["diverged", "broken", "other"] {
        assert_eq!(desk.warnings(name).len(), 1, "{}", desk.log());
    }
    // What is whole at last is merged.
    fs::write(desk.input("broken.safetensors"), checkpoint(1)).unwrap();
    desk.wait_for("broken is merged", |desk| desk.record("done").len() == 2);
    assert_eq!(watch.terminate().0, Some(0));
    assert_eq!(desk.outputs(), ["broken.safetensors", "good.safetensors"]);
    // What failed fails a run of its own, what is not whole does not.
    refused(
        &desk.once(),
        &["diverged.safetensors", "other.safetensors", "2 of 2"],
    );
    for name in ["diverged.safetensors", "other.safetensors"] {
        fs::remove_file(desk.input(name)).unwrap();
    }
    let run = desk.once().done();
    assert!(run.stderr.contains("nothing to merge"), "{run}");
}

#[test]
fn once_fails_where_it_cannot_tell_whether_a_checkpoint_is_complete() {
    let desk = Desk::new();
    fs::write(desk.input("a.safetensors"), checkpoint(1)).unwrap();
    // Links in a circle: they can be looked at by nobody.
    symlink("b.safetensors", desk.input("b.safetensors")).unwrap();
    symlink("none", desk.input("dangling.safetensors")).unwrap();
    let run = desk.once();
    refused(&run, &["b.safetensors", "cannot be reached", "1 of 2"]);
    refused(
        &run,
        &["warning: ", "dangling.safetensors: left alone", "none"],
    );
    assert_eq!(run.stderr.matches("cannot be reached").count(), 1, "{run}");
    assert_eq!(desk.outputs(), ["a.safetensors"]);
    // A watch that goes on says so once.
    let watch = desk.start(&["--poll=0.05"]);
    desk.wait_for("a warning", |desk| {
        !desk.warnings("cannot be reached").is_empty()
    });
    thread::sleep(Duration::from_millis(500));
    for word in ["cannot be reached", "left alone"] {
        assert_eq!(desk.warnings(word).len(), 1, "{}", desk.log());
    }
    fs::write(desk.input("whole"), checkpoint(2)).unwrap();
    fs::rename(desk.input("whole"), desk.input("b.safetensors")).unwrap();
    desk.wait_for("b is merged", |desk| desk.record("done").len() == 2);
    assert_eq!(watch.terminate().0, Some(0));
    // What is not there is no checkpoint that could have been merged.
    desk.once().done();
}

/// OpenBLAS would start one for every processor, and have them spin between merges.
#[cfg(target_os = "linux")]
#[test]
fn a_watch_that_waits_has_no_thread_of_the_blas() {
    let desk = Desk::new();
    fs::write(desk.input("a.safetensors"), checkpoint(1)).unwrap();
    let watch = desk.start(&[]);
    desk.wait_for("a is merged", |desk| desk.record("done").len() == 1);
    let threads = format!("/proc/{}/task", watch.0.id());
    let begun = Instant::now();
    // Its own: the one that watches, and the one that waits for signals. Those that merge end a moment later.
    while fs::read_dir(&threads).unwrap().count() > 2 {
        assert!(begun.elapsed() < PATIENCE, "threads are left");
        thread::sleep(Duration::from_millis(20));
    }
    watch.terminate();
}

/// The pages of a file that are mapped go away where it is truncated: whoever reads them gets a signal that kills.
#[test]
fn a_checkpoint_that_is_truncated_while_it_is_merged_ends_no_watch() {
    let desk = Desk::new();
    let whole = desk.folder.path().join("whole");
    let values: Vec<u8> = (0..8_000_000u32).map(|i| (i % 251) as u8).collect();
    let layer = (
        "conv.weight".to_owned(),
        Dtype::F16,
        vec![500, 2000, 2, 2],
        values,
    );
    write_tensors(&whole, &[layer]);
    let whole = fs::read(whole).unwrap();
    let watch = desk.start(&["--poll=0.05", "--skip-shallow=0", "--allow-nonfinite"]);
    let file = desk.input("large.safetensors");
    let begun = Instant::now();
    for attempt in 0.. {
        assert!(
            begun.elapsed() < PATIENCE,
            "never read meanwhile\n{}",
            desk.log()
        );
        fs::write(&file, &whole).unwrap();
        thread::sleep(Duration::from_millis(100 + attempt * 7 % 150));
        let open = File::options().write(true).open(&file).unwrap();
        open.set_len(4096).unwrap();
        thread::sleep(Duration::from_millis(50));
        if desk.log().contains("changed while it was read") {
            break;
        }
    }
    fs::write(&file, &whole).unwrap();
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let modified = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    desk.wait_for("it is merged", |desk| {
        let mut done = desk.record("done").into_iter();
        done.any(|line| line["source"]["modified_ns"] == modified.as_nanos() as i64)
    });
    assert_eq!(watch.terminate().0, Some(0), "{}", desk.log());
}

/// The program as run by a user who may not read everything, whose the desk is then.
fn run_as_other(desk: &Desk, args: &[OsString]) -> Option<Run> {
    if !rustix::process::geteuid().is_root() {
        return Some(run(args));
    }
    let nobody = 65534;
    let program = desk.folder.path().join("program");
    fs::copy(common::program(), &program).unwrap();
    for path in [desk.folder.path(), &desk.input("")] {
        chown(path, Some(nobody), Some(nobody)).unwrap();
    }
    let mut command = Command::new(&program);
    let command = command.args(args).uid(nobody).gid(nobody);
    match command.output() {
        Ok(output) => Some(Run {
            line: format!("{command:?}"),
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }),
        Err(error) => {
            skipped(&format!("nothing can be run as another user ({error})"));
            None
        }
    }
}

#[test]
fn once_fails_where_a_checkpoint_may_not_be_read() {
    let desk = Desk::new();
    let closed = desk.folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("whole"), checkpoint(1)).unwrap();
    symlink("../closed/whole", desk.input("link.safetensors")).unwrap();
    fs::write(desk.input("mine.safetensors"), checkpoint(2)).unwrap();
    fs::write(desk.input("secret.safetensors"), checkpoint(3)).unwrap();
    for (path, mode) in [(&closed, 0), (&desk.input("secret.safetensors"), 0)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let run = run_as_other(&desk, &desk.args(&["--once"]));
    fs::set_permissions(&closed, Permissions::from_mode(0o755)).unwrap();
    let Some(run) = run else { return };
    refused(&run, &["link.safetensors: cannot be reached", "2 of 3"]);
    refused(&run, &["secret.safetensors: cannot be read", "permissions"]);
    assert_eq!(desk.outputs(), ["mine.safetensors"]);
}

#[test]
fn folders_that_cannot_be_watched_are_refused_by_name() {
    let desk = Desk::new();
    let watch = |input: &Path, out: &Path| run(args!["watch", input, "--out", out, "--once"]);
    let (input, out) = (desk.input(""), desk.output(""));
    refused(
        &watch(&input, &input.join("../in")),
        &["watched folder itself"],
    );
    refused(&watch(&desk.input("none"), &out), &["not a folder"]);
    assert!(!out.exists());
    refused(&watch(&input, &out.join("deeper")), &["create", "first"]);
    fs::write(out.with_extension("txt"), "").unwrap();
    refused(
        &watch(&input, &out.with_extension("txt")),
        &["out.txt", "not a folder"],
    );
    refused(
        &watch(&input, &out.with_extension("txt").join("below")),
        &["out.txt/below", "out.txt is not a folder"],
    );
    // A link in a circle is not a folder that is missing.
    symlink("out.round", out.with_extension("round")).unwrap();
    refused(
        &watch(&input, &out.with_extension("round")),
        &["out.round", "cannot be written"],
    );
    symlink("none", out.with_extension("link")).unwrap();
    refused(
        &watch(&input, &out.with_extension("link")),
        &["out.link", "not a folder"],
    );
    assert!(contents(&input).is_empty());
    for poll in ["0", "-1", "NaN", "1e9", "soon"] {
        let run = run(desk.args(&[format!("--poll={poll}").as_str()]));
        assert_eq!(run.code, Some(2), "{run}");
        assert!(run.stderr.contains("[0.05, 86400]"), "{run}");
    }
}

#[test]
fn names_that_are_no_text_fail_alone() {
    use std::os::unix::ffi::OsStringExt;
    let desk = Desk::new();
    let name = OsString::from_vec(b"epoch\xff.safetensors".to_vec());
    fs::write(desk.input("").join(name), checkpoint(1)).unwrap();
    fs::write(desk.input("a.safetensors"), checkpoint(1)).unwrap();
    refused(&desk.once(), &["UTF-8", "rename", "1 of 2"]);
    assert_eq!(desk.outputs(), ["a.safetensors"]);
}
