//! The program on a GPU: on a stand-in for NVIDIA's driver and cuBLAS, which runs the project's kernels on the CPU
//! (tests/fake_cuda), or, with `INMERGE_TEST_GPU` set as `make gpu-check` does, on the one that this machine has (set to
//! `trial`, on a stand-in that is taken for one). What takes the stand-in's failures or its list of calls is then left out;
//! what takes it too long is `#[ignore]`d.

mod calls;

use std::collections::HashMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use crate::common::{
    self, Run, contents, fake_cuda, fixture, json_difference, read_json, run_with, skipped,
};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

/// `LD_LIBRARY_PATH` with the folder in front.
fn library_path(folder: &Path) -> OsString {
    let others = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let others = env::split_paths(&others).filter(|path| !path.as_os_str().is_empty());
    env::join_paths([folder.to_owned()].into_iter().chain(others)).expect("paths without colons")
}

/// The program with a GPU.
#[derive(Clone)]
struct Gpu {
    /// Where the loader finds the stand-in; none for a real GPU.
    stand_in: Option<OsString>,
    settings: Vec<(&'static str, String)>,
}

impl Gpu {
    /// The real one or the stand-in; `None`, said once, where that cannot be built.
    fn any() -> Option<Self> {
        let stand_in = match env::var_os("INMERGE_TEST_GPU") {
            Some(_) => None,
            None => Some(library_path(fake_cuda::folder()?)),
        };
        Some(Self {
            stand_in,
            settings: Vec::new(),
        })
    }

    /// The stand-in; `None`, said once, where a real GPU is tested.
    fn stand_in() -> Option<Self> {
        static SAID: Once = Once::new();
        let gpu = Self::any()?;
        if gpu.is_real() {
            SAID.call_once(|| skipped("what takes the stand-in, on a real GPU"));
            return None;
        }
        Some(gpu)
    }

    fn is_real(&self) -> bool {
        self.stand_in.is_none()
    }

    /// Whether it is worth everything: the stand-in is not, nor where it is taken for a real one to try `make gpu-check`.
    fn is_fast(&self) -> bool {
        self.is_real() && env::var_os("INMERGE_TEST_GPU").is_some_and(|value| value != "trial")
    }

    /// With one more setting, of the stand-in or of the program.
    fn with(&self, name: &'static str, value: impl ToString) -> Self {
        let mut settings = self.settings.clone();
        settings.push((name, value.to_string()));
        Self {
            stand_in: self.stand_in.clone(),
            settings,
        }
    }

    fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        run_with(args, |command: &mut Command| {
            command.env_remove("INMERGE_GPU_MEMORY");
            if let Some(library_path) = &self.stand_in {
                command.env("LD_LIBRARY_PATH", library_path);
                for variable in [
                    "INMERGE_CUBLAS",
                    "CUDA_HOME",
                    "CUDA_PATH",
                    "CUDA_VISIBLE_DEVICES",
                ] {
                    command.env_remove(variable);
                }
            }
            command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        })
    }
}

/// Merges on the CPU and on the GPU, and compares the resulting bytes.
fn assert_same(gpu: &Gpu, input: &Path, flags: &[&str], device_flags: &[&str]) {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let args = |side: &str, more: &[&str]| -> Vec<OsString> {
        let files = [
            "merge".into(),
            input.into(),
            path(&format!("{side}.safetensors")).into_os_string(),
            "--plan".into(),
            path(&format!("{side}.json")).into_os_string(),
            "--no-sync".into(),
            "--allow-nonfinite".into(),
        ];
        let more = flags.iter().chain(more).map(OsString::from);
        files.into_iter().chain(more).collect()
    };
    let cpu = common::run(args("cpu", &["--backend=cpu"]));
    let device = gpu.run(args("gpu", &[&["--backend=cuda"], device_flags].concat()));
    assert_eq!(cpu.code, device.code, "{cpu}\n{device}");
    for ending in ["safetensors", "json"] {
        let read = |side: &str| fs::read(path(&format!("{side}.{ending}"))).ok();
        assert!(
            read("cpu") == read("gpu"),
            "{ending} differs on the GPU, with {:?}: {device}",
            gpu.settings
        );
    }
}

/// Kernels in clusters of eight, of a linear congruential generator's numbers.
fn clustered(n: usize, d: usize) -> Vec<f32> {
    let mut state = 7u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    let centres: Vec<f32> = (0..n.div_ceil(8) * d).map(|_| noise()).collect();
    (0..n * d)
        .map(|i| centres[i % centres.len()] + noise())
        .collect()
}

/// A checkpoint of 1×1 convolutions with these kernels: shape, numbers.
fn checkpoint(folder: &Path, dtype: Dtype, layers: &[(usize, usize, Vec<f32>)]) -> PathBuf {
    let bytes = |numbers: &[f32]| -> Vec<u8> {
        let numbers = numbers.iter();
        match dtype {
            Dtype::F64 => numbers.flat_map(|&x| f64::from(x).to_le_bytes()).collect(),
            Dtype::F16 => numbers
                .flat_map(|&x| f16::from_f32(x).to_le_bytes())
                .collect(),
            Dtype::BF16 => numbers
                .flat_map(|&x| bf16::from_f32(x).to_le_bytes())
                .collect(),
            _ => numbers.flat_map(|x| x.to_le_bytes()).collect(),
        }
    };
    let data: Vec<Vec<u8>> = layers
        .iter()
        .map(|(_, _, numbers)| bytes(numbers))
        .collect();
    let tensors: HashMap<String, TensorView<'_>> = layers
        .iter()
        .zip(&data)
        .enumerate()
        .map(|(i, ((n, d, _), data))| {
            let view = TensorView::new(dtype, vec![*n, *d, 1, 1], data).unwrap();
            (format!("features.{i}.weight"), view)
        })
        .collect();
    let path = folder.join("checkpoint.safetensors");
    safetensors::serialize_to_file(&tensors, None, &path).unwrap();
    path
}

