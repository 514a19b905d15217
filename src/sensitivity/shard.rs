//! Shards of a sweep's points.

use std::fmt;
use std::str::FromStr;

/// Shard `number` of `count`, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    count: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not i/n with 1 <= i <= n, as in 2/8")]
pub struct InvalidShard;

impl Shard {
    /// The items of this shard: every `count`-th.
    pub fn of<T>(self, items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        items.skip(self.number - 1).step_by(self.count)
    }
}

impl FromStr for Shard {
    type Err = InvalidShard;

    fn from_str(text: &str) -> Result<Self, InvalidShard> {
        let (number, count) = text.split_once('/').ok_or(InvalidShard)?;
        let whole = |text: &str| text.trim().parse::<usize>().map_err(|_| InvalidShard);
        let (number, count) = (whole(number)?, whole(count)?);
        if !(1..=count).contains(&number) {
            return Err(InvalidShard);
        }
        Ok(Self { number, count })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.number, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_disjoint_and_all_together() {
        for count in 1..=7 {
            let shares = (1..=count).flat_map(|number| {
                let shard: Shard = format!("{number}/{count}").parse().unwrap();
                shard.of(0..20).collect::<Vec<_>>()
            });
            let mut all: Vec<i32> = shares.collect();
            all.sort_unstable();
            assert_eq!(all, (0..20).collect::<Vec<_>>());
        }
    }

    #[test]
    fn others_are_refused() {
        for text in ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3", ""] {
            assert_eq!(text.parse::<Shard>(), Err(InvalidShard), "{text}");
        }
    }
}
