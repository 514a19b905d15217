//! Scenarios, gone through with everything that can go wrong in them.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use super::injection::{Fault, Injection, Injector, Recorder};
use super::persona::Persona;
use super::program::program;
use super::scenario::Scenario;
use super::tracer::{End, Start};
use super::tree;
use super::verdict::{self, Charge, Desk, Goldens, Ran, Wrong};
use super::watchdog::Watchdog;

/// More calls than this many times those of a run in which nothing goes wrong, and [`MORE_CALLS`], are a run that spins.
const TIMES_THE_CALLS: usize = 5;

/// As many as a program may make that waits for another on a busy machine.
const MORE_CALLS: usize = 3000;

/// What of everything is tried.
#[derive(Clone, Copy, Debug)]
pub enum Extent {
    Everything,
    /// One in so many injections of each scenario, persona and kind, not the same ones of each.
    OneIn(usize),
}

/// A scenario as one file system has it.
#[derive(Debug)]
struct Prepared<'a> {
    scenario: &'a Scenario,
    persona: Persona,
    /// What the desk is a copy of.
    template: PathBuf,
    goldens: Goldens,
    /// More calls than that are a program that spins.
    limit: usize,
}

/// The numbers of a scenario, a persona and a kind.
type Key = [usize; 3];

/// A row of the table.
#[derive(Debug, Default)]
struct Row {
    /// What the numbers stand for.
    names: [&'static str; 3],
    runs: usize,
    wrongs: BTreeMap<Wrong, usize>,
}

/// What was done and found.
#[derive(Debug, Default)]
pub struct Findings {
    /// By scenario, persona and kind, in their order.
    rows: BTreeMap<Key, Row>,
    /// Runs in which the call never came.
    pub missed: usize,
    /// A line for each thing that is wrong.
    pub violations: Vec<(Wrong, String)>,
}

impl Findings {
    pub fn runs(&self) -> usize {
        self.rows.values().map(|row| row.runs).sum()
    }

    /// How often something of a kind was found.
    pub fn count(&self, wrong: Wrong) -> usize {
        let found = self.violations.iter();
        found.filter(|(kind, _)| *kind == wrong).count()
    }

    /// For a terminal.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<20} {:<6} {:<10} {:>6}",
            "scenario", "as on", "kind", "runs"
        );
        for wrong in Wrong::ALL {
            let _ = write!(text, " {:>10}", wrong.name());
        }
        text.push('\n');
        for Row {
            names,
            runs,
            wrongs,
        } in self.rows.values()
        {
            let [scenario, persona, kind] = names;
            let _ = write!(text, "{scenario:<20} {persona:<6} {kind:<10} {runs:>6}");
            for wrong in Wrong::ALL {
                let _ = write!(
                    text,
                    " {:>10}",
                    wrongs.get(&wrong).copied().unwrap_or_default()
                );
            }
            text.push('\n');
        }
        let _ = write!(
            text,
            "{:<20} {:<6} {:<10} {:>6}",
            "all",
            "",
            "",
            self.runs()
        );
        for wrong in Wrong::ALL {
            let _ = write!(text, " {:>10}", self.count(wrong));
        }
        let _ = write!(
            text,
            "\n{} runs, {} violations ({} more runs ended before what was to go wrong)\n",
            self.runs(),
            self.violations.len(),
            self.missed
        );
        text
    }
}

/// Which injections `INMERGE_TORTURE` asks for: patterns with commas between them, such as `sharded-in-place/nfs/fail` or
/// `merge-new/*/kill/linkat#1/after`. A part that is missing or `*` stands for all, and so does `linkat` for all calls of this name.
#[derive(Debug)]
struct Filter(Vec<Vec<String>>);

impl Filter {
    fn from_environment() -> Self {
        let text = env::var("INMERGE_TORTURE").unwrap_or_default();
        let patterns = text.split(',').filter(|pattern| !pattern.is_empty());
        let parts = |pattern: &str| pattern.trim().split('/').map(str::to_owned).collect();
        Self(patterns.map(parts).collect())
    }

    /// Whether a path is asked for, as far as it goes.
    fn takes(&self, path: &str) -> bool {
        let takes_part = |wanted: &str, part: &str| {
            let name = part.split('#').next();
            ["", "*", part].contains(&wanted) || name == Some(wanted)
        };
        let takes = |pattern: &Vec<String>| {
            let mut parts = pattern.iter().zip(path.split('/'));
            parts.all(|(wanted, part)| takes_part(wanted, part))
        };
        self.0.is_empty() || self.0.iter().any(takes)
    }
}

/// A folder in which one worker runs programs.
struct Bench {
    folder: PathBuf,
}

impl Bench {
    fn new(workshop: &Path, name: &str) -> Self {
        let folder = workshop.join(name);
        fs::create_dir(&folder).expect("a folder can be made");
        Self { folder }
    }

    fn desk(&self) -> PathBuf {
        self.folder.join("desk")
    }

