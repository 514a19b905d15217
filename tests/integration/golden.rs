//! The program against the numpy reference: every case's plan and output, whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use crate::common::{Run, fixture, json_difference, kernel_of, places, read_json, run};
use serde_json::Value;
use tempfile::TempDir;

/// A line of `fixtures/golden/cases.json`.
struct Case {
    name: String,
    checkpoint: PathBuf,
    flags: Vec<String>,
    /// What the reference made of the flags.
    reference: Value,
    /// The reference's plan and output.
    plan: PathBuf,
    output: PathBuf,
}

fn cases() -> Vec<Case> {
    bless_if_asked();
    let table = read_json(&fixture("golden/cases.json"));
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let folder = fixture("").display().to_string();
    let cases = table.as_array().expect("a list of cases").iter();
    cases
        .map(|case| {
            let name = text(&case["name"]);
            let flags = case["args"].as_array().expect("a list of flags").iter();
            Case {
                checkpoint: fixture("checkpoints").join(text(&case["checkpoint"])),
                flags: flags
                    .map(|flag| text(flag).replace("{fixtures}/", &folder))
                    .collect(),
                reference: case["reference"].clone(),
                plan: fixture(&format!("golden/{name}.plan.json")),
                output: fixture(&format!("golden/{name}.safetensors")),
                name,
            }
        })
        .collect()
}

/// `INMERGE_BLESS=1` makes the goldens again, by running the reference: what the program writes is never copied.
fn bless_if_asked() {
    static BLESSING: Once = Once::new();
    BLESSING.call_once(|| {
        if std::env::var_os("INMERGE_BLESS").is_some_and(|value| value == "1") {
            let status = Command::new("python3").arg(fixture("make.py")).status();
            assert!(
                status.is_ok_and(|status| status.success()),
                "python3 fixtures/make.py failed; it needs Python 3.11 and numpy"
            );
        }
    });
}

