//! `sensitivity`: variants of a checkpoint, scored by programs that are made for it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Run, contents, fixture, parsed, read_json, run, skipped};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A row of results.csv, by column.
type Row = BTreeMap<String, String>;

fn tiny() -> PathBuf {
    fixture("checkpoints/resnet-tiny.safetensors")
}

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The sweep of fixtures/sweep.py but for what varies.
fn base(folder: &Path) -> Vec<OsString> {
    args![
        "sensitivity",
        tiny(),
        "--report",
        folder,
        "--skip-shallow",
        "2",
        "--tau",
        "0.4",
        "--prob",
        "0.5",
        "--seed",
        "3",
    ]
}

fn all_that_varies() -> Vec<OsString> {
    args![
        "--vary",
        "layers",
        "--vary",
        "tau=0.2:0.8:0.2",
        "--vary",
        "alpha=0,0.5",
        "--vary",
        "prob=0.5,1",
        "--grid",
        "alpha,prob",
        "--repeats",
        "2",
    ]
}

/// Scores by the bits of the checkpoint, after a while.
fn evaluator(seconds: &str) -> String {
    let script = fixture("evaluators/bits.sh");
    let script = script
        .to_str()
        .expect("a path in UTF-8")
        .replace('\'', "'\\''");
    format!("sh -c 'sleep {seconds}; exec sh \"$0\" \"$1\"' '{script}' {{checkpoint}}")
}

fn whole(folder: &Path) -> Vec<OsString> {
    let mut words = base(folder);
    words.extend(all_that_varies());
    words.extend(args!["--eval", evaluator("0")]);
    words
}

/// What the reference says of a sweep of all that varies, with controls.
fn golden() -> Value {
    read_json(&fixture("golden/sensitivity.json"))
}

fn with(mut words: Vec<OsString>, more: Vec<OsString>) -> Vec<OsString> {
    words.extend(more);
    words
}

fn rows(folder: &Path) -> Vec<Row> {
    let mut csv = csv::Reader::from_path(folder.join("results.csv")).expect("results.csv is there");
    csv.deserialize()
        .map(|row| row.expect("rows are whole"))
        .collect()
}

/// All that is the same however often a sweep is made.
fn timeless(folder: &Path) -> Vec<Row> {
    let mut rows = rows(folder);
    for row in &mut rows {
        row.remove("seconds").expect("a column of seconds");
    }
    rows
}

