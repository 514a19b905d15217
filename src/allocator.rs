//! Memory that runs out, in a sentence.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
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

/// The thread that ends the program and says why; 0 while none does.
static ENDING: AtomicI32 = AtomicI32::new(0);

/// Whether it has said why.
static HAS_SAID_WHY: AtomicBool = AtomicBool::new(false);

/// Waits for ever if another thread ends the program.
fn become_the_one_that_ends() {
    let own = rustix::thread::gettid().as_raw_nonzero().get();
    let first = ENDING.compare_exchange(0, own, Ordering::SeqCst, Ordering::SeqCst);
    if first.is_err_and(|other| other != own) {
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

/// Says why the program ends, which it is to do next. Memory that runs out from now on, here or in another thread, adds no second
/// sentence.
pub fn say_why(why: &str) {
    become_the_one_that_ends();
    // There is nobody else to tell.
    let _ = io::stderr().write_all(why.as_bytes());
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
    become_the_one_that_ends();
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

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let place = self.text.get_mut(self.length..end).ok_or(fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
