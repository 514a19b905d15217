//! Having a program score a checkpoint.

use std::collections::VecDeque;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::{Error, Evaluator, InvalidSweep};

/// What stands for the checkpoint in a command line.
const PLACE: &str = "{checkpoint}";

/// Bytes that are kept of the end of what is printed, in which the last line has to be.
const KEPT: usize = 64 << 10;

/// Bytes of a failure's output that are kept with the point.
const SHOWN: usize = 2000;

/// How long a program that is asked to end has for it.
const GRACE: Duration = Duration::from_secs(2);

/// How much later than the program this process may hear of a signal that ends both.
const LAG: Duration = Duration::from_millis(100);

/// From one look at a program to the next.
const LOOK: Duration = Duration::from_millis(10);

/// What a program said of a checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Its number.
    Score(f64),
    /// None.
    Failure {
        /// How it failed, in a sentence.
        why: String,
        /// The end of what it printed.
        output: String,
    },
}

impl Evaluator {
    /// Checks the command line.
    ///
    /// # Errors
    ///
    /// Where it cannot be parted into words, or does not say where the checkpoint goes.
    pub fn check(&self) -> Result<(), InvalidSweep> {
        let problem = |problem| InvalidSweep::Command {
            command: self.command.clone(),
            problem,
        };
        let words = shell_words::split(&self.command);
        let words = words.map_err(|_| problem("has a quote without its counterpart; close it"))?;
        if words.iter().any(|word| word.contains(PLACE)) {
            Ok(())
        } else {
            Err(problem(
                "does not say where the checkpoint goes; put {checkpoint} there",
            ))
        }
    }

    /// The words of the command line for a checkpoint, whose path is never parted, whatever is in it.
    fn words(&self, checkpoint: &Path) -> Vec<std::ffi::OsString> {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let words = shell_words::split(&self.command).unwrap_or_default();
        let path = checkpoint.as_os_str().as_bytes();
        let filled = |word: String| {
            let parts: Vec<&[u8]> = word.split(PLACE).map(str::as_bytes).collect();
            std::ffi::OsString::from_vec(parts.join(path))
        };
        words.into_iter().map(filled).collect()
    }

    /// Runs the program on a checkpoint, until it ends, its time is over, or `is_stopped` says so. `None` in that last case,
    /// and where it fails just before that: a queue that stops a job signals all processes of it, the program perhaps first.
    ///
    /// It has a process group of its own, and nothing of that is left running.
    ///
    /// # Errors
    ///
    /// Where it cannot be started.
    pub fn score(
        &self,
        checkpoint: &Path,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Verdict>, Error> {
        let words = self.words(checkpoint);
        let (program, arguments) = words
            .split_first()
            .expect("a checked command has a word with the checkpoint at least");
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        let mut child = child.map_err(|error| Error::CannotStart {
            program: program.to_string_lossy().into_owned(),
            error,
        })?;
        let out = Tail::of(child.stdout.take());
        let err = Tail::of(child.stderr.take());
        let limit = Duration::from_secs(self.seconds);
        let (status, ending) = wait(&mut child, limit, is_stopped);
        let (out, err) = (out.text(), err.text());
        let failure = |why: String| {
            let printed = if err.trim().is_empty() { &out } else { &err };
            Verdict::Failure {
                why,
                output: end(printed),
            }
        };
        let verdict = match ending {
            Ending::Stopped => return Ok(None),
            Ending::OutOfTime => {
                let limit = humantime::format_duration(limit);
                failure(format!("it was stopped after {limit}"))
            }
            Ending::ByItself if !status.is_some_and(|status| status.success()) => {
                failure(describe(status))
            }
            Ending::ByItself => match self.number(&out) {
                Ok(score) => Verdict::Score(score),
                Err(why) => Verdict::Failure {
                    why,
                    output: end(&format!("{out}{err}")),
                },
            },
        };
        let has_failed = matches!(verdict, Verdict::Failure { .. });
        Ok((!has_failed || !becomes_true(is_stopped, LAG)).then_some(verdict))
    }

    /// The number in what was printed.
    fn number(&self, printed: &str) -> Result<f64, String> {
        let line = printed.lines().rev().find(|line| !line.trim().is_empty());
        let line = line.ok_or("it printed nothing")?.trim();
        let bare = line.parse::<f64>();
        let object = serde_json::from_str::<serde_json::Map<_, _>>(line);
        let number = match (&self.metric, bare, object) {
            (None, Ok(number), _) => number,
            (Some(metric), _, Ok(object)) => {
                let value: Option<&serde_json::Value> = object.get(metric);
                let value = value.ok_or_else(|| {
                    format!("its last line has no `{metric}`, but {}", keys(&object))
                })?;
                let number = value.as_f64();
                number.ok_or_else(|| format!("`{metric}` in its last line is no number"))?
            }
            (None, _, Ok(object)) => {
                let keys = keys(&object);
                return Err(format!(
                    "its last line is an object; say which number of it counts with --metric: {keys}"
                ));
            }
            (Some(metric), _, Err(_)) => {
                return Err(format!(
                    "its last line is no JSON object with `{metric}`, as --metric asks"
                ));
            }
            (None, Err(_), Err(_)) => return Err("its last line is no number".to_owned()),
        };
        match number.is_finite() {
            true => Ok(number),
            false => Err(format!("its number is {number}, which is not finite")),
        }
    }
}

fn keys(object: &serde_json::Map<String, serde_json::Value>) -> String {
    let numbers = object.iter().filter(|(_, value)| value.is_number());
    let keys: Vec<&str> = numbers.map(|(key, _)| key.as_str()).collect();
    match &keys[..] {
        [] => "no number".to_owned(),
        keys => keys.join(", "),
    }
}

/// Whether a condition holds, now or before long.
fn becomes_true(condition: &dyn Fn() -> bool, before: Duration) -> bool {
    let started = Instant::now();
    while !condition() {
        if started.elapsed() >= before {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

/// How a program came to its end.
enum Ending {
    ByItself,
    OutOfTime,
    Stopped,
}

/// Waits for a program, and sees to it that nothing of its group is left.
fn wait(
    child: &mut Child,
    limit: Duration,
    is_stopped: &dyn Fn() -> bool,
) -> (Option<ExitStatus>, Ending) {
    let started = Instant::now();
    let ending = loop {
        if has_ended(child) {
            break Ending::ByItself;
        }
        if is_stopped() {
            break Ending::Stopped;
        }
        if started.elapsed() >= limit {
            break Ending::OutOfTime;
        }
        std::thread::sleep(LOOK);
    };
    if !matches!(ending, Ending::ByItself) {
        signal(child, Signal::TERM);
        let asked = Instant::now();
        while !has_ended(child) && asked.elapsed() < GRACE {
            std::thread::sleep(LOOK);
        }
    }
    // As the program's own entry is kept until it is waited for, its group's number cannot be another's by now.
    signal(child, Signal::KILL);
    (child.wait().ok(), ending)
}

fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(i32::try_from(child.id()).ok()?)
}

/// Whether a program has ended, which is not noted by the system yet.
fn has_ended(child: &Child) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    match pid(child).map(|pid| waitid(WaitId::Pid(pid), options)) {
        Some(Ok(status)) => status.is_some(),
        // There is nothing to wait for.
        _ => true,
    }
}

/// To all of its group; there may be nobody left.
fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = pid(child) {
        let _ = kill_process_group(pid, signal);
    }
}

fn describe(status: Option<ExitStatus>) -> String {
    let status = status.unwrap_or_default();
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit code {code}"),
        (None, Some(signal)) => format!("it was ended by signal {signal}"),
        (None, None) => "it ended in an unknown way".to_owned(),
    }
}