fn journal(folder: &Path) -> Vec<Value> {
    let files = contents(folder);
    let parts = files
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|e| e == "jsonl"));
    parts
        .flat_map(|(_, bytes)| {
            String::from_utf8(bytes.clone())
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .map(|line| parsed("points-line", line))
        .collect()
}

fn number(row: &Row, column: &str) -> f64 {
    row[column]
        .parse()
        .unwrap_or_else(|_| panic!("{column} of {row:?}"))
}

#[test]
fn every_point_scores_what_the_reference_says() {
    let folder = temporary();
    let report = folder.path().join("sweep");
    let controls = args!["--jobs", "2", "--control", "random,shrink"];
    run(with(whole(&report), controls)).done();
    let golden = golden();
    let golden = golden["rows"].as_array().unwrap();
    let rows = rows(&report);
    let bless =
        "; INMERGE_BLESS=1 cargo test --test integration golden:: makes the golden file again";
    assert_eq!(rows.len(), golden.len(), "{bless}");
    let depth = |row: &Row, column: &str| row[column].parse::<u64>().ok();
    for expected in golden {
        let same = |row: &&Row| {
            let depths = expected["depths"]
                .as_array()
                .map(|d| (d[0].as_u64(), d[1].as_u64()));
            row["series"] == expected["series"].as_str().unwrap()
                && row["control"] == expected["control"].as_str().unwrap_or_default()
                && depths.is_none_or(|d| d == (depth(row, "first_depth"), depth(row, "last_depth")))
                && ["tau", "alpha", "prob", "skip_shallow", "repeat", "seed"]
                    .iter()
                    // Empty where it plays no part: in the baseline, and L_s where layers are named.
                    .filter(|column| !row[**column].is_empty())
                    .all(|column| number(row, column) == expected[column].as_f64().unwrap())
        };
        let mut found = rows.iter().filter(same);
        let (Some(row), None) = (found.next(), found.next()) else {
            panic!("not one row for {expected}{bless}");
        };
        for column in ["score", "kernels", "merged"] {
            assert_eq!(
                number(row, column),
                expected[column].as_f64().unwrap(),
                "{column} of {row:?}{bless}"
            );
        }
        let (change, expected) = (
            number(row, "relative_change"),
            expected["relative_change"].as_f64().unwrap(),
        );
        assert!(
            (change - expected).abs() <= 1e-9 * expected,
            "{row:?}: {expected}"
        );
        assert_eq!(row["status"], "scored");
    }
    assert!(
        golden
            .iter()
            .any(|row| row["merged"] == 0 && row["series"] == "layer"),
        "one point merges nothing"
    );
    for file in [
        "index.html",
        "results.json",
        "sweep.json",
        "tau-score.svg",
        "tau-score.png",
        "tau-score.pdf",
        "layer-score.svg",
        "grid-alpha-prob-score.png",
    ] {
        assert!(report.join(file).is_file(), "{file}");
    }
    let recommended = recommended(&report);
    assert_recommended(&recommended, &self::golden()["recommended"]["higher"]);
    // What the file for --config merges is that variant, to the byte.
    let merged = folder.path().join("merged.safetensors");
    let config = report.join("recommended.toml");
    run(args!["merge", tiny(), &merged, "--config", config]).done();
    let scored = Command::new("sh")
        .arg(fixture("evaluators/bits.sh"))
        .arg(&merged)
        .output()
        .unwrap();
    let score: f64 = String::from_utf8(scored.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let of_variant = rows.iter().find(|row| {
        row["series"] == "alpha"
            && row["alpha"] == "0"
            && row["repeat"] == "0"
            && row["control"].is_empty()
    });
    assert_eq!(score, number(of_variant.unwrap(), "score"));
    let page = fs::read_to_string(report.join("index.html")).unwrap();
    assert!(
        page.contains("Recommended: \u{3b1} 0,"),
        "the page says which merge to take"
    );
    assert!(
        page.to_lowercase().contains("nothing merged") || page.contains("merged nothing"),
        "the page names hollow points"
    );
}

fn recommended(report: &Path) -> Value {
    read_json(&report.join("results.json"))["recommendation"].clone()
}

fn assert_recommended(found: &Value, golden: &Value) {
    assert_eq!(found["series"], golden["series"]);
    for (key, value) in found["set"].as_object().unwrap() {
        assert_eq!(value.as_f64(), golden[key].as_f64(), "{key}: {found}");
    }
    let close = |found: &Value, golden: &Value| {
        let (found, golden) = (found.as_f64().unwrap(), golden.as_f64().unwrap());
        assert!((found / golden - 1.0).abs() < 1e-9, "{found}, not {golden}");
    };
    close(&found["score"]["mean"], &golden["mean"]);
    assert_eq!(found["standard_error"]["of"], "repetitions");
    close(&found["standard_error"]["value"], &golden["standard_error"]);
}

#[test]
fn where_less_is_better_another_merge_is_recommended() {
    let folder = temporary();
    let report = folder.path().join("sweep");
    run(with(whole(&report), args!["--lower-is-better"])).done();
    assert_recommended(&recommended(&report), &golden()["recommended"]["lower"]);
}

/// Runs a command that must fail.
fn failed(words: Vec<OsString>) -> Run {
    let run = run(words);
    assert_eq!(run.code, Some(1), "{run}");
    run
}

/// An evaluator that counts its runs in a file, and then does what a script says with the checkpoint as `$1`.
fn counting(count: &Path, script: &str) -> String {
    let script = format!("echo >> \"$0\"; {script}");
    let words = [
        "sh",
        "-c",
        &script,
        count.to_str().expect("a path in UTF-8"),
    ];
    format!("{} {{checkpoint}}", shell_words::join(words))
}

fn evaluations(count: &Path) -> usize {
    fs::read_to_string(count)
        .unwrap_or_default()
        .lines()
        .count()
}

#[test]
fn a_sweep_stops_where_the_unmerged_checkpoint_cannot_be_scored() {
    let folder = temporary();
    let (report, count) = (folder.path().join("sweep"), folder.path().join("count"));
    let cannot = folder.path().join("cannot");
    fs::write(&cannot, "").unwrap();
    let script = format!(
        "if [ -e {} ]; then echo 'ModuleNotFoundError: no module torch' >&2; exit 1; fi; echo 0.5",
        shell_words::quote(cannot.to_str().unwrap())
    );
    let words = || {
        let vary = args!["--vary", "tau=0.2,0.4", "--eval", counting(&count, &script)];
        with(base(&report), vary)
    };
    let stopped = failed(words());
    assert!(
        stopped
            .stderr
            .contains("ModuleNotFoundError: no module torch"),
        "{stopped}"
    );
    assert!(
        stopped
            .stderr
            .contains("unmerged checkpoint cannot be scored"),
        "{stopped}"
    );
    assert_eq!(evaluations(&count), 1, "no variant was scored");
    // The evaluator mended, the same command goes on.
    fs::remove_file(cannot).unwrap();
    run(words()).done();
    assert_eq!(evaluations(&count), 4);
    assert_eq!(rows(&report).len(), 3);
}

#[test]
fn a_sweep_fails_where_every_variant_failed() {
    let folder = temporary();
    let (report, count) = (folder.path().join("sweep"), folder.path().join("count"));
    let script =
        "if [ $(wc -l < \"$0\") -gt 1 ]; then echo 'out of memory' >&2; exit 1; fi; echo 0.5";
    let vary = args!["--vary", "tau=0.2,0.4", "--eval", counting(&count, script)];
    let first = failed(with(base(&report), vary));
    assert!(first.stderr.contains("every variant failed"), "{first}");
    assert!(first.stderr.contains("out of memory"), "{first}");
    assert!(
        report.join("index.html").is_file(),
        "the report is there all the same"
    );
    let again = failed(args!["sensitivity", "run", &report]);
    assert!(again.stderr.contains("every variant failed"), "{again}");
}

#[test]
fn what_merges_nothing_has_the_unmerged_score() {
    let folder = temporary();
    let (report, count) = (folder.path().join("sweep"), folder.path().join("count"));
    let eval = counting(&count, "wc -l < \"$0\"");
    let vary = args!["--vary", "tau=0.2,1", "--eval", eval, "--repeats", "2"];
    run(with(base(&report), vary)).done();
    assert_eq!(
        evaluations(&count),
        3,
        "the unmerged checkpoint and the two repetitions of 0.2"
    );
    for row in rows(&report) {
        let is_merged = number(&row, "merged") > 0.0;
        assert_eq!(number(&row, "score") > 1.0, is_merged, "{row:?}");
    }
}

#[test]
fn evaluators_have_the_whole_path_of_the_variant_and_may_print_a_standard_error() {
    let folder = temporary();
    let script = "cd /; test -f \"$0\" && echo '{\"auc\": 0.75, \"auc_stderr\": 0.01}'";
    let eval = format!("{} {{checkpoint}}", shell_words::join(["sh", "-c", script]));
    let words = with(
        base("sweep".as_ref()),
        args!["--vary", "tau=0.2,0.4", "--eval", eval, "--metric", "auc"],
    );
    let tiny = fs::canonicalize(tiny()).unwrap();
    let words: Vec<OsString> = words
        .into_iter()
        .map(|word| {
            if word == self::tiny() {
                tiny.clone().into()
            } else {
                word
            }
        })
        .collect();
    let done = Command::new(env!("CARGO_BIN_EXE_inmerge-ckpt"))
        .args(words)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let report = folder.path().join("sweep");
    for row in rows(&report) {
        assert_eq!(
            (number(&row, "score"), number(&row, "score_stderr")),
            (0.75, 0.01)
        );
    }
    let recommended = recommended(&report);
    assert_eq!(
        recommended["set"]["tau"], 0.2,
        "the stronger of two that score alike"
    );
    assert_eq!(recommended["standard_error"]["of"], "score");
}

#[test]
fn without_an_evaluator_weights_are_measured() {
    let folder = temporary();
    let report = folder.path().join("sweep");
    run(with(base(&report), args!["--vary", "tau=0.2,0.9"])).done();
    let rows = rows(&report);
    assert_eq!(rows.len(), 3);
    let layers = golden_layers();
    let kernels: usize = layers
        .iter()
        .map(|layer| layer["norms"].as_array().unwrap().len())
        .sum();
    let ranks: f64 = layers
        .iter()
        .map(|layer| layer["spectrum"]["effective_rank"].as_f64().unwrap())
        .sum();
    let rank = number(&rows[0], "effective_rank");
    assert!(
        (rank - ranks / kernels as f64).abs() < 1e-9,
        "{rank} for {}",
        ranks / kernels as f64
    );
    let nearest = layers
        .iter()
        .flat_map(|layer| layer["nearest"].as_array().unwrap());
    let nearest: f64 = nearest.map(|pair| pair[1].as_f64().unwrap()).sum();
    let mean = number(&rows[0], "mean_nearest");
    assert!(
        (mean - nearest / kernels as f64).abs() < 1e-12,
        "{mean} for {}",
        nearest / kernels as f64
    );
    let measured = |column: &str| {
        rows.iter()
            .map(|row| number(row, column))
            .collect::<Vec<_>>()
    };
    // Merging makes kernels more alike, and the more of them the lower the threshold.
    assert!(
        measured("mean_nearest")
            .windows(2)
            .any(|pair| pair[0] < pair[1]),
        "{rows:?}"
    );
    assert!(measured("merged")[1] > measured("merged")[2], "{rows:?}");
    assert!(
        measured("effective_rank")[1] < measured("effective_rank")[0],
        "{rows:?}"
    );
    assert!(
        rows.iter()
            .all(|row| row["status"] == "measured" && row["score"].is_empty())
    );
}

/// What the reference says of the tiny net's convolutions.
fn golden_layers() -> Vec<Value> {
    let nets: Vec<Value> =
        serde_json::from_slice(&fs::read(fixture("golden/analysis.json")).unwrap()).unwrap();
    let tiny = nets
        .iter()
        .find(|net| net["checkpoint"] == "resnet-tiny.safetensors");
    let layers = tiny.expect("the tiny net")["layers"]
        .as_array()
        .expect("layers");
    layers
        .iter()
        .filter(|layer| layer["kind"] == "conv" || layer["kind"] == "pointwise")
        .cloned()
        .collect()
}

fn start(words: &[OsString]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_inmerge-ckpt"))
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// Waits until something is so, or fails.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{what} took too long"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn killed_at_any_moment_a_sweep_goes_on_where_it_was() {
    let folder = temporary();
    let (straight, killed) = (folder.path().join("straight"), folder.path().join("killed"));
    run(whole(&straight)).done();
    let mut words = base(&killed);
    words.extend(all_that_varies());
    words.extend(args!["--eval", evaluator("0.01"), "--jobs", "2"]);
    let mut kills = 0;
    // Falling from one moment to the next in steps that have nothing to do with those of the sweep, and later and later, so that
    // a busy machine has the time to draw, which is done in one go.
    for wait in (0..).map(|turn| 60 + (turn * 83) % 311 + 4 * turn) {
        let before = journal_lines(&killed);
        let mut child = start(&words);
        std::thread::sleep(Duration::from_millis(wait));
        if child.try_wait().expect("a child").is_some() {
            break;
        }
        child.kill().expect("it can be killed");
        child.wait().expect("a child");
        kills += 1;
        assert!(journal_lines(&killed) >= before, "no point is lost");
        assert!(kills < 500);
    }
    run(&words).done();
    assert!(kills >= 3, "{kills}");
    let points: Vec<Value> = journal(&killed)
        .iter()
        .map(|line| line["result"]["point"].clone())
        .collect();
    let distinct: BTreeSet<String> = points.iter().map(Value::to_string).collect();
    assert_eq!((points.len(), distinct.len()), (55, 55), "each point once");
    assert_eq!(timeless(&killed), timeless(&straight));
    let hidden: Vec<_> = contents(&killed)
        .into_keys()
        .filter(|path| is_hidden(path) && !is_abandoned(path))
        .collect();
    assert!(hidden.is_empty(), "{hidden:?}");
}

/// A file that was about to replace another in the moment of a kill; later runs remove it.
fn is_abandoned(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(".inmerge-") && name.ends_with(".tmp")
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn journal_lines(folder: &Path) -> usize {
    let text = fs::read(folder.join("points.jsonl")).unwrap_or_default();
    text.iter().filter(|&&byte| byte == b'\n').count()
}

/// A command line for a shell's script, which is given the checkpoint.
fn shell(script: &str) -> String {
    let script = script
        .replace('\\', r"\\")
        .replace('$', r"\$")
        .replace('"', "\\\"");
    format!("sh -c \"{script}\" sh {{checkpoint}}")
}

/// A sweep whose evaluator goes on for ever and does not end when asked to, once that has begun.
fn hanging(folder: &Path) -> (Child, PathBuf) {
    let marker = folder.join("marker");
    let script = format!(
        "trap '' TERM; echo $$ > '{}'; while :; do sleep 1; done",
        marker.display()
    );
    let mut words = base(&folder.join("sweep"));
    words.extend(args!["--vary", "tau=0.2,0.4", "--eval", shell(&script)]);
    let child = Command::new(env!("CARGO_BIN_EXE_inmerge-ckpt"))
        .args(&words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    wait_until("the evaluator's start", || {
        fs::read_to_string(&marker).is_ok_and(|text| text.ends_with('\n'))
    });
    (child, marker)
}

/// Whether this process, and so what it starts, ignores SIGHUP, as under nohup.
fn ignores_hang_ups() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask & 1 == 1)
}

#[test]
fn asked_to_end_it_ends_at_once_and_leaves_nothing_running() {
    let mut asked: Vec<&[Signal]> = vec![&[Signal::TERM], &[Signal::INT, Signal::INT]];
    match ignores_hang_ups() {
        true => skipped("the end of the terminal: SIGHUP is ignored here"),
        false => asked.push(&[Signal::HUP]),
    }
    for signals in asked {
        let folder = temporary();
        let (child, marker) = hanging(folder.path());
        let pid = Pid::from_raw(child.id() as i32).expect("a process");
        let asked = Instant::now();
        for signal in signals {
            kill_process(pid, *signal).expect("it can be asked");
            std::thread::sleep(Duration::from_millis(100));
        }
        let output = child.wait_with_output().expect("it ends");
        assert!(asked.elapsed() < Duration::from_secs(20));
        assert_eq!(output.status.code(), Some(1), "{signals:?}");
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains("stopped: 0 of 3 points"), "{message}");
        let evaluator: i32 = fs::read_to_string(&marker).unwrap().trim().parse().unwrap();
        let evaluator = Pid::from_raw(evaluator).unwrap();
        wait_until("the evaluator's end", || {
            rustix::process::test_kill_process(evaluator).is_err()
        });
        let mut left = contents(&folder.path().join("sweep")).into_keys();
        assert!(!left.any(|path| is_hidden(&path)));
    }
}

/// Whether a process runs: not one that has ended and whose parent has not heard of it yet, or never will.
fn runs(pid: i32) -> bool {
    let is_there = || rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).is_ok();
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(status) => {
            !matches!(status.rsplit(") ").next(), Some(rest) if rest.starts_with(['Z', 'X']))
        }
        Err(_) => is_there(),
    }
}

