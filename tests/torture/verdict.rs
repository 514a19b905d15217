//! What a run in which something went wrong must not have done.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::scenario::{Appears, Output, Scenario};
use super::tracer::End;
use super::tree::{self, Node, Tree};

/// What kind of thing a program did that it must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// An output is neither what it was nor what it was to be, or something else was changed.
    Lost,
    /// It ended in a way in which no program should, or without a word, or did not come through a mere delay.
    Exit,
    /// It did not end.
    Hung,
    /// Something is left of it of which neither it nor the next run says where it is.
    LeftOver,
    /// The next run does not come to what it should.
    NotMended,
}

impl Wrong {
    pub const ALL: [Self; 5] = [
        Self::Lost,
        Self::Exit,
        Self::Hung,
        Self::LeftOver,
        Self::NotMended,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Exit => "wrong exit",
            Self::Hung => "hung",
            Self::LeftOver => "left over",
            Self::NotMended => "not mended",
        }
    }
}

/// What is wrong, in words.
pub type Charge = (Wrong, String);

/// What a desk holds before and after runs in which nothing goes wrong.
#[derive(Debug)]
pub struct Goldens {
    pub before: Tree,
    /// After one.
    pub after: Tree,
    /// After another one upon it.
    pub again: Tree,
}

/// A run that ended.
#[derive(Debug)]
pub struct Ran {
    pub end: End,
    pub stderr: String,
    /// Whether it was killed on purpose.
    pub was_killed: bool,
    /// Whether it had to come through as if nothing had happened.
    pub must_succeed: bool,
    /// Whether the program had begun when something went wrong: how the dynamic loader ends is its own affair.
    pub had_begun: bool,
    /// Whether its messages could not be written.
    pub silenced: bool,
}

/// What is wrong with how a run ended.
pub fn of_end(ran: &Ran) -> Option<Charge> {
    let End { code, signal, hung } = ran.end;
    let first = telling(&ran.stderr);
    if hung {
        return Some((Wrong::Hung, format!("did not end; last words: {first}")));
    }
    if !ran.had_begun {
        return None;
    }
    // Rust's runtime takes a stack for its handlers of signals before the program begins, and aborts where there is none.
    if first.starts_with("thread 'main'") && first.contains("unix/stack_overflow.rs") {
        return None;
    }
    if let Some(signal) = signal {
        let killed = ran.was_killed && signal == libc::SIGKILL;
        return (!killed).then(|| (Wrong::Exit, format!("signal {signal}; last words: {first}")));
    }
    let sentences = ran
        .stderr
        .lines()
        .filter(|line| line.starts_with("error: "));
    let sentences = sentences.count();
    let wrong = match code {
        Some(0) => return None,
        Some(1) if ran.must_succeed => format!("had to succeed: {first}"),
        Some(1) if sentences == 1 || ran.silenced => return None,
        Some(1) => format!("exit 1 with {sentences} lines that begin with `error: `: {first}"),
        code => format!("exit {}: {first}", code.unwrap_or(-1)),
    };
    Some((Wrong::Exit, wrong))
}

/// The line of a message that tells most.
fn telling(stderr: &str) -> String {
    let mut lines = stderr
        .lines()
        .skip_while(|line| !line.contains("panicked at"));
    match (lines.next(), lines.next()) {
        (Some(place), Some(why)) => format!("{place} {why}"),
        _ => stderr.lines().last().unwrap_or_default().to_owned(),
    }
}

/// What became of the desk.
#[derive(Debug)]
pub enum Desk {
    /// As it was before, or as it should be: there is no more to find out.
    Settled,
    /// Something else, which is whole; another run is to mend it.
    Open {
        /// Whether the run came so far that another starts from what it came to.
        is_new: bool,
        /// What holds an output that is missing, with the output.
        aside: Option<(PathBuf, PathBuf)>,
    },
}

/// What a run has made of the desk.
pub fn of_desk(
    scenario: &Scenario,
    goldens: &Goldens,
    found: &Tree,
    ran: &Ran,
) -> Result<Desk, Charge> {
    let Goldens { before, after, .. } = goldens;
    let has_failed = ran.end.code != Some(0);
    if *found == *after || has_failed && *found == *before {
        return Ok(Desk::Settled);
    }
    let lost = |words| Err((Wrong::Lost, words));
    // What is left over is judged once another run has had its turn.
    let mut whole = found.clone();
    whole.retain(|path, _| !is_unfinished(path) || before.contains_key(path));
    for (path, node) in before {
        let is_output = |output: &Output| path.starts_with(output.path);
        if !scenario.outputs.iter().any(is_output)
            && !found.get(path).is_some_and(|now| now.is_like(node))
        {
            return lost(format!("{} was changed", path.display()));
        }
    }
    if scenario
        .admits
        .is_some_and(|words| ran.stderr.contains(words))
    {
        return Ok(Desk::Open {
            is_new: true,
            aside: None,
        });
    }
    let (mut is_new, mut aside) = (false, None);
    for output in scenario.outputs {
        let path = Path::new(output.path);
        let [old, new, mut now] = [before, after, &whole].map(|tree| tree::below(tree, path));
        if output.appears == Appears::ByFiles {
            now.retain(|path, _| old.contains_key(path) || new.contains_key(path));
        }
        if tree::are_alike(&now, &new) {
            is_new = true;
            continue;
        }
        if !(has_failed || output.is_extra && warns(ran, output)) {
            let difference = difference_of(output, &new, &now).unwrap_or_default();
            return lost(format!("exit 0, and {difference}"));
        }
        match output.appears {
            Appears::Whole if tree::are_alike(&now, &old) => {}
            Appears::Whole if now.is_empty() => match put_aside(found, path, &old) {
                Some(other) if ran.was_killed || says(&ran.stderr, &other) => {
                    aside = Some((other, path.to_owned()));
                }
                Some(other) => {
                    let (path, other) = (path.display(), other.display());
                    return lost(format!("{path} is {other} now, and no message says so"));
                }
                None => return lost(format!("{} is gone", path.display())),
            },
            Appears::Whole => {
                let from_old = difference_of(output, &old, &now).unwrap_or_default();
                let from_new = difference_of(output, &new, &now).unwrap_or_default();
                return lost(format!(
                    "neither the old one ({from_old}) nor the new one ({from_new})"
                ));
            }
            Appears::ByFiles => {
                by_files(path, &old, &new, &now).map_err(|words| (Wrong::Lost, words))?;
            }
        }
    }
    Ok(Desk::Open { is_new, aside })
}

