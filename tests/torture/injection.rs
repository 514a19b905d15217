//! One thing that goes wrong in a run, and all that can in a run that was recorded.

use std::collections::HashMap;
use std::fmt;

use nix::errno::Errno;
use nix::unistd::Pid;

use super::calls::{Sort, Transfer};
use super::persona::Persona;
use super::tracer::{Action, Call, Director};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call fails, once.
    Fail(Errno),
    /// It fails, and so do all later ones of its name.
    FailOn(Errno),
    /// A signal interrupts it.
    Interrupt,
    /// It transfers less than it was to.
    Short {
        share: &'static str,
        argument: usize,
        to: u64,
    },
    KillBefore,
    KillAfter,
}

impl Fault {
    pub const KINDS: [&'static str; 5] = ["fail", "fail-on", "interrupt", "short", "kill"];

    /// Which kind it is of.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Fail(_) => "fail",
            Self::FailOn(_) => "fail-on",
            Self::Interrupt => "interrupt",
            Self::Short { .. } => "short",
            Self::KillBefore | Self::KillAfter => "kill",
        }
    }

    /// Whether the program has to come through as if nothing had happened.
    pub fn is_nothing(self) -> bool {
        matches!(self, Self::Interrupt | Self::Short { .. })
    }

    pub fn is_kill(self) -> bool {
        matches!(self, Self::KillBefore | Self::KillAfter)
    }

    fn detail(self) -> String {
        match self {
            Self::Fail(error) | Self::FailOn(error) => format!("{error:?}"),
            Self::Interrupt => "EINTR".to_owned(),
            Self::Short { share, .. } => share.to_owned(),
            Self::KillBefore => "before".to_owned(),
            Self::KillAfter => "after".to_owned(),
        }
    }
}

/// A fault, and the call that it befalls: the n-th of its name in the whole program, which stays the same where threads take
/// turns in another order.
#[derive(Clone, Debug)]
pub struct Injection {
    pub sort: &'static Sort,
    pub nth: usize,
    pub fault: Fault,
    /// The path that the call was about when it was recorded.
    pub path: Option<String>,
    /// Whether the dynamic loader is still at work then: the program has not begun.
    pub is_loading: bool,
}

impl fmt::Display for Injection {
    /// As `INMERGE_TORTURE` takes it, from the kind on.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, detail) = (self.fault.kind(), self.fault.detail());
        write!(f, "{kind}/{}#{}/{detail}", self.sort.name(), self.nth)
    }
}

/// A call of a recorded run.
#[derive(Debug)]
struct Recorded {
    sort: &'static Sort,
    nth: usize,
    call: Call,
    path: Option<String>,
    errors: Vec<Errno>,
    /// Whether the file system refuses it anyway.
    is_refused: bool,
    result: i64,
    is_loading: bool,
}

/// Writes down what calls a run makes.
#[derive(Debug)]
pub struct Recorder {
    persona: Persona,
    counts: HashMap<&'static str, usize>,
    calls: Vec<Recorded>,
    underway: HashMap<Pid, usize>,
    is_loading: bool,
    /// All calls, those that do not count too.
    pub total: usize,
}

impl Recorder {
    pub fn new(persona: Persona) -> Self {
        Self {
            persona,
            counts: HashMap::new(),
            calls: Vec::new(),
            underway: HashMap::new(),
            is_loading: true,
            total: 0,
        }
    }

    /// Everything that can go wrong in such a run: in all of it, or from the first call on that is about this folder.
    pub fn injections(&self, from_here_on: Option<&str>) -> Vec<Injection> {
        let is_here = |recorded: &Recorded| {
            let path = recorded.path.as_deref().unwrap_or("/");
            from_here_on.is_none_or(|folder| {
                path.starts_with(folder) || !path.is_empty() && !path.starts_with('/')
            })
        };
        let calls = self.calls.iter().skip_while(|recorded| !is_here(recorded));
        calls.flat_map(Recorded::injections).collect()
    }
}

impl Director for Recorder {
    fn enter(&mut self, call: &Call) -> Action {
        self.total += 1;
        // The C library sets this when all libraries are there.
        self.is_loading &= call.number as libc::c_long != libc::SYS_set_tid_address;
        let Some(sort) = Sort::of(call) else {
            return Action::Pass;
        };
        let refusal = self.persona.refusal(call);
        self.underway.insert(call.thread, self.calls.len());
        self.calls.push(Recorded {
            sort,
            nth: count(&mut self.counts, sort),
            call: call.clone(),
            path: sort.path(call),
            errors: sort.errors(call),
            is_refused: refusal.is_some(),
            result: 0,
            is_loading: self.is_loading,
        });
        refusal.map_or(Action::Pass, answer)
    }

