//! Stopping when asked to.

use std::fs;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

use crate::compute;

/// Signals cannot be listened for.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Error {
    #[error("cannot listen for signals ({0}); run where they can be handled")]
    Signals(io::Error),
    #[error(transparent)]
    Thread(#[from] compute::Error),
}

/// How long whoever works may take to end; programs that were started have two seconds of it.
const PATIENCE: Duration = Duration::from_secs(4);

/// Whether the process was asked to end, by SIGTERM, SIGINT (Ctrl-C), or SIGHUP (a terminal that goes) unless that is ignored,
/// as `nohup` has it.
///
/// The first of them only says so, and whoever works ends when that is clean; one that comes four seconds later ends the
/// process at once, as if nobody listened.
#[derive(Debug)]
pub struct Interrupted {
    requested: Arc<AtomicBool>,
    /// Becomes readable with the signal, so that nobody sleeps through it.
    wake: UnixStream,
}

impl Interrupted {
    /// Listens from now on.
    ///
    /// # Errors
    ///
    /// Where the system refuses.
    pub fn listen() -> Result<Self, Error> {
        let (interrupted, overdue, mut first) = Self::register().map_err(Error::Signals)?;
        let wait = move || {
            if first.read_exact(&mut [0]).is_ok() {
                thread::sleep(PATIENCE);
                overdue.store(true, Ordering::SeqCst);
            }
        };
        let waiting = thread::Builder::new().spawn(wait);
        waiting.map_err(compute::Error::Threads)?;
        Ok(interrupted)
    }

    /// Also the flag that lets a further signal end the process, and the stream that becomes readable with the first signal.
    fn register() -> io::Result<(Self, Arc<AtomicBool>, UnixStream)> {
        let [requested, overdue] = [(), ()].map(|()| Arc::new(AtomicBool::new(false)));
        let (wake, signalled) = UnixStream::pair()?;
        let (first, also_signalled) = UnixStream::pair()?;
        let hang_up = (!is_ignored(SIGHUP)).then_some(SIGHUP);
        for signal in [SIGTERM, SIGINT].into_iter().chain(hang_up) {
            flag::register_conditional_default(signal, Arc::clone(&overdue))?;
            flag::register(signal, Arc::clone(&requested))?;
            pipe::register(signal, signalled.try_clone()?)?;
            pipe::register(signal, also_signalled.try_clone()?)?;
        }
        Ok((Self { requested, wake }, overdue, first))
    }

    /// Whether the process is to end.
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// Sleeps for so long, or until the process is to end. Whether it is.
    pub fn sleep(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            // A timeout of zero would be none.
            if self.requested() || left.is_zero() {
                return self.requested();
            }
            let woken = self.wake.set_read_timeout(Some(left));
            let woken = woken.and_then(|()| (&self.wake).read(&mut [0]));
            match woken.map_err(|error| error.kind()) {
                Ok(_) | Err(io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                // A socket that fails is no reason not to sleep.
                Err(_) => thread::sleep(left.min(Duration::from_millis(100))),
            }
        }
    }
}

/// Whether this process was started with a signal ignored; where the system does not tell, it is left as it is, too.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask >> (signal - 1) & 1 == 1)
}