#[test]
fn killed_it_takes_the_evaluators_with_it_and_what_these_have_started() {
    let folder = temporary();
    let markers = folder.path().join("markers");
    fs::create_dir(&markers).unwrap();
    // The unmerged checkpoint is scored; then two at a time, each with a child, and none of them ends when asked to.
    let script = format!(
        "mkdir '{0}.scored' 2> /dev/null && {{ echo 0.5; exit; }}; trap '' TERM HUP INT; (while :; do sleep 1; done) & echo $$ $! > '{0}/'$$.tmp; mv '{0}/'$$.tmp '{0}/'$$; wait",
        markers.display()
    );
    let words = with(
        base(&folder.path().join("sweep")),
        args![
            "--vary",
            "tau=0.2,0.4",
            "--eval",
            shell(&script),
            "--jobs",
            "2"
        ],
    );
    let mut sweep = start(&words);
    let pids = || -> Vec<i32> {
        let texts = contents(&markers).into_iter();
        let texts = texts.filter(|(path, _)| path.extension().is_none());
        let texts = texts.map(|(_, text)| String::from_utf8(text).unwrap());
        let pids = texts.flat_map(|text| {
            let pids = text.split_whitespace().map(|pid| pid.parse().unwrap());
            pids.collect::<Vec<_>>()
        });
        pids.collect()
    };
    wait_until("the evaluators' start", || pids().len() == 4);
    assert!(pids().into_iter().all(runs));
    sweep.kill().expect("it can be killed");
    sweep.wait().expect("a child");
    wait_until("the evaluators' end", || !pids().into_iter().any(runs));
}

