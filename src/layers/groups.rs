//! How many groups a convolution has: its shape only says how many channels each kernel reads.

use std::collections::{HashMap, HashSet};

use super::candidates::{Candidate, Companions, Layout};
use super::kind::Kind;
use super::known::KnownLayer;
use super::order::structure::Step;

/// What a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Kind and groups are known.
    Known(Kind, usize),
    /// It may be this or transposed: its shape reads either way, and transposed ones of such kernels stand before it.
    MaybeTransposed(Kind),
    /// It may be dense or have this many groups.
    Ambiguous {
        /// What it is in either case, as far as can be told.
        kind: Kind,
        /// Channels that come in if it is grouped.
        channels: usize,
    },
}

impl Verdict {
    /// On a layer of a known network.
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
}

/// The layers of one network in depth order → what each is.
pub(super) fn verdicts(
    steps: &[Step],
    candidates: &[Candidate<'_>],
    companions: &Companions<'_>,
) -> Vec<Verdict> {
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let mut groups_of = HashMap::new();
    let mut verdicts = Vec::with_capacity(steps.len());
    let image = steps
        .iter()
        .map(|step| &candidates[step.candidate])
        .find(|candidate| !candidate.linear())
        .map(Candidate::reads);
    let mut first = true;
    // Odd kernels of transposed convolutions: a square weight with the same ones may be another (an autoencoder's decoder).
    let mut transposed: HashSet<&[usize]> = HashSet::new();
    for (now, step) in steps.iter().enumerate() {
        let candidate = &candidates[step.candidate];
        let verdict = if candidate.linear() {
            Verdict::Known(Kind::Linear, 1)
        } else if let Layout::Transposed(groups) = candidate.layout {
            Verdict::Known(Kind::Transposed, groups)
        } else if candidate.layout == Layout::Foreign {
            Verdict::Known(dense(candidate), 1)
        } else if candidate.layout == Layout::Forward
            && candidate.shape[0] == candidate.shape[1]
            && transposed.contains(&candidate.shape[2..])
        {
            Verdict::MaybeTransposed(dense(candidate))
        } else if first {
            // Whatever reads the network's input is dense: `[64, 1, 7, 7]` is a grey-scale stem.
            Verdict::Known(dense(candidate), 1)
        } else if candidate.reads() == 1 {
            single_channel(step, candidate, image)
        } else {
            let next = steps.get(now + 1).map(|next| &candidates[next.candidate]);
            let place = Place {
                step,
                candidate,
                next: next.filter(|next| !next.linear()),
                now,
            };
            grouped(&place, candidates, &groups_of, &seen)
        };
        if let Verdict::Known(Kind::Transposed, _) = verdict {
            let extents = &candidate.shape[2..];
            if extents.iter().any(|extent| extent % 2 == 1) && !candidate.is_point() {
                transposed.insert(extents);
            }
        }
        if !candidate.linear() {
            first = false;
        }
        if !step.in_gate && !step.in_attention {
            seen.insert(candidate.out(), now);
        }
        if let Verdict::Known(_, groups) = verdict {
            groups_of.insert(step.candidate, groups);
        }
        verdicts.push(verdict);
    }
    doubt_of_direction(steps, candidates, companions, &mut verdicts);
    verdicts
}

/// A weight that reads either way, in a module in which another of such kernels is transposed or may be, may be so too: an
/// autoencoder's decoder, a list of upsamplings.
fn doubt_of_direction(
    steps: &[Step],
    candidates: &[Candidate<'_>],
    companions: &Companions<'_>,
    verdicts: &mut [Verdict],
) {
    let key = |at: usize| {
        let candidate = &candidates[steps[at].candidate];
        let parent = candidate
            .module
            .rsplit_once('.')
            .map_or("", |(parent, _)| parent);
        (parent, candidate.shape.get(2..).unwrap_or_default())
    };
    let is_strided = |at: usize| key(at).1.iter().all(|extent| extent.is_multiple_of(2));
    let is_doubtful = |&at: &usize| {
        let candidate = &candidates[steps[at].candidate];
        match verdicts[at] {
            Verdict::Known(Kind::Transposed, _) | Verdict::MaybeTransposed(_) => true,
            Verdict::Ambiguous { .. } => is_strided(at),
            _ => candidate.layout == Layout::Undecided,
        }
    };
    let spatial = (0..steps.len()).filter(|&at| !candidates[steps[at].candidate].is_point());
    let doubtful: HashSet<(&str, &[usize])> =
        spatial.clone().filter(is_doubtful).map(key).collect();
    let first = steps
        .iter()
        .position(|step| !candidates[step.candidate].linear());
    for at in spatial.collect::<Vec<usize>>() {
        let candidate = &candidates[steps[at].candidate];
        let is_square = candidate.shape[0] == candidate.shape[1];
        let is_told = !is_square && companions.bias(candidate.module).is_some();
        if let Verdict::Known(kind @ (Kind::Conv | Kind::Depthwise), _) = verdicts[at]
            && candidate.layout == Layout::Forward
            && (is_square || is_strided(at))
            && !is_told
            && Some(at) != first
            && doubtful.contains(&key(at))
        {
            verdicts[at] = Verdict::MaybeTransposed(kind);
        }
    }
}

/// The kind of a convolution in one group that is not transposed.
pub(super) fn dense(candidate: &Candidate<'_>) -> Kind {
    if candidate.is_point() {
        Kind::Pointwise
    } else {
        Kind::Conv
    }
}

/// How many layers back a convolution with extent in space may read from. HRNet's fusions reach back 46; the 3×3
/// convolutions of Res2NeXt's last stage read widths that its first stage gave, but from their own input's groups.
const REACH: usize = 48;

/// Networks have a few dozen different widths; in a file with more than this, sums of two are not looked for.
const MOST_WIDTHS: usize = 1024;

/// Depthwise multipliers above this are not seen; a wider step is a flow misread.
const MOST_MULTIPLES: usize = 4;

/// A kernel that reads one channel is depthwise, unless one channel is all there is: on a grey-scale input, or
/// behind a single-kernel layer (a spatial attention map).
fn single_channel(step: &Step, candidate: &Candidate<'_>, image: Option<usize>) -> Verdict {
    let out = candidate.out();
    // On a grey image a second reader of the image looks like a depthwise convolution of what came before (EEGNet's spatial
    // filters, a pyramid's second stem).
    let channels = step.latest.first().copied().unwrap_or(0);
    let is_multiple =
        channels > 1 && out.is_multiple_of(channels) && out / channels <= MOST_MULTIPLES;
    let is_strided = candidate.shape[2..]
        .iter()
        .all(|extent| extent.is_multiple_of(2));
    if image == Some(1) && step.at_input && (is_multiple || is_strided) && !candidate.is_point() {
        return Verdict::Ambiguous {
            kind: Kind::Depthwise,
            channels,
        };
    }
    let alone = step.given.first() == Some(&1) || (step.at_input && image == Some(1));
    let unfit = image == Some(1)
        && step.fed_by.is_none()
        && step
            .given
            .iter()
            .all(|&channels| channels == 0 || !out.is_multiple_of(channels));
    if out == 1
        || alone
        || unfit
        || (candidate.is_point() && (image == Some(1) || !step.given.contains(&out)))
    {
        return Verdict::Known(dense(candidate), 1);
    }
    // With a multiplier each channel has several kernels: as many groups as there are channels.
    let channels = step.given.first().copied().unwrap_or(0);
    let multiplied =
        channels > 1 && out.is_multiple_of(channels) && out / channels <= MOST_MULTIPLES;
    if multiplied && !step.given.contains(&out) {
        return Verdict::Ambiguous {
            kind: Kind::Depthwise,
            channels,
        };
    }
    Verdict::Known(Kind::Depthwise, out)
}

/// A layer among those around it.
struct Place<'a> {
    step: &'a Step,
    candidate: &'a Candidate<'a>,
    /// The one behind it, if that is a convolution.
    next: Option<&'a Candidate<'a>>,
    now: usize,
}

impl Place<'_> {
    /// Whether the weight could as well be a transposed convolution's, given so many channels: those are its first extent,
    /// and what comes next reads the second one, or nothing comes and the kernel fits a stride.
    fn may_be_transposed(&self, channels: usize) -> bool {
        let [first, second, extents @ ..] = self.candidate.shape else {
            return false;
        };
        let is_read = match self.next {
            Some(next) => next.shape[..2].contains(second),
            None => extents.iter().all(|extent| extent.is_multiple_of(2)),
        };
        *first == channels && first != second && !self.candidate.is_point() && is_read
    }
}

