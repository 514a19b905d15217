//! Ending a program together with this process, however this process ends.
//!
//! A process that is killed by SIGKILL cannot clean up, and `PR_SET_PDEATHSIG` reaches the program itself but not its
//! children, such as the Python below a shell. So each program gets a guard: a shell, in a process group that the program
//! then joins, which reads from a pipe until its end. Only this process holds the other end, to which it writes nothing, and
//! the system closes it when this process ends for any reason. The guard then kills the group, including itself.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

/// The guard ignores signals that ask the group to end: they are for the program, which may take its time or ignore them.
const SCRIPT: &str = "trap '' TERM INT HUP; read -r _; kill -s KILL 0";

/// A process group that ends with this process, and is killed when this is dropped.
pub(super) struct Guard {
    /// The guard process, whose stdin is the pipe.
    shell: Child,
    group: Pid,
}

impl Guard {
    /// Creates a group that holds only the guard.
    ///
    /// # Errors
    ///
    /// If there is no shell, or it cannot be started.
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

    /// Makes a command join the group when it starts.
    pub fn add(&self, command: &mut Command) {
        command.process_group(self.group.as_raw_nonzero().get());
    }

    /// Sends a signal to all processes of the group.
    pub fn signal(&self, signal: Signal) {
        // The shell has not been waited for, so the system cannot have reused its number for another group.
        let _ = kill_process_group(self.group, signal);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.shell.wait();
    }
}
