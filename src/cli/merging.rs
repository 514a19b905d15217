//! Flags that say how kernels are merged.

use std::num::NonZeroU32;
use std::path::Path;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::plan::{Fraction, Parameters, Partner, Threshold};
use crate::selection;
use crate::settings::{PartialSettings, Settings};
use crate::similarity::NonFinite;

use super::{LayerFlags, whole_number};

/// How kernels are merged.
#[derive(Debug, Args)]
#[command(next_help_heading = "Merging")]
pub(crate) struct Merging {
    #[arg(
        long,
        value_name = "T",
        allow_hyphen_values = true,
        help = format!("How similar a partner must be: above T in [-1, 1], or a share such as 5%, or chance=1% [default: {}]", Parameters::default().tau),
        long_help = format!(
            "How similar a partner must be: a cosine similarity strictly above T, in [-1, 1].\n\n\
            The default is the paper's. How alike kernels are differs from network to network and from layer to layer: start with 5%. \
            A percentage gives each layer its own threshold: the smallest at which at most 5 % of its kernels \
            have an eligible partner. chance=1% gives each layer the threshold at which chance alone would give one to 1 %, if \
            its kernels had random directions. [default: {}]",
            Parameters::default().tau
        )
    )]
    pub tau: Option<Threshold>,
    #[arg(
        long,
        value_name = "A",
        allow_hyphen_values = true,
        help = format!("Share of itself that a merged kernel keeps, in [0, 1] [default: {}]", Parameters::default().alpha)
    )]
    pub alpha: Option<Fraction>,
    #[arg(
        long,
        value_name = "P",
        allow_hyphen_values = true,
        help = format!("Probability that a kernel takes its turn, in [0, 1] [default: {}]", Parameters::default().prob)
    )]
    pub prob: Option<Fraction>,
    #[arg(
        long,
        value_name = "POLICY",
        value_parser = PossibleValuesParser::new(Partner::ALL.map(Partner::name)).try_map(|name| name.parse::<Partner>()),
        hide_possible_values = true,
        help = format!("How a kernel finds its partner: eligible, nearest or random [default: {}]", Parameters::default().partner),
        long_help = format!(
            "How a kernel finds its partner:\n  \
            eligible  any of the kernels above tau, all equally likely\n  \
            nearest   the most similar kernel, if it is above tau\n  \
            random    any other kernel, if it happens to be above tau: the paper's code to the letter, made for hundreds of \
            rounds an epoch\n[default: {}]",
            Parameters::default().partner
        )
    )]
    pub partner: Option<Partner>,
    #[arg(
        long,
        value_name = "N",
        allow_hyphen_values = true,
        value_parser = clap::value_parser!(u32).range(1..),
        help = format!("Repeat the whole step N times on its own result [default: {}]", Parameters::default().rounds)
    )]
    pub rounds: Option<u32>,
    #[arg(
        long,
        value_name = "S",
        allow_hyphen_values = true,
        value_parser = whole_number::<u64>,
        help = format!("Choose the draws: the same seed gives the same bytes on any machine [default: {}]", Parameters::default().seed)
    )]
    pub seed: Option<u64>,
    /// Leave kernels that hold a NaN or an infinity as they are, instead of failing
    #[arg(long)]
    pub allow_nonfinite: bool,
}

impl Merging {
    /// The settings that these flags and those that select layers fix.
    pub fn settings(&self, layers: &LayerFlags) -> PartialSettings {
        PartialSettings {
            tau: self.tau,
            alpha: self.alpha,
            prob: self.prob,
            partner: self.partner,
            rounds: self.rounds.and_then(NonZeroU32::new),
            seed: self.seed,
            ..layers.settings()
        }
    }

    /// The same, with the gaps filled from the configuration file and the defaults; an error names the subject.
    pub fn settings_for(
        &self,
        layers: &LayerFlags,
        subject: &Path,
    ) -> Result<Settings, selection::Error> {
        selection::settings(self.settings(layers), layers.config.as_deref(), subject)
    }

    pub fn non_finite(&self) -> NonFinite {
        if self.allow_nonfinite {
            NonFinite::LeaveAlone
        } else {
            NonFinite::Refuse
        }
    }
}