const ALL_LAYERS: [&str; 2] = [
    "--skip-shallow=0",
    "--kinds=conv,pointwise,depthwise,transposed,linear",
];

const SCREENS: [&str; 4] = [
    "--screen=f32",
    "--screen=tf32",
    "--screen=bf16",
    "--screen=auto",
];

/// Every checkpoint of the fixtures, by every policy and screen, has the same plan and bytes on both.
#[test]
fn fixtures_merge_to_the_same_bytes() {
    let Some(gpu) = Gpu::any() else { return };
    let mut files: Vec<PathBuf> = contents(&fixture("checkpoints")).into_keys().collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|ending| ending == "safetensors")
    });
    assert!(files.len() >= 20, "{files:?}");
    // On a real GPU most of the time goes into starting it, for each run anew.
    files.par_iter().enumerate().for_each(|(i, file)| {
        let file = fixture("checkpoints").join(file);
        for (k, partner) in ["eligible", "nearest", "random"].into_iter().enumerate() {
            let partner = format!("--partner={partner}");
            let tau = ["0.1", "0.3", "0.5", "0.9", "20%"][(i + k) % 5];
            let tau = format!("--tau={tau}");
            let rounds = if i % 3 == 0 {
                "--rounds=2"
            } else {
                "--rounds=1"
            };
            let flags = [&ALL_LAYERS[..], &[&partner, &tau, rounds, "--prob=0.7"]].concat();
            for (j, screen) in SCREENS.into_iter().enumerate() {
                // The stand-in is slow: it takes one of them.
                if gpu.is_fast() || j == (i + k) % SCREENS.len() {
                    assert_same(&gpu, &file, &flags, &[screen]);
                }
            }
        }
    });
}

/// Odd shapes and every type, with errors of the products as large as any rounding makes them.
#[test]
fn odd_shapes_merge_to_the_same_bytes_whatever_rounding_does() {
    let Some(gpu) = Gpu::any() else { return };
    let folder = TempDir::new().unwrap();
    let shapes = [
        (1, 27),
        (2, 27),
        (63, 1),
        (64, 16),
        (65, 100),
        (257, 15),
        (130, 36),
    ];
    let mut layers: Vec<_> = shapes
        .iter()
        .map(|&(n, d)| (n, d, clustered(n, d)))
        .collect();
    // Kernels of no and nearly no length, copies, an opposite and a multiple of another.
    let special = &mut layers[6].2;
    for (kernel, of, factor) in [
        (5, 5, 0.0),
        (17, 17, 1e-12),
        (20, 3, 1.0),
        (21, 3, -1.0),
        (22, 3, 2.0),
    ] {
        for t in 0..36 {
            special[kernel * 36 + t] = factor * special[of * 36 + t];
        }
    }
    for dtype in [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::BF16] {
        let file = checkpoint(folder.path(), dtype, &layers);
        // What float32 may be off by is (d + 8)·2⁻²⁴, and what tensor cores may is four times that.
        for (screen, noise) in [("f32", 5e-7), ("tf32", 2e-6), ("bf16", 2e-6)] {
            let noisy = gpu
                .with("FAKE_CUDA_NOISE", noise)
                .with("FAKE_CUDA_LATE_UPLOADS", 1);
            let screen = format!("--screen={screen}");
            for flags in [
                ["--partner=eligible", "--tau=0.5"],
                ["--partner=nearest", "--tau=5%"],
            ] {
                assert_same(
                    &noisy,
                    &file,
                    &[&ALL_LAYERS[..], &flags].concat(),
                    &[&screen],
                );
            }
        }
    }
}

/// Small integers: many similarities are exactly the threshold, and many the greatest.
#[test]
fn ties_at_the_threshold_are_decided_alike() {
    let Some(gpu) = Gpu::any() else { return };
    let folder = TempDir::new().unwrap();
    let numbers: Vec<f32> = clustered(300, 8)
        .iter()
        .map(|x| (3.0 * x).round())
        .collect();
    let file = checkpoint(folder.path(), Dtype::F32, &[(300, 8, numbers)]);
    for tau in ["0", "0.5", "0.25", "-0.5", "1", "-1"] {
        let tau = format!("--tau={tau}");
        for partner in ["--partner=eligible", "--partner=nearest"] {
            let flags = [&ALL_LAYERS[..], &[&tau, partner, "--prob=1"]].concat();
            let screens = if gpu.is_fast() {
                &SCREENS[..]
            } else {
                &["--screen=bf16"]
            };
            for screen in screens {
                assert_same(&gpu, &file, &flags, &[screen]);
            }
        }
    }
}

/// Layers in groups: few and many, of sizes that do not fit a tile's, with kernels that take no part and copies in other groups;
/// `many` kernels in one of them. And the list that declares the groups.
fn grouped_layers(folder: &Path, many: usize) -> (Vec<(usize, usize, Vec<f32>)>, PathBuf) {
    // Kernels, groups and numbers.
    let shapes = [
        (64, 32, 18),
        (90, 9, 5),
        (96, 3, 40),
        (130, 2, 9),
        (many, 30, 4),
        (60, 60, 9),
    ];
    let mut layers: Vec<_> = shapes
        .iter()
        .map(|&(n, _, d)| (n, d, clustered(n, d)))
        .collect();
    let special = &mut layers[1].2;
    for (kernel, of, factor) in [
        (5, 5, 0.0),
        (17, 17, 1e-12),
        (20, 3, 1.0),
        (21, 20, 1.0),
        (22, 21, -1.0),
    ] {
        for t in 0..5 {
            special[kernel * 5 + t] = factor * special[of * 5 + t];
        }
    }
    layers[2].2[7] = f32::NAN;
    // Kernels of which all pairs of a group are at the threshold.
    layers[4].2.fill(1.0);
    let list: Vec<serde_json::Value> = shapes
        .iter()
        .enumerate()
        .map(|(i, (_, groups, _))| {
            serde_json::json!({ "name": format!("features.{i}.weight"), "kind": "pointwise", "groups": groups, "head": false })
        })
        .collect();
    let declared = folder.join("layers.json");
    fs::write(&declared, serde_json::to_string(&list).unwrap()).unwrap();
    (layers, declared)
}