#[test]
fn what_a_run_left_that_died_in_its_clean_up_goes_with_the_next() {
    let folder = temporary();
    let report = folder.path().join("sweep");
    let words = with(base(&report), args!["--vary", "tau=0.4"]);
    run(&words).done();
    let left = |part: &str| {
        let scratch = report.join(format!(".{part}.scratch"));
        fs::create_dir(&scratch).unwrap();
        fs::write(scratch.join("variant.safetensors"), "half").unwrap();
        scratch
    };
    fs::write(report.join("points-1-of-2.jsonl"), "").unwrap();
    let shard = || run(args!["sensitivity", "run", &report, "--shard", "1/2"]);
    let again: [&dyn Fn() -> Run; 3] = [
        &|| run(&words),
        &|| run(args!["sensitivity", "collect", &report]),
        &|| shard(),
    ];
    for again in again {
        let scratches = [left("points.jsonl"), left("points-1-of-2.jsonl")];
        again().done();
        assert!(scratches.iter().all(|scratch| !scratch.exists()));
    }
    // But not of a run at work.
    let scratch = left("points.jsonl");
    let part = fs::File::open(report.join("points.jsonl")).unwrap();
    if part.try_lock().is_err() {
        return skipped("another run's scratch: no locks here");
    }
    run(args!["sensitivity", "collect", &report]).done();
    shard().done();
    assert!(scratch.exists());
}

