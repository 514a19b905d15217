//! What the tests that drive the program from outside share.

// Each test file is a crate of its own and uses a part of this.
#![allow(dead_code, unused_macros)]

pub mod fake_cuda;

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use tempfile::TempDir;

/// Says that a test, or a part of one, does not run here. Unlike `eprintln!`, it shows where the test passes.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// A path below `fixtures/`: of the folder that the tests were built in, or of `INMERGE_PROJECT` where they were carried to
/// another machine (tests/gpu/check.sh).
pub fn fixture(path: &str) -> PathBuf {
    let project = env::var_os("INMERGE_PROJECT");
    let project = project.unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&project).join("fixtures").join(path)
}

/// The program under test: cargo's, or `INMERGE_PROGRAM`.
pub fn program() -> OsString {
    env::var_os("INMERGE_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_inmerge-ckpt").into())
}

/// A run of the program that has ended.
#[derive(Debug)]
pub struct Run {
    /// The command line, for messages.
    pub line: String,
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the program to its end.
pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    run_with(args, |_| ())
}

/// Runs the program to its end, in an environment made ready for it.
pub fn run_with<S: AsRef<OsStr>>(
    args: impl IntoIterator<Item = S>,
    prepare: impl FnOnce(&mut Command),
) -> Run {
    let mut command = Command::new(program());
    command.args(args).env("NO_COLOR", "1");
    prepare(&mut command);
    finish(command)
}

/// Runs a command to its end.
pub fn finish(mut command: Command) -> Run {
    let line = format!("{command:?}");
    let output = command.output().expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Run {
        line,
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

impl Run {
    /// Fails unless the program said that it was done.
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// The one JSON object on stdout.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("stdout is not JSON: {e}\n{self}"))
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            line,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "{line}\nexit {code:?}\nstdout: {stdout}\nstderr: {stderr}"
        )
    }
}

/// A command line, from words and paths.
macro_rules! args {
    ($($arg:expr),* $(,)?) => {
        vec![$(std::ffi::OsString::from($arg)),*]
    };
}

/// Everything in a folder, so that "nothing happened here" can be said as an equality.
pub fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("the folder can be listed");
    entries
        .map(|entry| {
            let path = entry.expect("the folder can be listed").path();
            // A folder or a dangling link has no bytes; that it is there is all there is to compare.
            let bytes = fs::read(&path).unwrap_or_default();
            (path, bytes)
        })
        .collect()
}

/// Reads a JSON file.
pub fn read_json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The first place where two JSON values differ, with both values there; `None` where they are equal.
///
/// Numbers are compared as float64, bit for bit but for their spelling: `1` and `1.0` are the same.
pub fn json_difference(path: &str, expected: &Value, found: &Value) -> Option<String> {
    match (expected, found) {
        (Value::Object(left), Value::Object(right)) => {
            let missing = left.keys().find(|key| !right.contains_key(*key));
            let surplus = right.keys().find(|key| !left.contains_key(*key));
            if let Some(key) = missing {
                return Some(format!("{path}: no key \"{key}\""));
            }
            if let Some(key) = surplus {
                return Some(format!("{path}: unexpected key \"{key}\""));
            }
            left.iter().find_map(|(key, value)| {
                json_difference(&format!("{path}.{key}"), value, &right[key])
            })
        }
        (Value::Array(left), Value::Array(right)) => {
            let items = left.iter().zip(right).enumerate();
            items
                .into_iter()
                .find_map(|(i, (l, r))| json_difference(&format!("{path}[{}]", label(i, l)), l, r))
                .or_else(|| {
                    let (l, r) = (left.len(), right.len());
                    (l != r).then(|| {
                        let first = left.get(r).or(right.get(l)).expect("one is longer");
                        format!("{path}: expected {l} items, found {r}; the first without a counterpart is {first}")
                    })
                })
        }
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => None,
        _ => (expected != found).then(|| format!("{path}: expected {expected}, found {found}")),
    }
}

/// An item's index with what it is about, so that a difference names the layer or kernel.
fn label(index: usize, item: &Value) -> String {
    match (item.get("name"), item.get("kernel"), item.get("round")) {
        (Some(name), ..) => format!("{index}: {name}"),
        (_, Some(kernel), Some(round)) => format!("{index}: round {round}, kernel {kernel}"),
        _ => index.to_string(),
    }
}

