//! How many groups a convolution has: its shape only says how many channels each kernel reads.

use std::collections::{HashMap, HashSet};

use super::candidates::{Candidate, Companions, Layout};
use super::kind::Kind;
use super::known::KnownLayer;
use super::order::Step;

/// How many layers back a spatial convolution may read: HRNet's fusions reach back 46. Res2NeXt's last stage reads as many
/// channels as its first stage outputs, but from groups of its own input.
const MAX_LAYERS_BACK: usize = 48;

/// Networks have a few dozen widths; in a file with more than this, sums of two are not searched.
const MAX_WIDTHS: usize = 1024;

/// Largest depthwise multiplier; a larger ratio means that the flow was misread.
const MAX_DEPTH_MULTIPLIER: usize = 4;

/// A layer's kind and groups, as names and shapes or a network's library give them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KindAndGroups {
    Known(Kind, usize),
    /// This kind or transposed: its shape fits both, and another layer of such kernels is or may be transposed.
    MaybeTransposed(Kind),
    /// Dense or grouped.
    MaybeGrouped {
        /// Its kind in either case, as far as that is known.
        kind: Kind,
        /// Input channels, if it is grouped.
        channels: usize,
    },
}

impl KindAndGroups {
    /// For a layer of a known network.
    pub fn of_known(known: &KnownLayer, candidate: &Candidate<'_>) -> Self {
        let kind = if known.is_transposed {
            Kind::Transposed
        } else if known.groups > 1 && candidate.reads() == 1 {
            Kind::Depthwise
        } else {
            dense(candidate)
        };
        Self::Known(kind, known.groups)
    }

    /// For a convolution in one group that is not transposed.
    fn one_group(candidate: &Candidate<'_>) -> Self {
        Self::Known(dense(candidate), 1)
    }
}

/// Kinds and groups of the layers of one network, which are in depth order.
pub(super) fn kinds_and_groups(
    steps: &[Step],
    candidates: &[Candidate<'_>],
    companions: &Companions<'_>,
) -> Vec<KindAndGroups> {
    let mut inference = Inference {
        steps,
        candidates,
        first: (0..steps.len()).find(|&at| !candidates[steps[at].candidate].linear()),
        groups: HashMap::new(),
        given_at: HashMap::new(),
        transposed: HashSet::new(),
    };
    let mut found = Vec::with_capacity(steps.len());
    for at in 0..steps.len() {
        let own = inference.infer(at);
        inference.record(at, own);
        found.push(own);
    }
    doubt_direction(&inference, companions, &mut found);
    found
}

/// The kind of a convolution in one group that is not transposed.
pub(super) fn dense(candidate: &Candidate<'_>) -> Kind {
    if candidate.is_point() {
        Kind::Pointwise
    } else {
        Kind::Conv
    }
}

/// Whether all extents are even, as kernels that suit a stride of 2 have them.
fn is_strided(extents: &[usize]) -> bool {
    extents.iter().all(|extent| extent.is_multiple_of(2))
}

/// Infers kinds and groups in depth order, from the layers before.
struct Inference<'a> {
    steps: &'a [Step],
    candidates: &'a [Candidate<'a>],
    /// Index of the first convolution.
    first: Option<usize>,
    /// Known groups, by candidate.
    groups: HashMap<usize, usize>,
    /// Index of the last layer that outputs each width.
    given_at: HashMap<usize, usize>,
    /// Odd kernels of transposed convolutions: a square weight with such a kernel may be one too (an autoencoder's decoder).
    transposed: HashSet<&'a [usize]>,
}

impl<'a> Inference<'a> {
    fn candidate(&self, at: usize) -> &'a Candidate<'a> {
        &self.candidates[self.steps[at].candidate]
    }

    fn infer(&self, at: usize) -> KindAndGroups {
        let candidate = self.candidate(at);
        if candidate.linear() {
            KindAndGroups::Known(Kind::Linear, 1)
        } else if let Layout::Transposed(groups) = candidate.layout {
            KindAndGroups::Known(Kind::Transposed, groups)
        } else if candidate.layout == Layout::KernelsLast {
            KindAndGroups::one_group(candidate)
        } else if candidate.layout == Layout::Forward
            && candidate.shape[0] == candidate.shape[1]
            && self.transposed.contains(&candidate.shape[2..])
        {
            KindAndGroups::MaybeTransposed(dense(candidate))
        } else if self.first == Some(at) {
            // The layer that reads the network's input is dense: `[64, 1, 7, 7]` is a grey-scale stem.
            KindAndGroups::one_group(candidate)
        } else if candidate.reads() == 1 {
            self.single_channel(at)
        } else {
            self.several_channels(at)
        }
    }

