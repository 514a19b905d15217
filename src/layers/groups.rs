//! How many groups a convolution has: its shape only says how many channels each kernel reads.

use std::collections::{HashMap, HashSet};

use super::candidates::{Candidate, Companions, Layout};
use super::kind::Kind;
use super::known::KnownLayer;
use super::order::Step;

/// How many layers back a convolution with extent in space may read from. HRNet's fusions reach back 46; the 3×3
/// convolutions of Res2NeXt's last stage read widths that its first stage gave, but from their own input's groups.
const REACH: usize = 48;

/// Networks have a few dozen different widths; in a file with more than this, sums of two are not looked for.
const MOST_WIDTHS: usize = 1024;

/// Depthwise multipliers above this are not seen; a wider step is a flow misread.
const MOST_MULTIPLES: usize = 4;

/// What names and shapes, or a network's library, say of a layer's kind and groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KindAndGroups {
    Known(Kind, usize),
    /// It may be this or transposed: its shape reads either way, and transposed ones of such kernels stand before it.
    MaybeTransposed(Kind),
    /// It may be dense or grouped.
    MaybeGrouped {
        /// What it is in either case, as far as can be told.
        kind: Kind,
        /// Channels that come in if it is grouped.
        channels: usize,
    },
}

impl KindAndGroups {
    /// Of a layer of a known network.
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

    /// Of a convolution in one group that is not transposed.
    fn one_group(candidate: &Candidate<'_>) -> Self {
        Self::Known(dense(candidate), 1)
    }
}

/// Kinds and groups of the layers of one network, which stand in depth order.
pub(super) fn kinds_and_groups(
    steps: &[Step],
    candidates: &[Candidate<'_>],
    companions: &Companions<'_>,
) -> Vec<KindAndGroups> {
    let mut reader = Reader {
        steps,
        candidates,
        first: (0..steps.len()).find(|&at| !candidates[steps[at].candidate].linear()),
        groups: HashMap::new(),
        given_at: HashMap::new(),
        transposed: HashSet::new(),
    };
    let mut found = Vec::with_capacity(steps.len());
    for at in 0..steps.len() {
        let own = reader.read(at);
        reader.note(at, own);
        found.push(own);
    }
    doubt_direction(&reader, companions, &mut found);
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

/// Whether all extents are those of a kernel that fits a stride of 2.
fn is_strided(extents: &[usize]) -> bool {
    extents.iter().all(|extent| extent.is_multiple_of(2))
}

/// A network that is read in depth order, and what is known of the layers read so far.
struct Reader<'a> {
    steps: &'a [Step],
    candidates: &'a [Candidate<'a>],
    /// The place of the first convolution.
    first: Option<usize>,
    /// Groups where they are known, by candidate.
    groups: HashMap<usize, usize>,
    /// The last place at which each width was given.
    given_at: HashMap<usize, usize>,
    /// Odd kernels of transposed convolutions: a square weight with the same ones may be another (an autoencoder's decoder).
    transposed: HashSet<&'a [usize]>,
}

impl<'a> Reader<'a> {
    fn candidate(&self, at: usize) -> &'a Candidate<'a> {
        &self.candidates[self.steps[at].candidate]
    }

    fn read(&self, at: usize) -> KindAndGroups {
        let candidate = self.candidate(at);
        if candidate.linear() {
            KindAndGroups::Known(Kind::Linear, 1)
        } else if let Layout::Transposed(groups) = candidate.layout {
            KindAndGroups::Known(Kind::Transposed, groups)
        } else if candidate.layout == Layout::Foreign {
            KindAndGroups::one_group(candidate)
        } else if candidate.layout == Layout::Forward
            && candidate.shape[0] == candidate.shape[1]
            && self.transposed.contains(&candidate.shape[2..])
        {
            KindAndGroups::MaybeTransposed(dense(candidate))
        } else if self.first == Some(at) {
            // Whatever reads the network's input is dense: `[64, 1, 7, 7]` is a grey-scale stem.
            KindAndGroups::one_group(candidate)
        } else if candidate.reads() == 1 {
            self.single_channel(at)
        } else {
            self.several_channels(at)
        }
    }

