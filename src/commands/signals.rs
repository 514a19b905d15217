//! Stopping when asked to.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// Whether the process was asked to end, by SIGTERM or SIGINT (Ctrl-C).
///
/// The first of them only says so, and whoever works ends when that is clean; a second one ends the process at once, as if
/// nobody listened.
#[derive(Debug)]
pub(super) struct Interrupted {
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
    pub fn listen() -> io::Result<Self> {
        let requested = Arc::new(AtomicBool::new(false));
        let (wake, signalled) = UnixStream::pair()?;
        for signal in [SIGTERM, SIGINT] {
            // In this order: the default action is taken where the flag is set already, by a signal before.
            flag::register_conditional_default(signal, Arc::clone(&requested))?;
            flag::register(signal, Arc::clone(&requested))?;
            pipe::register(signal, signalled.try_clone()?)?;
        }
        Ok(Self { requested, wake })
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
                Err(_) => std::thread::sleep(left.min(Duration::from_millis(100))),
            }
        }
    }
}
