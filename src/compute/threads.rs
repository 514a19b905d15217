//! Starting the threads that a command works on.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};

use super::Error;

/// How long the system may go on counting a thread that has ended.
const COUNTED: Duration = Duration::from_millis(10);

/// Starts so many threads, 0 for one per CPU, or fewer where the system starts no more, as `fewer` is told with the
/// error and their number. One more can be started then, as the writer of an output is.
///
/// # Errors
///
/// Where not even two can be.
pub(super) fn start(
    mut threads: usize,
    mut fewer: impl FnMut(&io::Error, usize),
) -> Result<ThreadPool, Error> {
    loop {
        let mut started: Vec<JoinHandle<()>> = Vec::new();
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .spawn_handler(|thread| {
                started.push(thread::Builder::new().spawn(|| thread.run())?);
                Ok(())
            })
            .build();
        let error = match pool.map_err(io::Error::other) {
            Ok(pool) => match another() {
                Ok(()) => return Ok(pool),
                Err(error) => error,
            },
            Err(error) => error,
        };
        threads = started.len().saturating_sub(1);
        if threads == 0 {
            return Err(Error::Threads(error));
        }
        fewer(&error, threads);
        for thread in started {
            // The pool is gone, so it ends; that is all there is to it.
            let _ = thread.join();
        }
        thread::sleep(COUNTED);
    }
}

/// Starts a thread that does nothing.
fn another() -> io::Result<()> {
    let thread = thread::Builder::new().spawn(|| ())?;
    let _ = thread.join();
    Ok(())
}
