//! Running the program that scores a checkpoint.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use super::program::{Ending, POLL_INTERVAL, Program};
use super::{Error, Evaluator, InvalidSweep};

/// The placeholder for the checkpoint's path in a command line.
const PLACEHOLDER: &str = "{checkpoint}";

/// Maximum bytes of a failed program's output that are kept with the point.
const SHOWN: usize = 2000;

/// How much later than the program this process may receive a signal that was sent to both.
const SIGNAL_LAG: Duration = Duration::from_millis(100);

/// The result of scoring a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Evaluation {
    /// The number that the program printed, and its standard error, if it printed one.
    Score(f64, Option<f64>),
    Failure {
        /// The cause of the failure, in a sentence.
        why: String,
        /// The end of the program's output.
        output: String,
    },
}

impl Evaluator {
    /// Checks the command line.
    ///
    /// # Errors
    ///
    /// If it cannot be split into words, or has no `{checkpoint}`.
    pub fn check(&self) -> Result<(), InvalidSweep> {
        let problem = |problem| InvalidSweep::Command {
            command: self.command.clone(),
            problem,
        };
        let words = shell_words::split(&self.command);
        let words = words.map_err(|_| problem("has a quote without its counterpart; close it"))?;
        if words.iter().any(|word| word.contains(PLACEHOLDER)) {
            Ok(())
        } else {
            Err(problem(
                "does not say where the checkpoint goes; put {checkpoint} there",
            ))
        }
    }

    /// The words of the command line for a checkpoint. Its path is never split, even if it has spaces or quotes.
    fn words(&self, checkpoint: &Path) -> Vec<std::ffi::OsString> {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let words = shell_words::split(&self.command).unwrap_or_default();
        let path = checkpoint.as_os_str().as_bytes();
        let filled = |word: String| {
            let parts: Vec<&[u8]> = word.split(PLACEHOLDER).map(str::as_bytes).collect();
            std::ffi::OsString::from_vec(parts.join(path))
        };
        words.into_iter().map(filled).collect()
    }

    /// Runs the program on a checkpoint until it ends, its time is over, or `is_stopped` returns true. Returns `None` in
    /// that last case, and if the program fails just before: a queue that stops a job signals all its processes, the program
    /// perhaps first.
    ///
    /// The program has its own process group, which is killed however this process ends.
    ///
    /// # Errors
    ///
    /// If the program cannot be started.
    pub fn score(
        &self,
        checkpoint: &Path,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Evaluation>, Error> {
        let words = self.words(checkpoint);
        let (program, arguments) = words
            .split_first()
            .expect("a checked command has a word with the placeholder");
        let mut command = Command::new(program);
        command.args(arguments);
        let running = Program::start(command).map_err(|error| Error::CannotStart {
            program: program.to_string_lossy().into_owned(),
            error,
        })?;
        let limit = Duration::from_secs(self.seconds);
        let ended = running.wait(limit, is_stopped);
        let (out, err) = (ended.out, ended.err);
        let failure = |why: String| {
            let printed = if err.trim().is_empty() { &out } else { &err };
            Evaluation::Failure {
                why,
                output: end(printed),
            }
        };
        let evaluation = match ended.ending {
            Ending::Stopped => return Ok(None),
            Ending::OutOfTime => {
                let limit = humantime::format_duration(limit);
                failure(format!("it was stopped after {limit}"))
            }
            Ending::ByItself(status) if !status.success() => failure(describe(status)),
            Ending::ByItself(_) => match self.number(&out) {
                Ok((score, stderr)) => Evaluation::Score(score, stderr),
                Err(why) => Evaluation::Failure {
                    why,
                    output: end(&format!("{out}{err}")),
                },
            },
        };
        let has_failed = matches!(evaluation, Evaluation::Failure { .. });
        Ok((!has_failed || !becomes_true(is_stopped, SIGNAL_LAG)).then_some(evaluation))
    }

    /// The score in the program's output, and its standard error: in the object of `--metric auroc` the number `auroc_stderr`.
    fn number(&self, printed: &str) -> Result<(f64, Option<f64>), String> {
        // A progress bar returns to the start of its line.
        let mut lines = printed.rsplit(['\n', '\r']).map(str::trim);
        let line = lines.find(|line| !line.is_empty());
        let line = line.ok_or("it printed nothing")?;
        let bare = line.parse::<f64>();
        let object = serde_json::from_str::<serde_json::Map<_, _>>(line);
        let mut stderr = None;
        let number = match (&self.metric, bare, object) {
            (None, Ok(number), _) => number,
            (Some(metric), _, Ok(object)) => {
                let value: Option<&serde_json::Value> = object.get(metric);
                let value = value.ok_or_else(|| {
                    format!(
                        "its last line has no `{metric}`; its numbers: {}",
                        keys(&object)
                    )
                })?;
                let number = value.as_f64();
                let printed = object.get(&format!("{metric}_stderr"));
                stderr = printed
                    .and_then(serde_json::Value::as_f64)
                    .filter(|stderr| *stderr >= 0.0);
                number.ok_or_else(|| format!("`{metric}` in its last line is no number"))?
            }
            (None, _, Ok(object)) => {
                let keys = keys(&object);
                return Err(format!(
                    "its last line is an object; say which number of it counts with --metric: {keys}"
                ));
            }
            (Some(metric), _, Err(error)) => {
                // Python's json writes NaN and Infinity, which JSON does not have.
                return Err(format!(
                    "its last line is no JSON object with `{metric}`, as --metric asks ({error})"
                ));
            }
            (None, Err(_), Err(_)) => return Err("its last line is no number".to_owned()),
        };
        if !number.is_finite() {
            return Err(format!("its number is {number}, which is not finite"));
        }
        Ok((number, stderr))
    }
}

fn keys(object: &serde_json::Map<String, serde_json::Value>) -> String {
    let numbers = object.iter().filter(|(_, value)| value.is_number());
    let keys: Vec<&str> = numbers.map(|(key, _)| key.as_str()).collect();
    match &keys[..] {
        [] => "none".to_owned(),
        keys => keys.join(", "),
    }
}

/// Whether a condition holds now, or becomes true within a time.
fn becomes_true(condition: &dyn Fn() -> bool, before: Duration) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() >= before {
            return false;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    true
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended in an unknown way".to_owned(),
    }
}

