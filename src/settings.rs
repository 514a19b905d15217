//! What a run is to do, from flags and the configuration file: resolved once, at the door.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::layers::{self, Kind, NamePattern, Selection};
use crate::plan::{Fraction, LayerParameters, Parameters, Partner, Threshold};

/// A configuration file could not be used.
#[derive(Debug, thiserror::Error)]
#[error("configuration {}: {problem}", file.display())]
pub struct Error {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "every variant's message says what it means")]
pub enum Problem {
    #[error("cannot be read ({0}); check the path")]
    Unreadable(std::io::Error),
    #[error("line {line}: is no UTF-8; save it as UTF-8 text, or check the path")]
    NotText { line: usize },
    #[error("line {line}, `{text}`: {message}; correct it")]
    Malformed {
        line: usize,
        text: String,
        message: String,
    },
}

/// Settings from the flags or from a file; any may be unset.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PartialSettings {
    /// `tau`.
    pub tau: Option<Threshold>,
    /// `alpha`.
    pub alpha: Option<Fraction>,
    /// `prob`.
    pub prob: Option<Fraction>,
    /// `skip-shallow`.
    #[serde(alias = "skip_shallow")]
    pub skip_shallow: Option<usize>,
    /// `partner`.
    pub partner: Option<Partner>,
    /// `rounds`.
    pub rounds: Option<NonZeroU32>,
    /// `seed`.
    pub seed: Option<u64>,
    /// `include`.
    pub include: Option<Vec<String>>,
    /// `exclude`.
    pub exclude: Option<Vec<String>>,
    /// `kinds`.
    pub kinds: Option<Vec<Kind>>,
    /// The `[[layer]]` tables.
    #[serde(default, rename = "layer")]
    pub layers: Vec<LayerTable>,
}

/// A `[[layer]]` table: parameters of the layers whose names match.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerTable {
    /// Glob over weight names.
    #[serde(rename = "match")]
    pub pattern: String,
    /// `tau`.
    pub tau: Option<Threshold>,
    /// `alpha`.
    pub alpha: Option<Fraction>,
    /// `prob`.
    pub prob: Option<Fraction>,
}

impl PartialSettings {
    /// Reads a TOML file.
    ///
    /// # Errors
    ///
    /// Where it cannot be read, has an unknown key, or a value of the wrong type or out of range.
    pub fn read(path: &Path) -> Result<Self, Error> {
        std::fs::read(path)
            .map_err(Problem::Unreadable)
            .and_then(|text| Self::parse(&text))
            .map_err(|problem| Error {
                file: path.to_owned(),
                problem,
            })
    }

    /// Reads TOML.
    ///
    /// # Errors
    ///
    /// As [`PartialSettings::read`].
    pub fn parse(toml: &[u8]) -> Result<Self, Problem> {
        let text = utf8(toml).map_err(|line| Problem::NotText { line })?;
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = line_at(text.as_bytes(), start);
            Problem::Malformed {
                line,
                text: text
                    .lines()
                    .nth(line - 1)
                    .unwrap_or_default()
                    .trim()
                    .to_owned(),
                message: error.message().replace('\n', " "),
            }
        })
    }
}

/// A file's bytes as text, or the number of the first line that is none, from 1.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, usize> {
    str::from_utf8(bytes).map_err(|error| line_at(bytes, error.valid_up_to()))
}

/// The number of the line, from 1, in which this place is.
fn line_at(text: &[u8], place: usize) -> usize {
    let before = text.iter().take(place);
    before.filter(|&&byte| byte == b'\n').count() + 1
}

/// Settings without gaps.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to merge.
    pub parameters: Parameters,
    /// Which layers.
    pub selection: Selection,
    tables: Vec<(NamePattern, LayerTable)>,
    /// What the flags fix, for all layers.
    fixed: PartialSettings,
}

impl Default for Settings {
    fn default() -> Self {
        let open = PartialSettings::default;
        Self::resolve(open(), open()).expect("the defaults hold no globs")
    }
}

