//! `report.json`: all numbers of an analysis, with documented keys (`reports/README.md`).

use super::redundancy::Redundancy;

/// The report as JSON.
pub fn json(_report: &Redundancy, _overviews: &[&str]) -> Vec<u8> {
    todo!()
}