/// Kernels of groups are compared within their group only.
#[test]
fn grouped_layers_merge_to_the_same_bytes() {
    let Some(gpu) = Gpu::any() else { return };
    let folder = TempDir::new().unwrap();
    // More kernels than a tile's side take the stand-in too long; the memory limits below make tiles smaller instead.
    let many = if gpu.is_fast() { 2100 } else { 210 };
    let (layers, declared) = grouped_layers(folder.path(), many);
    let declared = format!("--layers={}", declared.display());
    let dtypes = if gpu.is_fast() {
        &[Dtype::F32, Dtype::F64, Dtype::F16, Dtype::BF16][..]
    } else {
        &[Dtype::F32, Dtype::BF16]
    };
    // What limits memory makes fewer groups fit a tile, or none.
    let small = gpu.with("INMERGE_GPU_MEMORY", "300KiB");
    for (k, &dtype) in dtypes.iter().enumerate() {
        let file = checkpoint(folder.path(), dtype, &layers);
        for (i, flags) in [
            ["--partner=eligible", "--tau=0.5"],
            ["--partner=eligible", "--tau=1"],
            ["--partner=nearest", "--tau=20%"],
            ["--partner=nearest", "--tau=0.3"],
            ["--partner=random", "--tau=0.4"],
        ]
        .into_iter()
        .enumerate()
        {
            let flags = [
                &ALL_LAYERS[..],
                &flags,
                &[&declared, "--prob=0.9", "--rounds=2"],
            ]
            .concat();
            for (j, screen) in SCREENS.into_iter().enumerate() {
                // The stand-in is slow: it takes one of them.
                if gpu.is_fast() || j == (i + k) % SCREENS.len() {
                    assert_same(&gpu, &file, &flags, &[screen]);
                }
            }
            assert_same(&small, &file, &flags, &["--threads=1"]);
        }
    }
    if gpu.is_real() {
        return;
    }
    // Wrong bits in places of no pair would be none's: all products of all groups are off.
    let noisy = gpu.with("FAKE_CUDA_NOISE", 2e-6);
    let flags = [
        &ALL_LAYERS[..],
        &["--partner=nearest", "--tau=0.5", &declared],
    ]
    .concat();
    let file = checkpoint(folder.path(), Dtype::F32, &layers);
    assert_same(&noisy, &file, &flags, &["--screen=bf16"]);
}

/// The groups of a layer take one product, and as many launches and waits as a layer without groups.
#[test]
fn groups_are_computed_together() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let folder = TempDir::new().unwrap();
    let (n, d) = (256, 36);
    let file = checkpoint(folder.path(), Dtype::F32, &[(n, d, clustered(n, d))]);
    let declared = folder.path().join("layers.json");
    let log = folder.path().join("log");
    let counted = |groups: usize, partner: &str| -> Vec<usize> {
        let list = serde_json::json!([
            { "name": "features.0.weight", "kind": "pointwise", "groups": groups, "head": false }
        ]);
        fs::write(&declared, list.to_string()).unwrap();
        let _ = fs::remove_file(&log);
        let run = gpu.with("FAKE_CUDA_LOG", log.display()).run(args![
            "merge",
            &file,
            "--dry-run",
            "--skip-shallow=0",
            "--backend=cuda",
            "--tau=0.3",
            "--layers",
            &declared,
            partner
        ]);
        run.done();
        let calls = calls(&log);
        let count = |function: &str| calls.iter().filter(|(name, _)| name == function).count();
        assert_eq!(count("cublasGemmStridedBatchedEx"), usize::from(groups > 1));
        [
            "cuLaunchKernel",
            "cuStreamSynchronize",
            "cuMemcpyDtoHAsync_v2",
        ]
        .map(count)
        .to_vec()
    };
    for partner in ["--partner=eligible", "--partner=nearest"] {
        let whole = counted(1, partner);
        for groups in [2, 8, 64] {
            assert_eq!(counted(groups, partner), whole, "{groups} {partner}");
        }
    }
}

/// Every type, screen, policy and threshold, on shapes that take one tile, several tiles and several panels.
#[test]
#[ignore = "for a real GPU: make gpu-check"]
fn every_type_screen_policy_and_threshold_gives_the_same_bytes() {
    let Some(gpu) = Gpu::any() else { return };
    let kernels = [1, 2, 63, 1025];
    let layers: Vec<_> = kernels
        .into_iter()
        .flat_map(|n| [1, 27, 4608].map(|d| (n, d, clustered(n, d))))
        .collect();
    let small = gpu.with("INMERGE_GPU_MEMORY", "12MiB");
    let of_type = |dtype| {
        let folder = TempDir::new().unwrap();
        let file = checkpoint(folder.path(), dtype, &layers);
        for tau in ["0.1", "0.3", "0.5", "0.9", "20%"] {
            let tau = format!("--tau={tau}");
            for partner in ["eligible", "nearest", "random"] {
                let partner = format!("--partner={partner}");
                let flags = [&ALL_LAYERS[..], &[&tau, &partner, "--prob=0.9"]].concat();
                for screen in &SCREENS[..3] {
                    assert_same(&gpu, &file, &flags, &[screen]);
                }
                assert_same(&small, &file, &flags, &["--threads=1"]);
            }
        }
    };
    std::thread::scope(|scope| {
        for dtype in [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::BF16] {
            let of_type = &of_type;
            scope.spawn(move || of_type(dtype));
        }
    });
}

