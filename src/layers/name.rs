//! A tensor's name, read as a path of modules.

use std::cmp::Ordering;

use super::words::{self, DIMENSIONED, Meaning, Meanings};

/// Deeper paths keep their rest as one segment, which bounds recursion. The deepest of 150 architectures has 14.
pub(super) const MAX_SEGMENTS: usize = 48;

/// One step of a path: `denseblock4`, `conv2_kxk`, `Mixed_5b`, `0`.
///
/// The ordinal (`[4]`, `[2]`, `[5b]`) orders the members of a sequence; the text before it is the stem, which they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub text: String,
    /// Its words in lower case: parts between separators, digits and camelCase humps. `3x3` and `2d` stay words.
    pub words: Vec<String>,
    /// Everything before the first ordinal, in lower case, without trailing separators.
    pub stem: String,
    /// Numbers, each with the letter that directly follows it (`5b`); or one letter alone (`conv_a`).
    pub ordinal: Vec<(u64, char)>,
    /// Meanings of its words.
    meanings: Meanings,
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Number(u64),
    Word(&'a str),
}

impl Segment {
    /// Parses one step of a path.
    pub fn parse(text: &str) -> Self {
        let tokens = tokens(text);
        let mut ordinal: Vec<(u64, char)> = Vec::new();
        let mut stem_end = text.len();
        let mut words = Vec::new();
        let mut meanings = Meanings::default();
        let mut number_end = None;
        for (from, token) in &tokens {
            match token {
                Token::Number(number) => {
                    if ordinal.is_empty() {
                        stem_end = *from;
                    }
                    ordinal.push((*number, '\0'));
                    number_end = Some(from + digits(&text[*from..]));
                }
                Token::Word(word) => {
                    let lower = word.to_lowercase();
                    let mut letters = lower.chars();
                    if let (Some(letter), None) = (letters.next(), letters.next()) {
                        let last = ordinal.last_mut().filter(|_| number_end == Some(*from));
                        if let Some(last) = last {
                            last.1 = letter;
                        } else if ordinal.is_empty() && from + word.len() == text.len() {
                            stem_end = *from;
                            ordinal.push((0, letter));
                        }
                    }
                    meanings = meanings.or(words::meanings(&lower));
                    words.push(lower);
                }
            }
        }
        let stem = text[..stem_end]
            .trim_end_matches(|c: char| !c.is_alphanumeric())
            .to_lowercase();
        Self {
            text: text.to_owned(),
            words,
            stem,
            ordinal,
            meanings,
        }
    }

    /// Whether it is a plain number, as in an `nn.Sequential`.
    pub fn is_number(&self) -> bool {
        !self.text.is_empty() && self.text.bytes().all(|byte| byte.is_ascii_digit())
    }

    pub fn number(&self) -> Option<u64> {
        self.ordinal.first().map(|first| first.0)
    }

    /// Whether one of its words is in the list.
    pub fn has(&self, words: &[&str]) -> bool {
        self.words.iter().any(|word| words.contains(&word.as_str()))
    }

    /// Whether one of its words means this.
    pub fn means(&self, meaning: Meaning) -> bool {
        self.meanings.contain(meaning)
    }

