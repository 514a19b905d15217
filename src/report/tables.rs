//! `layers.csv` and `pairs.csv`.

use csv::Writer;

use crate::analysis::SHARES;
use crate::analysis::rounded;

use super::redundancy::Redundancy;

/// Why rows can always be written.
pub(super) const IN_MEMORY: &str = "memory takes every row, and all rows are as long as the header";

/// One row a layer. Columns are called as the keys of `report.json` below a layer, and what is a list there is its length
/// here.
pub fn layers(report: &Redundancy) -> Vec<u8> {
    let header = [
        "name",
        "depth",
        "kind",
        "groups",
        "shape",
        "dtype",
        "kernels",
        "selected",
        "reason",
        "pairs",
        "max_similarity",
        "nearest_spread.min",
        "nearest_spread.q1",
        "nearest_spread.median",
        "nearest_spread.q3",
        "nearest_spread.max",
        "nearest_spread.mean",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain(SHARES.map(|percent| format!("hints.{percent}.tau")))
    .chain(
        [
            "spectrum.effective_rank",
            "spectrum.stable_rank",
            "spectrum.participation_ratio",
            "spectrum.for_90_percent",
            "spectrum.for_99_percent",
            "health.zero",
            "health.near_dead",
            "health.non_finite",
            "health.duplicates",
            "health.sign_flipped",
            "health.non_finite_numbers",
            "health.subnormal_numbers",
            "merged.tau",
            "merged.kernels",
            "merged.pairs",
        ]
        .map(str::to_owned),
    );
    let rows = report.layers.iter().map(|layer| {
        let (facts, numbers) = (&layer.facts, &layer.numbers);
        let mut row = vec![
            facts.name.clone(),
            cell(facts.depth),
            facts.kind.to_string(),
            facts.groups.to_string(),
            facts
                .shape
                .iter()
                .map(usize::to_string)
                .collect::<Vec<_>>()
                .join("x"),
            facts.dtype.clone(),
            facts.kernels.to_string(),
            facts.reason.is_none().to_string(),
            cell(facts.reason),
            numbers.pairs.to_string(),
            cell(numbers.nearest.greatest()),
        ];
        let spread = numbers.nearest_spread();
        row.extend(
            [
                spread.map(|spread| spread.min),
                spread.map(|spread| spread.q1),
                spread.map(|spread| spread.median),
                spread.map(|spread| spread.q3),
                spread.map(|spread| spread.max),
                spread.map(|spread| spread.mean),
            ]
            .map(cell),
        );
        row.extend(SHARES.map(|percent| {
            let hint = numbers.hints.iter().find(|hint| hint.percent == percent);
            cell(hint.map(|hint| hint.tau))
        }));
        let spectrum = numbers.spectrum.as_ref();
        row.extend([
            cell(spectrum.map(|spectrum| rounded(spectrum.effective_rank))),
            cell(spectrum.map(|spectrum| rounded(spectrum.stable_rank))),
            cell(spectrum.map(|spectrum| rounded(spectrum.participation_ratio))),
            cell(spectrum.map(|spectrum| spectrum.for_90_percent)),
            cell(spectrum.map(|spectrum| spectrum.for_99_percent)),
        ]);
        let health = &numbers.health;
        row.extend([
            health.zero.len().to_string(),
            health.near_dead.len().to_string(),
            health.non_finite.len().to_string(),
            health.duplicates.len().to_string(),
            health.sign_flipped.len().to_string(),
            health.non_finite_numbers.to_string(),
            health.subnormal_numbers.to_string(),
        ]);
        let merges = layer.merges.as_ref();
        row.extend([
            cell(merges.map(|merges| merges.tau)),
            cell(merges.map(|merges| merges.kernels.len())),
            cell(merges.map(|merges| merges.pairs.len())),
        ]);
        row
    });
    table(header, rows)
}

/// One row for each of a layer's closest pairs, the most similar first.
pub fn pairs(report: &Redundancy) -> Vec<u8> {
    let header = [
        "name",
        "depth",
        "rank",
        "kernel_a",
        "kernel_b",
        "similarity",
        "norm_a",
        "norm_b",
        "norm_ratio",
        "merged",
    ]
    .map(str::to_owned);
    let rows = report.layers.iter().flat_map(|layer| {
        layer
            .numbers
            .closest
            .iter()
            .enumerate()
            .map(move |(place, pair)| {
                let merges = layer.merges.as_ref();
                vec![
                    layer.facts.name.clone(),
                    cell(layer.facts.depth),
                    (place + 1).to_string(),
                    pair.kernels[0].to_string(),
                    pair.kernels[1].to_string(),
                    pair.similarity.to_string(),
                    pair.norms[0].to_string(),
                    pair.norms[1].to_string(),
                    pair.norm_ratio().to_string(),
                    cell(merges.map(|merges| merges.join(pair.kernels))),
                ]
            })
    });
    table(header, rows)
}

/// Empty where there is nothing. Numbers read back exactly.
fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn table(
    header: impl IntoIterator<Item = String>,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Vec<u8> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(header).expect(IN_MEMORY);
    for row in rows {
        writer.write_record(row).expect(IN_MEMORY);
    }
    writer.into_inner().expect(IN_MEMORY)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::sample;
    use super::*;

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
            let tau = layer.numbers.hints.iter().find(|hint| hint.percent == 5.0);
            assert_eq!(row["hints.5.tau"].parse().ok(), tau.map(|hint| hint.tau));
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