/// The widest layer that networks have, of which a tile is a fraction.
#[test]
#[ignore = "for a real GPU: make gpu-check"]
fn wide_layers_merge_to_the_same_bytes() {
    let Some(gpu) = Gpu::any() else { return };
    let folder = TempDir::new().unwrap();
    let n = 8192;
    for (d, dtype) in [
        (27, Dtype::F32),
        (27, Dtype::F64),
        (4608, Dtype::F32),
        (4608, Dtype::BF16),
    ] {
        let file = checkpoint(folder.path(), dtype, &[(n, d, clustered(n, d))]);
        for flags in [
            ["--partner=eligible", "--tau=0.5"],
            ["--partner=nearest", "--tau=20%"],
        ] {
            let flags = [&ALL_LAYERS[..], &flags, &["--prob=1"]].concat();
            for screen in &SCREENS[..3] {
                assert_same(&gpu, &file, &flags, &[screen]);
            }
            let small = gpu.with("INMERGE_GPU_MEMORY", "64MiB");
            assert_same(&small, &file, &flags, &[]);
        }
    }
    // Kernels of one number are all alike or opposite: every pair is at the threshold, or somebody's greatest.
    let file = checkpoint(folder.path(), Dtype::F32, &[(n, 1, clustered(n, 1))]);
    for flags in [
        ["--partner=eligible", "--tau=1"],
        ["--partner=nearest", "--tau=0.9"],
    ] {
        assert_same(&gpu, &file, &[&ALL_LAYERS[..], &flags].concat(), &[]);
    }
}

/// Calls that the stand-in wrote down: function, and the rest of the line.
fn calls(log: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(log).expect("a log");
    let call = |line: &str| {
        let (function, rest) = line.split_once(' ').unwrap_or((line, ""));
        (function.to_owned(), rest.to_owned())
    };
    text.lines().map(call).collect()
}

/// Bytes that calls of a function were about.
fn bytes_of(calls: &[(String, String)], function: &str) -> u64 {
    let bytes = |rest: &str| {
        rest.split(' ')
            .next()
            .and_then(|number| number.parse::<u64>().ok())
    };
    calls
        .iter()
        .filter(|(name, _)| name.starts_with(function))
        .map(|(name, rest)| bytes(rest).unwrap_or_else(|| panic!("{name} {rest}")))
        .sum()
}

/// No matrix of similarities is copied: 1100 kernels have 4.8 MB of them.
#[test]
fn only_what_counts_crosses_the_bus() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let folder = TempDir::new().unwrap();
    let (n, d) = (1100, 24);
    let file = checkpoint(folder.path(), Dtype::F32, &[(n, d, clustered(n, d))]);
    let log = folder.path().join("log");
    let logged = gpu.with("FAKE_CUDA_LOG", log.display());
    for flags in [
        ["--partner=eligible", "--tau=0.2"],
        ["--partner=nearest", "--tau=0.5"],
    ] {
        let _ = fs::remove_file(&log);
        assert_same(&logged, &file, &[&ALL_LAYERS[..], &flags].concat(), &[]);
        let calls = calls(&log);
        let (to, from) = (
            bytes_of(&calls, "cuMemcpyHtoD"),
            bytes_of(&calls, "cuMemcpyDtoH"),
        );
        let weight = (n * d * 4) as u64;
        assert!(
            (weight..weight + 100_000).contains(&to),
            "{to} bytes to the GPU"
        );
        assert!(from < 500_000, "{from} bytes from the GPU");
        assert!(
            calls.iter().any(|(name, _)| name.contains("GemmEx")),
            "{calls:?}"
        );
    }
}

/// Of a memory that holds a few kernels at a time, all come to their turn.
#[test]
fn layers_larger_than_the_memory_are_streamed() {
    let Some(gpu) = Gpu::any() else { return };
    let folder = TempDir::new().unwrap();
    let (n, d) = (300, 60);
    let file = checkpoint(folder.path(), Dtype::F32, &[(n, d, clustered(n, d))]);
    let log = folder.path().join("log");
    let gpu = gpu.with("FAKE_CUDA_LOG", log.display());
    let mut copied = Vec::new();
    for memory in ["4GiB", "100KiB", "40KiB"] {
        let _ = fs::remove_file(&log);
        let small = gpu.with("INMERGE_GPU_MEMORY", memory);
        let flags = [&ALL_LAYERS[..], &["--tau=0.4", "--partner=nearest"]].concat();
        assert_same(&small, &file, &flags, &["--threads=1"]);
        if !gpu.is_real() {
            copied.push(bytes_of(&calls(&log), "cuMemcpyHtoD"));
        }
    }
    // Panels that do not stay are copied again and again.
    assert!(
        gpu.is_real() || copied[0] < 90_000 && copied[1] > 100_000 && copied[2] > copied[1],
        "{copied:?}"
    );

    for (memory, said) in [("500", "INMERGE_GPU_MEMORY"), ("1,5 GB", "1,5 GB")] {
        let run = gpu.with("INMERGE_GPU_MEMORY", memory).run(args![
            "merge",
            &file,
            "--dry-run",
            "--skip-shallow=0",
            "--backend=cuda"
        ]);
        assert_eq!(run.code, Some(1), "{run}");
        assert!(run.stderr.contains(said), "{run}");
    }
}