#[test]
fn who_is_refused_changes_nothing_of_the_sweep_at_work() {
    let folder = temporary();
    let report = folder.path().join("sweep");
    let (mut child, _) = hanging(folder.path());
    let plan = fs::read(report.join("sweep.json")).unwrap();
    let command = parsed("sweep", &plan);
    let eval = command["sweep"]["evaluator"]["command"].as_str().unwrap();
    let other = args!["--vary", "tau=0.3", "--eval", eval];
    let same = args!["--vary", "tau=0.2,0.4", "--eval", eval];
    let at_work = "a run is at work there";
    refused(run(with(base(&report), other.clone())), 1, &[at_work]);
    let mut planned = with(base(&report), other.clone());
    planned.insert(1, "plan".into());
    refused(run(&planned), 1, &[at_work]);
    refused(
        run(with(base(&report), same)),
        1,
        &["another run is at work on it"],
    );
    assert!(fs::read(report.join("sweep.json")).unwrap() == plan);
    let pid = Pid::from_raw(child.id() as i32).expect("a process");
    kill_process(pid, Signal::TERM).expect("it can be asked");
    child.wait().expect("it ends");
    run(&planned).done();
    assert!(fs::read(report.join("sweep.json")).unwrap() != plan);
}

#[test]
fn an_evaluator_may_do_to_its_file_what_it_likes() {
    let folder = temporary();
    let report = folder.path().join("sweep");
    let checkpoint = folder.path().join("net.safetensors");
    fs::copy(tiny(), &checkpoint).unwrap();
    let eval = shell("cmp \"$1\" \"$0\" >&2; echo more >> \"$1\"; rm \"$1\" && echo 0.5");
    let eval = eval.replace(" sh {", &format!(" '{}' {{", tiny().display()));
    let mut words = args![
        "sensitivity",
        &checkpoint,
        "--report",
        &report,
        "--vary",
        "tau=0.2"
    ];
    words.extend(args!["--skip-shallow", "2", "--eval", eval]);
    run(&words).done();
    let rows = rows(&report);
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["score"] == "0.5"), "{rows:?}");
    assert!(fs::read(&checkpoint).unwrap() == fs::read(tiny()).unwrap());
}

