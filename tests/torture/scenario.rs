//! Commands that write, on desks that are made for them.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use safetensors::tensor::Dtype;
use serde_json::json;

use super::program::run_with;
use super::tensors::{Tensor, write_tensors};

/// A command, what is there when it starts, and what it writes.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    /// Puts everything on the desk, a folder.
    pub make: fn(&Path),
    /// The program, where it is not the one under test.
    pub program: Option<&'static str>,
    /// The words after it, as a shell takes them.
    pub words: &'static str,
    /// What is to be said besides when the command is given again.
    pub again: &'static str,
    pub outputs: &'static [Output],
    /// Whether it reads what it writes, so that another run starts from what this one came to.
    pub is_in_place: bool,
    /// What it says where it has done what it could and not all, with exit 0.
    pub admits: Option<&'static str>,
}

/// Something that a command writes.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub path: &'static str,
    pub appears: Appears,
    /// Whether the command is done without it, too, if a warning names it.
    pub is_extra: bool,
}

/// How an output comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appears {
    /// All of it in one step.
    Whole,
    /// File by file, each in one step, but for journals, which grow by lines.
    ByFiles,
}

const fn whole(path: &'static str) -> Output {
    Output {
        path,
        appears: Appears::Whole,
        is_extra: false,
    }
}

const fn extra(path: &'static str) -> Output {
    Output {
        is_extra: true,
        ..whole(path)
    }
}

const fn by_files(path: &'static str) -> Output {
    Output {
        path,
        appears: Appears::ByFiles,
        is_extra: false,
    }
}

impl Scenario {
    /// The words of the command; those for a second time, too.
    pub fn arguments(&self, again: bool) -> Vec<OsString> {
        let words = shell_words::split(self.words).expect("the words are quoted well");
        let more = if again { self.again } else { "" };
        let more = more.split_whitespace().map(OsString::from);
        words.into_iter().map(OsString::from).chain(more).collect()
    }
}

const INDEX: &str = "model.safetensors.index.json";

