//! Tables in Markdown, and numbers in them.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};

/// A table: the first column names the rows, the others hold numbers.
pub fn table(header: Vec<String>, rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}

/// Times of runs, in seconds.
#[derive(Default)]
pub struct Times {
    sorted: Vec<f64>,
}

impl Times {
    pub fn push(&mut self, seconds: f64) {
        let place = self.sorted.partition_point(|&other| other < seconds);
        self.sorted.insert(place, seconds);
    }

    /// # Panics
    ///
    /// If there are no times.
    pub fn median(&self) -> f64 {
        let times = &self.sorted;
        f64::midpoint(times[(times.len() - 1) / 2], times[times.len() / 2])
    }
}

/// The median, and in brackets the least and the most.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (self.sorted[0], self.sorted[self.sorted.len() - 1]);
        let [median, least, most] = [self.median(), least, most].map(seconds);
        write!(f, "{median} ({least}–{most})")
    }
}

pub fn seconds(seconds: f64) -> String {
    format!("{seconds:.3}")
}

pub fn mebibytes(bytes: u64) -> String {
    format!("{:.0}", bytes as f64 / f64::from(1 << 20))
}
