//! The warning that a share of the kernels is fewer than two in some layers, in which nothing can merge then.

use crate::plan::{Percent, Task, Threshold};

use super::some_of;

/// The fewest kernels of a layer that can have a partner: the most similar two, each of which is the other's.
const PAIR: usize = 2;

/// The greatest share, in percent, that is suggested for all layers: with more much would merge in those that are wide.
const SUGGESTED: f64 = 20.0;

/// What the user should know of layers that are too narrow for their share, which is rounded down.
pub(super) fn warning(tasks: &[Task<'_>]) -> Option<String> {
    let narrow: Vec<(&str, usize, Percent)> = tasks
        .iter()
        .filter_map(|task| {
            let kernels = task.weight.layout().kernels();
            match task.parameters.tau {
                Threshold::Share(share) if is_below_a_pair(share, kernels) => {
                    Some((&task.weight.tensor().name[..], kernels, share))
                }
                // Where no kernel shall merge, none is missed.
                Threshold::Share(_) | Threshold::Similarity(_) | Threshold::Chance(_) => None,
            }
        })
        .collect();
    let &(name, kernels, share) = narrow.iter().min_by_key(|(_, kernels, _)| kernels)?;
    Some(format!(
        "In {}, tau is a share of fewer than two kernels: {share}% of the {kernels} of `{name}` is {}, rounded down, and similar kernels come \
         in pairs; nothing merges there. {}",
        some_of(narrow.len(), tasks.len()),
        share.of(kernels),
        remedy(kernels),
    ))
}

/// What reaches layers of so many kernels.
fn remedy(kernels: usize) -> String {
    let least = least_share(kernels);
    let table = "a [[layer]] table of --config with a larger tau";
    if least <= SUGGESTED {
        format!("--tau {least}% reaches all layers, {table} only those that it matches")
    } else {
        format!("{table} reaches those that it matches")
    }
}

/// Whether this share, if it is any, of so many kernels is less than a pair, where there is one.
fn is_below_a_pair(share: Percent, kernels: usize) -> bool {
    share.get() > 0.0 && kernels >= PAIR && share.of(kernels) < PAIR
}

/// The smallest percentage of two decimals of which so many kernels have a pair.
fn least_share(kernels: usize) -> f64 {
    (PAIR * 10_000).div_ceil(kernels) as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_share_that_is_named_reaches_a_pair_and_none_below_does(kernels in PAIR..5000) {
            let share = |percent: f64| Percent::try_from(percent).unwrap();
            let least = least_share(kernels);
            prop_assert!(!is_below_a_pair(share(least), kernels));
            // As a user types the one below.
            let below: Percent = format!("{:.2}", least - 0.01).parse().unwrap();
            prop_assert_eq!(is_below_a_pair(below, kernels), below.get() > 0.0);
        }
    }

    #[test]
    fn no_share_is_suggested_that_merges_much_elsewhere() {
        assert!(remedy(10).starts_with("--tau 20% reaches all"));
        assert!(!remedy(9).contains("--tau "), "{}", remedy(9));
    }

    #[test]
    fn no_share_and_no_pair_are_no_reason_to_warn() {
        let share = |percent: &str| percent.parse::<Percent>().unwrap();
        assert!(!is_below_a_pair(share("0"), 16));
        assert!(!is_below_a_pair(share("5"), 1));
        assert!(is_below_a_pair(share("5"), 39));
        assert!(!is_below_a_pair(share("5"), 40));
    }
}
