//! Merges the chains of one role by the channels that their modules read and output.
//!
//! The head of a chain, its first module not yet placed, runs next if it reads the latest output. That puts a DenseNet's
//! `transition1` after `denseblock1`, an Xception's `conv3` after its blocks and a U-Net's `dec4` before `dec1`.

use std::cmp::Ordering;

use super::arrangement::{Arrangement, FlowPath, Placed, Tie};
use super::flow::{Ends, Fit, Supply};
use super::items::{Chain, Item, MAX_WORK};
use super::modules::Modules;
use super::turn::Turn;
use crate::layers::candidates::IMAGE_CHANNELS;
use crate::layers::name::Segment;
use crate::layers::roles::{self, Role};

/// With more chains than this in one module, shapes are ignored: merging compares all heads at each step. None of 150
/// architectures has more than 19.
const MAX_CHAINS: usize = 32;

/// Merged chains, and how well the modules fit each other in that order.
#[derive(Default)]
pub(super) struct Merged {
    pub arrangement: Arrangement,
    pub score: usize,
}

/// Merges the chains of one role. `backward` says that they run from their last numbers to their first.
pub(super) fn merge(
    modules: &Modules<'_>,
    chains: &[Chain],
    backward: bool,
    supply: &Supply<'_>,
) -> Merged {
    let total: usize = chains.iter().map(|chain| chain.items.len()).sum();
    if chains.len() > MAX_CHAINS || chains.len().saturating_mul(total) > MAX_WORK {
        return merge_by_names(modules, chains);
    }
    let mut merger = Merger {
        modules,
        chains,
        backward,
        in_step: in_step(modules, chains),
        at: vec![0; chains.len()],
        supply: supply.clone(),
        merged: Merged::default(),
    };
    while let Some(next) = merger.pick() {
        merger.place(next);
    }
    merger.merged
}

/// Merges by names alone, which puts the whole order in doubt: the first and the last module tie.
fn merge_by_names(modules: &Modules<'_>, chains: &[Chain]) -> Merged {
    // Computed once: sorting would compute each some twenty times.
    let mut all: Vec<(Turn, &Segment, Placed)> = Vec::new();
    for chain in chains {
        for item in &chain.items {
            let segment = modules.segment(item.node);
            let turn = Turn::of(segment, chain.items.len());
            all.push((turn, segment, on_main_path(chain, item)));
        }
    }
    all.sort_by(|(turn, segment, _), (other_turn, other, _)| {
        turn.cmp(other_turn).then_with(|| segment.natural(other))
    });
    let placed: Vec<Placed> = all.into_iter().map(|(.., placed)| placed).collect();
    let edges = placed.first().zip(placed.last());
    let tie = edges.map(|(first, last)| Tie {
        first: first.node,
        second: last.node,
    });
    let ties = tie.into_iter().collect();
    Merged {
        arrangement: Arrangement { placed, ties },
        score: 0,
    }
}

/// Whether chains advance together by their numbers, as a decoder's do: `upconv4`, `dec4`, `upconv3`, `dec3`.
fn in_step(modules: &Modules<'_>, chains: &[Chain]) -> bool {
    let mut firsts = chains.iter().filter_map(|chain| chain.items.first());
    firsts.any(|item| match item.role {
        Role::Decoder => true,
        Role::Body => Role::of(modules.segment(item.node)) == Role::Decoder,
        _ => false,
    })
}

fn on_main_path(chain: &Chain, item: &Item) -> Placed {
    Placed {
        node: item.node,
        path: FlowPath::Main,
        role: item.role,
        chain: chain.number,
    }
}

/// A merge in progress. Chains are given by index.
struct Merger<'a> {
    modules: &'a Modules<'a>,
    chains: &'a [Chain],
    backward: bool,
    /// See [`in_step`].
    in_step: bool,
    /// Number of modules of each chain that are placed.
    at: Vec<usize>,
    supply: Supply<'a>,
    merged: Merged,
}

/// The module that runs next.
struct Next {
    chain: usize,
    fit: Fit,
    /// Chains whose heads may run instead.
    rivals: Vec<usize>,
}

