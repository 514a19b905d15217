//! What a run takes, counted rather than timed: memory, and bytes read and written.
//!
//! One test, alone in its process: the counters are the process's own.

#[path = "integration/common/skip.rs"]
mod skip;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use clap::Parser;
use inmerge_ckpt::cli::Cli;
use inmerge_ckpt::commands::{self, Outcome};
use inmerge_ckpt::console::Terminal;
use safetensors::tensor::{Dtype, TensorView};

/// The system's allocator, which counts the bytes that are in use.
struct Counting {
    now: AtomicUsize,
    most: AtomicUsize,
}

#[global_allocator]
static ALLOCATOR: Counting = Counting {
    now: AtomicUsize::new(0),
    most: AtomicUsize::new(0),
};

impl Counting {
    fn add(&self, bytes: usize) {
        let now = self.now.fetch_add(bytes, Relaxed) + bytes;
        self.most.fetch_max(now, Relaxed);
    }

    fn subtract(&self, bytes: usize) {
        self.now.fetch_sub(bytes, Relaxed);
    }

    /// Counts the most from here on, and returns what is in use.
    fn restart(&self) -> usize {
        let now = self.now.load(Relaxed);
        self.most.store(now, Relaxed);
        now
    }
}

// SAFETY: all is left to the system's allocator, whose contract is this one's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size());
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.subtract(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        self.subtract(layout.size());
        self.add(size);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

const MIB: usize = 1 << 20;

/// The bound that holds whatever the checkpoint's size, beside what the largest layer needs.
const BASE: usize = 32 * MIB;

/// A layer of kernels in clusters, so that many merge; another one for each seed.
fn layer(seed: u32, kernels: usize, d: usize) -> Vec<u8> {
    let mut state = seed;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    let centres: Vec<Vec<f32>> = (0..kernels / 8)
        .map(|_| (0..d).map(|_| noise()).collect())
        .collect();
    let kernels = (0..kernels).flat_map(|kernel| {
        let centre = &centres[kernel % centres.len()];
        let numbers: Vec<f32> = centre.iter().map(|x| x + 0.7 * noise()).collect();
        numbers
    });
    kernels.flat_map(f32::to_le_bytes).collect()
}

/// A checkpoint of such layers and of a tensor that is none.
fn checkpoint(path: &Path, layers: &[(usize, usize)], other_bytes: usize) {
    let other = vec![7u8; other_bytes];
    let layers: Vec<(String, Vec<usize>, Vec<u8>)> = layers
        .iter()
        .enumerate()
        .map(|(i, &(n, d))| {
            let values = layer(i as u32 + 1, n, d);
            (format!("layer{i}.weight"), vec![n, d, 1], values)
        })
        .collect();
    let mut views: Vec<(&str, TensorView<'_>)> = layers
        .iter()
        .map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
            (name.as_str(), view.expect("a valid tensor"))
        })
        .collect();
    let rest = TensorView::new(Dtype::U8, vec![other_bytes], &other).expect("a valid tensor");
    views.push(("rest", rest));
    safetensors::serialize_to_file(views, None, path).expect("a writable folder");
}

/// Writes a checkpoint of so many tensors of a byte, of as short names as can be, and returns its header's length.
fn small_tensors(path: &Path, count: usize) -> usize {
    let entry = |i| {
        format!(
            r#""{i:x}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{}]}}"#,
            i + 1
        )
    };
    let entries: Vec<String> = (0..count).map(entry).collect();
    let header = format!("{{{}}}", entries.join(","));
    let length = header.len() as u64;
    let bytes = [&length.to_le_bytes(), header.as_bytes(), &vec![0; count]].concat();
    fs::write(path, bytes).expect("a writable folder");
    header.len()
}

/// Bytes that this process has read and written by system calls; `None` where the system does not tell.
fn transferred() -> Option<(usize, usize)> {
    let text = fs::read_to_string("/proc/self/io").ok()?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    };
    Some((field("rchar:")?, field("wchar:")?))
}

/// What a run took.
struct Taken {
    /// The most heap memory at any time.
    memory: usize,
    read: usize,
    written: usize,
}

/// Runs the program's `merge` in this process.
fn merge(input: &Path, output: &Path, flags: &str) -> Taken {
    let mut line = vec![
        "inmerge-ckpt",
        "merge",
        input.to_str().unwrap(),
        output.to_str().unwrap(),
    ];
    line.extend("--force --tau 0.5".split(' '));
    line.extend(flags.split(' '));
    taken(line, 2)
}

/// Runs the program's `analyze` in this process.
fn analyze(input: &Path, report: &Path, threads: usize) -> Taken {
    let [input, report] = [input, report].map(|path| path.to_str().unwrap());
    let line = vec!["inmerge-ckpt", "analyze", input, "--report", report];
    taken(line, threads)
}

