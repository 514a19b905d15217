//! Texts that fit: names shortened, captions wrapped, numbers written.

use crate::report::{printable, table};

use super::font::{SLACK, Weight, width};

/// Width that is kept for a text, in pixels.
pub(super) fn room(text: &str, weight: Weight, size: f64) -> f64 {
    width(text, weight, size) * SLACK
}

/// A name of a file or tensor on one line: what terminals or readers would be misled by is escaped.
pub(super) fn name(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '\n' => out.push_str("\\n"),
            // Marks that turn the direction of what follows.
            '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                out.extend(c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

/// Leaves out as much of a text's middle as it takes to fit it into a width in pixels.
pub(super) fn shortened(text: &str, weight: Weight, size: f64, into: f64) -> String {
    if room(text, weight, size) <= into {
        return text.to_owned();
    }
    let characters: Vec<char> = text.chars().collect();
    let keeping = |kept: usize| {
        let tail = kept / 2;
        let (head, end) = (
            &characters[..kept - tail],
            &characters[characters.len() - tail..],
        );
        head.iter()
            .chain(&['\u{2026}'])
            .chain(end)
            .collect::<String>()
    };
    // The width grows with the number of characters kept, so the greatest that fits is found by bisection.
    let (mut fits, mut exceeds) = (0, characters.len());
    while exceeds - fits > 1 {
        let middle = (fits + exceeds) / 2;
        if room(&keeping(middle), weight, size) <= into {
            fits = middle
        } else {
            exceeds = middle
        }
    }
    keeping(fits)
}

/// Shortens names to a width in pixels: every word keeps the same number of letters, so that names which differ in their
/// numbers still do.
pub(super) fn abbreviated(names: &[String], weight: Weight, size: f64, into: f64) -> Vec<String> {
    const LETTERS: std::ops::RangeInclusive<usize> = 3..=16;
    let fits = |name: &String| room(name, weight, size) <= into;
    if names.iter().all(fits) {
        return names.to_vec();
    }
    let with_letters = |letters: usize| -> Vec<String> {
        let names = names.iter();
        names.map(|name| first_letters(name, letters)).collect()
    };
    let fitting = LETTERS
        .rev()
        .map(with_letters)
        .find(|names| names.iter().all(fits));
    let names = fitting
        .unwrap_or_else(|| with_letters(*LETTERS.start()))
        .into_iter();
    names
        .map(|name| shortened(&name, weight, size, into))
        .collect()
}

/// A text with the first `count` letters of each of its words.
fn first_letters(text: &str, count: usize) -> String {
    let mut run = 0;
    text.chars()
        .filter(|c| {
            run = if c.is_alphabetic() { run + 1 } else { 0 };
            run <= count
        })
        .collect()
}

/// Breaks a text at spaces into lines of a width in pixels.
pub(super) fn wrapped(text: &str, weight: Weight, size: f64, into: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let longer = lines.last().map(|line| format!("{line} {word}"));
        match longer {
            Some(line) if room(&line, weight, size) <= into => {
                *lines.last_mut().expect("a line to lengthen") = line;
            }
            _ => lines.push(shortened(word, weight, size, into)),
        }
    }
    // A separator parts what stands on one line: it neither ends one nor begins one.
    let last = lines.len() - 1;
    for (place, line) in lines.iter_mut().enumerate() {
        let mut kept: &str = line;
        if place < last {
            kept = kept.trim_end_matches(" \u{b7}");
        }
        if place > 0 {
            kept = kept.trim_start_matches("\u{b7} ");
        }
        *line = kept.to_owned();
    }
    lines.retain(|line| line != "\u{b7}");
    lines
}

/// A count, in groups of three digits from five on.
pub(super) fn count(number: u64) -> String {
    if number < 10_000 {
        return number.to_string();
    }
    table::count(number).replace(',', "\u{a0}")
}

/// A number of things: `1 kernel`, `2 kernels`.
pub(super) fn things(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{} {one}s", count(number)),
    }
}

/// Greater numbers are written with an exponent, which bounds the number of digits.
const LARGE: f64 = 1e7;

/// A number with so many decimals and a minus sign; zero has none.
pub(super) fn decimal(number: f64, decimals: usize) -> String {
    let text = if number.abs() < LARGE {
        format!("{number:.decimals$}")
    } else {
        format!("{number:.1e}")
    };
    match text.strip_prefix('-') {
        Some(zero) if zero.bytes().all(|b| matches!(b, b'0' | b'.')) => zero.to_owned(),
        Some(rest) => format!("\u{2212}{rest}"),
        None => text,
    }
}

/// A number with an exponent and enough decimals to tell multiples of a step apart.
pub(super) fn with_exponent(number: f64, step: f64) -> String {
    // A multiple of the step that is far below it is what rounding left of 0.
    if number.abs() < step / 2.0 {
        return "0".to_owned();
    }
    let power = |number: f64| (number.log10() + 1e-9).floor();
    let decimals = (power(number.abs()) - power(step)).max(0.0) as usize;
    minus(&format!("{number:.decimals$e}"))
}

/// With minus signs in place of hyphens.
pub(super) fn minus(number: &str) -> String {
    number.replace('-', "\u{2212}")
}

