//! What a layer asks of a GPU, as the stand-in counts it: launches, waits of the host, and bytes in either direction. It is
//! written down in `fixtures/gpu/calls.txt`, so that a change of the launches can be judged before it runs on a GPU.
//!
//! The counts follow from the layers' shapes and from how many pairs a screen leaves open, and are the same on every
//! machine. `[8192,256,3,3]` takes the stand-in half a minute, since it runs every kernel as a GPU would.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt::{self, Display};
use std::fs;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Gpu, clustered};
use crate::layers::architectures::{self, Model};
use safetensors::tensor::{Dtype, TensorView};

/// A call that the stand-in wrote down.
struct Call {
    function: String,
    details: Vec<String>,
}

impl Call {
    fn all(log: &Path) -> Vec<Self> {
        let text = fs::read_to_string(log).expect("a log");
        let call = |line: &str| {
            let mut words = line.split(' ').map(str::to_owned);
            Self {
                function: words.next().expect("a function"),
                details: words.collect(),
            }
        };
        text.lines().map(call).collect()
    }

    fn number(&self) -> u64 {
        let number = self.details.first().and_then(|first| first.parse().ok());
        number.unwrap_or_else(|| panic!("{} without a number", self.function))
    }

    /// Bytes that it copies to the GPU, if it does.
    fn upload(&self) -> Option<u64> {
        (self.function == "cuMemcpyHtoDAsync_v2").then(|| self.number())
    }
}

/// Copies in one direction.
#[derive(Clone, Copy, Default)]
struct Copies {
    count: u64,
    bytes: u64,
    /// Those from or to memory of the host's that is not pinned.
    unpinned: u64,
}

/// What some calls ask of a GPU.
#[derive(Clone, Default)]
struct Counts {
    launches: BTreeMap<String, u64>,
    products: u64,
    waits: u64,
    up: Copies,
    down: Copies,
    memsets: u64,
    allocations: u64,
    frees: u64,
    events_recorded: u64,
    events_awaited: u64,
}

impl Copies {
    fn add(&mut self, call: &Call) {
        self.count += 1;
        self.bytes += call.number();
        self.unpinned += u64::from(call.details[1] == "unpinned");
    }
}

impl AddAssign for Copies {
    fn add_assign(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
        self.unpinned += other.unpinned;
    }
}

impl Counts {
    fn of(calls: &[Call]) -> Self {
        let mut counts = Self::default();
        for call in calls {
            counts.add(call);
        }
        counts
    }

    fn add(&mut self, call: &Call) {
        match call.function.as_str() {
            "cuLaunchKernel" => *self.launches.entry(call.details[0].clone()).or_default() += 1,
            product if product.starts_with("cublasGemm") || product.starts_with("cublasSgemm") => {
                self.products += 1;
            }
            "cuStreamSynchronize" | "cuCtxSynchronize" | "cuEventSynchronize" | "cuMemFree_v2" => {
                self.waits += 1;
            }
            "cuMemcpyHtoDAsync_v2" => self.up.add(call),
            "cuMemcpyDtoHAsync_v2" => self.down.add(call),
            "cuMemsetD8Async" => self.memsets += 1,
            "cuMemAllocAsync" | "cuMemAlloc_v2" => self.allocations += 1,
            "cuMemFreeAsync" => self.frees += 1,
            "cuEventRecord" => self.events_recorded += 1,
            "cuStreamWaitEvent" => self.events_awaited += 1,
            _ => {}
        }
    }

    fn launched(&self) -> u64 {
        self.launches.values().sum()
    }
}

impl AddAssign<&Counts> for Counts {
    fn add_assign(&mut self, other: &Self) {
        for (kernel, count) in &other.launches {
            *self.launches.entry(kernel.clone()).or_default() += count;
        }
        self.products += other.products;
        self.waits += other.waits;
        self.up += other.up;
        self.down += other.down;
        self.memsets += other.memsets;
        self.allocations += other.allocations;
        self.frees += other.frees;
        self.events_recorded += other.events_recorded;
        self.events_awaited += other.events_awaited;
    }
}

impl Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kernels: Vec<String> = self
            .launches
            .iter()
            .map(|(kernel, count)| format!("{kernel} {count}"))
            .collect();
        writeln!(
            f,
            "launches      {} ({})",
            self.launched(),
            kernels.join(", ")
        )?;
        writeln!(f, "products      {}", self.products)?;
        writeln!(f, "host waits    {}", self.waits)?;
        for (direction, copies) in [("to the GPU", self.up), ("from the GPU", self.down)] {
            let Copies {
                count,
                bytes,
                unpinned,
            } = copies;
            writeln!(
                f,
                "{direction:13} {bytes} bytes in {count} copies, {unpinned} of them unpinned"
            )?;
        }
        writeln!(f, "memsets       {}", self.memsets)?;
        writeln!(
            f,
            "allocations   {}, frees {}",
            self.allocations, self.frees
        )?;
        writeln!(
            f,
            "events        recorded {}, awaited by streams {}",
            self.events_recorded, self.events_awaited
        )
    }
}

