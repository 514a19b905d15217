//! Numbers that are the same on every machine.

/// Rounded to 12 significant digits. LAPACK's results differ in the last digits between machines; these do not, but for
/// the rare value that lies where the rounding turns.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.11e}")
        .parse()
        .expect("what was formatted as a number is one")
}
