//! The PTX that is embedded is that of the sources, and what every driver that is asked for can load.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

/// The kernels with the PTX types of their parameters.
const ENTRIES: [(&str, &str); 9] = [
    ("measure", "u64 u32 u64 u64 u64"),
    ("dots", "u64 u64 u32 u64 u64 u32 u64"),
    ("write_units", "u64 u32 u64 u64 u64 u64 u32 f64 u64 u64"),
    ("reached", "u64 u32 u32 u64 u64 u32 u64 u64"),
    (
        "open_pairs",
        "u64 u32 u32 u64 u64 u32 u32 u32 u64 u64 f32 f32 u64 u32 u64",
    ),
    (
        "best_ranked",
        "u64 u32 u32 u64 u64 u32 f32 u64 u64 u64 u64 u64 u64",
    ),
    ("least_losses", "u64 u32 u32 u64 u64 u32 u64"),
    (
        "intervals",
        "u64 u32 u32 u64 u64 u32 u32 u32 f32 f32 f32 u64 u32 u64",
    ),
    ("cells", "u64 u32 u32 u64 u64 u32 u64 u64 u32 u64 u64 u64"),
];

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels"))
}

fn ptx() -> String {
    fs::read_to_string(folder().join("inmerge.ptx")).expect("the PTX is there: make kernels")
}

#[test]
fn the_ptx_is_of_these_sources() {
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|e| e == "cu" || e == "cuh"))
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read(&path).expect("it can be read"))
        })
        .collect();
    files.sort();
    let mut sha = Sha256::new();
    for (name, contents) in files {
        sha.update(name);
        sha.update([0]);
        sha.update(contents);
        sha.update([0]);
    }
    let digest: String = sha.finalize().iter().map(|b| format!("{b:02x}")).collect();
    let ptx = ptx();
    let stated = ptx
        .lines()
        .find_map(|line| line.strip_prefix("// sources: "));
    assert_eq!(
        stated,
        Some(&*digest),
        "kernels/*.cu and kernels/inmerge.ptx have parted: make kernels"
    );
}

#[test]
fn the_kernels_have_the_parameters_that_the_host_gives() {
    let ptx = ptx();
    let entries: BTreeMap<&str, String> = ptx
        .split(".visible .entry ")
        .skip(1)
        .map(|entry| {
            let (name, rest) = entry.split_once('(').expect("parameters");
            let (parameters, _) = rest.split_once(')').expect("their end");
            let types = parameters
                .split(',')
                .map(|parameter| parameter.split_whitespace().nth(1).expect("a type"))
                .map(|word| word.trim_start_matches('.'));
            (name, types.collect::<Vec<_>>().join(" "))
        })
        .collect();
    let expected = ENTRIES.map(|(name, types)| (name, types.to_owned()));
    assert_eq!(entries, BTreeMap::from(expected));
}

#[test]
fn drivers_since_cuda_12_load_it() {
    let ptx = ptx();
    let directive = |name: &str| {
        let mut values = ptx.lines().filter_map(|line| line.strip_prefix(name));
        (values.next().map(str::trim), values.next())
    };
    assert_eq!(directive(".target"), (Some("sm_75"), None));
    assert_eq!(directive(".address_size"), (Some("64"), None));
    // PTX ISA 8.0 is CUDA 12.0's.
    assert_eq!(directive(".version"), (Some("8.0"), None));
}

#[test]
fn no_product_is_fused_with_a_sum() {
    let ptx = ptx();
    assert!(ptx.contains("mul.rn.f64") && ptx.contains("add.rn.f64"));
    let fused = ptx.lines().find(|line| {
        let instruction = line.trim_start();
        ["fma.", "mad.f", "mad.rn"]
            .iter()
            .any(|name| instruction.starts_with(name))
    });
    assert_eq!(fused, None);
}
