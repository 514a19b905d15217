//! The kernels that are compared with each other, and their similarities tile by tile.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::sync::OnceLock;

use ndarray::{Array2, Axis};
use rayon::prelude::*;

use crate::meter::Meter;
use crate::schedule::per_task;

use super::cpu::{CpuTile, Source, UnitVectors};
use super::kernels::Computed;
use super::products::Products;
use super::tile::upper_tiles;
use super::{Error, Kernels, Tile, cuda};

/// Kernels along a side of a tile. 256² float32 are 256 KiB, which stay in a core's L2 cache while they are read.
const TILE: usize = 256;

/// Kernels along either side of a block of pairs that are compared together.
const BLOCK: usize = 96;

/// So many pairs are compared one by one.
const FEW: usize = 1024;

/// Int8 multiply-adds in the time that reading one byte takes, roughly.
const PRODUCTS_PER_BYTE: usize = 25;

/// The kernels of a layer that are compared with each other, or several groups of them, neighbours that are computed together
/// ([`Kernels::joined_groups`]). A kernel's *place* is its index in them, from 0.
#[derive(Clone, Debug)]
pub struct Group<'k, 'a> {
    kernels: &'k Kernels<'a>,
    start: usize,
    /// How many, from the first on, are compared with each other, and so on: all where it is one group.
    part: usize,
    computed: Computed<'k>,
    errors: Vec<f32>,
    /// For every place the first one that holds the same kernel; computed when two kernels first seem to be the same.
    twins: OnceLock<Vec<usize>>,
}

impl<'a> Kernels<'a> {
    /// The groups in which kernels are compared, as many at a time as are computed together; none where nothing is to be screened. In
    /// a tile of several, pairs of different groups do not count.
    pub fn joined_groups(&self) -> impl Iterator<Item = Group<'_, 'a>> {
        let len = self.joined_len();
        (0..self.len()).step_by(len).map_while(move |start| {
            Some(Group {
                kernels: self,
                start,
                part: self.group_len(),
                computed: self.computed(start / self.group_len())?,
                errors: self.errors(start..self.len().min(start + len)),
                twins: OnceLock::new(),
            })
        })
    }
}

