//! Planning a sweep of a checkpoint.

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

/// A checkpoint, and the parameters to vary.
#[derive(Debug)]
pub struct PlanRequest<'a> {
    /// The checkpoint to sweep.
    pub source: &'a Checkpoint,
    /// All its layers, selected or not.
    pub layers: &'a Layers,
    /// The base settings, for what a point does not vary.
    pub settings: &'a Settings,
    /// The parameters to vary, and their values.
    pub variations: &'a Variations,
    /// The program that scores variants; `None` to measure their weights instead.
    pub evaluator: Option<Evaluator>,
    /// What to do with kernels that hold a NaN or an infinity.
    pub non_finite: NonFinite,
}

/// Plans a sweep: lists every point, and resolves all that a run needs to make them.
///
/// # Errors
///
/// If the variations do not fit the layers, there are too many points, or the checkpoint cannot be read.
pub fn plan(request: PlanRequest<'_>) -> Result<Sweep, Error> {
    let PlanRequest {
        source, settings, ..
    } = request;
    let can_take_part = |layer: &&Layer| layer.selected() || layer.reason == Some(Reason::Shallow);
    let swept = request.layers.layers.iter().filter(can_take_part);
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
    // Runs may begin in another current folder.
    let whole_path = files::canonical(path).map_err(|error| Error::File {
        file: path.to_owned(),
        action: "cannot be found again",
        error,
    })?;
    Ok(Sweep {
        checkpoint: whole_path,
        state_dict: source.state_dict().map(str::to_owned),
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
    /// A warning if the base settings select no layer, so that most points merge nothing.
    pub fn warning(&self) -> Option<String> {
        let base = Variation::default();
        let needs_base = |point: &Point| !point.variation.selects_layers();
        let is_idle = self.taking_part(&base).next().is_none();
        (is_idle && self.points.iter().skip(1).any(needs_base)).then(|| {
            format!(
                "no layer takes part: --skip-shallow {} and the flags that select layers leave none, so only points \
                that select layers themselves merge anything",
                self.parameters.skip_shallow
            )
        })
    }

    /// Opens the sweep's checkpoint.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or its content is not that for which the sweep was planned.
    pub fn open_checkpoint(&self) -> Result<Checkpoint, Error> {
        let state_dict = self.state_dict.as_deref();
        let source = Checkpoint::open_state_dict(&self.checkpoint, state_dict)?;
        if content_sha256(&source)? != self.content_sha256 {
            return Err(Error::OtherCheckpoint(self.checkpoint.clone()));
        }
        Ok(source)
    }
}

/// The SHA-256 of a checkpoint's files, in hexadecimal.
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
