//! Versions of CUDA and of its libraries.

use std::fmt;

/// The oldest and the newest CUDA whose libraries are supported.
pub(super) const KNOWN: [u32; 2] = [12, 13];

/// A version of CUDA's or of one of its libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// That of CUDA, too.
    pub major: u32,
    pub minor: u32,
    /// The last; `None` for drivers.
    pub patch: Option<u32>,
}

impl Version {
    /// From the driver's number: 12040 is 12.4.
    pub(super) fn of_driver(number: u32) -> Self {
        Self {
            major: number / 1000,
            minor: number % 1000 / 10,
            patch: None,
        }
    }

    /// From cuBLAS's number: 120401 is 12.4.1. Those before 12 had one digit less, so 11.4.1 was 11401.
    pub(super) fn of_cublas(number: u32) -> Self {
        let unit = if number < 100_000 { 1000 } else { 10_000 };
        Self {
            major: number / unit,
            minor: number % unit / 100,
            patch: Some(number % 100),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_off_their_numbers() {
        assert_eq!(Version::of_driver(12_040).to_string(), "12.4");
        assert_eq!(Version::of_driver(13_000).to_string(), "13.0");
        assert_eq!(Version::of_cublas(130_401).to_string(), "13.4.1");
        assert_eq!(Version::of_cublas(120_103).to_string(), "12.1.3");
    }
}
