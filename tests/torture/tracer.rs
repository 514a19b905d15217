//! Following a program from system call to system call.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::watchdog::Watchdog;

/// A system call that begins.
#[derive(Clone, Debug)]
pub struct Call {
    pub thread: Pid,
    pub number: u64,
    pub arguments: [u64; 6],
}

impl Call {
    /// The text at which an argument points.
    pub fn text(&self, argument: usize) -> Option<String> {
        let memory = File::open(format!("/proc/{}/mem", self.thread)).ok()?;
        let (mut text, mut at) = (Vec::new(), self.arguments[argument]);
        while text.len() < libc::PATH_MAX as usize {
            // Not across a page, behind which there may be no memory.
            let mut piece = vec![0; 256.min(4096 - (at % 4096) as usize)];
            memory.read_exact_at(&mut piece, at).ok()?;
            if let Some(end) = piece.iter().position(|byte| *byte == 0) {
                text.extend(&piece[..end]);
                return Some(String::from_utf8_lossy(&text).into_owned());
            }
            text.extend(&piece);
            at += piece.len() as u64;
        }
        None
    }

    /// Whether a descriptor of the program is open for writing.
    pub fn is_for_writing(&self, descriptor: u64) -> bool {
        let info = fs::read_to_string(format!("/proc/{}/fdinfo/{descriptor}", self.thread));
        let info = info.unwrap_or_default();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
        let flags = flags.and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
        flags.is_some_and(|flags| flags & libc::O_ACCMODE != libc::O_RDONLY)
    }

    /// The flags with which this call opens a file.
    pub fn open_flags(&self) -> Option<i32> {
        match self.number as libc::c_long {
            libc::SYS_open => Some(self.arguments[1] as i32),
            libc::SYS_openat => Some(self.arguments[2] as i32),
            _ => None,
        }
    }
}

/// What is to become of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Pass,
    /// It is not made, and answers this.
    Answer(i64),
    /// It is made, and answers this.
    Overrule(i64),
    /// It is made with another argument.
    Change {
        argument: usize,
        to: u64,
    },
    /// The program is killed before it is made.
    KillBefore,
    /// The program is killed once it is made.
    KillAfter,
}

/// Who decides on calls.
pub trait Director {
    /// A call begins.
    fn enter(&mut self, call: &Call) -> Action;
    /// A call has ended.
    fn leave(&mut self, thread: Pid, result: i64);
}

/// How a program is started.
#[derive(Debug)]
pub struct Start<'a> {
    pub program: &'a OsStr,
    pub arguments: &'a [OsString],
    pub folder: &'a Path,
    pub stdout: &'a Path,
    pub stderr: &'a Path,
    pub variables: &'a [(OsString, OsString)],
}

/// How a program ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct End {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// Whether it was killed because it went on and on.
    pub hung: bool,
}

impl Start<'_> {
    fn command(&self, program: &OsStr) -> io::Result<Command> {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(File::create(self.stdout)?)
            .stderr(File::create(self.stderr)?);
        Ok(command)
    }

    /// Runs the program to its end, untouched.
    pub fn run(&self, watchdog: &Watchdog) -> io::Result<End> {
        use std::os::unix::process::ExitStatusExt;
        let mut child = self.command(self.program)?.args(self.arguments).spawn()?;
        let watched = watchdog.watch(child.id() as i32);
        let status = child.wait()?;
        Ok(End {
            code: status.code(),
            signal: status.signal(),
            hung: watched.end(),
        })
    }

    /// Runs the program to its end under a director, who has its threads' calls before him, but not those of its children. A
    /// program that makes more than `limit` calls is taken to hang.
    ///
    /// # Errors
    ///
    /// Where programs may not be traced here.
    pub fn trace(
        &self,
        watchdog: &Watchdog,
        limit: usize,
        director: &mut dyn Director,
    ) -> io::Result<End> {
        let mut child = self
            .command(OsStr::new("sh"))?
            .args(["-c", SCRIPT])
            .arg(self.program)
            .args(self.arguments)
            .stdin(Stdio::piped())
            .spawn()?;
        let leader = Pid::from_raw(child.id() as i32);
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        if let Err(error) = ptrace::seize(leader, options) {
            child.kill()?;
            child.wait()?;
            return Err(error.into());
        }
        let watched = watchdog.watch(leader.as_raw());
        child
            .stdin
            .take()
            .expect("its input is a pipe")
            .write_all(b"\n")?;
        let mut chase = Chase {
            leader,
            director,
            threads: HashMap::new(),
            has_begun: false,
            calls_left: limit,
        };
        let mut end = chase.follow()?;
        end.hung = watched.end() || chase.calls_left == 0;
        Ok(end)
    }
}

/// What the shell does: it waits until it is traced, and then becomes the program.
const SCRIPT: &str = r#"read -r line && exec "$0" "$@" < /dev/null"#;

/// Whether a process is the shell. It may be traced before its own start is over, which looks like the program's.
fn is_shell(process: Pid) -> bool {
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0);
    words.nth(2) == Some(SCRIPT.as_bytes())
}