impl Settings {
    /// Fills what the flags leave open from the file, and what both leave open from the defaults.
    ///
    /// # Errors
    ///
    /// Where a glob is malformed.
    pub fn resolve(flags: PartialSettings, file: PartialSettings) -> Result<Self, layers::Error> {
        let default = Parameters::default();
        let parameters = Parameters {
            tau: flags.tau.or(file.tau).unwrap_or(default.tau),
            alpha: flags.alpha.or(file.alpha).unwrap_or(default.alpha),
            prob: flags.prob.or(file.prob).unwrap_or(default.prob),
            skip_shallow: flags
                .skip_shallow
                .or(file.skip_shallow)
                .unwrap_or(default.skip_shallow),
            partner: flags.partner.or(file.partner).unwrap_or(default.partner),
            rounds: flags.rounds.or(file.rounds).unwrap_or(default.rounds),
            seed: flags.seed.or(file.seed).unwrap_or(default.seed),
        };
        let globs = |flag: &Option<Vec<String>>, file: &Option<Vec<String>>| {
            flag.as_ref().or(file.as_ref()).cloned().unwrap_or_default()
        };
        let kinds = flags.kinds.as_ref().or(file.kinds.as_ref());
        let selection = Selection {
            skip_shallow: parameters.skip_shallow,
            include: globs(&flags.include, &file.include),
            exclude: globs(&flags.exclude, &file.exclude),
            kinds: kinds.map_or(Selection::default().kinds, |kinds| {
                kinds.iter().copied().collect()
            }),
        };
        let tables = file
            .layers
            .into_iter()
            .map(|table| Ok((NamePattern::new("[[layer]] match", &table.pattern)?, table)))
            .collect::<Result<_, layers::Error>>()?;
        Ok(Self {
            parameters,
            selection,
            tables,
            fixed: flags,
        })
    }

