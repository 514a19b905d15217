//! Names from files, made safe to print.

use std::borrow::Cow;

/// The text with control characters other than line ends escaped, and those that turn its direction: a tensor's name may
/// hold any, and a terminal obeys them.
pub fn printable(text: &str) -> Cow<'_, str> {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let obeyed = |c: char| (c.is_control() && c != '\n') || turns(c);
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| {
        if obeyed(c) {
            c.escape_default().collect()
        } else {
            String::from(c)
        }
    };
    Cow::Owned(text.chars().map(escape).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_not_told_what_to_do() {
        assert_eq!(printable("K\u{fc}rzel\n"), "K\u{fc}rzel\n");
        assert_eq!(printable("a\u{1b}[31mred"), "a\\u{1b}[31mred");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
    }
}