/// The last [`SHOWN`] bytes of a text, or a little less.
fn end(text: &str) -> String {
    let text = text.trim_end();
    let least = text.len().saturating_sub(SHOWN);
    let mut boundaries = least..text.len();
    let from = boundaries.find(|&at| text.is_char_boundary(at));
    text[from.unwrap_or(text.len())..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluator(command: &str, metric: Option<&str>, seconds: u64) -> Evaluator {
        Evaluator {
            command: command.to_owned(),
            metric: metric.map(str::to_owned),
            seconds,
            lower_is_better: false,
        }
    }

    fn shell(script: &str, metric: Option<&str>) -> Evaluation {
        let command = format!("sh -c {} _ {{checkpoint}}", shell_words::quote(script));
        let evaluator = evaluator(&command, metric, 60);
        evaluator.check().unwrap();
        let evaluation = evaluator.score(Path::new("a b'\"$x"), &|| false);
        evaluation.unwrap().unwrap()
    }

    fn why(evaluation: Evaluation) -> (String, String) {
        match evaluation {
            Evaluation::Failure { why, output } => (why, output),
            Evaluation::Score(score, _) => panic!("scored {score}"),
        }
    }

    #[test]
    fn the_last_line_counts() {
        assert_eq!(
            shell("echo epoch 3; echo 0.5; echo", None),
            Evaluation::Score(0.5, None)
        );
        assert_eq!(shell("echo -1e-3", None), Evaluation::Score(-0.001, None));
        let object = r#"echo 7; echo '{"auroc": 0.75, "name": "x"}'"#;
        assert_eq!(shell(object, Some("auroc")), Evaluation::Score(0.75, None));
        // The number follows more output than is kept.
        assert_eq!(
            shell("yes | head -c 3000000; echo 4", None),
            Evaluation::Score(4.0, None)
        );
    }

    #[test]
    fn the_path_is_one_word() {
        let evaluation = shell(r#"test "$1" = "a b'\"\$x" && test $# = 1 && echo 1"#, None);
        assert_eq!(evaluation, Evaluation::Score(1.0, None));
    }

    #[test]
    fn what_is_no_number_is_a_failure_that_says_so() {
        for (script, metric, expected) in [
            ("echo nothing here", None, "its last line is no number"),
            ("echo nan", None, "its number is NaN, which is not finite"),
            ("true", None, "it printed nothing"),
            ("echo 0.5", Some("auroc"), "no JSON object with `auroc`"),
            (
                r#"echo '{"acc": 1, "loss": 2}'"#,
                None,
                "--metric: acc, loss",
            ),
            (
                r#"echo '{"acc": 1}'"#,
                Some("auroc"),
                "has no `auroc`; its numbers: acc",
            ),
            (
                r#"echo '{"a": {"b": 1}}'"#,
                Some("a.b"),
                "its numbers: none",
            ),
            (
                r#"echo '{"a": NaN}'"#,
                Some("a"),
                "no JSON object with `a`, as --metric asks (expected value at",
            ),
            (
                r#"echo '{"acc": "x"}'"#,
                Some("acc"),
                "`acc` in its last line is no number",
            ),
            ("echo 0.5; exit 3", None, "it ended with exit code 3"),
            ("kill -9 $$", None, "it was ended by signal 9"),
        ] {
            let (why, _) = why(shell(script, metric));
            assert!(why.contains(expected), "{script}: {why}");
        }
        let (_, output) = why(shell("echo out; echo no data >&2; exit 1", None));
        assert_eq!(output, "no data");
        let (_, output) = why(shell("echo some rubbish", None));
        assert_eq!(output, "some rubbish");
    }

    #[test]
    fn one_that_hangs_is_stopped_with_all_it_has_started() {
        let marker = tempfile::NamedTempFile::new().unwrap();
        let script = format!(
            "trap '' TERM; (sleep 4; echo alive > {}) & echo waiting >&2; wait; sleep 60",
            marker.path().display()
        );
        let command = format!("sh -c {} {{checkpoint}}", shell_words::quote(&script));
        let started = Instant::now();
        let evaluation = evaluator(&command, None, 1).score(Path::new("x"), &|| false);
        let (why, output) = why(evaluation.unwrap().unwrap());
        assert_eq!(
            (&why[..], &output[..]),
            ("it was stopped after 1s", "waiting")
        );
        assert!(started.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_secs(5).saturating_sub(started.elapsed()));
        assert_eq!(std::fs::read(marker.path()).unwrap(), b"");
    }

    #[test]
    fn one_may_be_called_off() {
        let evaluation =
            evaluator("sleep 60 {checkpoint}", None, 60).score(Path::new("0"), &|| true);
        assert_eq!(evaluation.unwrap(), None);
    }

    #[test]
    fn one_that_is_ended_together_with_this_process_has_not_failed() {
        for script in ["kill -TERM $$", "exit 143", "true"] {
            let command = format!("sh -c '{script}' {{checkpoint}}");
            let started = Instant::now();
            // The program most likely ends before that.
            let is_stopped = || started.elapsed() >= Duration::from_millis(60);
            let evaluation = evaluator(&command, None, 60).score(Path::new("0"), &is_stopped);
            assert_eq!(evaluation.unwrap(), None, "{script}");
        }
    }

    #[test]
    fn a_child_that_lives_on_keeps_nobody_waiting_and_has_no_say() {
        assert_eq!(
            shell("setsid sleep 8 & echo 0.25", None),
            Evaluation::Score(0.25, None)
        );
        let late = "setsid sh -c 'sleep 0.5; echo 9; sleep 0.5; echo 9' & echo 0.25";
        assert_eq!(shell(late, None), Evaluation::Score(0.25, None));
    }

    #[test]
    fn what_a_progress_bar_leaves_is_not_part_of_the_last_line() {
        assert_eq!(
            shell(r"printf '50 %%\r100 %%\r0.5\n'", None),
            Evaluation::Score(0.5, None)
        );
    }

    #[test]
    fn commands_are_checked() {
        for (command, problem) in [
            ("score", "{checkpoint}"),
            ("'score {checkpoint}", "quote"),
            ("", "{checkpoint}"),
        ] {
            let error = evaluator(command, None, 1).check().unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        }
        let missing =
            evaluator("/no/such/program {checkpoint}", None, 1).score(Path::new("x"), &|| false);
        assert!(
            matches!(missing, Err(Error::CannotStart { program, .. }) if program == "/no/such/program")
        );
    }
}