/// Kernels of a layer, and numbers of each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    kernels: usize,
    length: usize,
}

impl Shape {
    fn bytes(self) -> u64 {
        (self.kernels * self.length * 4) as u64
    }
}

/// A file with convolutions of these names and shapes, of which no two are the same.
fn file_of(folder: &Path, convolutions: &[(&str, Vec<usize>)]) -> PathBuf {
    let data: Vec<Vec<u8>> = (0..)
        .zip(convolutions)
        .map(|(number, (_, shape))| {
            let scale = 1.0 + number as f32 / 64.0;
            let numbers = clustered(shape[0], shape[1..].iter().product());
            let numbers = numbers.into_iter().map(|x| x * scale);
            numbers.flat_map(f32::to_le_bytes).collect()
        })
        .collect();
    let tensors: HashMap<&str, TensorView<'_>> = convolutions
        .iter()
        .zip(&data)
        .map(|((name, shape), data)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), data).unwrap();
            (*name, view)
        })
        .collect();
    let path = folder.join("checkpoint.safetensors");
    safetensors::serialize_to_file(&tensors, None, &path).unwrap();
    path
}

/// The calls of a run of one thread on a GPU with an H200's memory.
fn calls_of(gpu: &Gpu, folder: &Path, args: Vec<OsString>) -> Vec<Call> {
    let log = folder.join("log");
    let _ = fs::remove_file(&log);
    let gpu = gpu
        .with("FAKE_CUDA_LOG", log.display())
        .with("FAKE_CUDA_MEMORY", 150_000_000_000u64);
    let common = args!["--skip-shallow=0", "--threads=1", "--backend=cuda", "-q"];
    gpu.run([args, common].concat()).done();
    Call::all(&log)
}

fn merge(file: &Path, partner: &str) -> Vec<OsString> {
    merge_above("--tau=0.5", file, partner)
}

fn merge_above(tau: &str, file: &Path, partner: &str) -> Vec<OsString> {
    let partner = format!("--partner={partner}");
    args!["merge", file, "--dry-run", tau, "--prob=1", partner]
}

/// Where a layer's calls begin: with the copy of its first kernels, which are more than what a run tries a GPU with and
/// more than a tile's bounds.
fn beginnings(calls: &[Call]) -> Vec<usize> {
    let is_layer = |call: &Call| call.upload().is_some_and(|bytes| bytes >= 16_384);
    (0..calls.len()).filter(|&i| is_layer(&calls[i])).collect()
}

/// Compares a section of the file with what was counted, or puts it there.
fn check(title: &str, counted: &str) {
    // Tests run at once, and each has a section of its own.
    static FILE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _lock = FILE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gpu/calls.txt");
    let text = fs::read_to_string(&file).unwrap_or_default();
    let mut sections: Vec<(String, String)> = text
        .split("\n== ")
        .skip(1)
        .filter_map(|section| section.split_once("\n\n"))
        .map(|(title, body)| (title.to_owned(), body.trim_end().to_owned() + "\n"))
        .collect();
    if std::env::var_os("INMERGE_BLESS").is_some_and(|value| value == "1") {
        sections.retain(|(other, _)| other != title);
        sections.push((title.to_owned(), counted.to_owned()));
        sections.sort();
        let head = text.split("\n== ").next().unwrap_or_default().trim_end();
        let body = sections
            .iter()
            .map(|(title, body)| format!("\n== {title}\n\n{body}"));
        fs::write(&file, format!("{head}\n{}", body.collect::<String>())).unwrap();
    }
    let written = sections.iter().find(|(other, _)| other == title);
    let written = written.map_or("", |(_, body)| body.as_str());
    let differing = counted
        .lines()
        .zip(written.lines())
        .find(|(is, was)| is != was);
    assert!(
        counted == written,
        "{title}: calls are not as in {}, first here (now, as written): {differing:?}\n\n{counted}\n\
         If fewer or as they should be (look at it), run INMERGE_BLESS=1 cargo test --test integration cuda::calls::",
        file.display()
    );
}

/// Before its first layer: starting the GPU and trying it.
#[test]
fn a_start_asks_for_what_is_written_down() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let folder = TempDir::new().unwrap();
    let file = file_of(folder.path(), &[("conv.weight", vec![64, 64, 3, 3])]);
    let calls = calls_of(&gpu, folder.path(), merge(&file, "nearest"));
    check(
        "a run, before its first layer",
        &Counts::of(&calls[..beginnings(&calls)[0]]).to_string(),
    );
}

#[test]
fn a_wide_layer_asks_for_what_is_written_down() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let folder = TempDir::new().unwrap();
    let file = file_of(folder.path(), &[("conv.weight", vec![8192, 256, 3, 3])]);
    let calls = calls_of(&gpu, folder.path(), merge(&file, "nearest"));
    let counts = Counts::of(&calls[beginnings(&calls)[0]..]);
    assert!(counts.up.bytes >= 8192 * 256 * 9 * 4);
    check("[8192,256,3,3], nearest", &counts.to_string());
}