    /// Checks that every `[[layer]]` table matches one of these layers.
    ///
    /// # Errors
    ///
    /// Where one matches none; near names are listed.
    pub fn check_tables<'a>(
        &self,
        names: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), layers::Error> {
        self.tables
            .iter()
            .try_for_each(|(pattern, _)| pattern.require_match(names.clone()))
    }

    /// Every setting that the result depends on, by the flags' names. Settings with the same effect have the same description.
    pub fn description(&self) -> Value {
        let globs = |globs: &[String]| globs.iter().cloned().collect::<BTreeSet<_>>();
        let tables = self.tables.iter().map(|(_, table)| {
            json!({
                "match": table.pattern,
                "tau": self.fixed.tau.or(table.tau),
                "alpha": self.fixed.alpha.or(table.alpha),
                "prob": self.fixed.prob.or(table.prob),
            })
        });
        let mut description = json!(self.parameters);
        description["include"] = json!(globs(&self.selection.include));
        description["exclude"] = json!(globs(&self.selection.exclude));
        description["kinds"] = json!(self.selection.kinds);
        description["layer"] = tables.collect();
        description
    }

    /// The parameters of one layer, by all names of its weight: a flag wins over the file's `[[layer]]` tables, of which the
    /// last that matches one of the names wins.
    pub fn for_layer<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> LayerParameters {
        let mut own = LayerParameters::from(&self.parameters);
        for (_, table) in self
            .tables
            .iter()
            .filter(|(pattern, _)| pattern.matches_any(names.clone()))
        {
            own.tau = self.fixed.tau.or(table.tau).unwrap_or(own.tau);
            own.alpha = self.fixed.alpha.or(table.alpha).unwrap_or(own.alpha);
            own.prob = self.fixed.prob.or(table.prob).unwrap_or(own.prob);
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(toml: &str) -> PartialSettings {
        toml::from_str(toml).unwrap()
    }

    fn for_layer(settings: &Settings, name: &str) -> LayerParameters {
        settings.for_layer(std::iter::once(name))
    }

    fn tau(settings: &Settings, layer: &str) -> String {
        for_layer(settings, layer).tau.to_string()
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_the_defaults() {
        let flags = partial("tau = 0.5\nkinds = [\"conv\"]");
        let file = partial("tau = 0.7\nalpha = 0.6\nkinds = [\"linear\"]\nexclude = [\"fc*\"]");
        let settings = Settings::resolve(flags, file).unwrap();
        assert_eq!(settings.parameters.tau.to_string(), "0.5");
        assert_eq!(settings.parameters.alpha.get(), 0.6);
        assert_eq!(settings.parameters.prob, Parameters::default().prob);
        assert!(settings.selection.kinds.iter().eq(&[Kind::Conv]));
        assert_eq!(settings.selection.exclude, ["fc*"]);
    }

    #[test]
    fn the_last_table_that_matches_wins_for_what_it_sets() {
        let file = partial(
            "tau = 0.7\n[[layer]]\nmatch = \"layer4*\"\ntau = \"5%\"\nprob = 1\n[[layer]]\nmatch = \"layer4.1*\"\ntau = 0.2",
        );
        let settings = Settings::resolve(PartialSettings::default(), file).unwrap();
        assert_eq!(tau(&settings, "layer3.0"), "0.7");
        assert_eq!(tau(&settings, "layer4.0"), "5%");
        assert_eq!(tau(&settings, "layer4.1"), "0.2");
        assert_eq!(for_layer(&settings, "layer4.1").prob.get(), 1.0);
        // One name of several is enough.
        let names = ["layer3.0", "ema.layer4.0", "layer4.0"];
        let tau = settings.for_layer(names.into_iter()).tau.to_string();
        assert_eq!(tau, "5%");
    }

    #[test]
    fn a_flag_wins_over_a_layer_table_too() {
        let file = partial("[[layer]]\nmatch = \"*\"\ntau = 0.1\nalpha = 0.5");
        let settings = Settings::resolve(partial("tau = 0.9"), file).unwrap();
        assert_eq!(tau(&settings, "a"), "0.9");
        assert_eq!(for_layer(&settings, "a").alpha.get(), 0.5);
    }

    #[test]
    fn descriptions_differ_where_settings_do() {
        let file = "[[layer]]\nmatch = \"a*\"\ntau = 0.1";
        let describe = |flags: &str, file: &str| {
            let settings = Settings::resolve(partial(flags), partial(file)).unwrap();
            settings.description()
        };
        let base = describe("include = [\"a\", \"b\"]", file);
        assert_eq!(base["tau"], 0.3);
        assert_eq!(base["layer"][0]["tau"], 0.1);
        assert_eq!(base, describe("include = [\"b\", \"a\"]\nseed = 0", file));
        for other in [
            "",
            "include = [\"a\"]",
            "include = [\"a\", \"b\"]\nseed = 1",
        ] {
            assert_ne!(base, describe(other, file), "{other}");
        }
        assert_ne!(base, describe("include = [\"a\", \"b\"]", ""));
        // A flag that wins over all tables makes them say the same.
        let other = file.replace("0.1", "0.2");
        assert_eq!(describe("tau = 0.5", file), describe("tau = 0.5", &other));
    }

    #[test]
    fn what_is_no_text_is_named_by_its_line() {
        // As a German Windows saves it.
        let refused = PartialSettings::parse(b"tau = 0.5\n# f\xfcr alle\n").unwrap_err();
        assert!(matches!(refused, Problem::NotText { line: 2 }), "{refused}");
    }

    #[test]
    fn unknown_keys_and_values_out_of_range_are_refused() {
        for text in [
            "taw = 0.5",
            "tau = 2",
            "prob = \"x\"",
            "rounds = 0",
            "[[layer]]\ntau = 0.5",
            "kinds = [\"convolution\"]",
        ] {
            assert!(toml::from_str::<PartialSettings>(text).is_err(), "{text}");
        }
    }
}