/// Runs the program's `inspect` in this process.
fn inspect(input: &Path) -> Taken {
    taken_by(vec!["inmerge-ckpt", "inspect", input.to_str().unwrap()])
}

/// Runs a command on layers in this process.
fn taken(line: Vec<&str>, threads: usize) -> Taken {
    let threads = threads.to_string();
    let rest = ["--no-sync", "--skip-shallow", "0", "--threads", &threads];
    taken_by(line.into_iter().chain(rest).collect())
}

/// Runs a command in this process.
fn taken_by(line: Vec<&str>) -> Taken {
    let cli = Cli::try_parse_from(line).expect("a valid command line");
    let before = transferred();
    let in_use = ALLOCATOR.restart();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let outcome =
        commands::run(&cli, &mut out, &mut err, Terminal::default()).expect("a run that succeeds");
    let memory = ALLOCATOR.most.load(Relaxed) - in_use;
    assert_eq!(outcome, Outcome::Done);
    let (read, written) = match (before, transferred()) {
        (Some(before), Some(after)) => (after.0 - before.0, after.1 - before.1),
        _ => {
            skip::skipped("bytes read and written are not counted here: no /proc/self/io");
            (0, 0)
        }
    };
    Taken {
        memory,
        read,
        written,
    }
}

#[test]
fn a_run_takes_no_more_than_it_must() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));

    // Many kernels, short ones: the matrix of their similarities would be 256 MiB of float32.
    let (n, d) = (8192, 64);
    checkpoint(&input, &[(n, d)], 0);
    for screen in ["f32", "int8"] {
        for partner in ["nearest --prob 1", "eligible --prob 0.3", "random"] {
            let taken = merge(
                &input,
                &output,
                &format!("--screen {screen} --partner {partner}"),
            );
            assert!(
                taken.memory < BASE + n * d * 4,
                "{screen}, {partner}: {} bytes",
                taken.memory
            );
        }
    }

    // A checkpoint larger than the bound, of which each layer needs little.
    checkpoint(&input, &[(512, 2304); 12], 60 * MIB);
    for flags in [
        "--partner nearest --prob 1",
        "--partner eligible --prob 0.3",
        "--partner eligible --prob 1 --rounds 3",
    ] {
        let taken = merge(&input, &output, flags);
        assert!(taken.memory < BASE, "{flags}: {} bytes", taken.memory);
    }

    checkpoint(&input, &[(512, 2304); 12], 0);
    let size = fs::metadata(&input).unwrap().len() as usize;
    let little = MIB;
    // Nearly all kernels merge: the layers are written as they become, once, and read back, once. They are read through a
    // map, which does not count.
    let all = merge(&input, &output, "--partner nearest --prob 1");
    // Few merge: all is copied, and those are written over it and read back. A file system that lies on another one, as in
    // containers, counts what the kernel copies for both.
    let few = merge(&input, &output, "--partner nearest --prob 0.01");
    if all.written > 0 {
        let once = size..size + little;
        assert!(once.contains(&all.written), "{}", all.written);
        assert!(once.contains(&all.read), "{}", all.read);
        let copied = size..2 * size + size / 20;
        assert!(copied.contains(&few.written), "{}", few.written);
        assert!(copied.contains(&few.read), "{}", few.read);
    }

    // Layers of one shape are told apart by a page of each.
    let looked_at = inspect(&input);
    let pages = 12 * 4096 + 64 * 1024;
    assert!(looked_at.read < pages, "{}", looked_at.read);
    assert!(looked_at.memory < MIB, "{}", looked_at.memory);

    // What a header takes is counted in its own lengths: so one at the format's limit, of two million tensors, can be read too.
    let header_bytes = small_tensors(&input, 20_000);
    let described = inspect(&input);
    assert!(
        described.memory < 5 * header_bytes,
        "{} bytes of {header_bytes}",
        described.memory
    );

    // Of an analysis, some numbers a kernel and a section of the page stay of each layer; what is drawn does not. With several
    // threads the most depends on which drawings meet, which is as a busy machine has it.
    let report = folder.path().join("report");
    let [few, many] = [3, 12].map(|layers| {
        checkpoint(&input, &vec![(512, 2304); layers], 0);
        analyze(&input, &report, 1).memory
    });
    let of_layer = MIB / 2;
    assert!(many < few + 9 * of_layer, "{few} bytes, {many} bytes");
    let two_threads = analyze(&input, &report, 2).memory;
    assert!(two_threads < 3 * BASE, "{two_threads} bytes");
}
