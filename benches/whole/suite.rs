//! Every contender on every checkpoint.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::checkpoints::{self, Checkpoint};
use crate::compare::{Agreement, agreement, same_bytes};
use crate::contenders::{Contender, Expected, IN_FLOAT32, OURS, RANDOM, SYNCED, Workshop};
use crate::measure;
use crate::table::{Times, mebibytes, seconds, table};

/// What the runs of one contender on one checkpoint took.
struct Measured {
    times: Times,
    /// The most memory of all runs.
    peak_bytes: u64,
    /// The most memory that no file backs.
    anonymous_bytes: Option<u64>,
    /// How the output compares with another's, where they may differ.
    agreement: Option<Agreement>,
}

struct Suite<'a> {
    workshop: &'a Workshop,
    checkpoints: Vec<Checkpoint>,
    /// By the checkpoint's name and the contender.
    results: BTreeMap<(String, Contender), Measured>,
}

/// Checks all outputs, then times all contenders in turn, `rounds` times; the tables.
pub fn run(workshop: &Workshop, rounds: u32, only: &[String]) -> Result<String> {
    let wanted = |name: &&str| only.is_empty() || only.iter().any(|only| name.starts_with(&**only));
    let mut suite = Suite {
        workshop,
        checkpoints: checkpoints::ALL
            .into_iter()
            .filter(wanted)
            .filter_map(Checkpoint::named)
            .collect(),
        results: BTreeMap::new(),
    };
    if suite.checkpoints.is_empty() {
        return Err(format!("--only takes names of {}", checkpoints::ALL.join(", ")).into());
    }
    suite.warm_up()?;
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        suite.time_everyone()?;
    }
    Ok(suite.tables() + &starts(workshop, rounds)?)
}