/// What is read of a pipe, of which the last part is kept.
struct Tail {
    kept: Arc<Mutex<VecDeque<u8>>>,
    /// Closed once there is no more to come.
    open: Receiver<()>,
}

impl Tail {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let kept: Arc<Mutex<VecDeque<u8>>> = Arc::default();
        let (sender, open) = mpsc::channel();
        let tail = Arc::clone(&kept);
        std::thread::spawn(move || {
            let _open = sender;
            let mut buffer = [0; 8 << 10];
            let Some(mut pipe) = pipe else { return };
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let mut kept = tail.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(&buffer[..count]);
                let more = kept.len().saturating_sub(KEPT);
                kept.drain(..more);
            }
        });
        Self { kept, open }
    }

    /// What there is once all is read. A process that has left its group may keep the pipe open: it is not waited for.
    fn text(&self) -> String {
        let _ = self.open.recv_timeout(GRACE);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(kept.make_contiguous()).into_owned()
    }
}

/// The end of a text.
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
        }
    }

    fn shell(script: &str, metric: Option<&str>) -> Verdict {
        let command = format!("sh -c {} _ {{checkpoint}}", shell_words::quote(script));
        let evaluator = evaluator(&command, metric, 60);
        evaluator.check().unwrap();
        let verdict = evaluator.score(Path::new("a b'\"$x"), &|| false);
        verdict.unwrap().unwrap()
    }

    fn why(verdict: Verdict) -> (String, String) {
        match verdict {
            Verdict::Failure { why, output } => (why, output),
            Verdict::Score(score) => panic!("scored {score}"),
        }
    }

    #[test]
    fn the_last_line_counts() {
        assert_eq!(
            shell("echo epoch 3; echo 0.5; echo", None),
            Verdict::Score(0.5)
        );
        assert_eq!(shell("echo -1e-3", None), Verdict::Score(-0.001));
        let object = r#"echo 7; echo '{"auroc": 0.75, "name": "x"}'"#;
        assert_eq!(shell(object, Some("auroc")), Verdict::Score(0.75));
        // More than is kept comes first.
        assert_eq!(
            shell("yes | head -c 300000; echo 4", None),
            Verdict::Score(4.0)
        );
    }

    #[test]
    fn the_path_is_one_word() {
        let verdict = shell(r#"test "$1" = "a b'\"\$x" && test $# = 1 && echo 1"#, None);
        assert_eq!(verdict, Verdict::Score(1.0));
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
                "has no `auroc`, but acc",
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
        let verdict = evaluator(&command, None, 1).score(Path::new("x"), &|| false);
        let (why, output) = why(verdict.unwrap().unwrap());
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
        let verdict = evaluator("sleep 60 {checkpoint}", None, 60).score(Path::new("0"), &|| true);
        assert_eq!(verdict.unwrap(), None);
    }

    #[test]
    fn one_that_is_ended_together_with_this_process_has_not_failed() {
        for script in ["kill -TERM $$", "exit 143", "true"] {
            let command = format!("sh -c '{script}' {{checkpoint}}");
            let started = Instant::now();
            // Most likely the program ends before.
            let is_stopped = || started.elapsed() >= Duration::from_millis(60);
            let verdict = evaluator(&command, None, 60).score(Path::new("0"), &is_stopped);
            assert_eq!(verdict.unwrap(), None, "{script}");
        }
    }

    #[test]
    fn a_child_that_lives_on_keeps_nobody_waiting() {
        let verdict = shell("setsid sleep 8 & echo 0.25", None);
        assert_eq!(verdict, Verdict::Score(0.25));
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