/// 800 equal kernels have 319,600 pairs that may all be somebody's nearest: more than the 262,144 that are kept.
#[test]
fn more_open_pairs_than_there_is_room_for_are_looked_at_in_strips() {
    let Some(gpu) = Gpu::any() else { return };
    let folder = TempDir::new().unwrap();
    let n = 800;
    let file = checkpoint(folder.path(), Dtype::F32, &[(n, 4, vec![1.0; n * 4])]);
    let log = folder.path().join("log");
    let gpu = gpu.with("FAKE_CUDA_LOG", log.display());
    for flags in [
        ["--partner=nearest", "--tau=0.5"],
        // All pairs are exactly at the threshold.
        ["--partner=eligible", "--tau=1"],
    ] {
        let _ = fs::remove_file(&log);
        assert_same(&gpu, &file, &[&ALL_LAYERS[..], &flags].concat(), &[]);
        if gpu.is_real() {
            continue;
        }
        let calls = calls(&log);
        let strips = calls
            .iter()
            .filter(|(_, rest)| rest.starts_with("open_pairs"))
            .count();
        assert!(strips > 2, "{strips}");
    }
}

fn read_lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("a text file");
    text.lines().map(str::to_owned).collect()
}

/// A report's numbers are the same.
#[test]
fn reports_have_the_same_numbers() {
    let Some(gpu) = Gpu::any() else { return };
    let folder = TempDir::new().unwrap();
    let wide = folder.path().join("wide");
    fs::create_dir(&wide).unwrap();
    let (n, d) = (600, 18);
    let mut numbers = clustered(n, d);
    numbers[7 * d] = f32::NAN;
    let wide = checkpoint(
        &wide,
        Dtype::F32,
        &[(n, d, numbers), (40, 9, vec![0.5; 360])],
    );
    let grouped = folder.path().join("groups");
    fs::create_dir(&grouped).unwrap();
    let (layers, declared) = grouped_layers(&grouped, 210);
    let grouped = checkpoint(&grouped, Dtype::F32, &layers);
    for (i, file) in [
        fixture("checkpoints/demo.safetensors"),
        fixture("checkpoints/grouped.safetensors"),
        fixture("checkpoints/ties.safetensors"),
        fixture("checkpoints/zeros.safetensors"),
        wide,
        grouped.clone(),
    ]
    .into_iter()
    .enumerate()
    {
        let declared = (file == grouped).then(|| args!["--layers", &declared]);
        let report = |side: &str| folder.path().join(format!("{side}{i}"));
        let args = |side, backend| {
            args![
                "analyze",
                &file,
                "--report",
                report(side),
                "--no-sync",
                "--skip-shallow=0",
                backend
            ]
            .into_iter()
            .chain(declared.clone().unwrap_or_default())
        };
        common::run(args("cpu", "--backend=cpu")).done();
        gpu.run(args("gpu", "--backend=cuda")).done();
        let json = |side| read_json(&report(side).join("report.json"));
        let difference = json_difference("", &json("cpu"), &json("gpu"));
        assert_eq!(difference, None, "{}", file.display());
        let files = |side| read_lines(&report(side).join("report.files"));
        assert_eq!(files("cpu"), files("gpu"));
    }
}

/// `-v` says what layers took on the GPU, of which the copies were a part.
#[test]
fn what_layers_take_is_noted() {
    let Some(gpu) = Gpu::any() else { return };
    let demo = fixture("checkpoints/demo.safetensors");
    let noted = |more: &str| {
        let run = gpu.run(args![
            "merge",
            &demo,
            "--dry-run",
            "--backend=cuda",
            "--threads=1",
            more
        ]);
        run.done().stderr
    };
    assert!(!noted("--no-sync").contains("layers took"));
    let notes = noted("-v");
    let seconds = |after: &str| -> f64 {
        let (_, rest) = notes.split_once(after).unwrap_or_else(|| panic!("{notes}"));
        let number = rest.split(' ').next().unwrap();
        number.parse().unwrap_or_else(|_| panic!("{notes}"))
    };
    let (working, copying) = (seconds("cuda:0: layers took "), seconds(" s there, "));
    assert!(0.0 < copying && copying < working, "{notes}");
}

/// Whatever call fails, the run says so in one sentence and leaves no trace.
#[test]
fn a_gpu_that_fails_is_told_of_and_leaves_everything_as_it_was() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let folder = TempDir::new().unwrap();
    let input = fixture("checkpoints/demo.safetensors");
    let output = folder.path().join("out.safetensors");
    fs::write(&output, "the old one").unwrap();
    let mut failures = 0;
    for function in [
        "cuInit",
        "cuDevicePrimaryCtxRetain",
        "cuModuleLoadData",
        "cuStreamCreate",
        "cublasCreate_v2",
        "cuMemAllocAsync",
        "cuMemcpyHtoDAsync_v2",
        "cuLaunchKernel",
        "cublasGemmEx",
        "cuMemcpyDtoHAsync_v2",
        "cuStreamSynchronize",
    ] {
        for call in [1, 2, 9, 40] {
            for code in ["", ":700"] {
                // Of cuBLAS a status that no version has yet.
                let failing = gpu.with("FAKE_CUDA_FAIL", format!("{function}:{call}{code}"));
                let run = failing.run(args!["merge", &input, &output, "--force", "--backend=cuda"]);
                if run.code == Some(0) {
                    // The run does not get to that call.
                    fs::write(&output, "the old one").unwrap();
                    continue;
                }
                failures += 1;
                assert_eq!(run.code, Some(1), "{function}:{call}{code} {run}");
                assert!(
                    run.stderr.starts_with("error: "),
                    "{function}:{call}{code} {run}"
                );
                assert_eq!(
                    run.stderr.lines().count(),
                    1,
                    "{function}:{call}{code} {run}"
                );
                assert!(
                    run.stderr.contains("cuda:0"),
                    "{function}:{call}{code} {run}"
                );
                assert_eq!(fs::read(&output).unwrap(), b"the old one", "{run}");
                assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{run}");
            }
        }
    }
    assert!(failures > 30, "{failures}");
}