/// One tile by every policy, and in a report.
#[test]
fn every_policy_asks_for_what_is_written_down() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let folder = TempDir::new().unwrap();
    let file = file_of(folder.path(), &[("conv.weight", vec![1024, 128, 3, 3])]);
    let report = args![
        "analyze",
        &file,
        "--report",
        folder.path().join("report"),
        "--no-sync",
        "--no-spectrum"
    ];
    for (name, args) in [
        ("eligible", merge(&file, "eligible")),
        ("nearest", merge(&file, "nearest")),
        ("random", merge(&file, "random")),
        ("a report", report),
    ] {
        let calls = calls_of(&gpu, folder.path(), args);
        let Some(&first) = beginnings(&calls).first() else {
            // Nothing is screened.
            check(&format!("[1024,128,3,3], {name}"), "nothing\n");
            continue;
        };
        let counts = Counts::of(&calls[first..]);
        check(&format!("[1024,128,3,3], {name}"), &counts.to_string());
    }
}

/// The groups of a layer, as a ResNeXt-50's have them: one tile of all, for merges and for a report.
#[test]
fn a_grouped_layer_asks_for_what_is_written_down() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let folder = TempDir::new().unwrap();
    let file = file_of(folder.path(), &[("conv.weight", vec![1024, 32, 3, 3])]);
    // Those that are alike are of different groups: at a threshold above which nothing is, a run looks for another one.
    let declared = folder.path().join("layers.json");
    let list = serde_json::json!([{ "name": "conv.weight", "kind": "conv", "groups": 32 }]);
    fs::write(&declared, list.to_string()).unwrap();
    let report = folder.path().join("report");
    let report = args![
        "analyze",
        &file,
        "--report",
        report,
        "--no-sync",
        "--no-spectrum"
    ];
    for (name, args) in [
        ("eligible", merge_above("--tau=0.1", &file, "eligible")),
        ("nearest", merge_above("--tau=0.1", &file, "nearest")),
        ("a report", report),
    ] {
        let args = [args, args!["--layers", &declared]].concat();
        let calls = calls_of(&gpu, folder.path(), args);
        let counts = Counts::of(&calls[beginnings(&calls)[0]..]);
        check(
            &format!("[1024,32,3,3] in 32 groups, {name}"),
            &counts.to_string(),
        );
    }
}

/// All convolutions of a ResNet-50, one after the other.
#[test]
fn a_resnet50_asks_for_what_is_written_down() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let folder = TempDir::new().unwrap();
    let model = Model::read(&architectures::folder().join("torchvision-resnet50.tsv"));
    let convolutions: Vec<(&str, Vec<usize>)> = model
        .tensors
        .iter()
        .filter(|tensor| model.convolutions.contains_key(&tensor.name))
        .map(|tensor| (tensor.name.as_str(), tensor.shape.clone()))
        .collect();
    assert_eq!(convolutions.len(), 53);
    let file = file_of(folder.path(), &convolutions);
    let calls = calls_of(&gpu, folder.path(), merge(&file, "nearest"));
    let starts = beginnings(&calls);
    let found: Vec<u64> = starts.iter().map(|&i| calls[i].number()).collect();
    assert_eq!(found.len(), convolutions.len(), "{found:?}");
    let ends = starts[1..].iter().copied().chain([calls.len()]);

    let mut by_shape: BTreeMap<Shape, (u64, Counts)> = BTreeMap::new();
    for (&start, end) in starts.iter().zip(ends) {
        let section = &calls[start..end];
        // What is measured of every kernel comes back first.
        let squares = section
            .iter()
            .find(|call| call.function == "cuMemcpyDtoHAsync_v2");
        let kernels = squares.expect("squares").number() as usize / 8;
        let length = section[0].number() as usize / 4 / kernels;
        let shape = Shape { kernels, length };
        let (layers, counts) = by_shape.entry(shape).or_default();
        *layers += 1;
        *counts += &Counts::of(section);
    }
    let mut total = Counts::default();
    let mut table = String::from(
        "\nof each layer, on average\n\nkernels length layers  launches  products  waits  bytes to, beside the weight  bytes from\n",
    );
    for (shape, (layers, counts)) in &by_shape {
        total += counts;
        let Shape { kernels, length } = shape;
        let mean = |number: u64| number as f64 / *layers as f64;
        table += &format!(
            "{kernels:7} {length:6} {layers:6}  {:8.1}  {:8.1}  {:5.1}  {:27.0}  {:10.0}\n",
            mean(counts.launched()),
            mean(counts.products),
            mean(counts.waits),
            mean(counts.up.bytes) - shape.bytes() as f64,
            mean(counts.down.bytes)
        );
    }
    check("ResNet-50, nearest, 53 layers", &format!("{total}{table}"));
}
