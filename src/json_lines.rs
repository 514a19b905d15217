//! Files to which runs append, a line of JSON at a time, and which a kill may leave with half a line.

/// The part of such a file that counts: up to the end of its last line. What follows is being written, or was when its
/// writer was killed, and may end inside a character.
pub(crate) fn complete(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| byte == b'\n');
    &text[..end.map_or(0, |end| end + 1)]
}

/// The complete lines with their numbers, from 1. Blank ones, as editors leave them, say nothing.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = complete(text).split(|&byte| byte == b'\n');
    let numbered = lines.enumerate().map(|(place, line)| (place + 1, line));
    numbered.filter(|(_, line)| !line.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_lines_count_and_blank_ones_are_counted_but_left_out() {
        let found = |text: &'static [u8]| lines(text).collect::<Vec<_>>();
        assert!(found(b"").is_empty() && found(b"torn").is_empty() && found(b"\n").is_empty());
        let expected: [(usize, &[u8]); 2] = [(1, b"a"), (4, b"b\xff")];
        assert_eq!(found(b"a\n\n \r\nb\xff\ntorn \xc3"), expected);
        assert_eq!(complete(b"a\nb\n\xc3"), b"a\nb\n");
    }
}