    /// Clears the desk and lays it anew.
    fn lay(&self, template: &Path) {
        let desk = self.desk();
        if desk.exists() {
            fs::remove_dir_all(&desk).expect("the desk can be cleared");
        }
        tree::copy(template, &desk);
    }

    /// Runs a scenario's command on the desk. How it ended, and what it said on stderr.
    fn run(
        &self,
        scenario: &Scenario,
        again: bool,
        run: impl FnOnce(&Start<'_>) -> io::Result<End>,
    ) -> io::Result<(End, String)> {
        let desk = self.desk();
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| self.folder.join(name));
        let variable = |name: &str, value: &str| (OsString::from(name), OsString::from(value));
        let variables = [
            variable("NO_COLOR", "1"),
            variable("LC_ALL", "C"),
            // No thread more than the program asks for, so that calls come in the same order each time.
            variable("OPENBLAS_NUM_THREADS", "1"),
            variable("RUST_BACKTRACE", "0"),
            (OsString::from("TMPDIR"), desk.join("tmp").into()),
        ];
        let program = scenario.program.map_or_else(program, OsString::from);
        let end = run(&Start {
            program: &program,
            arguments: &scenario.arguments(again),
            folder: &desk,
            stdout: &stdout,
            stderr: &stderr,
            variables: &variables,
        })?;
        let said = fs::read(&stderr).expect("what it said can be read");
        Ok((end, String::from_utf8_lossy(&said).into_owned()))
    }

    /// As [`Bench::run`], with nothing going wrong.
    fn run_cleanly(
        &self,
        prepared: &Prepared<'_>,
        again: bool,
        dog: &Watchdog,
    ) -> io::Result<(End, String)> {
        self.run(prepared.scenario, again, |start| match prepared.persona {
            Persona::Local => start.run(dog),
            persona => start.trace(dog, prepared.limit, &mut Injector::new(persona, None)),
        })
    }
}

/// Goes through scenarios. `None`, with the reason said, where programs may not be traced.
pub fn go_through(scenarios: &[Scenario], extent: Extent) -> Result<Findings, String> {
    let filter = Filter::from_environment();
    let workshop = TempDir::new().map_err(|error| error.to_string())?;
    // As the kernel says it, which the program may ask.
    let workshop_path = workshop.path().canonicalize().expect("it is there");
    let dog = Watchdog::new();
    let mut prepared = Vec::new();
    let mut jobs = Vec::new();
    for (number, scenario) in scenarios.iter().enumerate() {
        for (second, persona) in Persona::ALL.into_iter().enumerate() {
            if !filter.takes(&format!("{}/{}", scenario.name, persona.name())) {
                continue;
            }
            let name = format!("{}-{}", scenario.name, persona.name());
            let bench = Bench::new(&workshop_path, &name);
            let template = bench.folder.join("template");
            fs::create_dir(&template).expect("a folder can be made");
            (scenario.make)(&template);
            // That is the same for all scenarios of a program, and in this file the program's own matters.
            let has_start = number == 0 && persona == Persona::Local && scenario.program.is_none();
            let (ready, injections) = prepare(scenario, persona, template, &bench, &dog, has_start)
                .map_err(|error| format!("programs cannot be traced here ({error})"))?;
            for (third, kind) in Fault::KINDS.into_iter().enumerate() {
                let of_kind = injections.iter().filter(|one| one.fault.kind() == kind);
                let wanted = of_kind.filter(|one| {
                    let path = format!("{}/{}/{one}", scenario.name, persona.name());
                    filter.takes(&path)
                });
                let (skip, step) = match extent {
                    Extent::Everything => (0, 1),
                    Extent::OneIn(step) => ((7 * number + 3 * second + 5 * third) % step, step),
                };
                let taken = wanted.skip(skip).step_by(step);
                let key = [number, second, third];
                jobs.extend(taken.map(|injection| (key, prepared.len(), injection.clone())));
            }
            prepared.push(ready);
        }
    }
    let next = AtomicUsize::new(0);
    let findings = Mutex::new(Findings::default());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for worker in 0..workers {
            let bench = Bench::new(&workshop_path, &format!("worker-{worker}"));
            let (jobs, prepared, dog) = (&jobs, &prepared, &dog);
            let (next, findings) = (&next, &findings);
            scope.spawn(move || {
                while let Some((key, which, injection)) =
                    jobs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let prepared = &prepared[*which];
                    let charges = try_one(prepared, injection, &bench, dog)
                        .expect("what was traced before can be traced");
                    let mut findings = findings.lock().expect("no other worker has failed");
                    findings.add(*key, prepared, injection, charges);
                    let done = findings.runs() + findings.missed;
                    if done % 1000 == 0 {
                        let found = findings.violations.len();
                        eprintln!("{done} of {} runs, {found} violations", jobs.len());
                    }
                }
            });
        }
    });
    Ok(findings.into_inner().expect("no worker has failed"))
}