/// Products that are off by more than any rounding does are noticed: when the GPU is started, and in layers.
#[test]
fn a_gpu_that_computes_wrongly_is_not_trusted() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let wrong = gpu.with("FAKE_CUDA_NOISE", 0.01);
    let later = wrong.with("FAKE_CUDA_NOISE_AFTER", 1);
    for (gpu, partner) in [
        (&wrong, "--partner=eligible"),
        (&wrong, "--partner=nearest"),
        // Of layers few pairs are compared, by `eligible` fewer than it takes to notice this surely.
        (&later, "--partner=nearest"),
    ] {
        let run = gpu.run(args![
            "merge",
            fixture("checkpoints/demo.safetensors"),
            "--dry-run",
            "--backend=cuda",
            "--threads=1",
            "--tau=0.9",
            partner
        ]);
        assert_eq!(run.code, Some(1), "{run}");
        assert!(run.stderr.contains("computes wrongly"), "{run}");
    }
}

/// `doctor` tells of the GPU.
#[test]
fn doctor_shows_the_gpu_and_what_auto_makes_of_it() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let report = gpu.run(["doctor", "--json"]).done().json();
    assert_eq!(report["gpus"][0]["name"], "Fake GPU");
    assert_eq!(report["gpus"][0]["problem"], serde_json::Value::Null);
    assert_eq!(report["auto"]["backend"], "cuda:0");
    assert_eq!(report["no_gpu"], serde_json::Value::Null);

    let old = gpu.with("FAKE_CUDA_CAPABILITY", "7.0");
    let report = old.run(["doctor", "--json"]).done().json();
    assert_eq!(report["auto"]["backend"], "cpu");
    let problem = report["gpus"][0]["problem"].as_str();
    assert!(
        problem.is_some_and(|problem| problem.contains("7.5")),
        "{report}"
    );
}

/// What `--backend cuda` says where there is no GPU, or not the right one.
#[test]
fn what_is_missing_is_named_with_the_remedy() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let args = |more: &'static str| {
        args![
            "merge",
            fixture("checkpoints/demo.safetensors"),
            "--dry-run",
            "--backend=cuda",
            more
        ]
    };
    for (setting, value, more, said) in [
        ("FAKE_CUDA_DEVICES", "0", "-q", "no such GPU"),
        ("FAKE_CUDA_DEVICES", "1", "--backend=cuda:1", "no such GPU"),
        ("FAKE_CUDA_DRIVER", "11080", "-q", "CUDA 12 or later"),
        ("FAKE_CUDA_CAPABILITY", "7.0", "-q", "7.5"),
        (
            "FAKE_CUDA_CAPABILITY",
            "7.5",
            "--screen=tf32",
            "--screen f32",
        ),
        ("FAKE_CUDA_MEMORY", "1000", "-q", "memory"),
    ] {
        let run = gpu
            .with(setting, value)
            .run(if more.starts_with("--backend") {
                args![
                    "merge",
                    fixture("checkpoints/demo.safetensors"),
                    "--dry-run",
                    more
                ]
            } else {
                args(more)
            });
        assert_eq!(run.code, Some(1), "{setting}={value} {run}");
        assert!(run.stderr.contains(said), "{setting}={value} {run}");
        assert_eq!(run.stderr.lines().count(), 1, "{run}");
    }
    // Where tensor cores are missing, float32 is taken.
    gpu.with("FAKE_CUDA_CAPABILITY", "7.5")
        .run(args("-q"))
        .done();
}

/// A checkpoint of 580 MB of zeros, which take no space in a file system, and of a small layer: just worth a GPU by the cost
/// model.
fn huge_checkpoint(folder: &Path) -> PathBuf {
    let input = folder.join("huge.safetensors");
    let (n, d) = (360, 400_000usize);
    let numbers = n * d * 4;
    let small = checkpoint(folder, Dtype::F64, &[(40, 9, clustered(40, 9))]);
    let small = fs::read(small).unwrap();
    let small = &small[small.len() - 40 * 9 * 8..];
    let header = format!(
        r#"{{"a.weight":{{"dtype":"F64","shape":[40,9,1,1],"data_offsets":[0,2880]}},"b.weight":{{"dtype":"F32","shape":[{n},{d},1,1],"data_offsets":[2880,{}]}}}}"#,
        2880 + numbers
    );
    let mut start = (header.len() as u64).to_le_bytes().to_vec();
    start.extend_from_slice(header.as_bytes());
    start.extend_from_slice(small);
    fs::write(&input, &start).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&input).unwrap();
    file.set_len((start.len() + numbers) as u64).unwrap();
    input
}