impl Group<'_, '_> {
    /// Number of kernels in the group, or in all.
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// How many, from the first on, are compared with each other, and so on.
    pub fn part(&self) -> usize {
        self.part
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Number of pairs that are compared: of kernels that take part and are of one group.
    pub(super) fn pairs(&self) -> u64 {
        let is_live = |place: &usize| self.kernels.is_live(self.kernel(*place));
        let parts = (0..self.len()).step_by(self.part);
        parts
            .map(|start| (start..start + self.part).filter(is_live).count() as u64)
            .map(|live| live * live.saturating_sub(1) / 2)
            .sum()
    }

    /// Bytes of a kernel as stored.
    pub(super) fn row_bytes(&self) -> usize {
        self.kernels.rows().row_bytes()
    }

    /// The number within the layer of the kernel at a place.
    pub fn kernel(&self, place: usize) -> usize {
        self.start + place
    }

    /// The similarity of the kernels at two places, by the float64 definition.
    pub fn similarity(&self, a: usize, b: usize) -> f64 {
        self.kernels.similarity(self.kernel(a), self.kernel(b))
    }

    /// The similarities of pairs of places, in this order. Where most pairs of some kernels with some others are among them, these are
    /// computed together.
    pub(crate) fn similarities(&self, pairs: &[(usize, usize)]) -> Vec<f64> {
        if pairs.len() <= FEW {
            return pairs.iter().map(|&(a, b)| self.similarity(a, b)).collect();
        }
        // So that kernels that are the same are compared once.
        let twins = |&(a, b): &(usize, usize)| (self.first_twin(a), self.first_twin(b));
        let twins: Vec<(usize, usize)> = pairs.iter().map(twins).collect();
        let block = |(a, b): (usize, usize)| (a / BLOCK, b / BLOCK);
        let mut ends = 0;
        let runs = twins.chunk_by(|&x, &y| block(x) == block(y)).map(|run| {
            let start = ends;
            ends += run.len();
            start..ends
        });
        let mut runs: Vec<Range<usize>> = runs.collect();
        let block_of = |run: &Range<usize>| block(twins[run.start]);
        runs.sort_by_key(block_of);
        let mut products = Products::default();
        let mut similarities = vec![0.0; pairs.len()];
        for runs in runs.chunk_by(|x, y| block_of(x) == block_of(y)) {
            let of_runs = || runs.iter().cloned().flatten();
            let pairs = of_runs().map(|pair| twins[pair]);
            let of_block = self.similarities_of_block(block_of(&runs[0]), pairs, &mut products);
            for pair in of_runs() {
                let (a, b) = twins[pair];
                similarities[pair] = of_block[[a % BLOCK, b % BLOCK]];
            }
        }
        similarities
    }

    /// The similarities of pairs of a block, by their places in it; what is beside them does not matter.
    fn similarities_of_block(
        &self,
        block: (usize, usize),
        pairs: impl Iterator<Item = (usize, usize)>,
        products: &mut Products,
    ) -> Array2<f64> {
        let mut is_wanted = Array2::from_elem([BLOCK, BLOCK], false);
        pairs.for_each(|(a, b)| is_wanted[[a % BLOCK, b % BLOCK]] = true);
        let wanted = is_wanted
            .indexed_iter()
            .filter(|(_, is_wanted)| **is_wanted);
        let wanted: Vec<(usize, usize)> = wanted.map(|(places, _)| places).collect();
        let used = |axis: Axis| -> Vec<usize> {
            let lanes = is_wanted.axis_iter(axis).enumerate();
            let used = lanes.filter(|(_, wanted)| wanted.iter().any(|&is_wanted| is_wanted));
            used.map(|(place, _)| place).collect()
        };
        let [rows, columns] = [used(Axis(0)), used(Axis(1))];
        let (first_row, first_column) = (block.0 * BLOCK, block.1 * BLOCK);
        let mut similarities = Array2::zeros([BLOCK, BLOCK]);
        if rows.len() * columns.len() > 2 * wanted.len() {
            for (a, b) in wanted {
                similarities[[a, b]] = self.similarity(first_row + a, first_column + b);
            }
            return similarities;
        }
        let kernels = |first: usize, places: &[usize]| -> Vec<usize> {
            let places = places.iter();
            places.map(|place| self.kernel(first + place)).collect()
        };
        let (xs, ys) = (kernels(first_row, &rows), kernels(first_column, &columns));
        let mut all = self.kernels.similarities(&xs, &ys, products).into_iter();
        for &a in &rows {
            for (&b, similarity) in columns.iter().zip(all.by_ref()) {
                similarities[[a, b]] = similarity;
            }
        }
        similarities
    }

    /// Whether two places hold the same kernel, bit for bit: then so are their similarities to a third.
    pub(super) fn are_twins(&self, a: usize, b: usize) -> bool {
        let square = |place| self.kernels.square(self.kernel(place));
        square(a) == square(b) && self.first_twin(a) == self.first_twin(b)
    }

    /// The first place that holds the same kernel as this one, bit for bit.
    pub(crate) fn first_twin(&self, place: usize) -> usize {
        let twins = self.twins.get_or_init(|| {
            let row = |place: usize| self.kernels.rows().row(self.kernel(place));
            // Of the bytes: orthogonal kernels may all be of one norm.
            let hash = |place: usize| {
                let mut hasher = DefaultHasher::new();
                hasher.write(row(place));
                hasher.finish()
            };
            // On this thread alone: one that waits for others takes up other work meanwhile, which may ask for the twins and wait for itself.
            let mut first: HashMap<u64, Vec<usize>> = HashMap::new();
            let twin = |place: usize| {
                let alike = first.entry(hash(place)).or_default();
                let twin = alike.iter().copied().find(|&twin| row(twin) == row(place));
                twin.unwrap_or_else(|| {
                    alike.push(place);
                    place
                })
            };
            (0..self.len()).map(twin).collect()
        });
        twins[place]
    }

    /// Calls `visit` with tiles that cover the upper triangle, so that every pair is seen once, on several threads at once and in
    /// no fixed order. Nothing need be told of similarities that are surely below the `floor` as it is when a tile's turn comes: they
    /// may be given as −2. Reports the multiply-adds to `meter`.
    ///
    /// # Errors
    ///
    /// The first one of a visit, or of a device on which the tiles are computed.
    pub fn for_each_tile(
        &self,
        meter: &dyn Meter,
        floor: impl Fn() -> f32 + Sync,
        visit: impl Fn(&mut dyn Tile) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        if self.part < 2 {
            return Ok(());
        }
        let visit = |tile: &mut dyn Tile| {
            visit(tile)?;
            meter.multiplied(tile.pairs() as u64 * self.kernels.rows().row_len() as u64);
            Ok(())
        };
        match self.computed {
            Computed::Cpu(units) => self.for_each_cpu_tile(units, floor, |tile| visit(tile)),
            Computed::Device(layer) => {
                let norms = self.kernels.norms();
                let group = cuda::GroupRows {
                    rows: self.kernels.rows(),
                    norms: &norms,
                    start: self.start,
                    len: self.len(),
                    part: self.part,
                };
                layer.for_each_tile(&group, &visit)
            }
        }
    }

    fn for_each_cpu_tile(
        &self,
        units: &UnitVectors,
        floor: impl Fn() -> f32 + Sync,
        visit: impl Fn(&mut CpuTile<'_>) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        let norms = self.kernels.norms();
        let source = Source {
            rows: self.kernels.rows(),
            norms: &norms,
            start: self.start,
            units,
            errors: &self.errors,
        };
        let places: Vec<(Range<usize>, Range<usize>)> = upper_tiles(self.len(), TILE).collect();
        places
            .into_par_iter()
            .with_min_len(per_task(
                TILE * TILE * self.kernels.rows().row_len() / PRODUCTS_PER_BYTE,
            ))
            .try_for_each_init(Vec::new, |buffer: &mut Vec<f32>, (rows, columns)| {
                visit(&mut CpuTile::new(source, rows, columns, floor(), buffer))
            })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::similarity::Precision;
    use crate::similarity::kernels::kernels_of;
    use crate::similarity::tile::OpenPair;

    /// Numbers without structure, from a linear congruential generator.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1u32;
        (0..count)
            .flat_map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                ((state >> 8) as f32 / 16_777_216.0 - 0.5).to_le_bytes()
            })
            .collect()
    }