    /// Keeps what later layers are read by.
    fn note(&mut self, at: usize, own: KindAndGroups) {
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

    /// A kernel that reads one channel is depthwise, unless one channel is all there is: on a grey-scale input, or
    /// behind a single-kernel layer (a spatial attention map).
    fn single_channel(&self, at: usize) -> KindAndGroups {
        let (step, candidate) = (&self.steps[at], self.candidate(at));
        let out = candidate.out();
        let is_grey = self
            .first
            .is_some_and(|first| self.candidate(first).reads() == 1);
        let is_multiple = |channels: usize| {
            channels > 1 && out.is_multiple_of(channels) && out / channels <= MOST_MULTIPLES
        };
        // On a grey image a second reader of the image looks like a depthwise convolution of what came before (EEGNet's
        // spatial filters, a pyramid's second stem).
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
        // With a multiplier each channel has several kernels: as many groups as there are channels.
        let channels = step.given.first().copied().unwrap_or(0);
        if is_multiple(channels) && !step.given.contains(&out) {
            return KindAndGroups::MaybeGrouped {
                kind: Kind::Depthwise,
                channels,
            };
        }
        KindAndGroups::Known(Kind::Depthwise, out)
    }

    /// A kernel that reads several channels: dense if something gives as many, grouped if the layer known to feed it
    /// gives a multiple.
    fn several_channels(&self, at: usize) -> KindAndGroups {
        let (step, candidate) = (&self.steps[at], self.candidate(at));
        let [first, _, extents @ ..] = candidate.shape else {
            return KindAndGroups::one_group(candidate);
        };
        if step.in_gate || candidate.out() == 1 {
            return KindAndGroups::one_group(candidate);
        }
        // What comes in is the first extent, not the second, and the kernel fits a stride: it may be transposed.
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

    /// In a chain of single layers: what comes in is what the one before gives.
    fn behind_single(&self, at: usize, before: usize) -> KindAndGroups {
        let (step, candidate) = (&self.steps[at], self.candidate(at));
        let producer = &self.candidates[before];
        let (reads, channels) = (candidate.reads(), producer.out());
        let divides = divides(candidate, channels);
        // `[64, 3, 4, 4]` behind a transposed convolution that gives 64 is the next of its kind.
        let is_next_transposed =
            matches!(producer.layout, Layout::Transposed(_)) && candidate.shape[0] == channels;
        if is_next_transposed && reads < channels && !divides && !candidate.is_point() {
            return KindAndGroups::Known(Kind::Transposed, 1);
        }
        if channels == reads || step.given.contains(&reads) || !divides {
            return KindAndGroups::one_group(candidate);
        }
        // Two layers that read the same could stand side by side, unless the first is grouped as well. And grouped
        // 1×1 convolutions are rare: a split that shapes do not show is as likely.
        let producer_groups = self.groups.get(&before);
        let is_side_by_side =
            producer.reads() == reads && producer_groups.is_none_or(|&groups| groups == 1);
        // What the producer gives is in doubt where it is itself.
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

    /// Whether the weight could as well be a transposed convolution's, given so many channels: those are its first extent,
    /// and what comes next reads the second one, or nothing comes and the kernel fits a stride.
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

    /// Where no single layer feeds it.
    fn behind_several(&self, at: usize) -> KindAndGroups {
        let (step, candidate) = (&self.steps[at], self.candidate(at));
        let reads = candidate.reads();
        let channels = step.given.first().copied().unwrap_or(0);
        let is_given = |channels: usize| self.given_at.contains_key(&channels);
        // Together with what came from earlier (a U-Net's concatenation).
        let is_joined = step
            .latest
            .iter()
            .any(|&latest| latest > 0 && latest < reads && is_given(reads - latest));
        if step.at_input || step.given.contains(&reads) || is_joined {
            return KindAndGroups::one_group(candidate);
        }
        // That some earlier layer gave as many is no proof, where groups of the latest output would fit too.
        let is_recent = self
            .given_at
            .get(&reads)
            .is_some_and(|&given| at - given <= REACH || candidate.is_point());
        let divides = divides(candidate, channels);
        if is_recent && !divides {
            return KindAndGroups::one_group(candidate);
        }
        // An odd width that is exactly half is a split (a spectrum's 2·129 values), not two groups.
        let halves_oddly = !reads.is_multiple_of(2) && channels == reads.saturating_mul(2);
        // Nothing gives so few channels, alone or two together: grouped, or a split.
        let is_sum = || {
            let mut widths = self.given_at.keys();
            self.given_at.len() <= MOST_WIDTHS
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

/// Whether so many channels could come in to groups of a convolution.
fn divides(candidate: &Candidate<'_>, channels: usize) -> bool {
    let reads = candidate.reads();
    channels > reads
        && channels.is_multiple_of(reads)
        && candidate.out().is_multiple_of(channels / reads)
}

/// A weight that reads either way, in a module in which another of such kernels is transposed or may be, may be so too: an
/// autoencoder's decoder, a list of upsamplings.
fn doubt_direction(reader: &Reader<'_>, companions: &Companions<'_>, found: &mut [KindAndGroups]) {
    let extents = |at: usize| reader.candidate(at).shape.get(2..).unwrap_or_default();
    let key = |at: usize| {
        let module = reader.candidate(at).module;
        let parent = module.rsplit_once('.').map_or("", |(parent, _)| parent);
        (parent, extents(at))
    };
    let is_doubtful = |&at: &usize| match found[at] {
        KindAndGroups::Known(Kind::Transposed, _) | KindAndGroups::MaybeTransposed(_) => true,
        KindAndGroups::MaybeGrouped { .. } => is_strided(extents(at)),
        KindAndGroups::Known(..) => reader.candidate(at).layout == Layout::Undecided,
    };
    let spatial = (0..found.len()).filter(|&at| !reader.candidate(at).is_point());
    let spatial: Vec<usize> = spatial.collect();
    let doubtful = spatial.iter().copied().filter(is_doubtful).map(key);
    let doubtful: HashSet<(&str, &[usize])> = doubtful.collect();
    for at in spatial {
        let candidate = reader.candidate(at);
        let is_square = candidate.shape[0] == candidate.shape[1];
        let is_told = !is_square && companions.bias(candidate.module).is_some();
        if let KindAndGroups::Known(kind @ (Kind::Conv | Kind::Depthwise), _) = found[at]
            && candidate.layout == Layout::Forward
            && (is_square || is_strided(extents(at)))
            && !is_told
            && Some(at) != reader.first
            && doubtful.contains(&key(at))
        {
            found[at] = KindAndGroups::MaybeTransposed(kind);
        }
    }
}
