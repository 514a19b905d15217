//! Ending a program with this process, however this process ends.
//!
//! A process that is killed by SIGKILL can do nothing any more, and the system's own way (`PR_SET_PDEATHSIG`) reaches a program
//! itself but not what that has started, such as the Python below a shell. So each program gets a guard: a shell, alone in a
//! process group that the program then joins, which waits for the end of a pipe into which nobody writes. This process alone
//! holds the pipe's other end, and the system closes that when the process is gone, by whatever cause. The guard then kills the
//! group, itself included.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

/// A signal that asks the group to end is for the program, which may take its time or ignore it; the guard outlives it.
const SCRIPT: &str = "trap '' TERM INT HUP; read -r _; kill -s KILL 0";

/// A process group whose processes all end with this one. When it is dropped, they are killed.
pub(super) struct Guard {
    /// Its stdin is the pipe.
    shell: Child,
    group: Pid,
}

impl Guard {
    /// Makes a group, of the guard alone.
    ///
    /// # Errors
    ///
    /// Where there is no shell, or it cannot be started.
    pub fn begin() -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).process_group(0);
        let command = command.stdin(Stdio::piped()).current_dir("/");
        let shell = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("no /bin/sh: {error}")))?;
        let group = i32::try_from(shell.id()).ok().and_then(Pid::from_raw);
        let group = group.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { shell, group })
    }

    /// Has a command that is about to be started join the group.
    pub fn take_in(&self, command: &mut Command) {
        command.process_group(self.group.as_raw_nonzero().get());
    }

    /// Sends a signal to all of the group.
    pub fn signal(&self, signal: Signal) {
        // As the shell's entry is kept until it is waited for, the number cannot be another group's by now.
        let _ = kill_process_group(self.group, signal);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.shell.wait();
    }
}
