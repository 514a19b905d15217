//! `layers.csv` and `pairs.csv`.

use super::redundancy::Redundancy;

/// One row a layer.
pub fn layers(_report: &Redundancy) -> Vec<u8> {
    todo!()
}

/// One row for each of a layer's closest pairs.
pub fn pairs(_report: &Redundancy) -> Vec<u8> {
    todo!()
}