#[test]
fn an_evaluator_that_fails_fails_its_point_only() {
    let folder = temporary();
    let report = folder.path().join("sweep");
    // Its score is the number of merged kernels' points so far; some points go wrong, each in its own way.
    let counter = folder.path().join("count");
    let script = format!(
        "echo x >> '{0}'; n=$(wc -l < '{0}'); case $((n)) in 2) sleep 60;; 3) echo all is well;; 4) echo oops >&2; exit 7;; \
         5) echo '{{\\\"auroc\\\": null}}';; *) echo '{{\\\"auroc\\\": 0.5, \\\"n\\\": 1}}';; esac",
        counter.display()
    );
    let eval = format!("sh -c \"{}\" {{checkpoint}}", script.replace('$', "\\$"));
    let more = args![
        "--vary",
        "tau=0.1:0.6:0.1",
        "--eval",
        eval,
        "--metric",
        "auroc",
        "--timeout",
        "1s"
    ];
    let words = with(base(&report), more);
    let first = run(&words).done();
    let failed: Vec<Row> = rows(&report)
        .into_iter()
        .filter(|row| row["status"] == "failed")
        .collect();
    let why: Vec<&str> = failed.iter().map(|row| &row["error"][..]).collect();
    let expected = [
        "stopped after 1s",
        "no JSON object with `auroc`",
        "exit code 7",
        "`auroc` in its last line is no number",
    ];
    assert_eq!(why.len(), expected.len(), "{why:?}");
    for (why, expected) in why.iter().zip(expected) {
        assert!(why.contains(expected), "{why}");
    }
    assert!(failed.iter().all(|row| row["score"].is_empty()));
    assert!(
        format!("{}{}", first.stdout, first.stderr).contains('4'),
        "{first}"
    );
    let page = fs::read_to_string(report.join("index.html")).unwrap();
    assert!(
        page.contains("oops") && page.contains("all is well"),
        "the page shows what they printed"
    );
    // The same command keeps them; made anew on request, they all come out.
    let before = fs::read(report.join("points.jsonl")).unwrap();
    run(&words).done();
    assert_eq!(fs::read(report.join("points.jsonl")).unwrap(), before);
    run(with(words, args!["--retry-failed"])).done();
    assert!(
        rows(&report)
            .iter()
            .all(|row| row["status"] == "scored" && number(row, "score") == 0.5)
    );
    assert_eq!(journal(&report).len(), 7 + 4);
}

#[test]
fn a_path_is_handed_on_whatever_is_in_it() {
    let folder = temporary();
    let report = folder.path().join("it's a \"folder\" $HOME; rm * \u{e9}");
    run(with(
        base(&report),
        args!["--vary", "tau=0.4", "--eval", evaluator("0")],
    ))
    .done();
    assert!(
        rows(&report).iter().all(|row| row["status"] == "scored"),
        "{:?}",
        rows(&report)
    );
}

