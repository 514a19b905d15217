//! The names of checkpoints, and their order.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::checkpoint::{has_ending, is_weights};

/// The extensions of checkpoints. `.bin` is none: Hugging Face's trainer gives it to what is no weight as well.
const ENDINGS: [&str; 4] = ["safetensors", "ckpt", "pt", "pth"];

/// Prefixes of unfinished files: hidden ones (rsync's and this program's own), those of Python's `tempfile`, and those of
/// trainers that rename a file once it is complete.
const UNFINISHED_BEGINNINGS: [&str; 4] = [".", "tmp", "_tmp", "~"];

/// What the names of unfinished files end in, or have before their extension.
const UNFINISHED_ENDINGS: [&str; 6] = [
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".incomplete",
    ".crdownload",
];

/// Whether this is the name of a checkpoint that is a file: it ends in `.safetensors`, `.ckpt`, `.pt` or `.pth`, or is one that
/// Hugging Face's libraries give to weights.
pub fn is_checkpoint(name: &OsStr) -> bool {
    let is_index = has_ending(name.as_ref(), &["json"]);
    has_ending(name.as_ref(), &ENDINGS) || is_weights(name) && !is_index
}

/// Whether this is the name of a file or folder that is not finished, by how it begins or how it ends before its ending.
pub fn is_unfinished(name: &OsStr) -> bool {
    let name = name.as_bytes();
    let ends_so = |text: &[u8]| {
        let mut endings = UNFINISHED_ENDINGS.iter();
        endings.any(|end| text.ends_with(end.as_bytes()))
    };
    let mut beginnings = UNFINISHED_BEGINNINGS.iter();
    let dot = name.iter().rposition(|&byte| byte == b'.');
    beginnings.any(|start| name.starts_with(start.as_bytes()))
        || ends_so(name)
        || dot.is_some_and(|dot| ends_so(&name[..dot]))
}

/// Natural order, which compares digits as numbers, so that epoch 10 comes after epoch 9.
pub fn natural(a: &OsStr, b: &OsStr) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    while let (Some(first), Some(second)) = (left.first(), right.first()) {
        let order = if first.is_ascii_digit() && second.is_ascii_digit() {
            let (one, other) = (take_number(&mut left), take_number(&mut right));
            // Without leading zeros a longer number is a greater one.
            one.len().cmp(&other.len()).then_with(|| one.cmp(other))
        } else {
            left = &left[1..];
            right = &right[1..];
            first.cmp(second)
        };
        if order.is_ne() {
            return order;
        }
    }
    // If only leading zeros differ, any order will do that is always the same.
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// Removes the digits from the start of a text, and returns them without leading zeros.
fn take_number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    let (number, rest) = text.split_at(digits.count());
    *text = rest;
    let zeros = number.iter().take_while(|&&byte| byte == b'0').count();
    &number[zeros..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_and_unfinished_files_are_told_by_their_names() {
        let is_taken = |name: &str| is_checkpoint(name.as_ref()) && !is_unfinished(name.as_ref());
        for name in [
            "epoch1.safetensors",
            "model.ema.safetensors",
            "partial.safetensors",
            "my_tmp.safetensors",
            "epoch=3-step=120.ckpt",
            "checkpoint_final.pth",
            "last.pt",
            "pytorch_model.bin",
        ] {
            assert!(is_taken(name), "{name}");
        }
        for name in [
            ".safetensors",
            ".epoch1.safetensors",
            "tmpq8_x1.safetensors",
            "_tmp_epoch1.safetensors",
            "~epoch1.safetensors",
            "epoch1.tmp.safetensors",
            "epoch1.incomplete.safetensors",
            "epoch1.safetensors.tmp",
            "epoch1.safetensors.part",
            "epoch1.safetensors~",
            "epoch1.SAFETENSORS.gz",
            "epoch1.tmp.ckpt",
            "epoch1.ckpt.tmp",
            "training_args.bin",
            "model.safetensors.index.json",
            "safetensors",
        ] {
            assert!(!is_taken(name), "{name}");
        }
        for (folder, unfinished) in [
            ("checkpoint-500", false),
            ("tmp-checkpoint-500", true),
            ("checkpoint-500.tmp", true),
            (".checkpoint-500", true),
        ] {
            assert_eq!(is_unfinished(folder.as_ref()), unfinished, "{folder}");
        }
    }

    #[test]
    fn numbers_are_ordered_by_their_value() {
        let ordered = [
            "a",
            "epoch",
            "epoch1",
            "epoch1-2",
            "epoch1-10",
            "epoch2",
            "epoch09",
            "epoch10",
            "epoch010b",
            "epoch100",
            "epochs",
        ];
        let mut names = ordered;
        names.reverse();
        names.sort_by(|a, b| natural(a.as_ref(), b.as_ref()));
        assert_eq!(names, ordered);
        let [one, padded] = ["e1", "e01"].map(OsStr::new);
        assert_eq!(natural(one, padded), natural(padded, one).reverse());
        assert_ne!(natural(one, padded), Ordering::Equal);
    }
}