/// Where a tensor's values lie in a file.
#[derive(Clone, Debug)]
pub struct Place {
    pub name: String,
    pub shape: Vec<usize>,
    pub bytes: Range<usize>,
}

impl Place {
    /// The bytes of one element.
    pub fn item(&self) -> usize {
        self.bytes.len() / self.shape.iter().product::<usize>().max(1)
    }
}

/// The tensors of a checkpoint, as the `safetensors` crate reads them.
pub fn places(file: &[u8]) -> Vec<Place> {
    let tensors = SafeTensors::deserialize(file).expect("a valid checkpoint");
    tensors
        .tensors()
        .into_iter()
        .map(|(name, view)| {
            let start = view.data().as_ptr() as usize - file.as_ptr() as usize;
            Place {
                name,
                shape: view.shape().to_vec(),
                bytes: start..start + view.data().len(),
            }
        })
        .collect()
}

/// A tensor, whatever file it is of.
pub type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// The tensors of a file, by name.
pub fn read_tensors(path: &Path) -> Vec<Tensor> {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let tensors = SafeTensors::deserialize(&bytes).expect("a valid checkpoint");
    let tensors = tensors.tensors().into_iter().map(|(name, view)| {
        let (shape, bytes) = (view.shape().to_vec(), view.data().to_vec());
        (name, view.dtype(), shape, bytes)
    });
    let mut tensors: Vec<Tensor> = tensors.collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

/// Writes a file of these tensors.
pub fn write_tensors(path: &Path, tensors: &[Tensor]) {
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("a valid tensor");
        (name.clone(), view)
    });
    safetensors::serialize_to_file(views, None, path).expect("a writable folder");
}

/// Which kernel of a layer of the plan an element of its tensor belongs to.
///
/// Written from the definition of the axes and not with the program's code: kernels lie on axis 0, but for transposed
/// convolutions `[I, O/groups, k…]`, whose group is that of their inputs.
pub fn kernel_of(layer: &Value, element: usize) -> usize {
    let shape: Vec<usize> = layer["shape"]
        .as_array()
        .expect("a shape")
        .iter()
        .map(|extent| extent.as_u64().expect("an extent") as usize)
        .collect();
    let inner: usize = shape[1..].iter().product();
    if layer["kind"] != "transposed" {
        return element / inner;
    }
    let groups = layer["groups"].as_u64().expect("groups") as usize;
    let group = element / inner / (shape[0] / groups);
    let taps: usize = shape[2..].iter().product();
    group * shape[1] + element / taps % shape[1]
}

/// Says where two files of the same checkpoint first differ, in terms of its layers and kernels.
pub fn bytes_difference(expected: &[u8], found: &[u8], plan: &Value) -> Option<String> {
    if expected.len() != found.len() {
        return Some(format!(
            "expected {} bytes, found {}",
            expected.len(),
            found.len()
        ));
    }
    let at = (0..expected.len()).find(|&at| expected[at] != found[at])?;
    let whereabouts = match places(expected)
        .into_iter()
        .find(|place| place.bytes.contains(&at))
    {
        None => "the header".to_owned(),
        Some(place) => {
            let element = (at - place.bytes.start) / place.item();
            let layer = plan["layers"]
                .as_array()
                .and_then(|layers| layers.iter().find(|l| l["name"] == *place.name));
            match layer {
                Some(layer) => format!(
                    "{}, kernel {}, element {element}",
                    place.name,
                    kernel_of(layer, element)
                ),
                None => format!(
                    "{}, element {element}, a tensor that is not in the plan",
                    place.name
                ),
            }
        }
    };
    Some(format!(
        "first different byte at offset {at} ({whereabouts}): expected {:#04x}, found {:#04x}",
        expected[at], found[at]
    ))
}

/// A file system of its own, gone when dropped.
pub struct Mounted(pub TempDir);

impl Mounted {
    /// Mounts a tmpfs, where the test may: in a container without the privilege it says so and there is none.
    pub fn tmpfs(options: &str) -> Option<Self> {
        Self::tmpfs_in(&std::env::temp_dir(), options)
    }

    /// Mounts one in a new folder of this folder.
    pub fn tmpfs_in(folder: &Path, options: &str) -> Option<Self> {
        let folder = TempDir::new_in(folder).expect("a folder");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder)),
            _ => {
                skipped(&format!(
                    "no tmpfs ({options}) can be mounted here, which takes root"
                ));
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily, so that a failed assertion's open file does not keep it; nothing more can be done on failure.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
