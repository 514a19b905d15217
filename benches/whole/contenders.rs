//! Who runs, and how each is started.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use safetensors::Dtype;
use tempfile::TempDir;

use crate::Result;
use crate::checkpoints::{Checkpoint, VERSION};

/// The similarity above which kernels merge.
const TAU: &str = "0.5";

/// How kernels find their partners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Partner {
    Nearest,
    Eligible,
    Random,
}

/// What else is asked of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// The fastest screen, without waiting for the disk.
    Plain,
    /// Waiting for the disk.
    Synced,
    /// The screen of processors without instructions for products of bytes.
    InFloat32,
}

/// A process that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Contender {
    /// This program: partners, threads, and what else is asked of it.
    Ours(Partner, u8, Way),
    Numpy,
    Torch,
    /// `cp`.
    Copy,
    /// The copy and the Gram matrices alone.
    Floor,
}

/// This program as the peers are measured against it.
pub const OURS: Contender = Contender::Ours(Partner::Nearest, 2, Way::Plain);
pub const ELIGIBLE: Contender = Contender::Ours(Partner::Eligible, 2, Way::Plain);
pub const RANDOM: Contender = Contender::Ours(Partner::Random, 2, Way::Plain);
pub const SYNCED: Contender = Contender::Ours(Partner::Nearest, 2, Way::Synced);
pub const IN_FLOAT32: Contender = Contender::Ours(Partner::Nearest, 2, Way::InFloat32);

/// What a contender's output must be.
pub enum Expected {
    /// Others are held against it.
    Reference,
    /// The bytes of the input.
    Input,
    /// The bytes of another's output.
    BytesOf(Contender),
    /// Another's output, but for kernels that float32 decides otherwise.
    DecisionsOf(Contender),
}

impl Contender {
    /// Everyone, each after whom it is held against.
    pub const ALL: [Self; 12] = [
        OURS,
        Self::Ours(Partner::Nearest, 1, Way::Plain),
        SYNCED,
        IN_FLOAT32,
        ELIGIBLE,
        Self::Ours(Partner::Eligible, 1, Way::Plain),
        RANDOM,
        Self::Ours(Partner::Random, 1, Way::Plain),
        Self::Numpy,
        Self::Torch,
        Self::Copy,
        Self::Floor,
    ];

    pub fn label(self) -> String {
        match self {
            Self::Ours(partner, threads, way) => {
                let partner = format!("{partner:?}").to_lowercase();
                let plural = if threads == 1 { "" } else { "s" };
                let way = match way {
                    Way::Plain => "",
                    Way::Synced => ", synced",
                    Way::InFloat32 => ", screen f32",
                };
                format!("{partner}, {threads} thread{plural}{way}")
            }
            Self::Numpy => "numpy script".to_owned(),
            Self::Torch => "PyTorch script".to_owned(),
            Self::Copy => "cp".to_owned(),
            Self::Floor => "floor".to_owned(),
        }
    }

    /// Whether it reads weights of a dtype: peers and the floor are written for float32.
    pub fn reads(self, dtype: Dtype) -> bool {
        dtype == Dtype::F32 || matches!(self, Self::Ours(..) | Self::Copy)
    }

    pub fn expected(self) -> Expected {
        match self {
            OURS | ELIGIBLE | RANDOM => Expected::Reference,
            Self::Ours(partner, ..) => Expected::BytesOf(Self::Ours(partner, 2, Way::Plain)),
            Self::Numpy | Self::Torch => Expected::DecisionsOf(OURS),
            Self::Copy | Self::Floor => Expected::Input,
        }
    }
}

/// What the contenders need: checkpoints, a folder for outputs, and Python.
pub struct Workshop {
    /// Where checkpoints are kept from run to run.
    pub cache: PathBuf,
    /// Where outputs go; it goes with this.
    outputs: TempDir,
    pub python: Option<Python>,
}

/// An interpreter, and what it can import.
pub struct Python {
    program: PathBuf,
    pub version: String,
    pub numpy: Option<String>,
    pub torch: Option<String>,
    pub safetensors: Option<String>,
    pub weightwatcher: Option<String>,
}

impl Workshop {
    pub fn open() -> Result<Self> {
        let root = env::var_os("INMERGE_BENCH_DIR").map_or_else(
            || {
                let caches = env::var_os("XDG_CACHE_HOME")
                    .map(PathBuf::from)
                    .or_else(|| Some(env::home_dir()?.join(".cache")));
                caches.map(|caches| caches.join("inmerge-ckpt/bench"))
            },
            |folder| Some(folder.into()),
        );
        let root = root.ok_or("no home folder: set INMERGE_BENCH_DIR")?;
        let cache = root.join(VERSION);
        fs::create_dir_all(&cache)?;
        Ok(Self {
            cache,
            outputs: TempDir::with_prefix_in("outputs-", root)?,
            python: Python::find(),
        })
    }

