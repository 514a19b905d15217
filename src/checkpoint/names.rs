//! A list of names for a message.

use std::fmt;

/// Names that a message shows before it abbreviates.
const SHOWN: usize = 5;

/// Names; a message shows the first few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl From<Vec<String>> for Names {
    fn from(names: Vec<String>) -> Self {
        Self(names)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(SHOWN)];
        // A file may name things as it likes: a line feed would forge a line of output.
        let line = shown.join(", ").replace(char::is_control, "\u{fffd}");
        f.write_str(&line)?;
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