/// Whether a run warned of an output, or would have if its messages could be written.
fn warns(ran: &Ran, output: &Output) -> bool {
    let warning = format!("warning: {}", output.path);
    let mut lines = ran.stderr.lines();
    ran.silenced || lines.any(|line| line.starts_with(&warning))
}

/// Whether a path has the name of something in the making, or is in something that has.
fn is_unfinished(path: &Path) -> bool {
    let is_hidden = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        name.starts_with(b".") && name.ends_with(b".tmp")
    };
    path.iter().any(is_hidden)
}

/// Where two states of an output first differ.
fn difference_of(output: &Output, expected: &Tree, found: &Tree) -> Option<String> {
    if found.is_empty() {
        return Some(format!("{} is missing", output.path));
    }
    let difference = tree::difference(expected, found)?;
    Some(format!("{}/{difference}", output.path))
}

/// Of files each of which appears in one step: what is wrong with one.
fn by_files(folder: &Path, old: &Tree, new: &Tree, now: &Tree) -> Result<(), String> {
    for (path, node) in old {
        let whole = |state: &Tree| state.get(path).is_some_and(|whole| whole.is_like(node));
        if !now.contains_key(path) && whole(new) {
            return Err(format!("{} is gone", folder.join(path).display()));
        }
    }
    for (path, node) in now {
        let (old, new) = (old.get(path), new.get(path));
        let is_whole = |whole: Option<&Node>| {
            whole.is_none_or(|whole| node.is_like(whole) || node.is_beginning_of(whole))
        };
        if !is_whole(old) && !is_whole(new) || old.is_none() && !is_whole(new) {
            return Err(format!("{} is not whole", folder.join(path).display()));
        }
    }
    Ok(())
}

/// The folder that holds what stood at a path, where that was put aside to be replaced.
fn put_aside(found: &Tree, path: &Path, old: &Tree) -> Option<PathBuf> {
    if old.is_empty() {
        return None;
    }
    let name = path.file_name()?.to_str()?;
    let (prefix, parent) = (format!(".{name}.inmerge-"), path.parent());
    let mut others = found.keys().filter(|other| {
        let name = other.file_name().and_then(OsStr::to_str);
        let is_aside = |name: &str| name.starts_with(&prefix) && name.ends_with(".old");
        other.parent() == parent && name.is_some_and(is_aside)
    });
    let other = others.find(|other| tree::are_alike(&tree::below(found, other), old))?;
    Some(other.clone())
}

/// Whether a message names a file.
pub fn says(stderr: &str, path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    name.is_some_and(|name| stderr.contains(name))
}

/// What is wrong with a desk after another run, in which nothing went wrong, given all that was said in both; `is_anew` where an
/// output that was missing had to be made anew.
pub fn of_mended(
    goldens: &Goldens,
    is_from_new: bool,
    is_anew: bool,
    folder: &Path,
    end: End,
    stderr: &str,
    said: &str,
) -> Vec<Charge> {
    let last = telling(stderr);
    if end.code != Some(0) || end.hung {
        return vec![(
            Wrong::NotMended,
            format!("the next run fails: {last} ({end:?})"),
        )];
    }
    let expected = if is_from_new {
        &goldens.again
    } else {
        &goldens.after
    };
    let found = tree::read(folder);
    let mut charges = Vec::new();
    let surplus = found.keys().filter(|path| {
        let parent = path.parent().unwrap_or(Path::new(""));
        let is_topmost = parent == Path::new("") || expected.contains_key(parent);
        is_topmost && !expected.contains_key(*path)
    });
    let surplus: Vec<&PathBuf> = surplus.collect();
    let differs = |(path, node): &(&PathBuf, &Node)| match found.get(*path) {
        // What is not replaced has the modes of new files.
        Some(other) if is_anew => !other.holds_the_same_as(node),
        // What is left over may hold other names of the same files.
        Some(other) if !surplus.is_empty() => !other.is_like(node),
        other => other != Some(*node),
    };
    if let Some((path, node)) = expected.iter().find(differs) {
        let how = match found.get(path) {
            None => "is missing",
            Some(other) if other.is_like(node) => "has other names besides",
            Some(_) => "is not what it should be",
        };
        let words = format!("after the next run {} {how}", path.display());
        charges.push((Wrong::NotMended, words));
    }
    let mut unnamed = surplus.iter().filter(|path| !says(said, path));
    if let Some(first) = unnamed.next() {
        let more = match unnamed.count() {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let words = format!("{} is left over, unnamed{more}", first.display());
        charges.push((Wrong::LeftOver, words));
    }
    charges
}

/// Moves what was put aside back, as a message says.
pub fn move_back(folder: &Path, aside: &(PathBuf, PathBuf)) {
    let (other, path) = aside;
    fs::rename(folder.join(other), folder.join(path)).expect("it can be moved back");
}
