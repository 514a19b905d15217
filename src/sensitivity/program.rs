//! Running a program for as long as it may, with an eye on what it prints.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use super::guard::Guard;

/// Bytes that are kept of the end of what is printed.
const KEPT: usize = 1 << 20;

/// Bytes that are read at once at most, of a program that prints without end.
const READ: usize = 1 << 20;

/// How long a program that is asked to end has for it.
const GRACE: Duration = Duration::from_secs(2);

/// From one look at a program to the next.
pub(super) const LOOK: Duration = Duration::from_millis(10);

/// A program that runs, in a process group that ends with this process.
pub(super) struct Program {
    guard: Guard,
    child: Child,
    out: Printed<ChildStdout>,
    err: Printed<ChildStderr>,
}

/// How a program came to its end.
pub(super) enum Ending {
    ByItself(ExitStatus),
    OutOfTime,
    Stopped,
}

/// What is known of a program that has ended.
pub(super) struct Ended {
    pub ending: Ending,
    /// The end of what it had printed on stdout by then.
    pub out: String,
    /// The same of stderr.
    pub err: String,
}

impl Program {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// Where that cannot be.
    pub fn start(mut command: Command) -> io::Result<Self> {
        let guard = Guard::begin()?;
        guard.take_in(&mut command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Self {
            guard,
            out: Printed::on(child.stdout.take()),
            err: Printed::on(child.stderr.take()),
            child,
        })
    }

    /// Waits until it ends, its time is over, or `is_stopped` says so, and sees to it that nothing of its group is left. What
    /// has left its group and prints later is not heard.
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
            self.listen();
        };
        if cut_short.is_some() {
            self.guard.signal(Signal::TERM);
            let asked = Instant::now();
            while !self.has_ended() && asked.elapsed() < GRACE {
                self.listen();
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

    /// Whether it has ended, which is not noted by the system yet.
    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match self.pid().map(|pid| waitid(WaitId::Pid(pid), options)) {
            Some(Ok(status)) => status.is_some(),
            // There is nothing to wait for.
            _ => true,
        }
    }

    /// Takes what it prints, or waits a little for that.
    fn listen(&mut self) {
        let pipes = [self.out.pipe(), self.err.pipe()];
        let open = pipes.iter().flatten();
        let mut open: Vec<PollFd<'_>> = open
            .map(|pipe| PollFd::from_borrowed_fd(*pipe, PollFlags::IN))
            .collect();
        let look = Timespec::try_from(LOOK).ok();
        // A signal may end it early, which does no harm.
        let _ = poll(&mut open, look.as_ref());
        self.out.take();
        self.err.take();
    }
}

/// The output of a program; only its end is kept.
struct Printed<P> {
    /// `None` once there is no more to come.
    pipe: Option<P>,
    kept: VecDeque<u8>,
}

impl<P: Read + AsFd> Printed<P> {
    fn on(pipe: Option<P>) -> Self {
        // One that cannot be read without waiting is not read.
        let pipe = pipe.filter(|pipe| ioctl_fionbio(pipe, true).is_ok());
        Self {
            pipe,
            kept: VecDeque::new(),
        }
    }

    fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Takes what is there by now.
    fn take(&mut self) {
        let mut buffer = [0; 64 << 10];
        let mut taken = 0;
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut buffer) {
                Ok(count @ 1..) => {
                    self.kept.extend(&buffer[..count]);
                    let more = self.kept.len().saturating_sub(KEPT);
                    self.kept.drain(..more);
                    taken += count;
                    if taken >= READ {
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
