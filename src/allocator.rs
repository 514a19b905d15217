//! Memory that runs out, in a sentence.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::{self, Write};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use inmerge_ckpt::limits::MemoryLimits;
use rustix::stdio::stderr;

/// The system's allocator, which ends the program with an error where there is no more memory. Otherwise the standard library
/// aborts it, which says neither why nor what can be done and looks like a crash.
///
/// What the program has written by then lies under hidden names, as after a kill, and the next run removes it.
#[derive(Debug)]
pub struct OrExit;

/// What memory was given.
fn given(memory: *mut u8, bytes: usize) -> *mut u8 {
    if memory.is_null() {
        exit(format_args!("{bytes} bytes more"));
    }
    memory
}

// SAFETY: all is left to the system's allocator, whose contract is this one's; that a call does not return is within it.
unsafe impl GlobalAlloc for OrExit {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is the system's.
        given(unsafe { System.alloc(layout) }, layout.size())
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    #[inline]
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        given(unsafe { System.realloc(memory, layout, size) }, size)
    }

    #[inline]
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) };
    }
}

/// Whether the program has said why it ends.
static HAS_SAID_WHY: AtomicBool = AtomicBool::new(false);

/// Has memory that runs out from now on, as the program ends with an error that it has said, end it without another sentence.
pub fn end_silently() {
    HAS_SAID_WHY.store(true, Ordering::SeqCst);
}

/// Ends the program with the same sentence where the standard library panics for a want of memory: as a thread begins, it maps a
/// stack for the handler of stack overflows, and where it cannot, the panic aborts.
pub fn exit_where_threads_find_none() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or("", |location| location.file());
        if place.ends_with("unix/stack_overflow.rs") {
            exit(format_args!("a thread's stack"));
        }
        usual(panic);
    }));
}

/// Says what could not be had, and ends the program. Nothing is allocated for that, and nothing is cleaned up, which could need
/// memory or locks.
#[cold]
fn exit(what: fmt::Arguments<'_>) -> ! {
    static IS_ENDING: AtomicBool = AtomicBool::new(false);
    if IS_ENDING.swap(true, Ordering::SeqCst) {
        // Another thread has said so.
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    let mut line = Line::default();
    let limits = MemoryLimits::current();
    // The line is long enough for it.
    let _ = writeln!(
        line,
        "error: out of memory: {what} could not be had: {limits}, or run with --threads 1"
    );
    if !HAS_SAID_WHY.load(Ordering::SeqCst) {
        // There is nobody else to tell.
        let _ = rustix::io::write(stderr(), line.bytes());
    }
    // SAFETY: ends the process without running any other code of it.
    unsafe { libc::_exit(1) }
}

/// Text on the stack.
struct Line {
    text: [u8; 512],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            text: [0; 512],
            length: 0,
        }
    }
}

impl Line {
    fn bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let place = self.text.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
