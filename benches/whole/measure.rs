//! Runs a process and measures it from outside.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// How often a process is asked for its memory.
const EVERY: Duration = Duration::from_millis(2);

/// What a run took.
pub struct Run {
    /// From the start to the exit.
    pub seconds: f64,
    /// The most memory it held at once, mapped files included.
    pub peak_bytes: u64,
}

/// Times a process.
pub fn timed(command: &mut Command) -> Result<Run> {
    let start = Instant::now();
    let child = command.spawn()?;
    let ended = loop {
        if let Some(ended) = wait(&child, 0)? {
            break ended;
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    Ok(Run {
        seconds,
        peak_bytes: ended.succeeded(command)?,
    })
}

/// Watches a process for the most memory that it held at once, mapped files aside; none where the system does not tell.
pub fn watched(command: &mut Command) -> Result<Option<u64>> {
    let child = command.spawn()?;
    let mut peak = None;
    loop {
        peak = peak.max(anonymous_bytes(&child));
        if let Some(ended) = wait(&child, libc::WNOHANG)? {
            ended.succeeded(command)?;
            return Ok(peak);
        }
        thread::sleep(EVERY);
    }
}

struct Ended {
    status: ExitStatus,
    peak_bytes: u64,
}

impl Ended {
    /// The peak of a process that did what it should.
    fn succeeded(self, command: &Command) -> Result<u64> {
        match self.status.success() {
            true => Ok(self.peak_bytes),
            false => Err(format!("{}: {command:?}", self.status).into()),
        }
    }
}

/// Waits for a process to end, as `options` of wait4 say.
fn wait(child: &Child, options: libc::c_int) -> Result<Option<Ended>> {
    let pid = libc::pid_t::try_from(child.id())?;
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: `pid` is a child of this process that nothing else waits for, and both pointers are to writable memory of
    // the right types.
    let ended = unsafe { libc::wait4(pid, &raw mut status, options, usage.as_mut_ptr()) };
    match ended {
        0 => Ok(None),
        -1 => {
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error.into()),
            }
        }
        _ => {
            // SAFETY: wait4 fills in the usage of the process whose end it reports.
            let usage = unsafe { usage.assume_init() };
            // macOS counts bytes, others kibibytes.
            let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
            Ok(Some(Ended {
                status: ExitStatus::from_raw(status),
                peak_bytes: u64::try_from(usage.ru_maxrss)? * unit,
            }))
        }
    }
}

/// The memory of a process that no file backs, from Linux's /proc.
fn anonymous_bytes(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
