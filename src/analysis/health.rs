//! What is wrong with a layer's kernels.

use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;

use rayon::prelude::*;

use crate::checkpoint::FloatType;
use crate::schedule::per_task;
use crate::simd::{self, Loop};
use crate::similarity::{Kernels, Nearest, Neighbour, exact};
use crate::weight::{Element, with_element};

use super::Spread;

/// Share of the median norm below which a kernel is near dead.
const NEAR_DEAD: f64 = 0.01;

/// Similarity above which two kernels are near duplicates.
const NEAR_DUPLICATE: f64 = 0.9999;

/// Numbers looked at together.
const LANES: usize = 16;

/// The kernels of a layer that are dead, broken or the same as others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Health {
    /// Kernels of norm below [`EPSILON`](crate::similarity::exact::EPSILON), zero included, rising.
    pub zero: Vec<usize>,
    /// Other kernels whose norm is below 1 % of the median norm of those that take part, rising.
    pub near_dead: Vec<usize>,
    /// Kernels that hold a NaN or an infinity, or numbers whose squares are beyond float64, rising.
    pub non_finite: Vec<usize>,
    /// `(kernel, first)`: kernels that equal an earlier one of their group in every number, and the first that does, rising.
    /// Kernels of zeros are left out.
    pub duplicates: Vec<(usize, usize)>,
    /// `(kernel, first)`: kernels that are an earlier one's negative in every number, as above.
    pub sign_flipped: Vec<(usize, usize)>,
    /// `(kernel, neighbour)`: kernels with a neighbour more similar than 0.9999, the nearest, rising. Kernels that equal another
    /// are left out, and those of one number, which have but two directions.
    pub near_duplicates: Vec<(usize, usize)>,
    /// Numbers that are NaN or infinite.
    pub non_finite_numbers: u64,
    /// Numbers below the normal range of their type.
    pub subnormal_numbers: u64,
}

impl Health {
    /// Whether there is nothing to report.
    pub fn is_good(&self) -> bool {
        *self == Self::default()
    }

    /// That of these kernels, whose nearest neighbours are these.
    pub(super) fn of(kernels: &Kernels<'_>, nearest: &Nearest) -> Self {
        let rows = kernels.rows();
        let examined: Vec<Examined> = (0..kernels.len())
            .into_par_iter()
            .with_min_len(per_task(rows.row_bytes()))
            .map(|kernel| {
                let row = rows.row(kernel);
                with_element!(rows.float(), E => simd::widest(Examine::<E> {
                    row,
                    least_normal: least_normal(rows.float()),
                    of: PhantomData,
                }))
            })
            .collect();
        let numbers = |of: fn(&Examined) -> u64| examined.iter().map(of).sum();
        let those = |is: &dyn Fn(usize) -> bool| (0..kernels.len()).filter(|&k| is(k)).collect();
        let norms = kernels.norms();
        let live: Vec<f64> = (0..kernels.len())
            .filter(|&kernel| kernels.is_live(kernel))
            .map(|kernel| norms[kernel])
            .collect();
        let weak = Spread::of(&live).map_or(0.0, |norms| NEAR_DEAD * norms.median);
        let (duplicates, sign_flipped) = copies(kernels, &examined);
        let equal: HashSet<usize> = duplicates
            .iter()
            .flat_map(|&(kernel, first)| [kernel, first])
            .collect();
        let has_directions = rows.row_bytes() > rows.float().size();
        let near_duplicate = |(kernel, nearest): (usize, &Option<Neighbour>)| {
            let near = nearest.filter(|nearest| nearest.similarity > NEAR_DUPLICATE)?;
            (has_directions && !equal.contains(&kernel)).then_some((kernel, near.kernel))
        };
        let neighbours = nearest.by_kernel().iter().enumerate();
        let near_duplicates = neighbours.filter_map(near_duplicate).collect();
        Self {
            zero: those(&|kernel| norms[kernel] < exact::EPSILON),
            near_dead: those(&|kernel| kernels.is_live(kernel) && norms[kernel] < weak),
            non_finite: those(&|kernel| !norms[kernel].is_finite()),
            duplicates,
            sign_flipped,
            near_duplicates,
            non_finite_numbers: numbers(|kernel| kernel.non_finite),
            subnormal_numbers: numbers(|kernel| kernel.subnormal),
        }
    }
}