/// `auto` takes the GPU with the most free memory of those that work, whatever is wrong with the others, and `doctor` says so.
#[test]
fn auto_and_doctor_try_every_gpu_in_the_order_of_what_is_free() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let folder = TempDir::new().unwrap();
    let huge = huge_checkpoint(folder.path());
    let flags = ["--backend=auto", "--json", "--threads=1"];
    // By what is free: 1, 2, 0, 3.
    let four = gpu
        .with("FAKE_CUDA_DEVICES", 4)
        .with("FAKE_CUDA_TAKEN", "300000000,100000000,200000000,400000000");
    let failing = |what: &str| four.with("FAKE_CUDA_FAIL", what);
    for (gpu, taken, problems, does_merge) in [
        (four.clone(), "cuda:1", [None; 4], false),
        // Of equal ones the first.
        (gpu.with("FAKE_CUDA_DEVICES", 4), "cuda:0", [None; 4], false),
        // No context can be had, always or at first.
        (
            four.with("FAKE_CUDA_BUSY", "1,2"),
            "cuda:0",
            [None, Some("OUT_OF_MEMORY"), Some("OUT_OF_MEMORY"), None],
            false,
        ),
        (
            failing("cuDevicePrimaryCtxRetain:1:46@1"),
            "cuda:2",
            [None, Some("DEVICE_UNAVAILABLE"), None, None],
            false,
        ),
        // Memory for a context and no more.
        (
            four.with("FAKE_CUDA_MEMORY", "1000000000,100001000,1000000000"),
            "cuda:2",
            [None, Some("out of memory"), None, None],
            false,
        ),
        // The kernels do not load, cuBLAS does not start, the first launch or product fails.
        (
            failing("cuModuleLoadData:1@1,cublasCreate_v2:1@2"),
            "cuda:0",
            [None, Some("INVALID_PTX"), Some("cuBLAS"), None],
            false,
        ),
        (
            failing("cuLaunchKernel:1:700@1,cublasGemmEx:1@2"),
            "cuda:0",
            [None, Some("ILLEGAL_ADDRESS"), Some("cuBLAS"), None],
            true,
        ),
        // It computes, wrongly.
        (
            four.with("FAKE_CUDA_NOISE", "0,0.01,0"),
            "cuda:2",
            [None, Some("computes wrongly"), None, None],
            true,
        ),
        // Too old, and without the numbers asked for.
        (
            four.with("FAKE_CUDA_CAPABILITY", "7.0,7.0,9.0"),
            "cuda:2",
            [Some("7.5"), Some("7.5"), None, None],
            false,
        ),
        // Only those that are to be seen count, and their numbers are those that the driver then gives them.
        (
            four.with("CUDA_VISIBLE_DEVICES", "3,0"),
            "cuda:1",
            [None; 4],
            false,
        ),
    ] {
        let settings = &gpu.settings;
        let report = gpu.run([&["doctor"], &flags[..]].concat()).done().json();
        assert_eq!(report["auto"]["backend"], taken, "{settings:?}: {report}");
        let listed = report["gpus"].as_array().unwrap();
        let is_hidden = |(name, _): &(&str, String)| *name == "CUDA_VISIBLE_DEVICES";
        let expected = if settings.iter().any(is_hidden) { 2 } else { 4 };
        assert_eq!(listed.len(), expected, "{report}");
        for (gpu, problem) in listed.iter().zip(problems) {
            let said = gpu["problem"].as_str();
            match problem {
                None => assert_eq!(said, None, "{settings:?}: {report}"),
                Some(problem) => assert!(
                    said.is_some_and(|said| said.contains(problem)),
                    "{problem}, {settings:?}: {report}"
                ),
            }
        }

        // A run chooses by the same function; it takes seconds.
        if !does_merge {
            continue;
        }
        let merge = ["merge", huge.to_str().unwrap(), "--dry-run"];
        let more = ["--skip-shallow=0", "--tau=0.3"];
        let run = gpu.run([&merge[..], &more, &flags].concat());
        let json = run.done().json();
        assert_eq!(json["backend"], taken, "{settings:?}: {json}");
        // That one computes wrongly is worth a warning; that one is busy is not.
        let warnings = json["warnings"].to_string();
        let is_wrong = problems.contains(&Some("computes wrongly"));
        assert_eq!(
            warnings.contains("computes wrongly"),
            is_wrong,
            "{warnings}"
        );
        assert_eq!(warnings.contains(" instead"), is_wrong, "{warnings}");
    }
}

/// A GPU that the driver lists and cannot tell of hides no other, and is not left out without a word.
#[test]
fn a_gpu_that_does_not_respond_is_told_of() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let gpu = gpu
        .with("FAKE_CUDA_DEVICES", 3)
        .with("FAKE_CUDA_FAIL", "cuDeviceTotalMem_v2:1:999@1");
    let report = gpu.run(["doctor", "--json"]).done().json();
    let ordinals = report["gpus"].as_array().unwrap().iter();
    let ordinals: Vec<_> = ordinals.map(|gpu| gpu["ordinal"].as_u64()).collect();
    assert_eq!(ordinals, [Some(0), Some(2)]);
    assert_eq!(report["unresponsive"][0]["ordinal"], 1, "{report}");
    let problem = report["unresponsive"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("(999)"), "{problem}");
    let text = gpu.run(["doctor"]).done();
    let said = &text.stdout;
    assert!(said.contains("cuda:1 does not respond: "), "{said}");

    let folder = TempDir::new().unwrap();
    let huge = huge_checkpoint(folder.path());
    let flags = [
        "--skip-shallow=0",
        "--tau=0.3",
        "--threads=1",
        "--backend=auto",
    ];
    let merge = ["merge", huge.to_str().unwrap(), "--dry-run", "-v"];
    let run = gpu.run([&merge[..], &flags].concat()).done();
    let notes = &run.stderr;
    assert!(notes.contains("cuda:1: failed as it was listed"), "{notes}");
}

/// What was wrong with the GPUs before the one that is used is told with `-v`.
#[test]
fn gpus_that_were_passed_over_are_told_of() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let folder = TempDir::new().unwrap();
    let huge = huge_checkpoint(folder.path());
    let run = gpu
        .with("FAKE_CUDA_DEVICES", 2)
        .with("FAKE_CUDA_BUSY", 0)
        .with("FAKE_CUDA_FAIL", "cuMemGetInfo_v2:1@1")
        .run(args![
            "merge",
            huge,
            "--dry-run",
            "-v",
            "--skip-shallow=0",
            "--tau=0.3",
            "--threads=1"
        ])
        .done();
    let notes = &run.stderr;
    assert!(
        notes.contains("cuda:0: out of memory as it was started")
            && notes.contains("another GPU is used"),
        "{notes}"
    );
}

