//! Names that resemble one that is not there.

/// How many near names an error lists.
const NEAR: usize = 3;

/// Edit distances are quadratic in the length: longer names are compared by this many bytes from their end, and no
/// more than [`NEAR_SCAN`] names are compared at all.
const NEAR_BYTES: usize = 128;
const NEAR_SCAN: usize = 4096;

/// The names most like `wanted`, nearest first, ties by name; none that share too little with it.
pub(super) fn near<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let tail = |text: &'a str| -> &'a str {
        let mut from = text.len().saturating_sub(NEAR_BYTES);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        &text[from..]
    };
    let wanted: String = wanted.chars().take(NEAR_BYTES).collect();
    let mut scored: Vec<(f64, &str)> = names
        .take(NEAR_SCAN)
        .map(|name| {
            (
                strsim::jaro_winkler(&wanted, tail(name))
                    .max(strsim::normalized_levenshtein(&wanted, tail(name))),
                name,
            )
        })
        .filter(|&(score, _)| score > 0.5)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored
        .into_iter()
        .take(NEAR)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// What an error adds of them.
pub(super) fn hint(near: &[String]) -> String {
    if near.is_empty() {
        return String::new();
    }
    format!(
        " (near: {})",
        near.iter()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ")
    )
}
