//! Plain tables and numbers.

use super::printable;
use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::HumanCount;

/// What is in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
    /// Names, which lose their middle where the table would be too wide.
    Name,
}

/// The width of a table where no terminal says another.
pub const COLUMNS: usize = 80;

/// Fewest characters that are kept of a name.
const SHORTEST_NAME: usize = 12;

/// Rows under a header, in columns two spaces apart, without frames: easy to read, grep and cut. Names are shortened so that the
/// table is no wider than so many characters, if it can be.
pub(super) fn table(
    columns: &[(&str, Align)],
    rows: impl IntoIterator<Item = Vec<String>>,
    width: usize,
) -> String {
    // A line end would break the row.
    let on_a_line = |text: String| printable(&text).replace('\n', "\\n");
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| row.into_iter().map(on_a_line).collect())
        .collect();
    let widths = columns.iter().enumerate().map(|(column, (header, _))| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(header.chars().count())
    });
    let is_name = |(_, (_, align)): &(usize, &(&str, Align))| *align == Align::Name;
    let others = widths
        .zip(columns)
        .filter(|(_, (_, align))| *align != Align::Name);
    // A space before the first column, and two between columns.
    let spaces = 2 * columns.len() - 1;
    let taken = others.map(|(width, _)| width).sum::<usize>() + spaces;
    let names = columns.iter().enumerate().filter(is_name).count();
    let room = (width.saturating_sub(taken) / names.max(1)).max(SHORTEST_NAME);
    let cell = |text: String, align: Align| match align {
        Align::Left => Cell::new(text).set_alignment(CellAlignment::Left),
        Align::Right => Cell::new(text).set_alignment(CellAlignment::Right),
        Align::Name => Cell::new(elided(&text, room)),
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

/// A name of at most so many characters: where it is longer, without the `.weight` in which all names of layers end, and then
/// without its middle. What stands behind it in brackets is kept.
pub(super) fn elided(name: &str, most: usize) -> String {
    if let Some((name, copies)) = name.rsplit_once(" (").filter(|_| name.ends_with(')')) {
        let copies = format!(" ({copies}");
        let room = most
            .saturating_sub(copies.chars().count())
            .max(SHORTEST_NAME / 2);
        return elided(name, room) + &copies;
    }
    let is_longer = |name: &str| name.chars().count() > most;
    let text = match name.strip_suffix(".weight") {
        Some(short) if is_longer(name) => short,
        _ => name,
    };
    if !is_longer(text) {
        return text.to_owned();
    }
    let characters: Vec<char> = text.chars().collect();
    // Names differ in their numbers, most of which are in the second half.
    let head = (most - 1) / 3;
    let tail = characters.len() - (most - 1 - head);
    let kept = characters[..head]
        .iter()
        .chain(&['\u{2026}'])
        .chain(&characters[tail..]);
    kept.collect()
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
        more => format!("{name} (+{})", count(more as u64)),
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
        assert_eq!(name_with_copies("a", &["b".to_owned()]), "a (+1)");
        let copies = vec![String::new(); 1200];
        assert_eq!(name_with_copies("a", &copies), "a (+1,200)");
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
            COLUMNS,
        );
        assert_eq!(text, " name    n\n a       1\n bcdef  20\n");
    }

    #[test]
    fn long_names_lose_their_middle_and_pad_no_other_row() {
        let rows = || {
            let long = format!("layer4.{}.conv2.weight", "x".repeat(8000));
            [("a.weight", "1"), (long.as_str(), "20")]
                .map(|(name, n)| vec![name.to_owned(), n.to_owned()])
        };
        let columns = [("name", Align::Name), ("n", Align::Right)];
        for (width, widest) in [(80, 80), (40, 40), (10, 17)] {
            let text = table(&columns, rows(), width);
            let lines: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
            assert_eq!(lines, [widest; 3]);
            assert!(
                text.contains("lay") && text.contains("\u{2026}") && text.contains("conv2  20")
            );
        }
        assert!(table(&columns, rows(), 10_000).contains(&"x".repeat(8000)));
    }
}