    /// Records what later layers are inferred from.
    fn record(&mut self, at: usize, own: KindAndGroups) {
        let (step, candidate) = (&self.steps[at], self.candidate(at));
        if let KindAndGroups::Known(kind, groups) = own {
            self.groups.insert(step.candidate, groups);
            let extents = &candidate.shape[2..];
            let is_odd = extents.iter().any(|extent| extent % 2 == 1) && !candidate.is_point();
            if kind == Kind::Transposed && is_odd {
                self.transposed.insert(extents);
            }
        }
        if !step.in_gate && !step.in_attention {
            self.given_at.insert(candidate.out(), at);
        }
    }

    /// A kernel that reads one channel is depthwise, unless there is only one channel: on a grey-scale input, or after a
    /// single-kernel layer (a spatial attention map).
    fn single_channel(&self, at: usize) -> KindAndGroups {
        let (step, candidate) = (&self.steps[at], self.candidate(at));
        let out = candidate.out();
        let is_grey = self
            .first
            .is_some_and(|first| self.candidate(first).reads() == 1);
        let is_multiple = |channels: usize| {
            channels > 1 && out.is_multiple_of(channels) && out / channels <= MAX_DEPTH_MULTIPLIER
        };
        // On a grey image, a second layer that reads the image looks like a depthwise convolution of the output before it
        // (EEGNet's spatial filters, a pyramid's second stem).
        let channels = step.latest.first().copied().unwrap_or(0);
        let may_read_latest = is_multiple(channels) || is_strided(&candidate.shape[2..]);
        if is_grey && step.at_input && may_read_latest && !candidate.is_point() {
            return KindAndGroups::MaybeGrouped {
                kind: Kind::Depthwise,
                channels,
            };
        }
        let is_alone = step.given.first() == Some(&1) || (step.at_input && is_grey);
        let mut given = step.given.iter();
        let is_unfit = is_grey
            && step.fed_by.is_none()
            && given.all(|&channels| channels == 0 || !out.is_multiple_of(channels));
        let is_plain_point = candidate.is_point() && (is_grey || !step.given.contains(&out));
        if out == 1 || is_alone || is_unfit || is_plain_point {
            return KindAndGroups::one_group(candidate);
        }
        // With a multiplier, each channel has several kernels, and there are as many groups as channels.
        let channels = step.given.first().copied().unwrap_or(0);
        if is_multiple(channels) && !step.given.contains(&out) {
            return KindAndGroups::MaybeGrouped {
                kind: Kind::Depthwise,
                channels,
            };
        }
        KindAndGroups::Known(Kind::Depthwise, out)
    }

    /// Several channels per kernel: dense if some layer outputs as many, grouped if the one that feeds it outputs a
    /// multiple.
    fn several_channels(&self, at: usize) -> KindAndGroups {
        let (step, candidate) = (&self.steps[at], self.candidate(at));
        let [first, _, extents @ ..] = candidate.shape else {
            return KindAndGroups::one_group(candidate);
        };
        if step.in_gate || candidate.out() == 1 {
            return KindAndGroups::one_group(candidate);
        }
        // The input matches the first extent, not the second, and the kernel suits a stride: it may be transposed.
        let is_first_read =
            step.latest.contains(first) && !step.latest.contains(&candidate.reads());
        if is_strided(extents) && is_first_read && !step.at_input {
            return KindAndGroups::MaybeGrouped {
                kind: dense(candidate),
                channels: *first,
            };
        }
        match step.fed_by {
            Some(before) => self.behind_single(at, before),
            None => self.behind_several(at),
        }
    }

    /// In a chain of single layers: its input is the output of the one before.
    fn behind_single(&self, at: usize, before: usize) -> KindAndGroups {
        let (step, candidate) = (&self.steps[at], self.candidate(at));
        let producer = &self.candidates[before];
        let (reads, channels) = (candidate.reads(), producer.out());
        let divides = divides(candidate, channels);
        // `[64, 3, 4, 4]` after a transposed convolution with 64 outputs is another one.
        let is_next_transposed =
            matches!(producer.layout, Layout::Transposed(_)) && candidate.shape[0] == channels;
        if is_next_transposed && reads < channels && !divides && !candidate.is_point() {
            return KindAndGroups::Known(Kind::Transposed, 1);
        }
        if channels == reads || step.given.contains(&reads) || !divides {
            return KindAndGroups::one_group(candidate);
        }
        // Two layers that read the same channels may be parallel, unless the first is grouped as well. And grouped 1×1
        // convolutions are rare: a split, which shapes do not show, is as likely.
        let producer_groups = self.groups.get(&before);
        let is_side_by_side =
            producer.reads() == reads && producer_groups.is_none_or(|&groups| groups == 1);
        // Its output is in doubt if its groups are.
        let is_producer_open = producer_groups.is_none();
        if is_side_by_side
            || candidate.is_point()
            || is_producer_open
            || self.may_be_transposed(at, channels)
        {
            KindAndGroups::MaybeGrouped {
                kind: dense(candidate),
                channels,
            }
        } else {
            KindAndGroups::Known(dense(candidate), channels / reads)
        }
    }