    /// A path for a file that goes with this.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.outputs.path().join(name)
    }

    pub fn input(&self, checkpoint: &Checkpoint) -> PathBuf {
        self.cache.join(format!("{}.safetensors", checkpoint.name))
    }

    fn order(&self, checkpoint: &Checkpoint) -> PathBuf {
        self.scratch(&format!("{}.order", checkpoint.name))
    }

    /// Makes a checkpoint where it is missing, and the list of its convolutions.
    ///
    /// A process of its own makes it: a process that once was large makes all that it starts look as large.
    pub fn prepare(&self, checkpoint: &Checkpoint) -> Result<()> {
        fs::write(self.order(checkpoint), checkpoint.order.join("\n"))?;
        let path = self.input(checkpoint);
        if path.exists() {
            return Ok(());
        }
        eprintln!("making {}", path.display());
        let mut make = Command::new(env::current_exe()?);
        make.arg("make").arg(&checkpoint.name).arg(&path);
        match make.status()?.success() {
            true => Ok(()),
            false => Err(format!("cannot make {}", path.display()).into()),
        }
    }

    pub fn installed(&self, contender: Contender) -> bool {
        let python = self.python.as_ref();
        match contender {
            Contender::Numpy => python.is_some_and(|python| python.numpy.is_some()),
            Contender::Torch => python.is_some_and(|python| python.torch.is_some()),
            _ => true,
        }
    }

    /// How a contender is started on a checkpoint.
    pub fn command(
        &self,
        contender: Contender,
        checkpoint: &Checkpoint,
        output: &Path,
    ) -> Result<Command> {
        let input = self.input(checkpoint);
        let skip = checkpoint.skip.to_string();
        let mut command = match contender {
            Contender::Ours(partner, threads, way) => {
                let mut command = ours();
                command.arg("merge").args([&*input, output]);
                command.args(["--force", "-q", "--tau", TAU, "--prob", "1"]);
                command.args(["--skip-shallow", &skip]);
                command.args(["--partner", &format!("{partner:?}").to_lowercase()]);
                command.args(["--threads", &threads.to_string()]);
                command.args((way != Way::Synced).then_some("--no-sync"));
                command.args((way == Way::InFloat32).then_some("--screen=f32"));
                command
            }
            Contender::Numpy | Contender::Torch => {
                let mut command = self.peer(contender)?;
                command.args([&*input, output, "--order".as_ref()]);
                command.arg(self.order(checkpoint));
                command.args(["--tau", TAU, "--skip-shallow", &skip]);
                command
            }
            Contender::Copy => {
                let mut command = Command::new("cp");
                command.args([&*input, output]);
                command
            }
            Contender::Floor => {
                let mut command = Command::new(env::current_exe()?);
                command.arg("floor").args([&*input, output]).arg(skip);
                command.arg(self.order(checkpoint));
                command
            }
        };
        quiet(&mut command);
        Ok(command)
    }

    /// A script that only starts and imports what it needs.
    pub fn start_only(&self, contender: Contender) -> Result<Command> {
        let mut command = self.peer(contender)?;
        command.arg("--help");
        quiet(&mut command);
        Ok(command)
    }

    fn peer(&self, contender: Contender) -> Result<Command> {
        let (name, package) = match contender {
            Contender::Numpy => ("merge_numpy.py", "numpy"),
            _ => ("merge_torch.py", "torch"),
        };
        let command = self.script(name, package);
        Ok(command.ok_or_else(|| format!("{package} is not installed"))?)
    }

    /// A script of `benches/peers` on two threads, without arguments; `None` if the package that it needs is not installed.
    pub fn script(&self, name: &str, package: &str) -> Option<Command> {
        let python = self.python.as_ref()?;
        python.version_of(package)?;
        let mut command = Command::new(&python.program);
        command.arg(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("benches/peers")
                .join(name),
        );
        for variable in ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, "2");
        }
        Some(command)
    }
}

/// This program, without arguments.
pub fn ours() -> Command {
    Command::new(env!("CARGO_BIN_EXE_inmerge-ckpt"))
}

/// Errors only.
pub fn quiet(command: &mut Command) {
    command.stdin(Stdio::null()).stdout(Stdio::null());
}

impl Python {
    /// `$PYTHON`, or python3: the interpreter itself, for a shim of pyenv or conda takes time to start.
    fn find() -> Option<Self> {
        const ASK: &str = r#"
import importlib, platform, sys
print(sys.executable)
print(platform.python_version())
for needs in ("numpy safetensors.numpy", "torch safetensors.torch", "safetensors", "weightwatcher safetensors.torch"):
    try:
        print([importlib.import_module(name) for name in needs.split()][0].__version__)
    except ImportError:
        print()
"#;
        let python = env::var_os("PYTHON").unwrap_or_else(|| OsString::from("python3"));
        let answer = Command::new(python).args(["-c", ASK]).output().ok()?;
        let answer = String::from_utf8(answer.stdout).ok()?;
        let mut lines = answer.lines().map(str::to_owned);
        Some(Self {
            program: lines.next()?.into(),
            version: lines.next()?,
            numpy: lines.next().filter(|version| !version.is_empty()),
            torch: lines.next().filter(|version| !version.is_empty()),
            safetensors: lines.next().filter(|version| !version.is_empty()),
            weightwatcher: lines.next().filter(|version| !version.is_empty()),
        })
    }

    /// The version of a package, with what else its script imports.
    fn version_of(&self, package: &str) -> Option<&String> {
        match package {
            "numpy" => self.numpy.as_ref(),
            "torch" => self.torch.as_ref(),
            _ => self.weightwatcher.as_ref(),
        }
    }
}
