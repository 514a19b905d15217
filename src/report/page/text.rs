//! Names and numbers as the page writes them.

use std::fmt::Write;

use maud::{Markup, html};

use crate::report::{printable, table};

/// Replaces a leading hyphen by a minus sign.
pub fn with_minus(text: String) -> String {
    match text.strip_prefix('-') {
        Some(digits) => format!("\u{2212}{digits}"),
        None => text,
    }
}

/// A number with so many decimals.
pub fn decimals(value: f64, decimals: usize) -> String {
    with_minus(format!("{value:.decimals$}"))
}

/// A number of any size with four significant digits.
pub fn significant(value: f64) -> String {
    with_minus(table::significant(value, 4))
}

/// A part of a whole in percent, without its sign.
pub fn percent(part: f64, whole: f64) -> String {
    if whole > 0.0 {
        format!("{:.1}", 100.0 * part / whole)
    } else {
        "0.0".to_owned()
    }
}

/// A name isolated from the text direction around it, which may break behind its dots.
pub fn name(name: &str) -> Markup {
    let name = printable(name);
    html! {
        bdi { @for (place, part) in name.split('.').enumerate() { @if place > 0 { "." wbr; } (part) } }
    }
}

/// The id of a layer's section: its name, with what could not stand in a link escaped. No two names have the same.
pub fn anchor(name: &str) -> String {
    let mut id = "layer-".to_owned();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => id.push(byte.into()),
            _ => write!(id, "~{byte:02x}").expect("a string takes all"),
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(decimals(-0.12345, 4), "\u{2212}0.1235");
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1.000"),
            (-12.3456, "\u{2212}12.35"),
            (123_456.7, "123457"),
            (0.012345, "0.01235"),
            (1.5e-9, "1.500e-9"),
            (f64::NAN, "not finite"),
        ] {
            assert_eq!(significant(value), text);
        }
        assert_eq!(percent(1.0, 8.0), "12.5");
        assert_eq!(percent(0.0, 0.0), "0.0");
    }

    #[test]
    fn anchors_tell_names_apart() {
        assert_eq!(anchor("layer1.0.conv.weight"), "layer-layer1.0.conv.weight");
        assert_eq!(anchor("a b"), "layer-a~20b");
        assert_eq!(anchor("a~20b"), "layer-a~7e20b");
    }

    #[test]
    fn names_break_behind_dots() {
        assert_eq!(name("a.<b").into_string(), "<bdi>a.<wbr>&lt;b</bdi>");
    }
}