#[test]
fn every_step_prints_json() {
    let folder = temporary();
    let report = folder.path().join("sweep");
    let json = |words: Vec<OsString>| run(with(words, args!["--json"])).done().json();
    let varied = with(base(&report), args!["--vary", "tau=0.4,0.6"]);
    let mut planned = varied.clone();
    planned.insert(1, "plan".into());
    assert_eq!(json(planned), read_json(&report.join("sweep.json")));
    let made = json(args!["sensitivity", "run", &report]);
    assert_eq!((&made["points"], &made["known"]), (&3.into(), &0.into()));
    let results = json(args!["sensitivity", "collect", &report]);
    assert_eq!(results, read_json(&report.join("results.json")));
    assert_eq!(json(varied), results);
}

#[test]
fn shards_together_are_one_run() {
    let folder = temporary();
    let (straight, shared) = (folder.path().join("straight"), folder.path().join("shared"));
    run(whole(&straight)).done();
    let mut planned = whole(&shared);
    planned.insert(1, "plan".into());
    run(&planned).done();
    let shard = |number: usize| {
        run(args![
            "sensitivity",
            "run",
            &shared,
            "--shard",
            format!("{number}/3")
        ])
    };
    // Two at the same time, then what is there is drawn, then the third.
    std::thread::scope(|scope| {
        let runs = [1, 3].map(|number| scope.spawn(move || shard(number)));
        for run in runs {
            run.join().expect("no panic").done();
        }
    });
    run(args!["sensitivity", "collect", &shared]).done();
    let some = rows(&shared).len();
    assert!((30..55).contains(&some), "{some}");
    let results = read_json(&shared.join("results.json"));
    assert_eq!(results["missing"], 55 - some);
    shard(2).done();
    run(args!["sensitivity", "collect", &shared]).done();
    assert_eq!(timeless(&shared), timeless(&straight));
    for file in ["index.html", "tau-score.svg", "grid-alpha-prob-score.svg"] {
        assert_eq!(
            fs::read(shared.join(file)).unwrap(),
            fs::read(straight.join(file)).unwrap(),
            "{file}"
        );
    }
    // Nothing is left to do for anybody.
    let before = contents(&shared);
    shard(1).done();
    assert_eq!(contents(&shared), before);
}

fn refused(run: Run, code: i32, words: &[&str]) {
    assert_eq!(run.code, Some(code), "{run}");
    for word in words {
        assert!(run.stderr.contains(word), "{word} in {run}");
    }
}

#[test]
fn scores_of_different_sweeps_are_never_mixed() {
    let folder = temporary();
    let report = folder.path().join("sweep");
    let sweep = |more: Vec<OsString>| {
        run(with(
            base(&report),
            with(args!["--vary", "tau=0.4,0.6"], more),
        ))
    };
    sweep(args!["--eval", evaluator("0")]).done();
    let before = contents(&report);
    refused(
        sweep(args!["--eval", evaluator("0.0")]),
        1,
        &["--eval was", "another --report"],
    );
    refused(sweep(args![]), 1, &["--eval was"]);
    refused(
        sweep(args!["--eval", evaluator("0"), "--alpha", "0.5"]),
        1,
        &["alpha 0.8", "alpha 0.5"],
    );
    refused(
        sweep(args!["--eval", evaluator("0"), "--exclude", "layer1.*"]),
        1,
        &["the layers"],
    );
    let other = folder.path().join("other.safetensors");
    let mut bytes = fs::read(tiny()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&other, bytes).unwrap();
    let mut words = with(
        base(&report),
        args!["--vary", "tau=0.4", "--eval", evaluator("0")],
    );
    words[1] = other.into();
    refused(
        run(&words),
        1,
        &["resnet-tiny.safetensors", "other.safetensors"],
    );
    assert_eq!(contents(&report), before, "what was there is whole");
    // More of the same is more points; those that are known are kept.
    let more = with(
        base(&report),
        args![
            "--vary",
            "tau=0.6,0.8",
            "--vary",
            "prob=1",
            "--eval",
            evaluator("0")
        ],
    );
    run(more).done();
    let after = contents(&report);
    let points = Path::new(&report).join("points.jsonl");
    assert!(after[&points].starts_with(&before[&points]));
    let taus: Vec<String> = rows(&report)
        .into_iter()
        .filter(|row| row["series"] == "tau")
        .map(|row| row["tau"].clone())
        .collect();
    assert_eq!(taus, ["0.4", "0.6", "0.8"]);
    assert_eq!(journal(&report).len(), 5);
}