    fn leave(&mut self, thread: Pid, result: i64) {
        if let Some(at) = self.underway.remove(&thread) {
            self.calls[at].result = result;
        }
    }
}

impl Recorded {
    fn injections(&self) -> Vec<Injection> {
        let mut faults = Vec::new();
        if !self.is_refused {
            for error in &self.errors {
                faults.extend([Fault::Fail(*error), Fault::FailOn(*error)]);
            }
            if self.sort.interrupts {
                faults.push(Fault::Interrupt);
            }
            faults.extend(self.shares());
        }
        // To be killed before a call is to be killed after the last one that changed something.
        faults.push(Fault::KillBefore);
        if self.sort.changes && !self.is_refused {
            faults.push(Fault::KillAfter);
        }
        let injections = faults.into_iter().map(|fault| Injection {
            sort: self.sort,
            nth: self.nth,
            fault,
            path: self.path.clone(),
            is_loading: self.is_loading,
        });
        injections.collect()
    }

    fn shares(&self) -> Vec<Fault> {
        let short = |share, argument, to| Fault::Short {
            share,
            argument,
            to,
        };
        match self.sort.transfer {
            Some(Transfer::Bytes(argument)) if self.result >= 4 => {
                let half = self.result as u64 / 2;
                vec![short("one", argument, 1), short("half", argument, half)]
            }
            Some(Transfer::Bytes(argument)) if self.result >= 2 => vec![short("one", argument, 1)],
            Some(Transfer::Pieces(argument)) if self.call.arguments[argument] >= 2 => {
                vec![short("one", argument, 1)]
            }
            _ => Vec::new(),
        }
    }
}

/// Has one thing go wrong.
#[derive(Debug)]
pub struct Injector<'a> {
    persona: Persona,
    /// `None`: nothing but what the file system refuses.
    injection: Option<&'a Injection>,
    counts: HashMap<&'static str, usize>,
    /// Whether it went wrong.
    pub happened: bool,
    /// Whether a message of the program was lost by it.
    pub silenced: bool,
}

impl<'a> Injector<'a> {
    pub fn new(persona: Persona, injection: Option<&'a Injection>) -> Self {
        Self {
            persona,
            injection,
            counts: HashMap::new(),
            happened: false,
            silenced: false,
        }
    }

    /// What goes wrong at a call.
    fn fault(&mut self, call: &Call, sort: &'static Sort) -> Option<Fault> {
        let nth = count(&mut self.counts, sort);
        let injection = self.injection?;
        if !std::ptr::eq(sort, injection.sort) {
            return None;
        }
        let (applies, goes_on) = match injection.fault {
            // Where threads took turns in another order, the call may be another, which cannot fail so, or is short already.
            Fault::Fail(error) => (sort.errors(call).contains(&error), false),
            Fault::FailOn(error) => (sort.errors(call).contains(&error), nth > injection.nth),
            Fault::Short { argument, to, .. } => (to < call.arguments[argument], false),
            _ => (true, false),
        };
        let is_meant = applies && (nth == injection.nth || goes_on);
        is_meant.then_some(injection.fault)
    }
}

impl Director for Injector<'_> {
    fn enter(&mut self, call: &Call) -> Action {
        let Some(sort) = Sort::of(call) else {
            return Action::Pass;
        };
        let refusal = || self.persona.refusal(call).map_or(Action::Pass, answer);
        let refusal = refusal();
        let Some(fault) = self.fault(call, sort) else {
            return refusal;
        };
        self.happened = true;
        self.silenced |= is_message(call);
        match fault {
            Fault::KillBefore => Action::KillBefore,
            _ if refusal != Action::Pass => refusal,
            Fault::Fail(error) | Fault::FailOn(error) if sort.fails_afterwards() => {
                Action::Overrule(-i64::from(error as i32))
            }
            Fault::Fail(error) | Fault::FailOn(error) => answer(error),
            Fault::Interrupt => answer(Errno::EINTR),
            Fault::Short { argument, to, .. } => Action::Change { argument, to },
            Fault::KillAfter => Action::KillAfter,
        }
    }

    fn leave(&mut self, _: Pid, _: i64) {}
}

fn answer(error: Errno) -> Action {
    Action::Answer(-i64::from(error as i32))
}

fn count(counts: &mut HashMap<&'static str, usize>, sort: &'static Sort) -> usize {
    let count = counts.entry(sort.name()).or_default();
    *count += 1;
    *count
}

/// Whether a call writes to the standard error.
fn is_message(call: &Call) -> bool {
    let writes = [libc::SYS_write, libc::SYS_writev];
    writes.contains(&(call.number as libc::c_long)) && call.arguments[0] == 2
}
