//! What a sweep is, from a checkpoint and what varies.

use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest, Sha256};

use crate::checkpoint::Checkpoint;
use crate::files::{self, retried};
use crate::layers::{Layer, Layers, Reason};
use crate::plan::SourceId;
use crate::settings::Settings;
use crate::similarity::NonFinite;

use super::{Error, Evaluator, Point, Sweep, SweptLayer, Variation, Variations};

/// What to sweep over.
#[derive(Debug)]
pub struct PlanRequest<'a> {
    /// The checkpoint.
    pub source: &'a Checkpoint,
    /// Its layers.
    pub layers: &'a Layers,
    /// The base settings: what a point does not vary.
    pub settings: &'a Settings,
    /// What varies.
    pub variations: &'a Variations,
    /// How variants are scored; `None`: by measures of their weights.
    pub evaluator: Option<Evaluator>,
    /// What to do with kernels that hold a NaN or an infinity.
    pub non_finite: NonFinite,
}

/// Plans a sweep: lists every point, and resolves all that a run needs to make it.
///
/// # Errors
///
/// Where what varies does not fit the layers, there are too many points, or the checkpoint cannot be read.
pub fn plan(request: PlanRequest<'_>) -> Result<Sweep, Error> {
    let PlanRequest {
        source, settings, ..
    } = request;
    let is_wanted = |layer: &&Layer| layer.selected() || layer.reason == Some(Reason::Shallow);
    let swept = request.layers.layers.iter().filter(is_wanted);
    let swept = swept.filter_map(|layer| {
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
    let points = request.variations.points(&swept, settings.parameters.seed);
    let path = source.path();
    // Runs may begin in other folders than this.
    let whole_path = files::canonical(path).map_err(|error| Error::File {
        file: path.to_owned(),
        action: "cannot be found again",
        error,
    })?;
    Ok(Sweep {
        checkpoint: whole_path,
        source: SourceId::of(source),
        content_sha256: content_sha256(source)?,
        parameters: settings.parameters,
        allow_nonfinite: request.non_finite == NonFinite::LeaveAlone,
        layers: swept,
        evaluator: request.evaluator,
        points: points?,
    })
}

impl Sweep {
    /// What the user should know: that most points merge nothing.
    pub fn warning(&self) -> Option<String> {
        let base = Variation::default();
        let needs_base = |point: &Point| !point.variation.says_which_layers();
        let is_idle = self.taking_part(&base).next().is_none();
        (is_idle && self.points.iter().skip(1).any(needs_base)).then(|| {
            format!(
                "no layer takes part: --skip-shallow {} and the flags that select layers leave none, so no point merges but those \
                that say which layers do",
                self.parameters.skip_shallow
            )
        })
    }

    /// Opens the checkpoint, wherever the run is.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, or is not what it was when the sweep was planned.
    pub fn open_checkpoint(&self) -> Result<Checkpoint, Error> {
        let source = Checkpoint::open(&self.checkpoint)?;
        if content_sha256(&source)? != self.content_sha256 {
            return Err(Error::OtherCheckpoint(self.checkpoint.clone()));
        }
        Ok(source)
    }
}

/// The digest of all of a checkpoint's files.
fn content_sha256(source: &Checkpoint) -> Result<String, Error> {
    let mut digest = Sha256::new();
    for file in source.files() {
        let added = File::open(file).and_then(|open| add(open, &mut digest));
        added.map_err(|error| Error::File {
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
