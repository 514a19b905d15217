//! Running a program with a time limit, and collecting the end of its output.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::guard::Guard;

/// Bytes that are kept of the end of an output.
const MAX_KEPT: usize = 1 << 20;

/// Maximum bytes to read in a row, so that a program that prints without end is still stopped.
const MAX_READ: usize = 1 << 20;

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// The time between two checks of a program.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A running program, in a process group that ends with this process.
pub(super) struct Program {
    guard: Guard,
    child: Child,
    out: OutputTail<ChildStdout>,
    err: OutputTail<ChildStderr>,
}

/// Why a program ended.
pub(super) enum Ending {
    ByItself(ExitStatus),
    OutOfTime,
    Stopped,
}

/// A program that has ended, and its output.
pub(super) struct Ended {
    pub ending: Ending,
    /// The end of its stdout until then.
    pub out: String,
    /// The end of its stderr until then.
    pub err: String,
}

impl Program {
    /// Starts a program.
    ///
    /// # Errors
    ///
    /// If it, or its guard, cannot be started.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let guard = Guard::begin()?;
        guard.add(&mut command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self {
            guard,
            out: OutputTail::on(child.stdout.take()),
            err: OutputTail::on(child.stderr.take()),
            child,
        })
    }

    /// Waits until the program ends, its time is over, or `is_stopped` returns true, and then kills what is left of its group.
    /// Ignores later output, of processes that have left the group.
    pub fn wait(mut self, limit: Duration, is_stopped: &dyn Fn() -> bool) -> Ended {
        let started = Instant::now();
        let cut_short = loop {
            if self.has_ended() {
                break None;
            }
            if is_stopped() {
                break Some(Ending::Stopped);
            }
            if started.elapsed() >= limit {
                break Some(Ending::OutOfTime);
            }
            self.read_output();
        };
        if cut_short.is_some() {
            self.guard.signal(Signal::TERM);
            let asked = Instant::now();
            while !self.has_ended() && asked.elapsed() < GRACE {
                self.read_output();
            }
        }
        self.guard.signal(Signal::KILL);
        let status = self.child.wait().unwrap_or_default();
        self.out.take();
        self.err.take();
        Ended {
            ending: cut_short.unwrap_or(Ending::ByItself(status)),
            out: self.out.text(),
            err: self.err.text(),
        }
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.child.id()).ok()?)
    }

    /// Whether it has ended. Does not reap it.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match self.pid().map(|pid| waitid(WaitId::Pid(pid), options)) {
            Some(Ok(status)) => status.is_some(),
            // There is no such process.
            _ => true,
        }
    }

    /// Reads its output, for which it waits up to [`POLL_INTERVAL`].
    fn read_output(&mut self) {
        let pipes = [self.out.pipe(), self.err.pipe()];
        let open = pipes.iter().flatten();
        let mut open: Vec<PollFd<'_>> = open
            .map(|pipe| PollFd::from_borrowed_fd(*pipe, PollFlags::IN))
            .collect();
        let interval = Timespec::try_from(POLL_INTERVAL).ok();
        // A signal may end this early, which does no harm.
        let _ = poll(&mut open, interval.as_ref());
        self.out.take();
        self.err.take();
    }
}

/// One output of a program; only its end is kept.
struct OutputTail<P> {
    /// `None` once it is at its end.
    pipe: Option<P>,
    kept: VecDeque<u8>,
}

impl<P: Read + AsFd> OutputTail<P> {
    fn on(pipe: Option<P>) -> Self {
        // A pipe that cannot be made non-blocking is not read.
        let pipe = pipe.filter(|pipe| ioctl_fionbio(pipe, true).is_ok());
        Self {
            pipe,
            kept: VecDeque::new(),
        }
    }

    fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Reads what has been printed so far, without waiting.
    fn take(&mut self) {
        let mut buffer = [0; 64 << 10];
        let mut taken = 0;
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buffer) {
                Ok(count @ 1..) => {
                    self.kept.extend(&buffer[..count]);
                    let more = self.kept.len().saturating_sub(MAX_KEPT);
                    self.kept.drain(..more);
                    taken += count;
                    if taken >= MAX_READ {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => self.pipe = None,
            }
        }
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.kept.make_contiguous()).into_owned()
    }
}