/// `doctor` and a run with the same flags choose the same backend, or fail with the same words: where GPUs are busy,
/// too, and where they have not the numbers that `--screen` names.
#[test]
fn doctor_says_what_a_run_with_the_same_flags_does() {
    let Some(gpu) = Gpu::stand_in() else { return };
    let folder = TempDir::new().unwrap();
    let (huge, small) = (
        huge_checkpoint(folder.path()),
        fixture("checkpoints/demo.safetensors"),
    );
    let two = gpu.with("FAKE_CUDA_DEVICES", 2);
    let busy = two.with("FAKE_CUDA_BUSY", 0);
    let both_busy = two.with("FAKE_CUDA_BUSY", "0,1");
    let old = two.with("FAKE_CUDA_CAPABILITY", "7.5");
    for (gpu, flags, backend, said) in [
        (
            &two,
            ["--backend=auto", "--screen=auto"],
            Some("cuda:0"),
            "is faster",
        ),
        (
            &two,
            ["--backend=cpu", "--screen=auto"],
            Some("cpu"),
            "--backend",
        ),
        (
            &two,
            ["--backend=cuda:1", "--screen=bf16"],
            Some("cuda:1"),
            "--backend",
        ),
        (
            &two,
            ["--backend=cuda:2", "--screen=auto"],
            None,
            "no such GPU",
        ),
        (
            &busy,
            ["--backend=auto", "--screen=auto"],
            Some("cuda:1"),
            "is faster",
        ),
        (
            &both_busy,
            ["--backend=auto", "--screen=auto"],
            Some("cpu"),
            "memory",
        ),
        (&busy, ["--backend=cuda", "--screen=auto"], None, "memory"),
        (
            &busy,
            ["--backend=cuda:1", "--screen=auto"],
            Some("cuda:1"),
            "--backend",
        ),
        (
            &old,
            ["--backend=auto", "--screen=tf32"],
            Some("cpu"),
            "no tf32 products",
        ),
        (
            &old,
            ["--backend=cuda", "--screen=tf32"],
            None,
            "no tf32 products",
        ),
    ] {
        let run = |words: &[&str]| gpu.run([words, &flags, &["--json", "--threads=1"]].concat());
        let report = run(&["doctor"]).done().json();
        let auto = &report["auto"];
        assert_eq!(auto["backend"].as_str(), backend, "{flags:?}: {auto}");
        let reason = auto["reason"].as_str().unwrap();
        assert!(reason.contains(said), "{flags:?}: {auto}");

        let is_auto = flags[0] == "--backend=auto";
        let input = if is_auto { &huge } else { &small };
        let input = input.to_str().unwrap();
        let merge = ["merge", input, "--dry-run", "--skip-shallow=0", "--tau=0.3"];
        let run = run(&merge);
        if backend.is_none() {
            assert_eq!(run.code, Some(1), "{run}");
            assert!(run.stderr.contains(reason), "{reason}: {run}");
            continue;
        }
        let json = run.done().json();
        assert_eq!(json["backend"].as_str(), backend, "{flags:?}: {json}");
        let warnings = json["warnings"].to_string();
        let is_second_choice = is_auto && backend == Some("cpu");
        assert_eq!(warnings.contains(reason), is_second_choice, "{warnings}");
    }
}

/// What is worth a GPU is computed there; with it gone, the CPU computes everything.
#[test]
fn auto_takes_a_gpu_where_it_pays_and_does_without_it_when_it_fails() {
    let Some(gpu) = Gpu::any() else { return };
    let folder = TempDir::new().unwrap();
    let input = huge_checkpoint(folder.path());
    let args = |backend| {
        args![
            "merge",
            &input,
            "--dry-run",
            "--skip-shallow=0",
            "--tau=0.3",
            "--threads=1",
            "--json",
            backend
        ]
    };
    let without_time = |run: Run| {
        let mut json = run.done().json();
        json["seconds"].take();
        json
    };
    let mut expected = without_time(common::run(args("--backend=cpu")));
    assert_eq!(expected["backend"], "cpu");

    let mut on_gpu = without_time(gpu.run(args("--backend=auto")));
    assert_eq!(on_gpu["backend"].take(), "cuda:0");
    expected["backend"].take();
    assert_eq!(on_gpu, expected);

    for (setting, value) in [
        ("INMERGE_GPU_MEMORY", "1MiB"),
        // As it is tried, and with the layer that is worth it.
        ("FAKE_CUDA_FAIL", "cuLaunchKernel:2:700"),
        ("FAKE_CUDA_FAIL", "cuLaunchKernel:7:700"),
    ] {
        if gpu.is_real() && setting.starts_with("FAKE") {
            continue;
        }
        let mut lost = without_time(gpu.with(setting, value).run(args("--backend=auto")));
        let warnings = lost["warnings"].take();
        let last = warnings
            .as_array()
            .and_then(|warnings| warnings.last())
            .unwrap_or_else(|| panic!("{value}: no warning"));
        assert!(
            last.as_str().unwrap().contains("the CPU"),
            "{value} {warnings}"
        );
        assert_eq!(lost["backend"].take(), "cpu", "{value}");
        assert_eq!(lost["layers"], expected["layers"], "{value}");
        assert_eq!(lost["totals"], expected["totals"], "{value}");
    }
    // A checkpoint that takes the CPU no time is not even worth the look, which the stand-in would note.
    let log = folder.path().join("log");
    let demo = fixture("checkpoints/demo.safetensors");
    gpu.with("FAKE_CUDA_LOG", log.display())
        .run(args!["merge", demo, "--dry-run"])
        .done();
    assert!(
        !log.exists(),
        "{}",
        fs::read_to_string(&log).unwrap_or_default()
    );
}
