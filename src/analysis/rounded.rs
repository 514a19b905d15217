//! Numbers that are the same on every machine.

/// Rounded to 12 significant digits. LAPACK's results differ in the last digits between machines; these do not, but for
/// the rare value that lies where the rounding turns.
pub(crate) fn rounded(value: f64) -> f64 {
    to_digits(value, 12)
}

/// Rounded to so many significant digits.
pub(crate) fn to_digits(value: f64, digits: usize) -> f64 {
    format!("{value:.0$e}", digits - 1)
        .parse()
        .expect("what was formatted as a number is one")
}
