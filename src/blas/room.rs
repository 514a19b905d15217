//! Room for OpenBLAS's buffers.

use std::sync::{Mutex, PoisonError};

use memmap2::MmapMut;

use super::library::functions;
use super::{BUFFER, Error};

/// The bytes of a thread's stack, as Rust has it.
const STACK: usize = 2 << 20;

/// The bytes that are left to the work itself, whose own bound is half of that beside what the largest layer takes.
const WORK: usize = 64 << 20;

/// Makes room for calls of so many threads at once, or of fewer where the memory does not suffice. How many.
///
/// OpenBLAS takes a buffer for each call under way and keeps it for later ones; where it gets none it tries again for ever.
/// So all of them are taken beforehand, once it is known that they can be had.
///
/// # Errors
///
/// Where OpenBLAS cannot be loaded, or there is no room for one thread.
pub fn make_room(threads: usize) -> Result<usize, Error> {
    /// Threads that there is room for by now.
    static MADE: Mutex<usize> = Mutex::new(0);
    let functions = functions()?;
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if *made < threads {
        let further = fitting(threads - *made);
        *made += further;
        if let Some((take, give_back)) = functions.buffers {
            // SAFETY: these two may be called at any time by any thread; each buffer is given back once.
            unsafe {
                let taken: Vec<_> = (0..*made).map(|_| take(0)).collect();
                let taken = taken.into_iter().filter(|buffer| !buffer.is_null());
                taken.for_each(|buffer| give_back(buffer));
            }
        }
    }
    match threads.min(*made) {
        0 => Err(Error::no_room()),
        threads => Ok(threads),
    }
}

/// For how many out of so many threads there is memory, beside what the work takes.
fn fitting(threads: usize) -> usize {
    let Ok(_work) = MmapMut::map_anon(WORK) else {
        return 0;
    };
    let buffers = (0..threads).map_while(|_| MmapMut::map_anon(BUFFER + STACK).ok());
    buffers.collect::<Vec<_>>().len()
}