impl Suite<'_> {
    /// Runs everyone untimed: to warm caches up, to watch memory, and to check outputs.
    fn warm_up(&mut self) -> Result<()> {
        for checkpoint in &self.checkpoints {
            self.workshop.prepare(checkpoint)?;
            eprintln!("checking {}", checkpoint.name);
            let mut references = Vec::new();
            for contender in Contender::ALL {
                if !contender.reads(checkpoint.dtype) || !self.workshop.installed(contender) {
                    continue;
                }
                let output = self.checked_output(contender);
                let mut command = self.workshop.command(contender, checkpoint, &output)?;
                let anonymous_bytes = measure::watched(&mut command)?;
                let agreement = self
                    .check(contender, checkpoint)
                    .map_err(|e| format!("{} on {}: {e}", contender.label(), checkpoint.name))?;
                match contender.expected() {
                    Expected::Reference => references.push(output),
                    _ => fs::remove_file(output)?,
                }
                let measured = Measured {
                    times: Times::default(),
                    peak_bytes: 0,
                    anonymous_bytes,
                    agreement,
                };
                let key = (checkpoint.name.clone(), contender);
                self.results.insert(key, measured);
            }
            for output in references {
                fs::remove_file(output)?;
            }
        }
        Ok(())
    }

    /// Where a contender's output lies while outputs are checked.
    fn checked_output(&self, contender: Contender) -> PathBuf {
        self.workshop.scratch(&contender.label())
    }

    /// An error if an output is not what it must be.
    fn check(&self, contender: Contender, checkpoint: &Checkpoint) -> Result<Option<Agreement>> {
        let output = self.checked_output(contender);
        match contender.expected() {
            Expected::Reference => Ok(None),
            Expected::Input => same(&output, &self.workshop.input(checkpoint)),
            Expected::BytesOf(other) => same(&output, &self.checked_output(other)),
            Expected::DecisionsOf(other) => {
                let agreement = agreement(&self.checked_output(other), &output)?;
                match agreement.holds() {
                    true => Ok(Some(agreement)),
                    false => Err(format!("kernels that differ: {agreement}").into()),
                }
            }
        }
    }

    /// Times everyone once.
    fn time_everyone(&mut self) -> Result<()> {
        let output = self.workshop.scratch("output");
        for checkpoint in &self.checkpoints {
            for contender in Contender::ALL {
                let key = (checkpoint.name.clone(), contender);
                let Some(measured) = self.results.get_mut(&key) else {
                    continue;
                };
                let mut command = self.workshop.command(contender, checkpoint, &output)?;
                let run = measure::timed(&mut command)?;
                measured.times.push(run.seconds);
                measured.peak_bytes = measured.peak_bytes.max(run.peak_bytes);
                fs::remove_file(&output)?;
            }
        }
        Ok(())
    }

    fn measured(&self, checkpoint: &str, contender: Contender) -> Option<&Measured> {
        self.results.get(&(checkpoint.to_owned(), contender))
    }

    fn median(&self, checkpoint: &str, contender: Contender) -> Option<f64> {
        Some(self.measured(checkpoint, contender)?.times.median())
    }

    fn tables(&self) -> String {
        let times = self.by_contender(&Contender::ALL, |measured| measured.times.to_string());
        let memory = self.by_contender(&Contender::ALL, |measured| {
            let anonymous = measured.anonymous_bytes.map_or("?".to_owned(), mebibytes);
            format!("{} / {anonymous}", mebibytes(measured.peak_bytes))
        });
        let peers = [Contender::Numpy, Contender::Torch];
        let agreement = self.by_contender(&peers, |measured| {
            let agreement = measured.agreement.as_ref();
            agreement.map_or_else(String::new, Agreement::to_string)
        });
        format!(
            "Seconds from start to exit: median (least–most).\n\n{times}\n\
            Ratios of medians.\n\n{}\n\
            Peak memory, MiB: all / no file behind it (watched every 2 ms).\n\n{memory}\n\
            Kernels whose bytes differ from ours / that were decided otherwise; all threads write the same bytes.\n\n{agreement}\n",
            self.ratios()
        )
    }

    /// A table with a row for each contender and a column for each checkpoint.
    fn by_contender(&self, contenders: &[Contender], cell: impl Fn(&Measured) -> String) -> String {
        let rows = contenders.iter().map(|&contender| {
            let cells = self.checkpoints.iter().map(|checkpoint| {
                match self.measured(&checkpoint.name, contender) {
                    Some(measured) => cell(measured),
                    None if contender.reads(checkpoint.dtype) => "not installed".to_owned(),
                    None => "–".to_owned(),
                }
            });
            [contender.label()].into_iter().chain(cells).collect()
        });
        table(self.header(), rows.collect())
    }

    fn header(&self) -> Vec<String> {
        let names = self
            .checkpoints
            .iter()
            .map(|checkpoint| checkpoint.name.clone());
        [String::new()].into_iter().chain(names).collect()
    }

    fn ratios(&self) -> String {
        let ratio = |name: &str, over: Contender, under: Contender| {
            self.row(name, |checkpoint| {
                let over = self.median(&checkpoint.name, over)?;
                let under = self.median(&checkpoint.name, under)?;
                Some(format!("{:.2}", over / under))
            })
        };
        let rows = vec![
            ratio("ours / floor", OURS, Contender::Floor),
            ratio("ours, screen f32 / floor", IN_FLOAT32, Contender::Floor),
            ratio("numpy / ours", Contender::Numpy, OURS),
            ratio("PyTorch / ours", Contender::Torch, OURS),
            ratio("random / cp", RANDOM, Contender::Copy),
            self.row("half precision / float32", |checkpoint| {
                let (model, _) = checkpoint.name.split_once('-')?;
                let half = self.median(&checkpoint.name, OURS)?;
                Some(format!("{:.2}", half / self.median(model, OURS)?))
            }),
            self.row("waiting for the disk, s", |checkpoint| {
                let synced = self.median(&checkpoint.name, SYNCED)?;
                Some(seconds(synced - self.median(&checkpoint.name, OURS)?))
            }),
        ];
        table(self.header(), rows)
    }

    fn row(&self, name: &str, cell: impl Fn(&Checkpoint) -> Option<String>) -> Vec<String> {
        let cells = self
            .checkpoints
            .iter()
            .map(|checkpoint| cell(checkpoint).unwrap_or_else(|| "–".to_owned()));
        [name.to_owned()].into_iter().chain(cells).collect()
    }
}

/// An error if two files are not the same.
fn same(output: &Path, expected: &Path) -> Result<Option<Agreement>> {
    match same_bytes(output, expected)? {
        true => Ok(None),
        false => Err(format!(
            "{} has other bytes than {}",
            output.display(),
            expected.display()
        )
        .into()),
    }
}

/// What starting Python and importing takes of the peers' times.
fn starts(workshop: &Workshop, rounds: u32) -> Result<String> {
    let mut text = String::new();
    for peer in [Contender::Numpy, Contender::Torch] {
        if workshop.installed(peer) {
            let mut times = Times::default();
            for _ in 0..rounds {
                times.push(measure::timed(&mut workshop.start_only(peer)?)?.seconds);
            }
            let label = peer.label();
            text += &format!("Of the {label}'s time, start and imports take {times} s.\n");
        }
    }
    Ok(text)
}
