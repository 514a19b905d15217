//! Channel counts, followed from producer to consumer.

use std::collections::HashSet;

/// What a module reads and gives, as far as the shapes of its weights tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::layers) struct Ends {
    /// Channels its first layer reads. Two values where a depthwise kernel may be a dense one on a single channel.
    pub entry: [usize; 2],
    /// Channels it may give, the likeliest first: its last layer's; the sum over its branches; that sum and its
    /// input (DenseNet, and Inception's pooled branch); the sum over all its layers, where the last is depthwise (GhostNet).
    pub exits: Vec<usize>,
}

/// What is at hand where the next module is to be chosen.
#[derive(Clone, Debug, Default)]
pub(in crate::layers) struct Flow {
    /// Channels the module before may have given, the likeliest first.
    pub latest: Vec<usize>,
    /// Channels the enclosing module was given.
    pub input: Vec<usize>,
    /// Whether `latest` is the network's input: then all its values are as likely.
    pub at_input: bool,
}

/// Channel counts that any layer so far has given.
pub(in crate::layers) type Seen = HashSet<usize>;

/// How well a module fits what is at hand; higher is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::layers) enum Fit {
    /// Nothing has given as many channels as it reads.
    None,
    /// The enclosing module's input or something earlier has.
    Earlier,
    /// The latest output together with an earlier one (a U-Net's concatenation), or half of it (a split).
    Combined,
    /// One of the less likely guesses at the latest output (see [`Ends::exits`]).
    Guess,
    /// The latest output.
    Latest,
}

impl Flow {
    /// How well a module with this entry fits here.
    pub fn fit(&self, entry: [usize; 2], seen: &Seen) -> Fit {
        if let Some(at) = self
            .latest
            .iter()
            .position(|channels| entry.contains(channels))
        {
            return if at == 0 || self.at_input {
                Fit::Latest
            } else {
                Fit::Guess
            };
        }
        let channels = entry[0];
        let with_earlier = |&latest: &usize| {
            channels > latest && latest > 0 && seen.contains(&(channels - latest))
        };
        let half = |&latest: &usize| channels > 1 && latest == channels.saturating_mul(2);
        // Together with a skip connection of the same width.
        let twice = |&latest: &usize| latest > 0 && channels == latest.saturating_mul(2);
        if self
            .latest
            .iter()
            .any(|latest| with_earlier(latest) || half(latest) || twice(latest))
        {
            Fit::Combined
        } else if entry
            .iter()
            .any(|channels| self.input.contains(channels) || seen.contains(channels))
        {
            Fit::Earlier
        } else {
            Fit::None
        }
    }

    /// The flow after a module with these exits.
    pub fn after(&self, exits: &[usize]) -> Self {
        Self {
            latest: exits.to_vec(),
            input: self.input.clone(),
            at_input: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_are_told_apart() {
        let flow = Flow {
            latest: vec![64, 256],
            input: vec![3],
            at_input: false,
        };
        let seen = Seen::from([3, 32, 64]);
        assert_eq!(flow.fit([64, 64], &seen), Fit::Latest);
        assert_eq!(flow.fit([256, 256], &seen), Fit::Guess);
        assert_eq!(flow.fit([96, 96], &seen), Fit::Combined);
        assert_eq!(flow.fit([32, 32], &seen), Fit::Combined);
        assert_eq!(flow.fit([3, 3], &seen), Fit::Earlier);
        assert_eq!(flow.fit([7, 7], &seen), Fit::None);
        assert_eq!(flow.fit([usize::MAX, usize::MAX], &seen), Fit::None);
    }
}