    /// Whether the weight may be transposed if its input has `channels`: they equal its first extent, and the next layer
    /// reads the second one, or there is no next convolution and the kernel suits a stride.
    fn may_be_transposed(&self, at: usize, channels: usize) -> bool {
        let candidate = self.candidate(at);
        let [first, second, extents @ ..] = candidate.shape else {
            return false;
        };
        let next = (at + 1 < self.steps.len()).then(|| self.candidate(at + 1));
        let is_read = match next.filter(|next| !next.linear()) {
            Some(next) => next.shape[..2].contains(second),
            None => is_strided(extents),
        };
        *first == channels && first != second && !candidate.is_point() && is_read
    }

    /// No single layer is known to feed it.
    fn behind_several(&self, at: usize) -> KindAndGroups {
        let (step, candidate) = (&self.steps[at], self.candidate(at));
        let reads = candidate.reads();
        let channels = step.given.first().copied().unwrap_or(0);
        let is_given = |channels: usize| self.given_at.contains_key(&channels);
        // The latest output concatenated with an earlier one (U-Net).
        let is_joined = step
            .latest
            .iter()
            .any(|&latest| latest > 0 && latest < reads && is_given(reads - latest));
        if step.at_input || step.given.contains(&reads) || is_joined {
            return KindAndGroups::one_group(candidate);
        }
        // An earlier layer of that width proves nothing if groups of the latest output would fit too.
        let is_recent = self
            .given_at
            .get(&reads)
            .is_some_and(|&given| at - given <= MAX_LAYERS_BACK || candidate.is_point());
        let divides = divides(candidate, channels);
        if is_recent && !divides {
            return KindAndGroups::one_group(candidate);
        }
        // An odd width that is exactly half is a split (a spectrum's 2·129 values), not two groups.
        let halves_oddly = !reads.is_multiple_of(2) && channels == reads.saturating_mul(2);
        // No layer, and no two together, output so few channels: it is grouped, or reads a split.
        let is_sum = || {
            let mut widths = self.given_at.keys();
            self.given_at.len() <= MAX_WIDTHS
                && widths.any(|&part| part < reads && is_given(reads - part))
        };
        let is_unexplained = channels > reads && (!candidate.is_point() || !is_recent) && !is_sum();
        if (divides || is_unexplained) && !halves_oddly {
            KindAndGroups::MaybeGrouped {
                kind: dense(candidate),
                channels,
            }
        } else {
            KindAndGroups::one_group(candidate)
        }
    }
}

/// Whether a grouped convolution could read this many input channels.
fn divides(candidate: &Candidate<'_>, channels: usize) -> bool {
    let reads = candidate.reads();
    channels > reads
        && channels.is_multiple_of(reads)
        && candidate.out().is_multiple_of(channels / reads)
}

/// Marks weights that may be transposed: their shape fits both, and another layer of such kernels under the same parent may
/// be transposed (an autoencoder's decoder, a list of upsamplings).
fn doubt_direction(
    inference: &Inference<'_>,
    companions: &Companions<'_>,
    found: &mut [KindAndGroups],
) {
    let extents = |at: usize| inference.candidate(at).shape.get(2..).unwrap_or_default();
    let key = |at: usize| {
        let module = inference.candidate(at).module;
        let parent = module.rsplit_once('.').map_or("", |(parent, _)| parent);
        (parent, extents(at))
    };
    let is_doubtful = |&at: &usize| match found[at] {
        KindAndGroups::Known(Kind::Transposed, _) | KindAndGroups::MaybeTransposed(_) => true,
        KindAndGroups::MaybeGrouped { .. } => is_strided(extents(at)),
        KindAndGroups::Known(..) => inference.candidate(at).layout == Layout::Undecided,
    };
    let spatial = (0..found.len()).filter(|&at| !inference.candidate(at).is_point());
    let spatial: Vec<usize> = spatial.collect();
    let doubtful = spatial.iter().copied().filter(is_doubtful).map(key);
    let doubtful: HashSet<(&str, &[usize])> = doubtful.collect();
    for at in spatial {
        let candidate = inference.candidate(at);
        let is_square = candidate.shape[0] == candidate.shape[1];
        let is_settled_by_bias = !is_square && companions.bias(candidate.module).is_some();
        if let KindAndGroups::Known(kind @ (Kind::Conv | Kind::Depthwise), _) = found[at]
            && candidate.layout == Layout::Forward
            && (is_square || is_strided(extents(at)))
            && !is_settled_by_bias
            && Some(at) != inference.first
            && doubtful.contains(&key(at))
        {
            found[at] = KindAndGroups::MaybeTransposed(kind);
        }
    }
}
