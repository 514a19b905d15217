//! Channel counts, followed from producer to consumer.

use std::collections::HashSet;

/// Input and output channels of a module, as far as the shapes of its weights tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    /// Channels its first layer reads. Two values where a depthwise kernel may be a dense one on a single channel.
    pub entry: [usize; 2],
    /// Output channels that it may have, likeliest first: its last layer's; the sum over its branches; that sum and its
    /// input (DenseNet, and Inception's pooled branch); the sum over all its layers, if the last is depthwise (GhostNet).
    pub exits: Vec<usize>,
}

/// The channels that reach the next module.
#[derive(Clone, Debug, Default)]
pub(super) struct Flow {
    /// Output channels that the module before may have, likeliest first.
    pub latest: Vec<usize>,
    /// Input channels of the enclosing module.
    pub input: Vec<usize>,
    /// Whether `latest` is the network's input: then all its values are equally likely.
    pub at_input: bool,
}

impl Flow {
    /// The flow at the start of a module with these input channels.
    pub fn into_module(given: Vec<usize>, at_input: bool) -> Self {
        Self {
            latest: given.clone(),
            input: given,
            at_input,
        }
    }

    /// The flow after a module.
    pub fn after(&self, module: &Ends) -> Self {
        Self {
            latest: module.exits.clone(),
            input: self.input.clone(),
            at_input: false,
        }
    }
}

/// Output channels of layers.
pub(super) type Widths = HashSet<usize>;

/// How well a module fits what it can be given; higher is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// No layer outputs the channels that it reads.
    None,
    /// The enclosing module's input or an earlier layer has them.
    Earlier,
    /// The latest output together with an earlier one (a U-Net's concatenation), or half of it (a split).
    Combined,
    /// One of the less likely guesses at the latest output (see [`Ends::exits`]).
    Guess,
    Latest,
}

/// Everything that the next module can read: the flow that reaches it, and the output of any layer so far.
#[derive(Clone, Debug)]
pub(super) struct Supply<'a> {
    pub flow: Flow,
    /// Widths output before the enclosing module.
    before: &'a Widths,
    /// Widths output within it so far.
    within: Widths,
}

impl<'a> Supply<'a> {
    /// At the beginning of a module.
    pub fn new(flow: Flow, before: &'a Widths) -> Self {
        Self {
            flow,
            before,
            within: Widths::new(),
        }
    }

    /// Moves past a module.
    pub fn advance(&mut self, module: &Ends) {
        self.within.extend(&module.exits);
        self.flow = self.flow.after(module);
    }

    /// How well a module fits here.
    pub fn fit(&self, module: &Ends) -> Fit {
        self.fit_at(&self.flow, module)
    }

    /// How well a module would fit if this flow reached it.
    pub fn fit_at(&self, flow: &Flow, module: &Ends) -> Fit {
        let entry = module.entry;
        let mut latest = flow.latest.iter();
        if let Some(at) = latest.position(|channels| entry.contains(channels)) {
            return if at == 0 || flow.at_input {
                Fit::Latest
            } else {
                Fit::Guess
            };
        }
        let is_given =
            |channels: &usize| self.before.contains(channels) || self.within.contains(channels);
        let channels = entry[0];
        let is_combined = |&latest: &usize| {
            let with_earlier = channels > latest && latest > 0 && is_given(&(channels - latest));
            let half = channels > 1 && latest == channels.saturating_mul(2);
            // Together with a skip connection of the same width.
            let twice = latest > 0 && channels == latest.saturating_mul(2);
            with_earlier || half || twice
        };
        if flow.latest.iter().any(is_combined) {
            Fit::Combined
        } else if entry
            .iter()
            .any(|channels| flow.input.contains(channels) || is_given(channels))
        {
            Fit::Earlier
        } else {
            Fit::None
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
        let before = Widths::from([3, 32, 64]);
        let supply = Supply::new(flow, &before);
        let fit = |channels: usize| {
            supply.fit(&Ends {
                entry: [channels; 2],
                exits: Vec::new(),
            })
        };
        assert_eq!(fit(64), Fit::Latest);
        assert_eq!(fit(256), Fit::Guess);
        assert_eq!(fit(96), Fit::Combined);
        assert_eq!(fit(32), Fit::Combined);
        assert_eq!(fit(3), Fit::Earlier);
        assert_eq!(fit(7), Fit::None);
        assert_eq!(fit(usize::MAX), Fit::None);
    }
}
