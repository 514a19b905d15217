//! `layers.csv` and `pairs.csv`.

use csv::Writer;

use crate::analysis::{Pair, Spectrum, Spread, rounded};

use super::redundancy::{LayerMerges, Redundancy, ReportedLayer};

/// A column: its name, and what it holds of a row.
pub(super) type Column<R> = (&'static str, fn(&R) -> String);

/// One row a layer. Columns are called as the keys of `report.json` below a layer, and what is a list there is its length
/// here.
const LAYERS: &[Column<ReportedLayer>] = &[
    ("name", |layer| layer.facts.name.clone()),
    ("depth", |layer| cell(layer.facts.depth)),
    ("kind", |layer| layer.facts.kind.to_string()),
    ("groups", |layer| layer.facts.groups.to_string()),
    ("shape", shape),
    ("dtype", |layer| layer.facts.dtype.to_string()),
    ("kernels", |layer| layer.facts.kernels.to_string()),
    ("selected", |layer| layer.facts.reason.is_none().to_string()),
    ("reason", |layer| cell(layer.facts.reason)),
    ("pairs", |layer| layer.numbers.pairs.to_string()),
    ("max_similarity", |layer| {
        cell(layer.numbers.nearest.greatest())
    }),
    ("nearest_spread.min", |layer| nearest(layer, |s| s.min)),
    ("nearest_spread.q1", |layer| nearest(layer, |s| s.q1)),
    ("nearest_spread.median", |layer| {
        nearest(layer, |s| s.median)
    }),
    ("nearest_spread.q3", |layer| nearest(layer, |s| s.q3)),
    ("nearest_spread.p95", |layer| nearest(layer, |s| s.p95)),
    ("nearest_spread.max", |layer| nearest(layer, |s| s.max)),
    ("nearest_spread.mean", |layer| nearest(layer, |s| s.mean)),
    ("by_chance.dimension", |layer| {
        layer.numbers.by_chance.dimension.to_string()
    }),
    ("by_chance.effective_dimension", |layer| {
        cell(layer.numbers.by_chance.effective_dimension)
    }),
    ("by_chance.tau", |layer| {
        layer.numbers.by_chance.tau.to_string()
    }),
    ("by_chance.kernels", |layer| {
        layer.numbers.by_chance.kernels.to_string()
    }),
    ("by_chance.excess", |layer| {
        rounded(layer.numbers.by_chance.excess).to_string()
    }),
    ("hints.1.tau", |layer| tau_for(layer, 1.0)),
    ("hints.5.tau", |layer| tau_for(layer, 5.0)),
    ("hints.10.tau", |layer| tau_for(layer, 10.0)),
    ("hints.20.tau", |layer| tau_for(layer, 20.0)),
    ("hints.50.tau", |layer| tau_for(layer, 50.0)),
    ("spectrum.effective_rank", |layer| {
        spectrum(layer, |s| rounded(s.effective_rank))
    }),
    ("spectrum.stable_rank", |layer| {
        spectrum(layer, |s| rounded(s.stable_rank))
    }),
    ("spectrum.participation_ratio", |layer| {
        spectrum(layer, |s| rounded(s.participation_ratio))
    }),
    ("spectrum.for_90_percent", |layer| {
        spectrum(layer, |s| s.for_90_percent)
    }),
    ("spectrum.for_99_percent", |layer| {
        spectrum(layer, |s| s.for_99_percent)
    }),
    ("health.zero", |layer| length(&layer.numbers.health.zero)),
    ("health.near_dead", |layer| {
        length(&layer.numbers.health.near_dead)
    }),
    ("health.non_finite", |layer| {
        length(&layer.numbers.health.non_finite)
    }),
    ("health.duplicates", |layer| {
        length(&layer.numbers.health.duplicates)
    }),
    ("health.sign_flipped", |layer| {
        length(&layer.numbers.health.sign_flipped)
    }),
    ("health.near_duplicates", |layer| {
        length(&layer.numbers.health.near_duplicates)
    }),
    ("health.non_finite_numbers", |layer| {
        layer.numbers.health.non_finite_numbers.to_string()
    }),
    ("health.subnormal_numbers", |layer| {
        layer.numbers.health.subnormal_numbers.to_string()
    }),
    ("merged.tau", |layer| merged(layer, |merges| merges.tau)),
    ("merged.kernels", |layer| {
        merged(layer, |merges| merges.kernels.len())
    }),
    ("merged.pairs", |layer| {
        merged(layer, |merges| merges.pairs.len())
    }),
];

/// One row for each of a layer's closest pairs, with its rank from 1.
type RankedPair<'a> = (&'a ReportedLayer, usize, &'a Pair);

fn pair_columns<'a>() -> [Column<RankedPair<'a>>; 10] {
    [
        ("name", |(layer, ..)| layer.facts.name.clone()),
        ("depth", |(layer, ..)| cell(layer.facts.depth)),
        ("rank", |(_, rank, _)| rank.to_string()),
        ("kernel_a", |(.., pair)| pair.kernels[0].to_string()),
        ("kernel_b", |(.., pair)| pair.kernels[1].to_string()),
        ("similarity", |(.., pair)| pair.similarity.to_string()),
        ("norm_a", |(.., pair)| pair.norms[0].to_string()),
        ("norm_b", |(.., pair)| pair.norms[1].to_string()),
        ("norm_ratio", |(.., pair)| pair.norm_ratio().to_string()),
        ("merged", |(layer, _, pair)| {
            merged(layer, |merges| merges.join(pair.kernels))
        }),
    ]
}

