//! Chains of modules, merged by what they read and give.
//!
//! Modules of one stem form a chain (`conv1`, `conv2`, …) whose inner order is given by its numbers. The head of a
//! chain runs next if it reads what was last given. That is what puts a DenseNet's `transition1` after `denseblock1`,
//! an Xception's `conv3` after its blocks and a U-Net's `dec4` before `dec1`, whatever they are called.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::arrange::{Arrangement, Arranger, Part, Placed, Tie};
use super::flow::{Ends, Fit, Flow, Seen};
use super::items::{Chain, Item, MAX_WORK};
use super::sketch::Sketch;
use super::turn::Turn;
use crate::layers::candidates::MOST_COLOURS;
use crate::layers::name::Segment;
use crate::layers::roles::{self, Role};

/// Beyond this many chains in one module, shapes are not consulted: merging compares all their heads at each step.
/// Of 150 architectures none has more than 19.
const MAX_CHAINS: usize = 32;

/// Channel counts seen before this module, and so far within it.
struct Known<'a> {
    before: &'a Seen,
    within: Seen,
}

impl Arranger<'_> {
    /// An unnumbered module beside `conv1` and `conv3` stands where `conv2` would (Res2Net, bottleneck attention).
    fn fill_gap<'s>(&'s self, chains: &mut BTreeMap<(Role, usize, &'s str), Vec<Item>>) {
        let body: Vec<_> = chains
            .keys()
            .copied()
            .filter(|(role, ..)| *role == Role::Body)
            .collect();
        let &[first, second] = body.as_slice() else {
            return;
        };
        let lone = |key| matches!(chains[&key].as_slice(), [item] if self.segment(item.node).ordinal.is_empty());
        let gapped = |key| match chains[&key].as_slice() {
            [a, b] => self.segment(a.node).text == "conv1" && self.segment(b.node).text == "conv3",
            _ => false,
        };
        let (numbered, filler) = if gapped(first) && lone(second) {
            (first, second)
        } else if gapped(second) && lone(first) {
            (second, first)
        } else {
            return;
        };
        let filler = chains.remove(&filler).unwrap_or_default();
        if let Some(chain) = chains.get_mut(&numbered) {
            chain.splice(1..1, filler);
        }
    }

    /// Arrange the modules of the main path, role by role.
    pub fn merge_roles(
        &self,
        items: &[Item],
        flow: &Flow,
        seen: &Seen,
        sketches: &[Sketch],
    ) -> Arrangement {
        let mut chains: BTreeMap<(Role, usize, &str), Vec<Item>> = BTreeMap::new();
        for &item in items {
            chains
                .entry((item.role, item.list, self.segment(item.node).stem.as_str()))
                .or_default()
                .push(item);
        }
        for chain in chains.values_mut() {
            // `conv_transition_b` closes a branch, `conv_transition` all.
            let whole = |item: &Item| {
                roles::is_merge(self.segment(item.node))
                    && self.segment(item.node).ordinal.is_empty()
            };
            chain.sort_by(|a, b| {
                let (first, second) = (self.segment(a.node), self.segment(b.node));
                let steers = |segment: &Segment| !roles::steers(segment);
                // `conv_h` and `conv_w` beside `conv1` come behind it.
                let is_lettered =
                    |segment: &Segment| matches!(segment.ordinal[..], [(0, letter)] if letter != '\0');
                whole(a)
                    .cmp(&whole(b))
                    .then_with(|| is_lettered(first).cmp(&is_lettered(second)))
                    .then_with(|| first.ordinal.cmp(&second.ordinal))
                    .then_with(|| steers(first).cmp(&steers(second)))
                    .then_with(|| first.natural(second))
            });
        }
        self.fill_gap(&mut chains);
        for chain in chains.values_mut() {
            self.sort_grid(chain, flow, seen, sketches);
        }
        let mut by_role: BTreeMap<Role, Vec<Chain>> = BTreeMap::new();
        for (number, ((role, ..), chain)) in chains.into_iter().enumerate() {
            by_role.entry(role).or_default().push((number, chain));
        }
        let mut known = Known {
            before: seen,
            within: Seen::new(),
        };
        let mut flow = flow.clone();
        let mut result = Arrangement::default();
        let start = flow.clone();
        for mut chains in by_role.into_values() {
            let mut merged = self.merge(&chains, false, &flow, &known, sketches);
            // Decoders are numbered either way: the way whose channels fit is taken.
            if self.may_run_backward(&chains, &flow, sketches) {
                chains.iter_mut().for_each(|(_, chain)| self.reverse(chain));
                let backward = self.merge(&chains, true, &flow, &known, sketches);
                let is_mirrored = chains
                    .iter()
                    .any(|(_, chain)| chain.iter().any(|item| item.is_mirrored));
                if is_mirrored || backward.1 > merged.1 {
                    merged = backward;
                }
            }
            let (arranged, _) = merged;
            if let Some(last) = arranged.placed.last() {
                flow = flow.after(&sketches[last.node].ends.exits);
            }
            known.within.extend(
                arranged
                    .placed
                    .iter()
                    .flat_map(|placed| &sketches[placed.node].ends.exits),
            );
            result.ties.extend(arranged.ties);
            result.placed.extend(arranged.placed);
        }
        let rivals = self.rivals_of_roles(&result.placed, &start, seen, sketches);
        result.ties.extend(rivals);
        result
    }

    /// A role is a word: the first module of a later role may run where one of an earlier role does, if it could.
    fn rivals_of_roles(
        &self,
        placed: &[Placed],
        start: &Flow,
        seen: &Seen,
        sketches: &[Sketch],
    ) -> Vec<Tie> {
        let opens_role = |at: usize| {
            at > 0 && placed[at].role != placed[at - 1].role && placed[at].role <= Role::Decoder
        };
        let opening: Vec<&Placed> = (0..placed.len())
            .filter(|&at| opens_role(at))
            .map(|at| &placed[at])
            .collect();
        let known = Known {
            before: seen,
            within: Seen::new(),
        };
        let mut ties = Vec::new();
        let mut flow = start.clone();
        for earlier in placed {
            let could_run = |later: &&&Placed| {
                later.role > earlier.role
                    && known.fit(&flow, &sketches[later.node].ends) == Fit::Latest
            };
            ties.extend(opening.iter().filter(could_run).map(|later| Tie {
                first: earlier.node,
                second: later.node,
            }));
            flow = flow.after(&sketches[earlier.node].ends.exits);
        }
        ties
    }

    /// Merge the chains of one role; also how well the result fits, for comparing directions.
    fn merge(
        &self,
        chains: &[Chain],
        backward: bool,
        flow: &Flow,
        known: &Known<'_>,
        sketches: &[Sketch],
    ) -> (Arrangement, usize) {
        let total = chains.iter().map(|(_, chain)| chain.len()).sum();
        let mut result = Arrangement {
            placed: Vec::with_capacity(total),
            ties: Vec::new(),
        };
        let place = |chain: &Chain, at: usize| Placed {
            node: chain.1[at].node,
            part: Part::Main,
            role: chain.1[at].role,
            chain: chain.0,
        };
        if chains.len() > MAX_CHAINS || chains.len().saturating_mul(total) > MAX_WORK {
            // The turns are taken once: sorting asks for them some twenty times.
            let mut all: Vec<(Turn, &Segment, Placed)> = chains
                .iter()
                .flat_map(|chain| (0..chain.1.len()).map(move |at| (chain, at)))
                .map(|(chain, at)| {
                    let segment = self.segment(chain.1[at].node);
                    (Turn::of(segment, chain.1.len()), segment, place(chain, at))
                })
                .collect();
            all.sort_by(|(turn, segment, _), (other_turn, other, _)| {
                turn.cmp(other_turn).then_with(|| segment.natural(other))
            });
            result.placed = all.into_iter().map(|(.., placed)| placed).collect();
            let (first, last) = (result.placed.first(), result.placed.last());
            result.ties.extend(first.zip(last).map(|(first, last)| Tie {
                first: first.node,
                second: last.node,
            }));
            return (result, 0);
        }
        let in_step = chains
            .iter()
            .flat_map(|(_, chain)| chain.first())
            .any(|item| {
                item.role == Role::Decoder
                    || (item.role == Role::Body
                        && Role::of(self.segment(item.node)) == Role::Decoder)
            });
        let mut local = Known {
            before: known.before,
            within: known.within.clone(),
        };
        let mut flow = flow.clone();
        let mut heads = vec![0; chains.len()];
        let mut score = 0;
        while result.placed.len() < total {
            let head = |chain: usize| {
                chains[chain]
                    .1
                    .get(heads[chain])
                    .map(|item| self.segment(item.node))
            };
            // A transition waits for the stage of its number.
            let number = |segment: &Segment| segment.ordinal.first().map(|first| first.0);
            let stage = |chain: usize| {
                head(chain)
                    .filter(|segment| !segment.has(&["transition"]))
                    .and_then(number)
            };
            let least = (0..chains.len()).filter_map(stage).min();
            let waits = |segment: &Segment| {
                segment.has(&["transition"]) && number(segment) >= least && least.is_some()
            };
            // A decoder's chains go in step: `upconv4`, `dec4`, `upconv3`, `dec3`.
            let numbers = (0..chains.len()).filter_map(|chain| head(chain).and_then(number));
            let turn = if backward {
                numbers.max()
            } else {
                numbers.min()
            };
            let early =
                |segment: &Segment| in_step && number(segment).is_some() && number(segment) != turn;
            let ready =
                |&chain: &usize| head(chain).is_some_and(|head| !waits(head) && !early(head));
            let mut open: Vec<usize> = (0..chains.len()).filter(ready).collect();
            if open.is_empty() {
                // They wait for each other.
                open = (0..chains.len())
                    .filter(|&chain| head(chain).is_some())
                    .collect();
            }
            let ends = |chain: usize| &sketches[chains[chain].1[heads[chain]].node].ends;
            let fit = |chain: usize| {
                let twin = result.placed.last().is_some_and(|last: &Placed| {
                    last.chain == chains[chain].0 && sketches[last.node].ends == *ends(chain)
                });
                let fit = local.fit(&flow, ends(chain));
                // Twins on one input (an attention gate's `W_g`, `W_x`) run in a row.
                if twin
                    && fit > Fit::None
                    && head(chain)
                        .is_some_and(|segment| segment.ordinal.iter().all(|part| part.0 == 0))
                {
                    Fit::Latest
                } else {
                    fit
                }
            };
            let best = open
                .iter()
                .map(|&chain| fit(chain))
                .max()
                .unwrap_or(Fit::None);
            let tied: Vec<usize> = open
                .iter()
                .copied()
                .filter(|&chain| fit(chain) == best)
                .collect();
            // Of those that could run now, first the one after which the others still can.
            let outlook = |chain: usize| -> usize {
                if matches!(best, Fit::Earlier | Fit::Combined) {
                    // Side by side on earlier outputs: none waits for another.
                    return 0;
                }
                let after = flow.after(&ends(chain).exits);
                tied.iter()
                    .filter(|&&other| other != chain)
                    .map(|&other| local.fit(&after, ends(other)) as usize)
                    .sum()
            };
            let brightest = if tied.len() > 1 {
                tied.iter().map(|&chain| outlook(chain)).max().unwrap_or(0)
            } else {
                0
            };
            let left: Vec<usize> = tied
                .iter()
                .copied()
                .filter(|&chain| tied.len() == 1 || outlook(chain) == brightest)
                .collect();
            let Some(&next) = left
                .iter()
                .min_by(|&&a, &&b| self.preference(&chains[a], heads[a], &chains[b], heads[b]))
            else {
                break;
            };
            let node = |chain: usize| chains[chain].1[heads[chain]].node;
            // One that the chosen one feeds, and that does not feed the chosen one, is no rival unless names put it first.
            let is_fed = |chain: usize, by: usize| {
                local.fit(&flow.after(&ends(by).exits), ends(chain)) == Fit::Latest
            };
            let is_rival = |&chain: &usize| {
                chain != next
                    && match self.by_names(&chains[next], heads[next], &chains[chain], heads[chain])
                    {
                        Ordering::Less => false,
                        Ordering::Equal => !is_fed(chain, next) || is_fed(next, chain),
                        Ordering::Greater => true,
                    }
            };
            // What may be grouped fits wherever its groups divide what is given.
            let may_be_grouped = |&chain: &usize| {
                let entry = ends(chain).entry[0];
                let divides = |&given: &usize| given > entry && given.is_multiple_of(entry);
                fit(chain) < best
                    && entry > MOST_COLOURS
                    && flow.latest.first().is_some_and(divides)
            };
            let grouped = open.iter().copied().filter(may_be_grouped);
            let rivals: Vec<usize> = tied
                .iter()
                .copied()
                .chain(grouped)
                .filter(is_rival)
                .collect();
            // Had the rival run first, the rest of its chain might have followed.
            let last = |chain: usize| chains[chain].1.last().map_or(node(chain), |item| item.node);
            result.ties.extend(rivals.into_iter().map(|chain| Tie {
                first: node(next),
                second: last(chain),
            }));
            let exits = &ends(next).exits;
            score += best as usize;
            local.within.extend(exits);
            flow = flow.after(exits);
            result.placed.push(place(&chains[next], heads[next]));
            heads[next] += 1;
        }
        (result, score)
    }

    /// Which of two modules runs first where shapes leave it open.
    fn preference(&self, a: &Chain, at: usize, b: &Chain, bt: usize) -> Ordering {
        let (first, second) = (self.segment(a.1[at].node), self.segment(b.1[bt].node));
        Turn::of(first, a.1.len())
            .cmp(&Turn::of(second, b.1.len()))
            .then_with(|| first.natural(second))
    }

    /// Which of two modules names put first, by more than the alphabet, the bare fact that one is called a convolution, or the
    /// numbers of different lists.
    fn by_names(&self, a: &Chain, at: usize, b: &Chain, bt: usize) -> Ordering {
        let (first, second) = (&a.1[at], &b.1[bt]);
        let turn = |item: &Item, chain: &Chain| {
            let mut turn = Turn::of(self.segment(item.node), chain.1.len());
            turn.class = turn.class.min(1);
            if first.list != second.list {
                turn.number.clear();
            }
            turn
        };
        turn(first, a).cmp(&turn(second, b))
    }

    /// How well modules fit each other in this order.
    pub fn score(&self, nodes: &[usize], flow: &Flow, seen: &Seen, sketches: &[Sketch]) -> usize {
        let mut known = Known {
            before: seen,
            within: Seen::new(),
        };
        let mut flow = flow.clone();
        let mut score = 0;
        for &node in nodes {
            let ends = &sketches[node].ends;
            score += known.fit(&flow, ends) as usize;
            known.within.extend(&ends.exits);
            flow = flow.after(&ends.exits);
        }
        score
    }
}

impl Known<'_> {
    fn fit(&self, flow: &Flow, ends: &Ends) -> Fit {
        let within = flow.fit(ends.entry, &self.within);
        if within == Fit::Latest {
            within
        } else {
            within.max(flow.fit(ends.entry, self.before))
        }
    }
}
