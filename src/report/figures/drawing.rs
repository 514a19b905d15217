//! Drawings whose colours are filled in when they are written: a page has its own, which follow its dark mode.

use plotters::style::RGBColor;

/// SVG elements with gaps for their colours.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Drawing {
    /// Text, and the colour that follows it.
    painted: Vec<(String, RGBColor)>,
    /// The text after the last colour.
    rest: String,
}

impl Drawing {
    /// Adds text as it is.
    pub fn push(&mut self, text: &str) {
        self.rest.push_str(text);
    }

    pub fn push_colour(&mut self, colour: RGBColor) {
        self.painted.push((std::mem::take(&mut self.rest), colour));
    }

    /// The elements, with colours as `write` has them.
    pub fn written(&self, write: impl Fn(RGBColor) -> String) -> String {
        let mut svg = String::new();
        for (text, colour) in &self.painted {
            svg.push_str(text);
            svg.push_str(&write(*colour));
        }
        svg + &self.rest
    }
}

/// Text in XML: what it does not allow at all is replaced.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let text = escaped("a \"b\"\u{1b} & <c>");
        assert_eq!(text, "a &quot;b&quot;\u{fffd} &amp; &lt;c&gt;");
    }
}
