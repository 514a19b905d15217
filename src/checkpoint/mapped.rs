//! A part of a file, mapped into memory, that survives the file being cut short.
//!
//! The system raises SIGBUS if a page of a map cannot be read, because another program has truncated the file or the disk fails;
//! without a handler that ends the process without a message. The handler here maps zeros in place of the missing page and sets
//! a flag, so that the reader goes on to its end and finds the flag there (as Wayland's `wl_shm_buffer_begin_access` does with
//! the memory of its clients).

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::os::unix::fs::FileExt;

use memmap2::{Advice, Mmap, MmapOptions};

/// Bytes of a file, in memory for as long as this lives.
#[derive(Debug)]
pub(super) struct Mapped {
    bytes: Bytes,
    watch: Option<guard::Watch>,
}

#[derive(Debug)]
enum Bytes {
    None,
    Map(Mmap),
    /// For a file that cannot be mapped, or if more maps are in use than can be watched.
    Read(Vec<u8>),
}

impl Mapped {
    /// Maps a range of a file, or reads it if it cannot be mapped, as on some network and FUSE file systems.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn new(file: &File, range: Range<usize>) -> io::Result<Self> {
        if range.is_empty() {
            return Ok(Self {
                bytes: Bytes::None,
                watch: None,
            });
        }
        let mut options = MmapOptions::new();
        options.offset(range.start as u64).len(range.len());
        // SAFETY: the map is private and read-only. Another process may write to the file: then other bytes are seen, never
        // invalid values (every bit pattern of the types read is valid), and `check_unchanged` reports it before an output
        // replaces anything. It may cut the file short: the watch below sees to that before a byte is read.
        let map = match unsafe { options.map(file) } {
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => return Err(error),
            mapped => mapped.ok(),
        };
        let watched = map.and_then(|map| guard::Watch::over(&map).map(|watch| (map, watch)));
        let Some((map, watch)) = watched else {
            return Ok(Self {
                bytes: Bytes::Read(read(file, range)?),
                watch: None,
            });
        };
        // From a disk the whole range is fetched at once rather than fault by fault. Advice that is refused costs time only.
        let _ = map.advise(Advice::WillNeed);
        Ok(Self {
            bytes: Bytes::Map(map),
            watch: Some(watch),
        })
    }

    /// Whether all bytes read so far came from the file.
    pub fn is_whole(&self) -> bool {
        self.watch.as_ref().is_none_or(guard::Watch::is_whole)
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::None => &[],
            Bytes::Map(map) => map,
            Bytes::Read(bytes) => bytes,
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // Before the map: something else may be mapped at its addresses afterwards.
        self.watch = None;
    }
}

fn read(file: &File, range: Range<usize>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(range.len())
        .map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(range.len(), 0);
    file.read_exact_at(&mut bytes, range.start as u64)?;
    Ok(bytes)
}

/// The handler of SIGBUS.
mod guard {
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use libc::{c_int, c_void, sigaction, siginfo_t};
    use memmap2::Mmap;

    /// The most maps that are watched at the same time; each thread has two or three.
    const SLOTS: usize = 1024;

    /// The addresses of a map. Only atomics, since the handler reads them whatever else is under way.
    struct Slot {
        is_taken: AtomicBool,
        start: AtomicUsize,
        /// 0 while nothing is watched.
        end: AtomicUsize,
        is_short: AtomicBool,
    }

    static WATCHED: [Slot; SLOTS] = [const {
        Slot {
            is_taken: AtomicBool::new(false),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            is_short: AtomicBool::new(false),
        }
    }; SLOTS];

    /// The previous handler of the signal; `None` if this one could not be installed.
    static BEFORE: OnceLock<Option<sigaction>> = OnceLock::new();

    /// A map being watched.
    pub struct Watch(&'static Slot);

    impl std::fmt::Debug for Watch {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_tuple("Watch").field(&self.is_whole()).finish()
        }
    }

    impl Watch {
        /// Begins to watch a map; `None` if that is impossible.
        pub fn over(map: &Mmap) -> Option<Self> {
            BEFORE.get_or_init(install).as_ref()?;
            let take = |slot: &&Slot| !slot.is_taken.swap(true, Ordering::AcqRel);
            let slot = WATCHED.iter().find(take)?;
            let start = map.as_ptr() as usize;
            slot.is_short.store(false, Ordering::Relaxed);
            slot.start.store(start, Ordering::Relaxed);
            slot.end.store(start + map.len(), Ordering::Release);
            Some(Self(slot))
        }