impl Merger<'_> {
    /// Chooses the module that runs next: of the heads that are ready, those that fit best; of these, those after which the
    /// others fit best; of these, the first by name. `None` if all are placed.
    fn pick(&self) -> Option<Next> {
        let ready = self.ready();
        let fit = ready.iter().map(|&chain| self.fit(chain)).max()?;
        let mut fitting = ready.clone();
        fitting.retain(|&chain| self.fit(chain) == fit);
        let mut left = fitting.clone();
        if left.len() > 1 {
            let fit_of_others = |chain: usize| self.fit_of_others(chain, &fitting, fit);
            let best = left.iter().map(|&chain| fit_of_others(chain)).max();
            left.retain(|&chain| Some(fit_of_others(chain)) == best);
        }
        let chain = left.into_iter().min_by(|&a, &b| self.by_name(a, b))?;
        let may_be_grouped = |&other: &usize| self.fit(other) < fit && self.may_be_grouped(other);
        let grouped = ready.into_iter().filter(may_be_grouped);
        let rivals = fitting.into_iter().chain(grouped);
        Some(Next {
            chain,
            fit,
            rivals: rivals
                .filter(|&other| self.is_rival(other, chain))
                .collect(),
        })
    }

    /// The chains whose heads need not wait for others, by their numbers.
    fn ready(&self) -> Vec<usize> {
        let open = || (0..self.chains.len()).filter_map(|chain| Some((chain, self.head(chain)?)));
        let stages = open().filter(|(_, head)| !roles::is_transition(head));
        let first_stage = stages.filter_map(|(_, head)| head.number()).min();
        // A transition waits for the stage of its number (DenseNet).
        let waits = |head: &Segment| {
            roles::is_transition(head) && first_stage.is_some() && head.number() >= first_stage
        };
        let numbers = open().filter_map(|(_, head)| head.number());
        let turn = if self.backward {
            numbers.max()
        } else {
            numbers.min()
        };
        let is_early =
            |head: &Segment| self.in_step && head.number().is_some() && head.number() != turn;
        let ready: Vec<usize> = open()
            .filter(|(_, head)| !waits(head) && !is_early(head))
            .map(|(chain, _)| chain)
            .collect();
        if ready.is_empty() {
            // They wait for each other.
            return open().map(|(chain, _)| chain).collect();
        }
        ready
    }

    /// How well the head of a chain fits now.
    fn fit(&self, chain: usize) -> Fit {
        let ends = self.ends(chain);
        let fit = self.supply.fit(ends);
        // Equal siblings on one input (an attention gate's `W_g`, `W_x`) run in a row.
        let follows_equal = self.merged.arrangement.placed.last().is_some_and(|last| {
            last.chain == self.chains[chain].number && self.modules.ends(last.node) == ends
        });
        let is_unnumbered = |head: &Segment| head.ordinal.iter().all(|part| part.0 == 0);
        if follows_equal && fit > Fit::None && self.head(chain).is_some_and(is_unnumbered) {
            Fit::Latest
        } else {
            fit
        }
    }

    /// How well the other heads that fit equally well would fit after this one.
    fn fit_of_others(&self, chain: usize, fitting: &[usize], fit: Fit) -> usize {
        if matches!(fit, Fit::Earlier | Fit::Combined) {
            // They read earlier outputs in parallel: none waits for another.
            return 0;
        }
        let after = self.supply.flow.after(self.ends(chain));
        let others = fitting.iter().filter(|&&other| other != chain);
        others
            .map(|&other| self.supply.fit_at(&after, self.ends(other)) as usize)
            .sum()
    }

    /// Which of two heads runs first if shapes leave it open.
    fn by_name(&self, a: usize, b: usize) -> Ordering {
        let turn = |chain| Turn::of(self.segment(chain), self.chains[chain].items.len());
        turn(a)
            .cmp(&turn(b))
            .then_with(|| self.segment(a).natural(self.segment(b)))
    }

    /// Whether a ready head could run before the chosen one: names put it first, or they say nothing and the chosen one does
    /// not feed it, or each feeds the other.
    fn is_rival(&self, chain: usize, chosen: usize) -> bool {
        let is_fed = |chain: usize, by: usize| {
            let after = self.supply.flow.after(self.ends(by));
            self.supply.fit_at(&after, self.ends(chain)) == Fit::Latest
        };
        chain != chosen
            && match self.by_more_than_alphabet(chosen, chain) {
                Ordering::Less => false,
                Ordering::Equal => !is_fed(chain, chosen) || is_fed(chosen, chain),
                Ordering::Greater => true,
            }
    }

    /// Which of two heads the names put first, apart from the alphabet, conventions of class, and the numbers of different
    /// lists.
    fn by_more_than_alphabet(&self, a: usize, b: usize) -> Ordering {
        let list = |chain: usize| self.item(chain).list;
        let turn = |chain: usize| {
            let turn = Turn::of(self.segment(chain), self.chains[chain].items.len());
            let turn = turn.without_class();
            if list(a) == list(b) {
                turn
            } else {
                turn.without_number()
            }
        };
        turn(a).cmp(&turn(b))
    }

    /// Whether a head may be grouped: then it fits any output that its input width divides.
    fn may_be_grouped(&self, chain: usize) -> bool {
        let entry = self.ends(chain).entry[0];
        let divides = |&given: &usize| given > entry && given.is_multiple_of(entry);
        entry > IMAGE_CHANNELS && self.supply.flow.latest.first().is_some_and(divides)
    }

    /// Places the chosen head, and records its ties.
    fn place(&mut self, next: Next) {
        let (chain, item) = (&self.chains[next.chain], *self.item(next.chain));
        let arrangement = &mut self.merged.arrangement;
        // Had the rival run first, the rest of its chain might have followed.
        arrangement
            .ties
            .extend(next.rivals.into_iter().filter_map(|rival| {
                Some(Tie {
                    first: item.node,
                    second: self.chains[rival].items.last()?.node,
                })
            }));
        arrangement.placed.push(on_main_path(chain, &item));
        self.merged.score += next.fit as usize;
        self.supply.advance(self.modules.ends(item.node));
        self.at[next.chain] += 1;
    }

    /// The head of a chain that is not finished.
    fn item(&self, chain: usize) -> &Item {
        &self.chains[chain].items[self.at[chain]]
    }

    fn segment(&self, chain: usize) -> &Segment {
        self.modules.segment(self.item(chain).node)
    }

    fn ends(&self, chain: usize) -> &Ends {
        self.modules.ends(self.item(chain).node)
    }

    /// The name of a chain's head; `None` if it is finished.
    fn head(&self, chain: usize) -> Option<&Segment> {
        let item = self.chains[chain].items.get(self.at[chain])?;
        Some(self.modules.segment(item.node))
    }
}