/// Runs a check on every case and fails with all that differ, one line each.
fn for_each_case(check: impl Fn(&Case, &Path) -> Result<(), String>) {
    let folder = TempDir::new().unwrap();
    let mut failures = Vec::new();
    for case in cases() {
        let place = folder.path().join(&case.name);
        fs::create_dir(&place).unwrap();
        if let Err(difference) = check(&case, &place) {
            failures.push(format!(
                "{} [{}]: {difference}",
                case.name,
                case.flags.join(" ")
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} cases differ from the reference:\n{}\n\
         If the definition itself has changed, change fixtures/reference.py with it and run INMERGE_BLESS=1 cargo test \
         --test integration golden::, which makes the goldens again with python3 fixtures/make.py.",
        failures.len(),
        failures.join("\n")
    );
}

/// Merges a case's checkpoint into `place/out.safetensors`, with the plan beside it.
fn merge(case: &Case, place: &Path, more: &[&str]) -> Result<Run, String> {
    let mut args = args!["merge", &case.checkpoint, place.join("out.safetensors")];
    args.extend(case.flags.iter().map(Into::into));
    args.extend(args![
        "--plan",
        place.join("plan.json"),
        "--no-sync",
        "--json"
    ]);
    args.extend(more.iter().map(Into::into));
    succeeded(run(args))
}

fn succeeded(run: Run) -> Result<Run, String> {
    match run.code {
        Some(0) => Ok(run),
        _ => Err(run.to_string()),
    }
}

/// Compares a plan with the reference's, whole; only the version in `tool` is the program's own.
fn same_plan(case: &Case, plan: &Path) -> Result<(), String> {
    let mut plan = read_json(plan);
    let tool = plan["tool"].take();
    if !tool
        .as_str()
        .is_some_and(|tool| tool.starts_with("inmerge-ckpt "))
    {
        return Err(format!(
            "plan.tool: expected \"inmerge-ckpt VERSION\", found {tool}"
        ));
    }
    let mut expected = read_json(&case.plan);
    expected["tool"].take();
    json_difference("plan", &expected, &plan).map_or(Ok(()), Err)
}

/// Says where two files of the same checkpoint first differ, in terms of its layers and kernels.
fn bytes_difference(expected: &[u8], found: &[u8], plan: &Value) -> Option<String> {
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

fn same_output(case: &Case, output: &Path) -> Result<(), String> {
    let found = fs::read(output).map_err(|e| format!("{}: {e}", output.display()))?;
    let expected = fs::read(&case.output).unwrap();
    bytes_difference(&expected, &found, &read_json(&case.plan)).map_or(Ok(()), Err)
}

#[test]
fn merge_agrees_with_the_reference() {
    for_each_case(|case, place| {
        merge(case, place, &[])?;
        same_plan(case, &place.join("plan.json"))?;
        same_output(case, &place.join("out.safetensors"))
    });
}

#[test]
fn apply_writes_the_same_bytes_from_the_reference_s_plan_and_from_the_program_s() {
    for_each_case(|case, place| {
        merge(case, place, &[])?;
        for (plan, out) in [(&case.plan, "a"), (&place.join("plan.json"), "b")] {
            let out = place.join(out);
            succeeded(run(args![
                "apply",
                plan,
                &case.checkpoint,
                &out,
                "--no-sync"
            ]))?;
            same_output(case, &out)?;
        }
        Ok(())
    });
}

#[test]
fn any_number_of_threads_and_any_screen_write_the_same_plan_and_output() {
    for_each_case(|case, place| {
        for (threads, screen) in [("1", "f32"), ("1", "int8"), ("2", "int8"), ("3", "f32")] {
            let place = place.join(format!("{threads}-{screen}"));
            fs::create_dir(&place).unwrap();
            merge(case, &place, &["--threads", threads, "--screen", screen])
                .and_then(|_| same_plan(case, &place.join("plan.json")))
                .and_then(|()| same_output(case, &place.join("out.safetensors")))
                .map_err(|difference| format!("{threads} threads, {screen}: {difference}"))?;
        }
        Ok(())
    });
}

#[test]
fn a_dry_run_writes_the_same_plan_and_nothing_else() {
    for_each_case(|case, place| {
        merge(case, place, &["--dry-run"])?;
        same_plan(case, &place.join("plan.json"))?;
        match fs::read_dir(place).unwrap().count() {
            1 => Ok(()),
            files => Err(format!(
                "{files} files were written instead of the plan alone"
            )),
        }
    });
}

#[test]
fn the_json_summary_counts_what_the_plan_holds() {
    for_each_case(|case, place| {
        let summary = merge(case, place, &[])?.json();
        let plan = read_json(&case.plan);
        let expected = plan["layers"].as_array().unwrap();
        let found = summary["layers"].as_array().ok_or("no layers")?;
        if expected.len() != found.len() {
            return Err(format!(
                "expected {} layers, found {}",
                expected.len(),
                found.len()
            ));
        }
        for (layer, line) in expected.iter().zip(found) {
            let name = layer["name"].as_str().unwrap();
            for key in [
                "name",
                "depth",
                "kind",
                "shape",
                "kernels",
                "tau",
                "max_similarity",
            ] {
                json_difference(&format!("layers[{name}].{key}"), &layer[key], &line[key])
                    .map_or(Ok(()), Err)?;
            }
            // Whether a kernel that merges in each of three rounds counts once or three times is not settled.
            if plan["parameters"]["rounds"] == 1 {
                let merged = layer["merges"].as_array().unwrap().len().into();
                json_difference(&format!("layers[{name}].merged"), &merged, &line["merged"])
                    .map_or(Ok(()), Err)?;
            }
            let change = &case.reference["relative_change"][name];
            if let Some(change) = change.as_f64() {
                let found = line["relative_change"].as_f64().unwrap_or(f64::NAN);
                // The sums may be taken in any order; 1e-12 allows for that and for nothing else.
                let close = (found - change).abs() <= 1e-12 * change;
                if !close {
                    return Err(format!(
                        "layers[{name}].relative_change: expected {change}, found {found}"
                    ));
                }
            }
        }
        json_difference("parameters", &plan["parameters"], &summary["parameters"])
            .map_or(Ok(()), Err)?;
        json_difference(
            "totals.layers",
            &expected.len().into(),
            &summary["totals"]["layers"],
        )
        .map_or(Ok(()), Err)?;
        if plan["parameters"]["rounds"] == 1 {
            let merged = &case.reference["merged"];
            json_difference("totals.merged", merged, &summary["totals"]["merged"])
                .map_or(Ok(()), Err)?;
        }
        let nothing_merged = case.reference["merged"] == 0;
        let warned = summary["warnings"]
            .as_array()
            .is_some_and(|warnings| !warnings.is_empty());
        if nothing_merged && !warned {
            return Err("nothing was merged and no warning says so".to_owned());
        }
        Ok(())
    });
}

#[test]
fn the_demo_merges_a_few_dozen_kernels_of_its_deep_layers() {
    let demo = cases()
        .into_iter()
        .find(|case| case.name == "demo")
        .expect("a case named demo");
    let plan = read_json(&demo.plan);
    let layers = plan["layers"].as_array().unwrap();
    assert!(
        layers
            .iter()
            .all(|layer| layer["depth"].as_u64() > Some(10))
    );
    let merged = demo.reference["merged"].as_u64().unwrap();
    assert!((5..=60).contains(&merged), "{merged}");
}
