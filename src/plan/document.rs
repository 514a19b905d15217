//! The plan file: only decisions, and all that are needed to apply them on any machine.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkpoint::Checkpoint;
use crate::files;
use crate::layers::{Kind, Reason};

use super::{Carried, Error, Fraction, Parameters, Problem};

/// The value of `"format"`.
const FORMAT: &str = "inmerge-plan";

/// Bytes of a file in which to look for `"format"`, which this program writes first.
const BEGINNING: u64 = 4096;

/// The version of the format that this program writes, and the only one it reads.
const VERSION: u64 = 1;

/// Which kernels of a checkpoint merge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// `"inmerge-plan"`.
    #[cfg_attr(test, schemars(extend("const" = FORMAT)))]
    format: String,
    /// The version of the format.
    #[cfg_attr(test, schemars(extend("const" = VERSION)))]
    version: u64,
    /// The program that made it, and its version.
    #[serde(default)]
    pub tool: String,
    /// The checkpoint it was made for.
    pub source: SourceId,
    /// The parameters it was made with.
    pub parameters: Parameters,
    /// The layers that take part, including those without merges, in depth order.
    pub layers: Vec<PlannedLayer>,
    /// The layers left alone.
    #[serde(default)]
    pub skipped: Vec<SkippedLayer>,
}

/// Identifies a checkpoint by its header and size; a plan also fits another one in which these are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SourceId {
    /// The file's name, for messages only.
    pub file: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its header's JSON, in hexadecimal.
    pub header_sha256: String,
}

/// A layer that takes part, and its merges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PlannedLayer {
    /// Name of the weight.
    pub name: String,
    /// Other tensors of the checkpoint that hold the same bytes, and are changed in the same way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<String>,
    /// Position among the convolutions, from 1.
    #[serde(default)]
    pub depth: Option<usize>,
    /// Its kind, which says along which axis the kernels lie.
    pub kind: Kind,
    /// Shape of the weight.
    pub shape: Vec<usize>,
    /// Number of groups; each has its own input channels.
    #[serde(default = "one")]
    pub groups: usize,
    /// Number of kernels.
    pub kernels: usize,
    /// The layer's threshold as a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tau: Option<f64>,
    /// The layer's α, if not the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<Fraction>,
    /// The layer's p, if not the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prob: Option<Fraction>,
    /// The greatest similarity of two kernels; none if it was not computed or there is no pair.
    #[serde(default)]
    pub max_similarity: Option<f64>,
    /// The tensors that change along with its kernels.
    #[serde(default, skip_serializing_if = "Carried::is_empty")]
    pub carried: Carried,
    /// The merges, by round and kernel.
    pub merges: Vec<Merge>,
}

fn one() -> usize {
    1
}

/// One merge: `K_kernel ← α·K_kernel + (1−α)·K_partner`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Merge {
    /// The round, from 0; round r reads the result of round r−1.
    pub round: u32,
    /// The kernel that changes.
    pub kernel: usize,
    /// The kernel it is blended with.
    pub partner: usize,
    /// Their similarity in that round.
    #[serde(default)]
    pub similarity: Option<f64>,
}

/// A layer left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SkippedLayer {
    /// Name of the weight.
    pub name: String,
    /// Position among the convolutions, from 1; none if it is not one.
    #[serde(default)]
    pub depth: Option<usize>,
    /// Why it was left alone.
    pub reason: Reason,
}

impl SourceId {
    /// The ID of a checkpoint.
    pub fn of(source: &Checkpoint) -> Self {
        let name = source
            .path()
            .file_name()
            .unwrap_or(source.path().as_os_str());
        Self {
            file: name.to_string_lossy().into_owned(),
            bytes: source.source_size(),
            header_sha256: source.header_sha256(),
        }
    }
}

impl Plan {
    /// A plan in the format and with the name of this program.
    pub fn new(
        source: SourceId,
        parameters: Parameters,
        layers: Vec<PlannedLayer>,
        skipped: Vec<SkippedLayer>,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            tool: crate::TOOL.to_owned(),
            source,
            parameters,
            layers,
            skipped,
        }
    }

    /// Reads a plan file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is not a plan, or has another version of the format.
    pub fn read(path: &Path) -> Result<Self, Error> {
        std::fs::read(path)
            .map_err(Problem::reading)
            .and_then(|text| Self::parse(&text))
            .map_err(|problem| problem.of(path))
    }

    /// Parses the JSON of a plan.
    ///
    /// # Errors
    ///
    /// As [`Plan::read`].
    pub fn parse(json: &[u8]) -> Result<Self, Problem> {
        let value: Value = serde_json::from_slice(json).map_err(Problem::NotJson)?;
        if value["format"] != FORMAT {
            return Err(Problem::NotAPlan);
        }
        if value["version"] != VERSION {
            return Err(Problem::Version {
                found: value["version"].to_string(),
            });
        }
        serde_path_to_error::deserialize(value).map_err(Problem::Malformed)
    }

    /// Whether the first bytes of a file look like a plan.
    pub fn is_at(path: &Path) -> bool {
        let mut start = Vec::new();
        // Opening a pipe would wait for a writer.
        let is_read = matches!(files::target(path), Ok(Some(status)) if status.is_file())
            && File::open(path)
                .and_then(|file| file.take(BEGINNING).read_to_end(&mut start))
                .is_ok();
        let start = String::from_utf8_lossy(&start);
        is_read && start.trim_start().starts_with('{') && start.contains(&format!("\"{FORMAT}\""))
    }

    /// Whether no kernel merges.
    pub fn is_empty(&self) -> bool {
        self.layers.iter().all(|layer| layer.merges.is_empty())
    }

    /// The plan as JSON, indented, with a newline at the end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("a plan has string keys only");
        json.push(b'\n');
        json
    }
}