    /// Shows every pair to `see`, once it has checked that its screened similarity is within the bounds.
    /// Those that are left out must be below `floor`.
    fn for_each_pair(
        group: &Group<'_, '_>,
        floor: f32,
        refine: bool,
        see: impl Fn(usize, usize, bool) + Sync,
    ) {
        let Computed::Cpu(units) = group.computed else {
            panic!("not the CPU's");
        };
        let check = |tile: &mut CpuTile<'_>| {
            if refine && units.are_coarse() {
                tile.refine();
            }
            for row in tile.screened().by_row() {
                let columns = row.values.iter().zip(row.errors);
                for (column, (&value, &error)) in (row.first..).zip(columns) {
                    let similarity = group.similarity(row.place, column);
                    let is_excluded = value == -2.0;
                    if is_excluded {
                        assert!(similarity < f64::from(floor), "{similarity} is left out");
                        see(row.place, column, true);
                        continue;
                    }
                    let off = (f64::from(value) - similarity).abs();
                    let bound = f64::from(row.error) + f64::from(error);
                    let both_live =
                        group.kernels.is_live(row.place) && group.kernels.is_live(column);
                    assert_eq!(bound.is_nan(), !both_live);
                    let holds = bound.is_nan() || off <= bound;
                    assert!(holds, "{off} > {bound} at {}, {column}", row.place);
                    see(row.place, column, false);
                }
            }
            Ok(())
        };
        group.for_each_cpu_tile(units, || floor, check).unwrap();
    }

    #[test]
    fn every_pair_is_shown_once_and_within_the_bounds() {
        for (precision, n, d) in [(Precision::F32, 1027, 5), (Precision::Int8, 531, 50)] {
            let values = noise(n * d);
            let kernels = kernels_of(&values, n, 1, precision);
            let group = kernels.joined_groups().next().unwrap();
            for refine in [false, true] {
                let seen = Mutex::new(vec![0u8; n * n]);
                for_each_pair(&group, f32::NEG_INFINITY, refine, |a, b, is_excluded| {
                    assert!(!is_excluded);
                    seen.lock().unwrap()[a * n + b] += 1;
                });
                let seen = seen.into_inner().unwrap();
                for a in 0..n {
                    for b in 0..n {
                        assert_eq!(seen[a * n + b], u8::from(b > a), "{a}, {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_similarities_below_the_floor_are_left_out() {
        // Twelve kernels of noise, and of each one eight more that are like it to a different degree.
        let (n, d) = (12 * 9, 1203);
        let noise: Vec<f32> = noise(n * d)
            .chunks_exact(4)
            .map(|v| f32::from_le_bytes([v[0], v[1], v[2], v[3]]))
            .collect();
        let values: Vec<u8> = (0..n * d)
            .flat_map(|at| {
                let (kernel, place) = (at / d, at % d);
                let share = (kernel / 12) as f32 / 8.0;
                let base = noise[kernel % 12 * d + place];
                (share * noise[at] + (1.0 - share) * base).to_le_bytes()
            })
            .collect();
        let kernels = kernels_of(&values, n, 1, Precision::Int8);
        let group = kernels.joined_groups().next().unwrap();
        // Pairs are left out by blocks: fewer of them by AVX-512, whose blocks are larger (8 by 32; the others' are 4 by 16).
        let (at_0_5, at_0_9) = match Precision::int8_instructions() {
            Some("AVX-512 VNNI") => (1400, 3700),
            _ => (2000, 4000),
        };
        for (floor, least) in [
            (-1.0, 0),
            (0.2, 0),
            (0.5, at_0_5),
            (0.9, at_0_9),
            (2.5, 5778),
        ] {
            let excluded = Mutex::new(0);
            for_each_pair(&group, floor, false, |_, _, is_excluded| {
                *excluded.lock().unwrap() += u32::from(is_excluded);
            });
            let excluded = excluded.into_inner().unwrap();
            let is_fast = Precision::fastest() == Precision::Int8;
            let least = if is_fast { least } else { 0 };
            assert!(excluded >= least, "{excluded} of 5778 at {floor}");
        }
    }

    #[test]
    fn many_similarities_are_those_of_one_after_the_other() {
        // Three blocks a side; every fifth kernel is the first one again.
        let (n, d) = (200, 37);
        let rows: Vec<Vec<u8>> = noise(n * d).chunks(4 * d).map(<[u8]>::to_vec).collect();
        let values: Vec<u8> = (0..n)
            .flat_map(|k| rows[if k % 5 == 0 { 0 } else { k }].clone())
            .collect();
        let kernels = kernels_of(&values, n, 1, Precision::F32);
        let group = kernels.joined_groups().next().unwrap();
        let all = (0..n).flat_map(|a| (0..n).rev().map(move |b| (a, b)));
        let all = all.filter(|(a, b)| a != b);
        // Most of all pairs, and few.
        let [few, most]: [Vec<(usize, usize)>; 2] = all.partition(|(a, b)| (a * b) % 7 == 3).into();
        for pairs in [most, few] {
            assert!(pairs.len() > FEW);
            let found = group.similarities(&pairs);
            for (&(a, b), found) in pairs.iter().zip(found) {
                let expected = group.similarity(a, b);
                assert_eq!(found.to_bits(), expected.to_bits(), "{a}, {b}");
            }
        }
        assert!(group.similarities(&[]).is_empty());
    }

    #[test]
    fn a_pair_that_was_compared_need_not_be_compared_again() {
        let (n, d) = (300, 3);
        let values = noise(n * d);
        let kernels = kernels_of(&values, n, 1, Precision::F32);
        let group = kernels.joined_groups().next().unwrap();
        let known = Mutex::new(Vec::new());
        let visit = |tile: &mut dyn Tile| {
            // One pair of each tile, with a similarity that only its own note can tell.
            let (a, b) = (tile.rows().start, tile.columns().end - 1);
            let similarity = Some(2.0 + (a * n + b) as f64);
            tile.note(vec![OpenPair {
                a,
                b,
                at_most: 1.0,
                is_undecided: false,
                similarity,
            }]);
            tile.count_by_interval([f32::INFINITY; 3], &mut |counted| {
                let open = counted.open.into_iter();
                let mut known = known.lock().unwrap();
                known.extend(open.filter_map(|(a, b, similarity)| Some((a, b, similarity?))));
            })
        };
        group.for_each_tile(&(), || -1.0, visit).unwrap();
        let mut known = known.into_inner().unwrap();
        known.sort_by_key(|&(a, b, _)| (a, b));
        let expected = [(0, 255), (0, 299), (256, 299)];
        assert_eq!(
            known,
            expected.map(|(a, b)| (a, b, 2.0 + (a * n + b) as f64))
        );
    }

    proptest! {
        #[test]
        fn the_bounds_hold_at_any_scale(
            scale in -30i32..30,
            d in 1usize..300,
            signs in any::<u64>(),
            precision in prop::sample::select(vec![Precision::F32, Precision::Int8]),
            refine in any::<bool>(),
        ) {
            let values: Vec<u8> = noise(4 * d)
                .chunks_exact(4)
                .enumerate()
                .flat_map(|(i, v)| {
                    let v = f32::from_le_bytes([v[0], v[1], v[2], v[3]]) + if signs >> (i % 64) & 1 == 1 { 3.0 } else { 0.0 };
                    (v * 2f32.powi(scale * (i % 3) as i32)).to_le_bytes()
                })
                .collect();
            let kernels = kernels_of(&values, 4, 1, precision);
            for_each_pair(&kernels.joined_groups().next().unwrap(), f32::NEG_INFINITY, refine, |_, _, _| ());
        }
    }
}