#[test]
fn a_checkpoint_that_has_changed_since_it_was_planned_is_refused() {
    let folder = temporary();
    let (report, net) = (
        folder.path().join("sweep"),
        folder.path().join("net.safetensors"),
    );
    fs::copy(tiny(), &net).unwrap();
    run(args![
        "sensitivity",
        "plan",
        &net,
        "--report",
        &report,
        "--vary",
        "tau=0.4"
    ])
    .done();
    let mut bytes = fs::read(&net).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&net, bytes).unwrap();
    refused(
        run(args!["sensitivity", "run", &report, "--shard", "1/2"]),
        1,
        &["net.safetensors", "content differs"],
    );
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_made() {
    let folder = temporary();
    let report = folder.path().join("sweep");
    let sweep = |more: Vec<OsString>| run(with(base(&report), more));
    for (more, word) in [
        (args![], "--vary"),
        (args!["--vary", "tau=0.1:0.9"], "start:stop:step"),
        (
            args!["--vary", "tau=0.1", "--grid", "tau,prob"],
            "--vary prob",
        ),
        (args!["--vary", "tau=0.1", "--grid", "tau,layers"], "two of"),
        (
            args!["--vary", "tau=0.1", "--grid", "tau,tau"],
            "with itself",
        ),
        (args!["--vary", "tau=0.1", "--vary", "tau=0.2"], "twice"),
        (
            args![
                "--vary",
                "alpha=0.0001:1:0.0001",
                "--vary",
                "prob=0.0001:1:0.0001",
                "--grid",
                "alpha,prob",
            ],
            "there would be 100020001 points, and a sweep can have 100000",
        ),
        (
            args!["--vary", "tau=0.1", "--eval", "score"],
            "{checkpoint}",
        ),
        (
            args!["--vary", "tau=0.1", "--eval", "'score {checkpoint}"],
            "quote",
        ),
        (args!["--vary", "tau=0.1", "--metric", "auroc"], "--eval"),
        (
            args![
                "--vary",
                "tau=0.1",
                "--eval",
                "x {checkpoint}",
                "--timeout",
                "0"
            ],
            "--timeout",
        ),
        (
            args![
                "--vary",
                "tau=0.1",
                "--eval",
                "x {checkpoint}",
                "--timeout",
                "1500ms"
            ],
            "whole seconds",
        ),
        (args!["--vary", "tau=0.1", "--repeats", "0"], "--repeats"),
        (args!["--vary", "tau=0.1", "--jobs", "0"], "--jobs"),
    ] {
        refused(sweep(more), 2, &[word]);
    }
    assert!(!report.exists());
    let missing = sweep(args![
        "--vary",
        "tau=0.1",
        "--eval",
        "/no/such/program {checkpoint}"
    ]);
    refused(missing, 1, &["/no/such/program", "--eval"]);
    let foreign = folder.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.tex"), "x").unwrap();
    refused(
        run(with(base(&foreign), args!["--vary", "tau=0.1"])),
        1,
        &["foreign", "empty or a new folder"],
    );
    assert_eq!(contents(&foreign).len(), 1);
    let file = foreign.join("thesis.tex");
    for place in [&file, &file.join("below")] {
        refused(
            run(with(base(place), args!["--vary", "tau=0.1"])),
            1,
            &["thesis.tex", "is not a folder", "new one"],
        );
    }
    refused(
        run(args!["sensitivity", "collect", &file]),
        1,
        &["holds no sweep"],
    );
    refused(
        run(args!["sensitivity", "collect", &foreign]),
        1,
        &["holds no sweep"],
    );
    refused(
        run(args![
            "sensitivity",
            "run",
            folder.path().join("none"),
            "--shard",
            "1/2"
        ]),
        1,
        &["holds no sweep"],
    );
    refused(
        run(args!["sensitivity", "run", &foreign, "--shard", "3/2"]),
        2,
        &["--shard"],
    );
    let nets = run(args![
        "sensitivity",
        fixture("checkpoints/nonfinite.safetensors"),
        "--report",
        folder.path().join("nonfinite"),
        "--vary",
        "tau=0.1",
        "--skip-shallow",
        "0"
    ]);
    refused(nets, 1, &["--allow-nonfinite"]);
}

#[test]
fn a_report_of_another_kind_does_not_take_its_place() {
    let folder = temporary();
    let report = folder.path().join("sweep");
    run(with(base(&report), args!["--vary", "tau=0.4"])).done();
    let before = contents(&report);
    refused(
        run(args![
            "analyze",
            tiny(),
            "--report",
            &report,
            "--no-spectrum"
        ]),
        1,
        &["sweep"],
    );
    assert_eq!(contents(&report), before);
}
