//! Room for OpenBLAS's buffers.

use std::sync::{Mutex, PoisonError};

use memmap2::MmapMut;

use super::library::functions;
use super::{BUFFER, Error};

/// Bytes of a thread's stack, Rust's default.
const STACK: usize = 2 << 20;

/// Bytes that are left for the work itself, which needs up to half of them beside the memory of the largest layer.
const WORK: usize = 64 << 20;

/// Makes room for calls by this many threads at once, or by fewer if there is too little memory; returns how many.
///
/// OpenBLAS allocates a buffer for each concurrent call and keeps it for later ones; if it cannot, it retries for ever. So all
/// buffers are allocated in advance, once it is known that there is memory for them.
///
/// # Errors
///
/// Where OpenBLAS cannot be loaded, or there is no room for one thread.
pub fn make_room(threads: usize) -> Result<usize, Error> {
    /// Threads that there is room for already.
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

/// How many of this many threads there is memory for, beside the work's own.
fn fitting(threads: usize) -> usize {
    let Ok(_work) = MmapMut::map_anon(WORK) else {
        return 0;
    };
    let buffers = (0..threads).map_while(|_| MmapMut::map_anon(BUFFER + STACK).ok());
    buffers.collect::<Vec<_>>().len()
}