/// The least positive number of full precision.
fn least_normal(float: FloatType) -> f64 {
    match float {
        FloatType::F16 => 2f64.powi(-14),
        FloatType::Bf16 | FloatType::F32 => f32::MIN_POSITIVE.into(),
        FloatType::F64 => f64::MIN_POSITIVE,
    }
}

/// What is seen of a kernel's numbers.
#[derive(Clone, Copy, Debug)]
struct Examined {
    non_finite: u64,
    subnormal: u64,
    /// The sign of the first number that is not zero; 0 if there is none.
    sign: f64,
    /// Of the numbers times the sign, so that it is the negative's, too.
    hash: u64,
}

struct Examine<'a, E> {
    row: &'a [u8],
    least_normal: f64,
    of: PhantomData<E>,
}

impl<E: Element> Loop for Examine<'_, E> {
    type Output = Examined;

    #[inline(always)]
    fn run(self) -> Examined {
        let number = |bytes: &[u8]| E::read(bytes).widen();
        let first = self
            .row
            .chunks_exact(E::SIZE)
            .map(number)
            .find(|&x| x != 0.0);
        let sign = first.map_or(0.0, |x| 1f64.copysign(x));
        let mut non_finite = [0u64; LANES];
        let mut subnormal = [0u64; LANES];
        let mut hashes = [0u64; LANES];
        for chunk in self.row.chunks(LANES * E::SIZE) {
            for (lane, bytes) in chunk.chunks_exact(E::SIZE).enumerate() {
                let x = number(bytes);
                non_finite[lane] += u64::from(!x.is_finite());
                subnormal[lane] += u64::from((x != 0.0) & (x.abs() < self.least_normal));
                // Adding 0 makes 0 of −0.
                let bits = (x * sign + 0.0).to_bits();
                hashes[lane] = mixed(hashes[lane], bits);
            }
        }
        Examined {
            non_finite: non_finite.iter().sum(),
            subnormal: subnormal.iter().sum(),
            sign,
            hash: hashes.into_iter().fold(0, mixed),
        }
    }
}

#[inline(always)]
fn mixed(hash: u64, bits: u64) -> u64 {
    // The bits that differ between stored numbers are the upper ones: they must reach the lower half.
    let mixed = (hash ^ bits ^ (bits >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

/// Kernels that are the same but for the sign of all their numbers.
struct Alike {
    member: usize,
    /// The first with each sign.
    first: [Option<usize>; 2],
}

/// The duplicates and the sign-flipped ones of kernels in which this was seen.
#[expect(clippy::type_complexity, reason = "two fields of Health")]
fn copies(
    kernels: &Kernels<'_>,
    examined: &[Examined],
) -> (Vec<(usize, usize)>, Vec<(usize, usize)>) {
    let rows = kernels.rows();
    let (mut duplicates, mut sign_flipped) = (Vec::new(), Vec::new());
    let mut known: HashMap<(usize, u64), Vec<Alike>> = HashMap::new();
    for (kernel, seen) in examined.iter().enumerate() {
        if seen.sign == 0.0 || seen.non_finite > 0 {
            continue;
        }
        let group = kernels.group_of(kernel).start;
        let rivals = known.entry((group, seen.hash)).or_default();
        let is_alike = |alike: &Alike| {
            let sign = seen.sign * examined[alike.member].sign;
            let (x, y) = (rows.row(kernel), rows.row(alike.member));
            with_element!(rows.float(), E => are_same::<E>(x, y, sign))
        };
        let place = rivals.iter().position(is_alike).unwrap_or_else(|| {
            rivals.push(Alike {
                member: kernel,
                first: [None; 2],
            });
            rivals.len() - 1
        });
        let sign = usize::from(seen.sign < 0.0);
        let first = &mut rivals[place].first;
        duplicates.extend(first[sign].map(|first| (kernel, first)));
        sign_flipped.extend(first[1 - sign].map(|first| (kernel, first)));
        first[sign].get_or_insert(kernel);
    }
    (duplicates, sign_flipped)
}

/// Whether every number of `x` is that of `y` times the sign.
fn are_same<E: Element>(x: &[u8], y: &[u8], sign: f64) -> bool {
    let number = |bytes: &[u8]| E::read(bytes).widen();
    let pairs = x.chunks_exact(E::SIZE).zip(y.chunks_exact(E::SIZE));
    pairs
        .into_iter()
        .all(|(x, y)| number(x) == sign * number(y))
}