        /// Whether no page of it has been missing so far.
        pub fn is_whole(&self) -> bool {
            !self.0.is_short.load(Ordering::Acquire)
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            self.0.end.store(0, Ordering::Release);
            self.0.is_taken.store(false, Ordering::Release);
        }
    }

    fn install() -> Option<sigaction> {
        let mut before = MaybeUninit::uninit();
        // SAFETY: all zeros are a valid `sigaction`: no flags, an empty mask, the default action.
        let mut action: sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = handle;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `handle` has the signature that SA_SIGINFO asks for and does only what a handler may (signal-safety(7)); the
        // pointers are to live values of the right type.
        let installed = unsafe { sigaction(libc::SIGBUS, &action, before.as_mut_ptr()) };
        // SAFETY: a call that succeeded has filled it in.
        (installed == 0).then(|| unsafe { before.assume_init() })
    }

    /// Maps zeros in place of a missing page of a watched map, so that the reader goes on; passes any other signal on.
    extern "C" fn handle(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
        // SAFETY: the system hands over valid information, whose address is that of the fault for SIGBUS.
        let address = unsafe { (*info).si_addr() } as usize;
        let holds = |slot: &&Slot| {
            let end = slot.end.load(Ordering::Acquire);
            slot.start.load(Ordering::Relaxed) <= address && address < end
        };
        let Some(slot) = WATCHED.iter().find(holds) else {
            hand_on();
            return;
        };
        slot.is_short.store(true, Ordering::Release);
        // SAFETY: only asks for the size of a page, as a handler may.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
        let from = address & !(page - 1);
        let end = slot.end.load(Ordering::Acquire);
        // SAFETY: the range, from the page of the fault to the end of the map, is a part of a map that this process made and
        // that lives as long as it is watched, for which whoever reads from it holds a borrow of it; it was readable and
        // stays so. `mmap` is a bare system call, which a handler may make though no standard says so.
        let zeros = unsafe {
            libc::mmap(
                from as *mut c_void,
                end - from,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        if zeros == libc::MAP_FAILED {
            hand_on();
        }
    }

    /// Has what handled the signal before handle it when it is raised again, which is as soon as the handler returns.
    fn hand_on() {
        if let Some(Some(before)) = BEFORE.get() {
            // SAFETY: the action is one that the system gave.
            unsafe { sigaction(libc::SIGBUS, before, ptr::null_mut()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn file(bytes: usize) -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, vec![7; bytes]).unwrap();
        let file = File::options().read(true).write(true).open(path).unwrap();
        (folder, file)
    }

    #[test]
    fn a_file_that_is_cut_short_reads_as_zeros_and_is_told() {
        let (_folder, file) = file(100_000);
        for range in [5..100_000, 20_000..100_000] {
            file.set_len(0).unwrap();
            file.set_len(100_000).unwrap();
            file.write_all_at(&[7; 100_000], 0).unwrap();
            let mapped = Mapped::new(&file, range).unwrap();
            assert!(mapped.iter().all(|&byte| byte == 7) && mapped.is_whole());
            file.set_len(10_000).unwrap();
            // By several threads at once.
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| assert_eq!(mapped.last(), Some(&0)));
                }
            });
            assert!(!mapped.is_whole());
            let next = Mapped::new(&file, 0..10_000).unwrap();
            assert!(next.iter().all(|&byte| byte == 7) && next.is_whole());
        }
    }

    #[test]
    fn a_range_beyond_the_end_is_told_when_it_is_read() {
        let (_folder, file) = file(10);
        let mapped = Mapped::new(&file, 0..50_000).unwrap();
        assert_eq!((mapped[9], mapped[10]), (7, 0));
        assert!(mapped.is_whole());
        assert_eq!(mapped[49_999], 0);
        assert!(!mapped.is_whole());
    }

    #[test]
    fn more_maps_than_are_watched_are_read() {
        let (_folder, file) = file(10);
        let maps: Vec<Mapped> = (0..2000)
            .map(|_| Mapped::new(&file, 1..9).unwrap())
            .collect();
        assert!(maps.iter().all(|map| map[..] == [7; 8] && map.is_whole()));
        assert!(maps.iter().any(|map| matches!(map.bytes, Bytes::Read(_))));
    }
}