/// Every command that writes. The first one is the one that what happens before a command begins is tried with.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "merge-new",
        make: one_file,
        program: None,
        words: "merge in.safetensors out.safetensors --skip-shallow 0 --tau 0.5 --prob 1 --threads 1 --backend cpu",
        again: "--force",
        outputs: &[whole("out.safetensors")],
        is_in_place: false,
        admits: None,
    },
    Scenario {
        name: "merge-force",
        make: two_files,
        program: None,
        words: "merge in.safetensors out.safetensors --force --skip-shallow 0 --tau 0.5 --prob 1 --threads 1 --backend cpu",
        again: "",
        outputs: &[whole("out.safetensors")],
        is_in_place: false,
        admits: None,
    },
    Scenario {
        name: "merge-in-place",
        make: one_file,
        program: None,
        words: "merge in.safetensors in.safetensors --force --skip-shallow 0 --tau 0.5 --prob 1 --threads 1 --backend cpu",
        again: "",
        outputs: &[whole("in.safetensors")],
        is_in_place: true,
        admits: None,
    },
    Scenario {
        name: "sharded-new",
        make: one_folder,
        program: None,
        words: "merge in out --skip-shallow 0 --tau 0.5 --prob 1 --threads 1 --backend cpu",
        again: "--force",
        outputs: &[whole("out")],
        is_in_place: false,
        admits: None,
    },
    Scenario {
        name: "sharded-force",
        make: two_folders,
        program: None,
        words: "merge in out --force --skip-shallow 0 --tau 0.5 --prob 1 --threads 1 --backend cpu",
        again: "",
        outputs: &[whole("out")],
        is_in_place: false,
        admits: None,
    },
    Scenario {
        name: "sharded-in-place",
        make: one_folder,
        program: None,
        words: "merge in in --force --skip-shallow 0 --tau 0.5 --prob 1 --threads 1 --backend cpu",
        again: "",
        outputs: &[whole("in")],
        is_in_place: true,
        admits: None,
    },
    Scenario {
        name: "torch-new",
        make: one_trainers_file,
        program: None,
        words: "merge in.ckpt out.ckpt --momentum merge --skip-shallow 0 --tau 0.6 --prob 1 --threads 1 --backend cpu",
        again: "--force",
        outputs: &[whole("out.ckpt")],
        is_in_place: false,
        admits: None,
    },
    Scenario {
        name: "torch-in-place",
        make: one_trainers_file,
        program: None,
        words: "merge in.ckpt in.ckpt --force --momentum merge --skip-shallow 0 --tau 0.6 --prob 1 --threads 1 --backend cpu",
        again: "",
        outputs: &[whole("in.ckpt")],
        is_in_place: true,
        admits: None,
    },
    Scenario {
        name: "torch-to-safetensors",
        make: one_trainers_file,
        program: None,
        words: "merge in.ckpt out.safetensors --skip-shallow 0 --tau 0.6 --prob 1 --threads 1 --backend cpu",
        again: "--force",
        outputs: &[whole("out.safetensors")],
        is_in_place: false,
        admits: None,
    },
    Scenario {
        name: "merge-plan-report",
        make: one_file,
        program: None,
        // Without layers it has few figures, whose drawing takes more than all the rest.
        words: "merge in.safetensors out.safetensors --plan plan.json --report report --no-spectrum --exclude '*' --threads 1 \
            --backend cpu",
        again: "--force",
        outputs: &[
            whole("out.safetensors"),
            whole("plan.json"),
            // Where it cannot be written once the checkpoint is.
            extra("report"),
        ],
        is_in_place: false,
        admits: None,
    },
    Scenario {
        name: "apply",
        make: one_file_and_plan,
        program: None,
        words: "apply plan.json in.safetensors out.safetensors --threads 1",
        again: "--force",
        outputs: &[whole("out.safetensors")],
        is_in_place: false,
        admits: None,
    },
    Scenario {
        name: "analyze-new",
        make: one_file,
        program: None,
        words: "analyze in.safetensors --report report --no-spectrum --exclude '*' --threads 1 --backend cpu",
        again: "",
        outputs: &[whole("report")],
        is_in_place: false,
        admits: None,
    },
    Scenario {
        name: "analyze-force",
        make: one_file_and_report,
        program: None,
        words: "analyze in.safetensors --report report --force --no-spectrum --exclude '*' --threads 1 --backend cpu",
        again: "",
        outputs: &[whole("report")],
        is_in_place: false,
        admits: None,
    },
    Scenario {
        name: "sensitivity",
        make: one_file,
        program: None,
        words: SWEEP,
        again: "--retry-failed",
        outputs: &[by_files("sweep")],
        is_in_place: false,
        // A variant that cannot be scored is a result as others are.
        admits: Some("FAILED"),
    },
    Scenario {
        name: "sensitivity-collect",
        make: one_file_and_sweep,
        program: None,
        words: "sensitivity collect sweep --threads 1",
        again: "",
        outputs: &[by_files("sweep")],
        is_in_place: false,
        admits: None,
    },
    Scenario {
        name: "watch-once",
        make: one_watched_folder,
        program: None,
        words: "watch epochs --out merged --once --poll 0.05 --skip-shallow 0 --tau 0.5 --prob 1 --threads 1 --backend cpu",
        again: "",
        outputs: &[by_files("merged")],
        is_in_place: false,
        admits: None,
    },
    Scenario {
        name: "watch-folder",
        make: one_watched_run,
        program: None,
        words: "watch run --out merged --once --poll 0.05 --skip-shallow 0 --tau 0.5 --prob 1 --threads 1 --backend cpu",
        again: "",
        outputs: &[by_files("merged")],
        is_in_place: false,
        admits: None,
    },
];

const SWEEP: &str = "sensitivity in.safetensors --report sweep --skip-shallow 0 --prob 1 --vary tau=0.5 \
    --eval \"sh -c 'echo 0.5' scorer {checkpoint}\" --threads 1 --backend cpu";

/// Numbers that are the same each time.
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / 16_777_216.0 - 0.5
    }
}

/// Convolutions half of whose kernels are alike, and something that no merge touches; other numbers for each seed.
fn tensors(seed: u32) -> Vec<Tensor> {
    let mut numbers = Numbers(seed);
    let mut layer = |name: &str, shape: [usize; 4]| {
        let d: usize = shape[1..].iter().product();
        let centre: Vec<f32> = (0..d).map(|_| numbers.next()).collect();
        let mut bytes = Vec::new();
        for kernel in 0..shape[0] {
            let own = if kernel % 2 == 0 { 0.2 } else { 2.0 };
            let values = centre.iter().map(|x| x + own * numbers.next());
            bytes.extend(values.flat_map(f32::to_le_bytes));
        }
        (name.to_owned(), Dtype::F32, shape.to_vec(), bytes)
    };
    vec![
        layer("conv1.weight", [6, 2, 3, 3]),
        layer("conv2.weight", [8, 6, 3, 3]),
        layer("conv3.weight", [8, 8, 1, 1]),
        (
            "norm.bias".to_owned(),
            Dtype::F32,
            vec![8],
            (0..8).flat_map(|i| (i as f32).to_le_bytes()).collect(),
        ),
    ]
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file can be written");
}

