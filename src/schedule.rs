//! Running work on every layer of a checkpoint: several in parallel, as threads and memory allow.

use std::cmp::Reverse;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::checkpoint::{Checkpoint, Draft, Error, Fill, Sink, Tensor};
use crate::meter::Meter;

/// Bytes of memory that layers in parallel may take together beyond the largest allowance of one of them.
const MEMORY: usize = 16 << 20;

/// Bytes of work, about 100 µs, from which another thread pays off: for less, waking it costs more than it saves.
const TASK_BYTES: usize = 1 << 20;

/// The least number of items that one task should take on, where each item is so many bytes of work.
pub fn per_task(bytes: usize) -> usize {
    (TASK_BYTES / bytes.max(1)).max(1)
}

/// The time and memory that work on a layer takes.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// The layer's weight. Shards are worked on one after the other.
    pub tensor: &'a Tensor,
    /// The other tensors that hold the same weight, and are written with it.
    pub copies: &'a [&'a Tensor],
    /// Time, in any unit.
    pub work: u64,
    pub memory: usize,
    /// Bytes of memory that layers in parallel may take together where this one is among them. At least `memory`, and at least
    /// its unit vectors in float32, so that a small layer can be computed while another one is written.
    pub allowance: usize,
}

/// Runs `work` on every layer, several in parallel on the current rayon pool, and streams each result into the draft, into
/// which the rest of the source is copied meanwhile. `work` gets a layer's place in `loads` and the bytes of its weight; its
/// results come back in the order of `loads`.
///
/// The largest layers of a shard begin first, so that none is left alone at the end. As many run in parallel as there are
/// threads and memory for: all small layers of a network, but only one of those that fill the memory. Threads without a
/// layer of their own take over what `work` gives to rayon, so a single large layer has them all.
///
/// # Errors
///
/// Where the source cannot be read or the draft cannot be written; otherwise the error of the first layer that failed.
pub fn for_each_layer<R: Send + Sync, E: From<Error> + Send + Sync>(
    source: &Checkpoint,
    draft: Option<(&mut Draft<'_>, Fill)>,
    loads: &[Load<'_>],
    meter: &dyn Meter,
    work: impl Fn(usize, &[u8], Option<&Sink<'_>>) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let run = |sink: Option<&Sink<'_>>| {
        // The first layer's error is reported, whichever comes up first: so the layers before it go on.
        let first_failed = AtomicUsize::new(usize::MAX);
        let one_layer = |layer: usize| {
            if sink.is_some_and(Sink::has_failed) || layer > first_failed.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let tensor = loads[layer].tensor;
            let result = source.with_values(tensor, |values| work(layer, values, sink));
            let result = result.map_err(E::from).flatten();
            if result.is_err() {
                first_failed.fetch_min(layer, Ordering::Relaxed);
            }
            result.map(Some)
        };
        let results = side_by_side(loads, one_layer);
        let failed = results.iter().position(Result::is_err);
        results
            .into_iter()
            .skip(failed.unwrap_or(0))
            .collect::<Result<Option<Vec<R>>, E>>()
    };
    let results = match draft {
        Some((draft, fill)) => {
            let tensors = loads
                .iter()
                .flat_map(|load| std::iter::once(load.tensor).chain(load.copies.iter().copied()));
            let tensors: Vec<&Tensor> = tensors.collect();
            draft.write_while(fill, &tensors, meter, |sink| run(Some(sink)))?
        }
        None => run(None)?,
    };
    Ok(results.expect("work stops short for a failed writer only, whose error comes first"))
}

fn side_by_side<R: Send + Sync>(loads: &[Load<'_>], run: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let mut order: Vec<usize> = (0..loads.len()).collect();
    order.sort_by_key(|&layer| (loads[layer].tensor.shard, Reverse(loads[layer].work)));
    let results: Vec<OnceLock<R>> = loads.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    rayon::scope(|scope| {
        for _ in 0..fitting(loads).min(rayon::current_num_threads()) {
            scope.spawn(|_| {
                while let Some(&layer) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    results[layer].get_or_init(|| run(layer));
                }
            });
        }
    });
    results
        .into_iter()
        .filter_map(OnceLock::into_inner)
        .collect()
}

/// How many of these layers may run in parallel, whichever they are.
fn fitting(loads: &[Load<'_>]) -> usize {
    let mut memory: Vec<usize> = loads.iter().map(|load| load.memory).collect();
    memory.sort_unstable_by_key(|&memory| Reverse(memory));
    let allowances = loads.iter().map(|load| load.allowance);
    let bound = MEMORY.saturating_add(allowances.max().unwrap_or(0));
    let mut taken = 0usize;
    let fitting = memory.iter().take_while(|&&memory| {
        taken = taken.saturating_add(memory);
        taken <= bound
    });
    fitting.count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Dtype;

    const MIB: usize = 1 << 20;

    fn tensor(shard: usize) -> Tensor {
        Tensor {
            name: "w".to_owned(),
            dtype: Dtype::F32,
            shape: vec![1],
            shard,
            bytes: 0..4,
            arrangement: Default::default(),
        }
    }

    #[test]
    fn small_layers_run_side_by_side_and_huge_ones_alone() {
        let fitting = |memory: &[usize], share: usize| {
            let tensor = tensor(0);
            let load = |&memory: &usize| Load {
                tensor: &tensor,
                copies: &[],
                work: 1,
                memory,
                allowance: memory * share,
            };
            super::fitting(&memory.iter().map(load).collect::<Vec<_>>())
        };
        assert_eq!(fitting(&[MIB; 10], 1), 10);
        assert_eq!(fitting(&[5 * MIB; 50], 1), 4);
        assert_eq!(fitting(&[100 * MIB; 50], 1), 1);
        assert_eq!(fitting(&[100 * MIB; 50], 4), 4);
        assert_eq!(fitting(&[MIB, 100 * MIB, 17 * MIB], 1), 1);
        assert_eq!(fitting(&[0; 5], 1), 5);
        assert_eq!(fitting(&[], 1), 0);
    }

    #[test]
    fn results_come_in_the_layers_order_and_files_one_after_the_other() {
        let tensors: Vec<Tensor> = (0..40).map(|layer| tensor((layer * 7) % 3)).collect();
        let loads: Vec<Load<'_>> = tensors
            .iter()
            .enumerate()
            .map(|(layer, tensor)| Load {
                tensor,
                copies: &[],
                work: (layer * 13 % 11) as u64,
                memory: MIB,
                allowance: MIB,
            })
            .collect();
        let begun = std::sync::Mutex::new(Vec::new());
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        let results = pool.install(|| {
            side_by_side(&loads, |layer| {
                begun.lock().unwrap().push(loads[layer]);
                layer
            })
        });
        assert_eq!(results, (0..40).collect::<Vec<_>>());
        let begun = begun.into_inner().unwrap();
        assert!(begun.is_sorted_by_key(|load| (load.tensor.shard, Reverse(load.work))));
    }
}
