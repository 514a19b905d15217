//! Plain tables and numbers.

use super::printable;
use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::HumanCount;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows under a header, in columns two spaces apart, without frames: easy to read, grep and cut.
pub(super) fn table(
    columns: &[(&str, Align)],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> String {
    let cell = |text: String, align: Align| {
        // A line end would break the row.
        Cell::new(printable(&text).replace('\n', "\\n")).set_alignment(match align {
            Align::Left => CellAlignment::Left,
            Align::Right => CellAlignment::Right,
        })
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(
        columns
            .iter()
            .map(|&(name, align)| cell(name.to_owned(), align)),
    );
    for row in rows {
        table.add_row(
            row.into_iter()
                .zip(columns)
                .map(|(text, &(_, align))| cell(text, align)),
        );
    }
    let lines = table.to_string();
    let trimmed: Vec<&str> = lines.lines().map(str::trim_end).collect();
    trimmed.join("\n") + "\n"
}

/// A count with its thousands apart: 1,234,567.
pub(super) fn count(number: u64) -> String {
    HumanCount(number).to_string()
}

/// Something counted: `1 kernel`, `2 kernels`.
pub(super) fn counted(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

/// A number with `digits` significant digits, at least one; very small and large ones with an exponent.
pub(super) fn significant(value: f64, digits: usize) -> String {
    let size = value.abs();
    let after = digits - 1;
    match size {
        _ if !value.is_finite() => "not finite".to_owned(),
        0.0 => "0".to_owned(),
        _ if !(1e-3..1e6).contains(&size) => format!("{value:.after$e}"),
        _ => {
            let before_point = size.log10().floor() as i32;
            let decimals = (after as i32 - before_point).max(0) as usize;
            format!("{value:.decimals$}")
        }
    }
}

/// Bytes in a unit that suits them.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match UNITS.iter().find(|&&(_, size)| number >= size) {
        Some(&(unit, size)) => format!("{:.1} {unit}", number as f64 / size as f64),
        None => format!("{number} bytes"),
    }
}

/// A layer's name, with the number of its weight's other names if it has some.
pub(super) fn name_with_copies(name: &str, copies: &[String]) -> String {
    match copies.len() {
        0 => name.to_owned(),
        1 => format!("{name} (+1 copy)"),
        more => format!("{name} (+{} copies)", count(more as u64)),
    }
}

/// A shape as PyTorch writes it, without spaces.
pub(super) fn shape(extents: &[usize]) -> String {
    let extents: Vec<String> = extents.iter().map(usize::to_string).collect();
    format!("[{}]", extents.join(","))
}

/// A number that may be missing.
pub(super) fn optional<T>(value: Option<T>, write: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(counted(1, "kernel"), "1 kernel");
        assert_eq!(bytes(46_807_480), "46.8 MB");
        assert_eq!(significant(-12.3456, 4), "-12.35");
        assert_eq!(significant(-1e12, 3), "-1.00e12");
        assert_eq!(name_with_copies("a", &[]), "a");
        assert_eq!(name_with_copies("a", &["b".to_owned()]), "a (+1 copy)");
        let copies = vec![String::new(); 1200];
        assert_eq!(name_with_copies("a", &copies), "a (+1,200 copies)");
        assert_eq!(shape(&[64, 3, 7, 7]), "[64,3,7,7]");
    }

    #[test]
    fn columns_line_up() {
        let text = table(
            &[("name", Align::Left), ("n", Align::Right)],
            [
                vec!["a".to_owned(), "1".to_owned()],
                vec!["bcdef".to_owned(), "20".to_owned()],
            ],
        );
        assert_eq!(text, " name    n\n a       1\n bcdef  20\n");
    }
}