/// Writes a checkpoint with the mode of any other new file.
fn save(path: &Path, tensors: &[Tensor]) {
    write_tensors(path, tensors);
    let bytes = fs::read(path).expect("it is there");
    fs::remove_file(path).expect("it is ours");
    fs::write(path, bytes).expect("a file can be written");
}

/// What lies about on every desk and is nobody's business.
fn bystanders(desk: &Path) {
    fs::create_dir(desk.join("tmp")).expect("a folder can be made");
    write(&desk.join("notes.txt"), "a bystander");
}

fn one_file(desk: &Path) {
    bystanders(desk);
    save(&desk.join("in.safetensors"), &tensors(1));
}

fn two_files(desk: &Path) {
    one_file(desk);
    save(&desk.join("out.safetensors"), &tensors(2));
}

/// A checkpoint of three files, the last of which no merge changes, and what a trainer leaves beside them.
fn sharded(folder: &Path, seed: u32) {
    fs::create_dir(folder).expect("a folder can be made");
    let mut tensors = tensors(seed);
    let shards = [tensors.split_off(3), tensors.split_off(2), tensors];
    let mut map = serde_json::Map::new();
    for (number, shard) in shards.iter().rev().enumerate() {
        let name = format!("model-{:05}-of-00003.safetensors", number + 1);
        save(&folder.join(&name), shard);
        map.extend(shard.iter().map(|tensor| (tensor.0.clone(), json!(name))));
    }
    let index = json!({"metadata": {}, "weight_map": map});
    write(&folder.join(INDEX), &index.to_string());
    write(
        &folder.join("config.json"),
        &format!("{{\"seed\": {seed}}}"),
    );
    write(&folder.join("optimizer.pt"), &format!("momentum {seed}"));
    fs::create_dir(folder.join("runs")).expect("a folder can be made");
    write(&folder.join("runs/events"), &format!("loss {seed}"));
}

fn one_folder(desk: &Path) {
    bystanders(desk);
    sharded(&desk.join("in"), 1);
}

fn two_folders(desk: &Path) {
    one_folder(desk);
    // An output of an earlier merge holds no more than the files of the checkpoint's folder.
    let out = desk.join("out");
    sharded(&out, 2);
    fs::remove_dir_all(out.join("runs")).expect("it is there");
}

/// Weights and the momentum of their optimizer.
fn one_trainers_file(desk: &Path) {
    bystanders(desk);
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/torch/adam.ckpt");
    let bytes = fs::read(fixture).expect("it is there");
    fs::write(desk.join("in.ckpt"), bytes).expect("a file can be written");
}

/// A folder as Hugging Face's Trainer leaves it.
fn one_watched_run(desk: &Path) {
    bystanders(desk);
    let folder = desk.join("run/checkpoint-500");
    fs::create_dir_all(&folder).expect("a folder can be made");
    save(&folder.join("model.safetensors"), &tensors(1));
    for name in ["optimizer.pt", "training_args.bin", "trainer_state.json"] {
        write(&folder.join(name), name);
    }
}

/// Has the program prepare something.
fn prepare(desk: &Path, words: &str) {
    let words = shell_words::split(words).expect("the words are quoted well");
    run_with(words, |command| {
        command.current_dir(desk).env("OPENBLAS_NUM_THREADS", "1");
    })
    .done();
}

fn one_file_and_plan(desk: &Path) {
    one_file(desk);
    prepare(
        desk,
        "merge in.safetensors --dry-run --plan plan.json --skip-shallow 0 --tau 0.5 --prob 1 --threads 1 --backend cpu",
    );
}

fn one_file_and_report(desk: &Path) {
    one_file(desk);
    prepare(
        desk,
        "analyze in.safetensors --report report --no-spectrum --skip-shallow 0 --include conv3.weight --threads 1 --backend cpu",
    );
    write(&desk.join("report/remarks.txt"), "not of the report");
}

fn one_file_and_sweep(desk: &Path) {
    one_file(desk);
    prepare(desk, &SWEEP.replacen("sensitivity", "sensitivity plan", 1));
    prepare(desk, "sensitivity run sweep --threads 1 --backend cpu");
}

fn one_watched_folder(desk: &Path) {
    bystanders(desk);
    fs::create_dir(desk.join("epochs")).expect("a folder can be made");
    for (name, seed) in [("a", 1), ("b", 2)] {
        write_tensors(
            &desk.join(format!("epochs/{name}.safetensors")),
            &tensors(seed),
        );
    }
}
