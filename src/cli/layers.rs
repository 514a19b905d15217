//! Flags that say which layers take part.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, ValueHint};

use crate::layers::Kind;
use crate::plan::Parameters;
use crate::selection::{self, Declaration};
use crate::settings::{PartialSettings, Settings};

use super::whole_number;

/// Which layers take part.
#[derive(Debug, Args)]
#[command(next_help_heading = "Selecting layers")]
pub(crate) struct LayerFlags {
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        value_parser = whole_number::<usize>,
        help = format!("Leave the first N convolutions in depth order alone [default: {}]", Parameters::default().skip_shallow)
    )]
    pub skip_shallow: Option<usize>,
    /// Take only layers whose weight name matches, e.g. 'layer4.*' (repeatable)
    ///
    /// Also takes convolution weights whose names do not end in `.weight`.
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// Leave layers alone whose weight name matches (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// Kinds to merge: conv, pointwise, depthwise, transposed, linear [default: conv,pointwise]
    #[arg(
        long,
        value_name = "KINDS",
        value_delimiter = ',',
        action = ArgAction::Append,
        value_parser = PossibleValuesParser::new(Kind::ALL.map(Kind::name)).try_map(|name| name.parse::<Kind>()),
        hide_possible_values = true
    )]
    pub kinds: Vec<Kind>,
    /// Read the depth order from a file, one weight name a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub order: Option<PathBuf>,
    /// Read order, kinds, groups, heads and copies of the layers from a JSON file
    ///
    /// A list in order of execution, whose items are weight names, or objects with `name` and any of `kind` (conv, pointwise,
    /// depthwise, transposed, linear), `groups`, `head` and `gate` (true or false), `norm` (the path of the BatchNorm behind it; empty for
    /// none) and `copy_of` (the name of another layer in the list, whose weight this is). What is not said is read off names and shapes. A checkpoint's metadata
    /// `inmerge.layers` may hold the same; the flag wins over it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "order")]
    pub layers: Option<PathBuf>,
    /// Read settings from a TOML file; flags win over it
    ///
    /// Keys are the flags' names (tau, alpha, prob, skip-shallow, partner, rounds, seed, include, exclude, kinds).
    /// [[layer]] tables with `match = "GLOB"` give single layers their own tau, alpha and prob.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
}

/// An empty list of a repeatable flag means that it was not given.
fn given<T: Clone>(values: &[T]) -> Option<Vec<T>> {
    (!values.is_empty()).then(|| values.to_vec())
}

impl LayerFlags {
    /// What the file that `--order` or `--layers` names says of the layers.
    pub fn declaration(&self) -> Result<Option<Declaration>, selection::Error> {
        match (&self.order, &self.layers) {
            (Some(file), _) => Declaration::read_order(file).map(Some),
            (None, Some(file)) => Declaration::read_layers(file).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The settings, with the gaps filled from the configuration file and the defaults; an error names the subject.
    pub fn settings_for(&self, subject: &Path) -> Result<Settings, selection::Error> {
        selection::settings(self.settings(), self.config.as_deref(), subject)
    }

    /// The flags themselves, word by word, for a command that is to select the same layers.
    pub fn words(&self) -> Vec<String> {
        let path = |path: &PathBuf| path.display().to_string();
        let kinds: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        let kinds = (!kinds.is_empty()).then(|| kinds.join(","));
        let skip_shallow = self.skip_shallow.map(|count| count.to_string());
        let flag = |name: &'static str| move |value: String| [name.to_owned(), value];
        skip_shallow
            .map(flag("--skip-shallow"))
            .into_iter()
            .chain(self.include.iter().cloned().map(flag("--include")))
            .chain(self.exclude.iter().cloned().map(flag("--exclude")))
            .chain(kinds.map(flag("--kinds")))
            .chain(self.order.as_ref().map(path).map(flag("--order")))
            .chain(self.layers.as_ref().map(path).map(flag("--layers")))
            .chain(self.config.as_ref().map(path).map(flag("--config")))
            .flatten()
            .collect()
    }

    /// The settings that these flags fix.
    pub fn settings(&self) -> PartialSettings {
        PartialSettings {
            skip_shallow: self.skip_shallow,
            include: given(&self.include),
            exclude: given(&self.exclude),
            kinds: given(&self.kinds),
            ..PartialSettings::default()
        }
    }
}