    /// Natural order: by stem, then by number rather than digit by digit, then as written.
    pub fn natural(&self, other: &Self) -> Ordering {
        self.stem
            .cmp(&other.stem)
            .then_with(|| self.ordinal.cmp(&other.ordinal))
            .then_with(|| self.text.cmp(&other.text))
    }
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The length of a kernel size such as `3x3`, `1x7x7` or `kxk` at the start of `text`; 0 if there is none.
fn kernel_size(text: &str) -> usize {
    let extent = |text: &str| match digits(text) {
        0 if text.starts_with(['k', 'K']) => 1,
        count => count,
    };
    let mut length = extent(text);
    let mut factors = usize::from(length > 0);
    while factors > 0 && text[length..].starts_with(['x', 'X']) {
        match extent(&text[length + 1..]) {
            0 => break,
            more => {
                length += 1 + more;
                factors += 1;
            }
        }
    }
    if factors > 1 { length } else { 0 }
}

fn tokens(text: &str) -> Vec<(usize, Token<'_>)> {
    let mut tokens: Vec<(usize, Token<'_>)> = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let before_letter = text[..at]
            .chars()
            .next_back()
            .is_some_and(char::is_alphabetic);
        let kernel = if first.is_ascii_digit() || !before_letter {
            kernel_size(rest)
        } else {
            0
        };
        let length = if kernel > 0 {
            tokens.push((at, Token::Word(&rest[..kernel])));
            kernel
        } else if first.is_ascii_digit() {
            let count = digits(rest);
            let boundary = !rest[count..]
                .chars()
                .nth(1)
                .is_some_and(char::is_alphabetic);
            let dimension = count == 1 && rest[count..].starts_with(['d', 'D']) && boundary;
            let word = tokens.last().is_some_and(|(_, token)| matches!(token, Token::Word(word) if DIMENSIONED.iter().any(|known| word.eq_ignore_ascii_case(known))));
            if dimension && word {
                count + 1
            } else {
                // A number too long for 64 bits sorts last among its kind.
                tokens.push((at, Token::Number(rest[..count].parse().unwrap_or(u64::MAX))));
                count
            }
        } else if first.is_alphabetic() {
            let length = word_length(rest);
            tokens.push((at, Token::Word(&rest[..length])));
            length
        } else {
            first.len_utf8()
        };
        at += length;
    }
    tokens
}

/// Length of the word at the start of `text`: letters up to a camelCase hump (a capital between lower-case letters:
/// `swinViT` is `swin` + `ViT`).
fn word_length(text: &str) -> usize {
    let mut letters = text.char_indices().peekable();
    let mut small_before = false;
    while let Some((at, letter)) = letters.next() {
        if !letter.is_alphabetic() {
            return at;
        }
        if small_before
            && letter.is_uppercase()
            && letters.peek().is_some_and(|(_, next)| next.is_lowercase())
        {
            return at;
        }
        small_before = letter.is_lowercase();
    }
    text.len()
}

/// Splits a module path into at most [`MAX_SEGMENTS`] segments.
pub(super) fn segments(path: &str) -> Vec<&str> {
    path.splitn(MAX_SEGMENTS, '.').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordinal(text: &str) -> (String, Vec<(u64, char)>) {
        let segment = Segment::parse(text);
        (segment.stem, segment.ordinal)
    }

    #[test]
    fn numbers_and_letters_make_an_ordinal() {
        assert_eq!(
            ordinal("denseblock4"),
            ("denseblock".into(), vec![(4, '\0')])
        );
        assert_eq!(
            ordinal("block2-10"),
            ("block".into(), vec![(2, '\0'), (10, '\0')])
        );
        assert_eq!(ordinal("Mixed_5b"), ("mixed".into(), vec![(5, 'b')]));
        assert_eq!(ordinal("conv2b"), ("conv".into(), vec![(2, 'b')]));
        assert_eq!(ordinal("conv_a"), ("conv".into(), vec![(0, 'a')]));
        assert_eq!(ordinal("12"), (String::new(), vec![(12, '\0')]));
        assert_eq!(ordinal("a"), (String::new(), vec![(0, 'a')]));
    }

    #[test]
    fn kernel_sizes_and_dimensions_are_words() {
        assert_eq!(
            ordinal("branch3x3dbl_1"),
            ("branch3x3dbl".into(), vec![(1, '\0')])
        );
        assert_eq!(
            ordinal("branch7x7x3_4"),
            ("branch7x7x3".into(), vec![(4, '\0')])
        );
        assert_eq!(ordinal("Conv2d_1a_3x3"), ("conv2d".into(), vec![(1, 'a')]));
        assert_eq!(ordinal("conv2_kxk"), ("conv".into(), vec![(2, '\0')]));
        assert_eq!(ordinal("expand1x1"), ("expand1x1".into(), vec![]));
    }

    #[test]
    fn humps_are_words() {
        assert_eq!(Segment::parse("AuxLogits").words, ["aux", "logits"]);
        assert_eq!(Segment::parse("swinViT").words, ["swin", "vit"]);
        assert_eq!(Segment::parse("_se_reduce").words, ["se", "reduce"]);
    }

    #[test]
    fn any_text_parses() {
        for text in [
            "",
            ".",
            "é9ß",
            "99999999999999999999999",
            "3x",
            "x3x",
            "kx",
            "2d",
            "conv2d",
        ] {
            Segment::parse(text);
        }
        assert_eq!(segments(&".".repeat(10_000)).len(), MAX_SEGMENTS);
    }
}