/// A threshold behind the sign that says whether it is written exactly: `= 0.5`, `≈ 0.5968`.
pub(super) fn equal_to(tau: f64) -> String {
    let text = threshold(tau);
    match text.starts_with('\u{2248}') {
        true => text,
        false => format!("= {text}"),
    }
}

/// A threshold with at most four decimals, and `≈` before it where they do not give it exactly.
pub(super) fn threshold(tau: f64) -> String {
    let rounded = format!("{tau:.4}");
    let exact = rounded.parse() == Ok(tau);
    let short = rounded.trim_end_matches('0').trim_end_matches('.');
    let text = match (exact, short) {
        (true, "-0") => "0",
        (true, short) => short,
        (false, _) => &rounded,
    }
    .replace('-', "\u{2212}");
    if exact {
        text
    } else {
        format!("\u{2248}\u{a0}{text}")
    }
}

/// A power of ten: in full near 1, else with an exponent.
pub(super) fn power_of_ten(exponent: i32) -> String {
    match exponent {
        0..=3 => format!("{}", 10u32.pow(exponent.unsigned_abs())),
        -3..0 => format!(
            "{:.*}",
            exponent.unsigned_abs() as usize,
            10f64.powi(exponent)
        ),
        _ => {
            let digits = exponent.to_string();
            let raised = digits.chars().map(|c| match c {
                '-' => '\u{207b}',
                '1' => '\u{b9}',
                '2' => '\u{b2}',
                '3' => '\u{b3}',
                digit => char::from_u32(u32::from(digit) - u32::from('0') + 0x2070)
                    .expect("a superscript digit"),
            });
            format!("10{}", raised.collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_in_the_middle() {
        let name = format!("backbone.{}.weight", "x".repeat(200));
        let short = shortened(&name, Weight::SemiBold, 14.0, 300.0);
        assert!(room(&short, Weight::SemiBold, 14.0) <= 300.0);
        assert!(room(&short, Weight::SemiBold, 14.0) > 280.0, "{short}");
        assert!(short.starts_with("backbone.x") && short.ends_with("x.weight"));
        assert_eq!(short.matches('\u{2026}').count(), 1);
        assert_eq!(shortened("conv1", Weight::Regular, 12.0, 300.0), "conv1");
        assert_eq!(shortened("conv1", Weight::Regular, 12.0, 0.0), "\u{2026}");
    }

    #[test]
    fn names_are_abbreviated_alike() {
        let names = ["denseblock1.denselayer12.conv2", "transition3.conv"].map(str::to_owned);
        let short = |into| abbreviated(&names, Weight::Regular, 11.0, into);
        assert_eq!(short(1000.0), names);
        assert_eq!(short(140.0), ["dense1.dense12.conv2", "trans3.conv"]);
        for name in short(40.0) {
            assert!(room(&name, Weight::Regular, 11.0) <= 40.0, "{name}");
        }
    }

    #[test]
    fn captions_are_wrapped() {
        let text = "each cell 16 \u{d7} 16 kernels: maximum above the diagonal, mean below";
        let lines = wrapped(text, Weight::Regular, 12.0, 150.0);
        assert!(lines.len() > 2);
        assert_eq!(lines.join(" "), text);
        for line in lines {
            assert!(room(&line, Weight::Regular, 12.0) <= 150.0, "{line}");
        }
    }

    #[test]
    fn separators_neither_end_a_line_nor_begin_one() {
        let text =
            "some words \u{b7} more of them \u{b7} 64\u{a0}\u{d7}\u{a0}3 kernels \u{b7} the end";
        for into in 1..400 {
            let lines = wrapped(text, Weight::Regular, 12.0, f64::from(into));
            for line in &lines {
                let ends = [line.chars().next(), line.chars().next_back()];
                assert!(!ends.contains(&Some('\u{b7}')), "{into}: {lines:?}");
            }
        }
    }

    #[test]
    fn names_mislead_nobody() {
        assert_eq!(name("a\u{1b}b\nc"), "a\\u{1b}b\\nc");
        assert_eq!(name("\u{202e}x\u{e9}"), "\\u{202e}x\u{e9}");
    }

    #[test]
    fn numbers_are_written() {
        assert_eq!(count(9999), "9999");
        assert_eq!(count(1_234_567), "1\u{a0}234\u{a0}567");
        assert_eq!(things(1, "kernel"), "1 kernel");
        assert_eq!(things(10_000, "pair"), "10\u{a0}000 pairs");
        assert_eq!(decimal(-0.5, 2), "\u{2212}0.50");
        assert_eq!(decimal(-0.001, 2), "0.00");
        assert_eq!(decimal(-2.5e300, 2), "\u{2212}2.5e300");
        assert_eq!(with_exponent(-1.25e12, 5e10), "\u{2212}1.25e12");
        assert_eq!(with_exponent(3e-9, 1e-9), "3e\u{2212}9");
        assert_eq!(with_exponent(1e-30, 1e12), "0");
        assert_eq!(threshold(0.5), "0.5");
        assert_eq!(threshold(-1.0), "\u{2212}1");
        assert_eq!(threshold(0.123456), "\u{2248}\u{a0}0.1235");
        assert_eq!(threshold(-0.0), "0");
        assert_eq!(
            [-12, -3, 0, 3, 14].map(power_of_ten),
            [
                "10\u{207b}\u{b9}\u{b2}",
                "0.001",
                "1",
                "1000",
                "10\u{b9}\u{2074}"
            ]
        );
    }
}