/// A kernel that reads several channels: dense if something gives as many, grouped if the layer known to feed it
/// gives a multiple.
fn grouped(
    place: &Place<'_>,
    candidates: &[Candidate<'_>],
    groups_of: &HashMap<usize, usize>,
    seen: &HashMap<usize, usize>,
) -> Verdict {
    let Place {
        step,
        candidate,
        now,
        ..
    } = *place;
    let (reads, out) = (candidate.reads(), candidate.out());
    let known = |groups: usize| Verdict::Known(dense(candidate), groups);
    if step.in_gate || out == 1 {
        return known(1);
    }
    // What comes in is the first extent, not the second, and the kernel fits a stride: it may be transposed.
    let [first, _, extents @ ..] = candidate.shape else {
        return known(1);
    };
    let is_strided = extents.iter().all(|extent| extent.is_multiple_of(2));
    if is_strided && step.latest.contains(first) && !step.latest.contains(&reads) && !step.at_input
    {
        return Verdict::Ambiguous {
            kind: dense(candidate),
            channels: *first,
        };
    }
    let divides = |channels: usize| {
        channels > reads && channels.is_multiple_of(reads) && out.is_multiple_of(channels / reads)
    };
    if let Some(before) = step.fed_by {
        // A chain of single layers: what comes in is what the one before gives.
        let producer = &candidates[before];
        let channels = producer.out();
        // `[64, 3, 4, 4]` behind a transposed convolution that gives 64 is the next of its kind.
        let transposed =
            matches!(producer.layout, Layout::Transposed(_)) && candidate.shape[0] == channels;
        if transposed && reads < channels && !divides(channels) && !candidate.is_point() {
            return Verdict::Known(Kind::Transposed, 1);
        }
        if channels == reads || step.given.contains(&reads) || !divides(channels) {
            return known(1);
        }
        // Two layers that read the same could stand side by side, unless the first is grouped as well. And grouped
        // 1×1 convolutions are rare: a split that shapes do not show is as likely.
        let side_by_side =
            producer.reads() == reads && groups_of.get(&before).is_none_or(|&groups| groups == 1);
        // What the producer gives is in doubt where it is itself.
        let is_producer_open = !groups_of.contains_key(&before);
        return if side_by_side
            || candidate.is_point()
            || is_producer_open
            || place.may_be_transposed(channels)
        {
            Verdict::Ambiguous {
                kind: dense(candidate),
                channels,
            }
        } else {
            known(channels / reads)
        };
    }
    let channels = step.given.first().copied().unwrap_or(0);
    // Together with what came from earlier (a U-Net's concatenation).
    let is_joined = step
        .latest
        .iter()
        .any(|&latest| latest > 0 && latest < reads && seen.contains_key(&(reads - latest)));
    if step.at_input || step.given.contains(&reads) || is_joined {
        return known(1);
    }
    // That some earlier layer gave as many is no proof, where groups of the latest output would fit too.
    let recent = seen
        .get(&reads)
        .is_some_and(|&place| now - place <= REACH || candidate.is_point());
    if recent && !divides(channels) {
        return known(1);
    }
    // An odd width that is exactly half is a split (a spectrum's 2·129 values), not two groups.
    let halves_oddly = !reads.is_multiple_of(2) && channels == reads.saturating_mul(2);
    // Nothing gives so few channels, alone or two together: grouped, or a split.
    let joined = || {
        seen.len() <= MOST_WIDTHS
            && seen
                .keys()
                .any(|&part| part < reads && seen.contains_key(&(reads - part)))
    };
    let fewer = channels > reads && !candidate.is_point() && !joined();
    let is_unexplained = channels > reads && !recent && !joined();
    if (divides(channels) || fewer || is_unexplained) && !halves_oddly {
        Verdict::Ambiguous {
            kind: dense(candidate),
            channels,
        }
    } else {
        known(1)
    }
}