impl Findings {
    fn add(
        &mut self,
        key: Key,
        prepared: &Prepared<'_>,
        injection: &Injection,
        charges: Option<Vec<Charge>>,
    ) {
        let Some(charges) = charges else {
            self.missed += 1;
            return;
        };
        let (scenario, persona) = (prepared.scenario.name, prepared.persona.name());
        let row = self.rows.entry(key).or_default();
        row.names = [scenario, persona, injection.fault.kind()];
        row.runs += 1;
        for (wrong, words) in charges {
            *row.wrongs.entry(wrong).or_default() += 1;
            let path = injection.path.as_deref().unwrap_or_default();
            let line = format!("{scenario}/{persona}/{injection} ({path}): {words}");
            eprintln!("{}: {line}", wrong.name());
            self.violations.push((wrong, line));
        }
    }
}

/// Runs a scenario with nothing going wrong: what it comes to, and what can go wrong on the way.
fn prepare<'a>(
    scenario: &'a Scenario,
    persona: Persona,
    template: PathBuf,
    bench: &Bench,
    dog: &Watchdog,
    has_start: bool,
) -> io::Result<(Prepared<'a>, Vec<Injection>)> {
    let desk = bench.desk();
    bench.lay(&template);
    let before = tree::read(&desk);
    let mut recorder = Recorder::new(persona);
    let ended = bench.run(scenario, false, |start| {
        start.trace(dog, usize::MAX, &mut recorder)
    })?;
    assert_eq!(ended.0.code, Some(0), "{}: {}", scenario.name, ended.1);
    let after = tree::read(&desk);
    let here = desk.to_str().expect("a path in UTF-8");
    let injections = recorder.injections((!has_start).then_some(here));
    let mut prepared = Prepared {
        scenario,
        persona,
        template,
        goldens: Goldens {
            before,
            after: after.clone(),
            again: after,
        },
        limit: TIMES_THE_CALLS * recorder.total + MORE_CALLS,
    };
    let ended = bench.run_cleanly(&prepared, true, dog)?;
    assert_eq!(ended.0.code, Some(0), "{}: {}", scenario.name, ended.1);
    prepared.goldens.again = tree::read(&desk);
    // What the command comes to must not depend on when and where it runs, nor on being traced.
    bench.lay(&prepared.template);
    let ended = bench.run(scenario, false, |start| start.run(dog))?;
    assert_eq!(ended.0.code, Some(0), "{}: {}", scenario.name, ended.1);
    let found = tree::read(&desk);
    let difference = tree::difference(&prepared.goldens.after, &found);
    assert_eq!(difference, None, "{}: two clean runs differ", scenario.name);
    Ok((prepared, injections))
}

/// Has one thing go wrong in a run: what was wrong with that; `None` where it did not happen.
fn try_one(
    prepared: &Prepared<'_>,
    injection: &Injection,
    bench: &Bench,
    dog: &Watchdog,
) -> io::Result<Option<Vec<Charge>>> {
    let Prepared {
        scenario,
        persona,
        goldens,
        ..
    } = prepared;
    let desk = bench.desk();
    bench.lay(&prepared.template);
    let mut injector = Injector::new(*persona, Some(injection));
    let (end, stderr) = bench.run(scenario, false, |start| {
        start.trace(dog, prepared.limit, &mut injector)
    })?;
    if !injector.happened {
        return Ok(None);
    }
    let ran = Ran {
        end,
        stderr,
        was_killed: injection.fault.is_kill(),
        must_succeed: injection.fault.is_nothing(),
        had_begun: !injection.is_loading,
        silenced: injector.silenced,
    };
    let mut charges: Vec<Charge> = verdict::of_end(&ran).into_iter().collect();
    let found = tree::read(&desk);
    let (is_new, aside) = match verdict::of_desk(scenario, goldens, &found, &ran) {
        Ok(Desk::Settled) => return Ok(Some(charges)),
        Ok(Desk::Open { is_new, aside }) => (is_new, aside),
        Err(charge) => {
            charges.push(charge);
            return Ok(Some(charges));
        }
    };
    let mut said = ran.stderr;
    let (mut end, mut stderr) = bench.run_cleanly(prepared, true, dog)?;
    said.push_str(&stderr);
    let is_anew = aside.is_some() && end.code == Some(0);
    if let Some(aside) = aside
        && end.code == Some(1)
    {
        if !verdict::says(&stderr, &aside.0) {
            let words = format!(
                "the next run does not say that {} holds everything",
                aside.0.display()
            );
            charges.push((Wrong::Lost, words));
            return Ok(Some(charges));
        }
        verdict::move_back(&desk, &aside);
        (end, stderr) = bench.run_cleanly(prepared, true, dog)?;
        said.push_str(&stderr);
    }
    let is_from_new = is_new && scenario.is_in_place;
    let mended = verdict::of_mended(goldens, is_from_new, is_anew, &desk, end, &stderr, &said);
    charges.extend(mended);
    Ok(Some(charges))
}
