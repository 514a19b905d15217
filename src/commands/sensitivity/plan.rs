//! What a sweep is, from the flags and the checkpoint.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::checkpoint::Checkpoint;
use crate::cli::SweepFlags;
use crate::error::Error;
use crate::files::{self, retried};
use crate::layers::{Layer, Reason};
use crate::plan::SourceId;
use crate::sensitivity::{self, Sweep, SweptLayer};

use super::super::{analyze, selecting};

/// The sweep, and what the user should know of the layers.
pub(super) fn sweep(
    flags: &SweepFlags,
    source: &Checkpoint,
) -> Result<(Sweep, Vec<String>), Error> {
    let config = flags.layers.config.as_deref();
    let settings = selecting::settings(flags.settings(), config, source)?;
    let layers = selecting::find(source, &flags.layers, &settings)?;
    let is_wanted = |layer: &&Layer| layer.selected() || layer.reason == Some(Reason::Shallow);
    let swept = layers.layers.iter().filter(is_wanted).filter_map(|layer| {
        let parameters = settings.for_layer(layer.names());
        Some(SweptLayer {
            name: layer.name.clone(),
            copies: layer.copies.clone(),
            depth: layer.depth?,
            kind: layer.kind,
            groups: layer.groups,
            kernels: layer.kernels,
            tau: parameters.tau,
            alpha: parameters.alpha,
            prob: parameters.prob,
        })
    });
    let swept: Vec<SweptLayer> = swept.collect();
    let variations = flags.variations().map_err(sensitivity::Error::from)?;
    let points = variations.points(&swept, settings.parameters.seed);
    let path = source.path();
    // Runs may begin in other folders than this.
    let whole_path = files::canonical(path).map_err(|error| sensitivity::Error::File {
        file: path.to_owned(),
        action: "cannot be found again",
        error,
    })?;
    let sweep = Sweep {
        checkpoint: whole_path,
        source: SourceId::of(source),
        content_sha256: content_sha256(source)?,
        parameters: settings.parameters,
        allow_nonfinite: flags.merging.allow_nonfinite,
        layers: swept,
        evaluator: flags.evaluator().map_err(sensitivity::Error::from)?,
        points: points.map_err(sensitivity::Error::from)?,
    };
    let warnings = layers.warnings.iter().map(ToString::to_string).collect();
    Ok((sweep, warnings))
}

/// The digest of all of a checkpoint's files.
pub(super) fn content_sha256(source: &Checkpoint) -> Result<String, Error> {
    let mut digest = Sha256::new();
    for file in source.files() {
        let added = File::open(file).and_then(|open| add(open, &mut digest));
        added.map_err(|error| sensitivity::Error::File {
            file: file.to_owned(),
            action: "cannot be read",
            error,
        })?;
    }
    let bytes = digest.finalize();
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn add(mut file: File, digest: &mut Sha256) -> io::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    loop {
        match retried(|| file.read(&mut buffer))? {
            0 => return Ok(()),
            count => digest.update(&buffer[..count]),
        }
    }
}

/// Where it goes.
pub(super) fn folder(flags: &SweepFlags, source: &Checkpoint) -> PathBuf {
    let default = || {
        let analysis = analyze::default_folder(source);
        let name = analysis.file_name().unwrap_or(OsStr::new("checkpoint"));
        let mut name = name.to_owned();
        name.push("-sensitivity");
        Path::new("reports").join(name)
    };
    flags.report.clone().unwrap_or_else(default)
}