fn shape(layer: &ReportedLayer) -> String {
    let extents: Vec<String> = layer.facts.shape.iter().map(usize::to_string).collect();
    extents.join("x")
}

fn nearest(layer: &ReportedLayer, part: fn(Spread) -> f64) -> String {
    cell(layer.numbers.nearest_spread().map(part))
}

fn tau_for(layer: &ReportedLayer, percent: f64) -> String {
    let hints = &layer.numbers.hints;
    let hint = hints.iter().find(|hint| hint.percent == percent);
    cell(hint.map(|hint| hint.tau))
}

fn spectrum<T: ToString>(layer: &ReportedLayer, part: fn(&Spectrum) -> T) -> String {
    cell(layer.numbers.spectrum.as_ref().map(part))
}

fn merged<T: ToString>(layer: &ReportedLayer, part: impl Fn(&LayerMerges) -> T) -> String {
    cell(layer.merges.as_ref().map(part))
}

fn length<T>(items: &[T]) -> String {
    items.len().to_string()
}

/// Empty where there is nothing. Numbers read back exactly.
pub(super) fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// `layers.csv`: one row a layer.
pub fn layers(report: &Redundancy) -> Vec<u8> {
    csv(LAYERS, &report.layers)
}

/// `pairs.csv`: one row for each of a layer's closest pairs, the most similar first.
pub fn pairs(report: &Redundancy) -> Vec<u8> {
    let rows = report.layers.iter().flat_map(|layer| {
        let pairs = (1..).zip(&layer.numbers.closest);
        pairs.map(move |(rank, pair)| (layer, rank, pair))
    });
    csv(&pair_columns(), &rows.collect::<Vec<_>>())
}

/// A table as CSV, its columns' names first.
pub(super) fn csv<R>(columns: &[Column<R>], rows: &[R]) -> Vec<u8> {
    const IN_MEMORY: &str = "memory takes every row, and all rows are as long as the header";
    let mut writer = Writer::from_writer(Vec::new());
    let header = columns.iter().map(|(name, _)| name);
    writer.write_record(header).expect(IN_MEMORY);
    for row in rows {
        let cells = columns.iter().map(|(_, cell)| cell(row));
        writer.write_record(cells).expect(IN_MEMORY);
    }
    writer.into_inner().expect(IN_MEMORY)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::sample;
    use super::*;
    use crate::analysis::SHARES;

    fn rows(csv: &[u8]) -> Vec<BTreeMap<String, String>> {
        csv::Reader::from_reader(csv)
            .into_deserialize()
            .collect::<Result<_, _>>()
            .unwrap()
    }

    fn columns(csv: &[u8]) -> BTreeSet<String> {
        let mut reader = csv::Reader::from_reader(csv);
        let header = reader.headers().unwrap();
        header.iter().map(str::to_owned).collect()
    }

    #[test]
    fn every_column_is_documented_and_no_other() {
        let report = sample::full();
        assert_eq!(columns(&layers(&report)), sample::documented("layers.csv"));
        assert_eq!(columns(&pairs(&report)), sample::documented("pairs.csv"));
    }

    #[test]
    fn layers_read_back() {
        let report = sample::full();
        let rows = rows(&layers(&report));
        assert_eq!(rows.len(), report.layers.len());
        for (row, layer) in rows.iter().zip(&report.layers) {
            assert_eq!(row["name"], layer.facts.name);
            assert_eq!(
                row["health.zero"].parse(),
                Ok(layer.numbers.health.zero.len())
            );
            let greatest = layer.numbers.nearest.greatest();
            assert_eq!(row["max_similarity"].parse().ok(), greatest);
            for percent in SHARES {
                let hints = &layer.numbers.hints;
                let hint = hints.iter().find(|hint| hint.percent == percent);
                let tau = row[&format!("hints.{percent}.tau")].parse().ok();
                assert_eq!(tau, hint.map(|hint| hint.tau));
            }
        }
        assert_eq!(rows[0]["selected"], "false");
        assert_eq!(rows[0]["reason"], "shallow");
        assert_eq!(rows[0]["merged.tau"], "");
        assert_eq!(rows[1]["selected"], "true");
        assert_eq!(rows[1]["reason"], "");
    }

    #[test]
    fn pairs_read_back() {
        let report = sample::full();
        let rows = rows(&pairs(&report));
        let expected: Vec<_> = report
            .layers
            .iter()
            .flat_map(|layer| layer.numbers.closest.iter().map(move |pair| (layer, pair)))
            .collect();
        assert_eq!(rows.len(), expected.len());
        for (row, (layer, pair)) in rows.iter().zip(expected) {
            assert_eq!(row["name"], layer.facts.name);
            assert_eq!(row["similarity"].parse(), Ok(pair.similarity));
            assert_eq!(row["kernel_b"].parse(), Ok(pair.kernels[1]));
            let merged = layer.merges.as_ref().map(|m| m.join(pair.kernels));
            assert_eq!(row["merged"].parse().ok(), merged);
        }
    }
}