/// A call that is being made.
struct Underway {
    action: Action,
    /// An argument that was changed, as it was.
    changed: Option<(usize, u64)>,
}

/// A program that is followed.
struct Chase<'a> {
    leader: Pid,
    director: &'a mut dyn Director,
    /// What each thread is making.
    threads: HashMap<Pid, Underway>,
    /// Whether the shell has become the program.
    has_begun: bool,
    calls_left: usize,
}

impl Chase<'_> {
    fn follow(&mut self) -> io::Result<End> {
        // Other threads of this process have tracees, too.
        let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            let status = match waitpid(Pid::from_raw(-1), Some(flags)) {
                Err(Errno::EINTR) => continue,
                status => status?,
            };
            match status {
                WaitStatus::Exited(process, code) if process == self.leader => {
                    return Ok(End {
                        code: Some(code),
                        ..End::default()
                    });
                }
                WaitStatus::Signaled(process, signal, _) if process == self.leader => {
                    return Ok(End {
                        signal: Some(signal as i32),
                        ..End::default()
                    });
                }
                WaitStatus::PtraceSyscall(thread) => {
                    if let Err(error) = self.at_call(thread) {
                        is_gone(error)?;
                    }
                    self.go_on(thread, None)?;
                }
                WaitStatus::PtraceEvent(thread, _, event) => {
                    if event == libc::PTRACE_EVENT_EXEC && !self.has_begun && !is_shell(thread) {
                        self.has_begun = true;
                        // What it stops at next is the end of this call.
                        let action = Action::Pass;
                        let exec = Underway {
                            action,
                            changed: None,
                        };
                        self.threads.insert(thread, exec);
                    }
                    self.go_on(thread, None)?;
                }
                WaitStatus::Stopped(thread, signal) => self.go_on(thread, Some(signal))?,
                _ => {}
            }
        }
    }

    fn go_on(&self, thread: Pid, signal: Option<Signal>) -> io::Result<()> {
        let gone = if self.has_begun {
            ptrace::syscall(thread, signal)
        } else {
            ptrace::cont(thread, signal)
        };
        gone.or_else(is_gone)
    }

    /// A thread stands before or behind a call.
    fn at_call(&mut self, thread: Pid) -> nix::Result<()> {
        let mut registers = ptrace::getregs(thread)?;
        let Some(underway) = self.threads.remove(&thread) else {
            return self.before_call(thread, registers);
        };
        let answer = match underway.action {
            Action::Answer(answer) | Action::Overrule(answer) => Some(answer),
            _ => None,
        };
        if let Some(answer) = answer {
            registers.rax = answer as u64;
        }
        if let Some((argument, value)) = underway.changed {
            *register(&mut registers, argument) = value;
        }
        if answer.is_some() || underway.changed.is_some() {
            ptrace::setregs(thread, registers)?;
        }
        if underway.action == Action::KillAfter {
            return kill(self.leader, Signal::SIGKILL);
        }
        self.director.leave(thread, registers.rax as i64);
        Ok(())
    }

    fn before_call(
        &mut self,
        thread: Pid,
        mut registers: libc::user_regs_struct,
    ) -> nix::Result<()> {
        let mut arguments = [0; 6];
        for (argument, value) in arguments.iter_mut().enumerate() {
            *value = *register(&mut registers, argument);
        }
        let call = Call {
            thread,
            number: registers.orig_rax,
            arguments,
        };
        let action = self.director.enter(&call);
        // Threads that wait for others may make any number of these.
        let waits = [libc::SYS_futex, libc::SYS_sched_yield];
        if !waits.contains(&(call.number as libc::c_long)) {
            self.calls_left = self.calls_left.saturating_sub(1);
        }
        if action == Action::KillBefore || self.calls_left == 0 {
            return kill(self.leader, Signal::SIGKILL);
        }
        let mut changed = None;
        match action {
            Action::Answer(_) => registers.orig_rax = u64::MAX,
            Action::Change { argument, to } => {
                changed = Some((argument, arguments[argument]));
                *register(&mut registers, argument) = to;
            }
            _ => {}
        }
        if matches!(action, Action::Answer(_) | Action::Change { .. }) {
            ptrace::setregs(thread, registers)?;
        }
        self.threads.insert(thread, Underway { action, changed });
        Ok(())
    }
}

/// The register that holds an argument.
fn register(registers: &mut libc::user_regs_struct, argument: usize) -> &mut u64 {
    match argument {
        0 => &mut registers.rdi,
        1 => &mut registers.rsi,
        2 => &mut registers.rdx,
        3 => &mut registers.r10,
        4 => &mut registers.r8,
        _ => &mut registers.r9,
    }
}

/// Forgives what could not be done because the thread has been killed.
fn is_gone(error: Errno) -> io::Result<()> {
    match error {
        Errno::ESRCH => Ok(()),
        _ => Err(error.into()),
    }
}
