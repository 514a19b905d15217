//! Analyses of layers against brute force, by the definitions.

use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

use crate::checkpoint::{Dtype, Tensor};
use crate::layers::Kind;
use crate::similarity::{Engine, Kernels, Nearest, NonFinite, Precision};
use crate::weight::ConvWeight;

const ENGINE: Engine<'_> = Engine::Cpu(Precision::F32);

use super::*;

/// A float32 layer of its own.
struct Layer {
    tensor: Tensor,
    values: Vec<u8>,
    kind: Kind,
    groups: usize,
    channels_last: bool,
}

impl Layer {
    fn new(shape: &[usize], groups: usize, numbers: &[f32]) -> Self {
        let values: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(values.len(), 4 * shape.iter().product::<usize>());
        let tensor = Tensor {
            name: "w".to_owned(),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            shard: 0,
            bytes: 0..values.len(),
            arrangement: Default::default(),
        };
        Self {
            tensor,
            values,
            kind: Kind::Conv,
            groups,
            channels_last: false,
        }
    }

    fn weight(&self) -> ConvWeight<'_> {
        let weight = ConvWeight::new(&self.tensor, self.kind, self.groups);
        weight
            .expect("a weight")
            .with_channels_last(self.channels_last)
    }

    fn analysed(&self) -> (LayerNumbers, LayerDrawings) {
        let task = LayerTask {
            weight: self.weight(),
            spectrum: true,
            drawings: true,
        };
        let (numbers, drawings) = task
            .analyse(&self.values, ENGINE, &())
            .expect("an analysis");
        (numbers, drawings.expect("drawings"))
    }

    /// On so many threads.
    fn analysed_on(&self, threads: usize) -> (LayerNumbers, LayerDrawings) {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        pool.expect("threads").install(|| self.analysed())
    }

    fn kernels(&self) -> Kernels<'_> {
        let weight = self.weight();
        let rows = weight.rows(&self.values);
        let screen = Some(ENGINE);
        Kernels::new(&weight, rows, NonFinite::LeaveAlone, screen).expect("kernels")
    }
}

/// All pairs that are compared, with their similarities.
fn pairs(kernels: &Kernels<'_>) -> Vec<([usize; 2], f64)> {
    let mut pairs = Vec::new();
    for a in (0..kernels.len()).filter(|&a| kernels.is_live(a)) {
        for b in (a + 1..kernels.group_of(a).end).filter(|&b| kernels.is_live(b)) {
            pairs.push(([a, b], kernels.similarity(a, b)));
        }
    }
    pairs
}

/// The first few pairs by a loss, ties by number.
fn extremes(
    pairs: &[([usize; 2], f64)],
    wanted: usize,
    loss: fn(f64) -> f64,
) -> Vec<([usize; 2], f64)> {
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|x, y| loss(x.1).total_cmp(&loss(y.1)).then(x.0.cmp(&y.0)));
    sorted.truncate(wanted);
    sorted
}

fn as_listed(pairs: &[Pair]) -> Vec<([usize; 2], f64)> {
    let both = |pair: &Pair| (pair.kernels, pair.similarity);
    pairs.iter().map(both).collect()
}

/// The mean and the maximum of every cell, by definition.
fn map_by_definition(kernels: &Kernels<'_>, order: &[usize], cells: usize) -> Vec<(f64, f64)> {
    let n = order.len();
    let mut sums = vec![(0.0, 0u32, f64::NAN); cells * cells];
    let mut sizes = vec![0; cells];
    for a in 0..n {
        sizes[a * cells / n] += 1;
        for b in 0..n {
            let [x, y] = [order[a], order[b]];
            let (row, column) = (a * cells / n, b * cells / n);
            let is_live = kernels.is_live(x) && kernels.is_live(y);
            if a != b && is_live && kernels.group_of(x).contains(&y) {
                let (sum, count, max) = &mut sums[row * cells + column];
                let similarity = kernels.similarity(x, y);
                *sum += similarity;
                *count += 1;
                *max = max.max(similarity);
            }
        }
    }
    for a in (0..n).filter(|&a| kernels.is_live(order[a])) {
        let cell = a * cells / n;
        if sizes[cell] == 1 {
            sums[cell * cells + cell] = (1.0, 1, 1.0);
        }
    }
    let mean = |(sum, count, max): (f64, u32, f64)| (sum / f64::from(count), max);
    sums.into_iter().map(mean).collect()
}

fn assert_map(map: &SimilarityMap, kernels: &Kernels<'_>, off: f64) {
    let expected = map_by_definition(kernels, &map.order, map.cells);
    let both = map.mean.iter().zip(&map.max);
    for (cell, ((mean, max), (expected_mean, expected_max))) in both.zip(expected).enumerate() {
        for (found, expected) in [(*mean, expected_mean), (*max, expected_max)] {
            let found = f64::from(found);
            let holds = (found - expected).abs() <= off || found.is_nan() && expected.is_nan();
            assert!(holds, "cell {cell}: {found} instead of {expected}");
        }
    }
}

/// Compares all that rests on similarities with brute force.
fn assert_as_by_definition(layer: &Layer) {
    let (numbers, drawings) = layer.analysed();
    let kernels = layer.kernels();
    let pairs = pairs(&kernels);
    assert_eq!(numbers.pairs, pairs.len() as u64);
    assert_eq!(numbers.nearest, Nearest::of(&kernels, &()).unwrap());
    for place in 0..THRESHOLDS {
        let tau = threshold(place);
        let above = pairs.iter().filter(|(_, similarity)| *similarity > tau);
        assert_eq!(
            numbers.pairs_above.above()[place],
            above.count() as u64,
            "{tau}"
        );
        let nearest = numbers.nearest.similarities();
        let above = nearest.filter(|&similarity| similarity > tau).count() as u64;
        assert_eq!(numbers.kernels_above.above()[place], above, "{tau}");
    }
    assert_eq!(as_listed(&numbers.closest), extremes(&pairs, 10, |s| -s));
    assert_eq!(
        as_listed(&numbers.orthogonal),
        extremes(&pairs, 3, f64::abs)
    );
    assert_eq!(as_listed(&numbers.opposite), extremes(&pairs, 3, |s| s));
    let cells = kernels.len().min(CELLS);
    let clustered = drawings.clustered.expect("a clustered map");
    let mut kernels_in_order = clustered.order.clone();
    kernels_in_order.sort_unstable();
    assert_eq!(kernels_in_order, drawings.in_file_order.order);
    for map in [&drawings.in_file_order, &clustered] {
        assert_eq!(map.cells, cells);
        assert_map(map, &kernels, 1e-5);
    }
}

fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    (0..count).map(|_| next()).collect()
}

/// Noise in which there are copies, negatives, zeros and a kernel that is no number.
fn motley(n: usize, d: usize) -> Vec<f32> {
    let mut numbers = noise(n * d);
    for kernel in 0..n {
        let (before, row) = numbers.split_at_mut(kernel * d);
        let row = &mut row[..d];
        match kernel % 11 {
            3 if kernel > 20 => row.copy_from_slice(&before[(kernel - 20) * d..][..d]),
            5 if kernel > 30 => {
                let other = &before[(kernel - 30) * d..][..d];
                row.iter_mut().zip(other).for_each(|(x, y)| *x = -y);
            }
            7 => row.fill(0.0),
            9 if kernel == 9 => row[0] = f32::NAN,
            _ => {}
        }
    }
    numbers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn numbers_are_those_of_the_definition(
        values in prop::collection::vec(-2i8..3, 24 * 6..=24 * 6),
        groups in prop::sample::select(vec![1usize, 2, 6]),
    ) {
        // Small integers make ties, similarities that are thresholds, and kernels of zeros.
        let numbers: Vec<f32> = values.iter().map(|&x| x.into()).collect();
        assert_as_by_definition(&Layer::new(&[24, 3, 2], groups, &numbers));
    }

    #[test]
    fn numbers_do_not_depend_on_the_order_of_kernels(
        values in prop::collection::vec(-2i8..3, 12 * 4..=12 * 4),
        swaps in prop::collection::vec((0usize..12, 0usize..12), 0..20),
    ) {
        let numbers: Vec<f32> = values.iter().map(|&x| x.into()).collect();
        let mut rows: Vec<&[f32]> = numbers.chunks_exact(4).collect();
        for (a, b) in swaps {
            rows.swap(a, b);
        }
        let turned = Layer::new(&[12, 4], 1, &rows.concat()).analysed().0;
        let (plain, _) = Layer::new(&[12, 4], 1, &numbers).analysed();
        prop_assert_eq!(&plain.pairs_above, &turned.pairs_above);
        prop_assert_eq!(&plain.kernels_above, &turned.kernels_above);
        prop_assert_eq!(&plain.hints, &turned.hints);
        prop_assert_eq!(plain.health.duplicates.len(), turned.health.duplicates.len());
        let similarities = |pairs: &[Pair]| pairs.iter().map(|pair| pair.similarity).collect::<Vec<_>>();
        prop_assert_eq!(similarities(&plain.closest), similarities(&turned.closest));
        prop_assert_eq!(similarities(&plain.opposite), similarities(&turned.opposite));
        let [plain, turned] = [plain, turned].map(|numbers| numbers.spectrum.unwrap());
        for (x, y) in plain.eigenvalues.iter().zip(&turned.eigenvalues) {
            prop_assert!((x - y).abs() <= 1e-12 * plain.eigenvalues[0], "{} and {}", x, y);
        }
    }

    #[test]
    fn a_spectrum_is_that_of_the_weight(
        values in prop::collection::vec(-3i8..4, 12 * 6..=12 * 6),
        shape in prop::sample::select(vec![[12usize, 6], [6, 12]]),
        groups in prop::sample::select(vec![1usize, 2, 3]),
        exponent in prop::sample::select(vec![-100i32, 0, 60]),
    ) {
        let scale = 2f32.powi(exponent);
        let numbers: Vec<f32> = values.iter().map(|&x| f32::from(x) * scale).collect();
        let spectrum = Layer::new(&shape, groups, &numbers).analysed().0.spectrum.unwrap();
        // The trace of the Gram matrix, and that of its square, whose blocks are the groups.
        let scale = f64::from(scale).powi(2);
        let [n, d] = shape;
        let (mut trace, mut of_square) = (0.0, 0.0);
        for a in 0..n {
            for b in (0..n).filter(|b| a / (n / groups) == b / (n / groups)) {
                let dot: i32 = (0..d).map(|t| i32::from(values[a * d + t]) * i32::from(values[b * d + t])).sum();
                of_square += f64::from(dot).powi(2);
                trace += if a == b { f64::from(dot) } else { 0.0 };
            }
        }
        prop_assert_eq!(spectrum.eigenvalues.len(), n);
        prop_assert!(spectrum.eigenvalues.is_sorted_by(|x, y| x >= y));
        let sum: f64 = spectrum.eigenvalues.iter().sum();
        let squares: f64 = spectrum.eigenvalues.iter().map(|x| (x / scale).powi(2)).sum();
        prop_assert!((sum / scale - trace).abs() <= 1e-12 * trace);
        prop_assert!((squares - of_square).abs() <= 1e-12 * of_square);
        prop_assert!((spectrum.participation_ratio - trace.powi(2) / of_square).abs() <= 1e-11 * n as f64 || trace == 0.0);
        if trace > 0.0 {
            let Spectrum { effective_rank, stable_rank, participation_ratio, .. } = spectrum;
            // Rényi entropies fall as their order rises.
            prop_assert!(1.0 - 1e-12 <= stable_rank && stable_rank <= participation_ratio * (1.0 + 1e-12));
            prop_assert!(participation_ratio <= effective_rank * (1.0 + 1e-12));
            prop_assert!(1 <= spectrum.for_90_percent && spectrum.for_90_percent <= spectrum.for_99_percent);
        }
    }
}

#[test]
fn layers_of_many_tiles_are_as_by_definition() {
    assert_as_by_definition(&Layer::new(&[700, 3, 2, 2], 1, &motley(700, 12)));
    assert_as_by_definition(&Layer::new(&[1400, 5], 2, &motley(1400, 5)));
}

#[test]
fn orthogonal_kernels_are_as_by_definition() {
    // All pairs are within the error bounds of each other and of the threshold 0.
    let n = 300;
    let mut numbers = noise(n * n).iter().map(|x| x * 1e-7).collect::<Vec<f32>>();
    (0..n).for_each(|kernel| numbers[kernel * (n + 1)] = 1.0);
    assert_as_by_definition(&Layer::new(&[n, n], 1, &numbers));
}

#[test]
fn threads_make_no_difference() {
    let layer = Layer::new(&[700, 40, 2, 2], 1, &noise(700 * 160));
    let [(one, drawn_by_one), (four, drawn_by_four)] =
        [1, 4].map(|threads| layer.analysed_on(threads));
    assert_eq!(one, four);
    assert_eq!(drawn_by_one.in_file_order, drawn_by_four.in_file_order);
    assert_eq!(drawn_by_one.clustered, drawn_by_four.clustered);
    assert_eq!(drawn_by_one.pairs, drawn_by_four.pairs);
}

#[test]
fn kernels_that_are_all_the_same_take_no_longer() {
    // Two million pairs of one similarity, of 512 numbers each: compared one by one they would take most of a minute here.
    let n = 2048;
    let row = noise(512);
    let numbers: Vec<f32> = (0..n).flat_map(|_| row.iter().copied()).collect();
    let (numbers, drawings) = Layer::new(&[n, 512], 1, &numbers).analysed();
    assert_eq!(numbers.health.duplicates.len(), n - 1);
    let similarity = numbers.closest[0].similarity;
    assert!(similarity > 1.0 - 1e-15);
    let kernels: Vec<_> = numbers.closest.iter().map(|pair| pair.kernels[1]).collect();
    assert_eq!(kernels, (1..=10).collect::<Vec<_>>());
    assert_eq!(numbers.pairs_above.above()[199], (n * (n - 1) / 2) as u64);
    assert_eq!(drawings.in_file_order.cells, CELLS);
    let spectrum = numbers.spectrum.unwrap();
    assert_eq!((spectrum.for_99_percent, spectrum.eigenvalues[1]), (1, 0.0));
}

#[test]
fn a_single_kernel_has_no_pairs() {
    let (numbers, drawings) = Layer::new(&[1, 1, 1, 2], 1, &[3.0, 4.0]).analysed();
    assert_eq!((numbers.pairs, &numbers.norms[..]), (0, &[5.0][..]));
    assert!(numbers.closest.is_empty() && numbers.hints.is_empty());
    assert_eq!(numbers.nearest.greatest(), None);
    assert_eq!(drawings.in_file_order.mean, [1.0]);
    assert_eq!(drawings.clustered, Some(drawings.in_file_order));
    assert!(drawings.pairs.is_empty());
    assert_eq!(numbers.spectrum.unwrap().eigenvalues, [25.0]);
}

#[test]
fn maps_leave_out_what_is_not_compared() {
    let layer = Layer::new(&[4, 1], 2, &[1.0, -2.0, 3.0, 0.0]);
    let map = layer.analysed().1.in_file_order;
    let shown: Vec<Option<f32>> = map
        .mean
        .iter()
        .map(|&mean| (!mean.is_nan()).then_some(mean))
        .collect();
    let (same, opposite) = (Some(1.0), Some(-1.0));
    let expected = [
        [same, opposite, None, None],
        [opposite, same, None, None],
        [None, None, same, None],
        [None; 4],
    ];
    assert_eq!(shown, expected.concat());
}

#[test]
fn a_map_can_be_reduced_again() {
    for (n, cells, joined) in [
        (300, 100, 100),
        (700, 300, 256),
        (700, 512, 512),
        (40, 64, 40),
    ] {
        let layer = Layer::new(&[n, 8], 1, &noise(n * 8));
        let map = layer.analysed().1.in_file_order.reduced(cells);
        assert_eq!((map.cells, map.order.len()), (joined, n));
        assert_map(&map, &layer.kernels(), 1e-5);
    }
}

#[test]
fn equal_and_opposite_kernels_are_found() {
    let layer = Layer::new(
        &[8, 3],
        2,
        &[
            [0.0, 1.0, 2.0],
            [-0.0, 1.0, 2.0],
            [0.0, -1.0, -2.0],
            [0.0, -1.0, -2.0],
            // Another group.
            [0.0, 1.0, 2.0],
            [0.0, -0.0, 0.0],
            [0.0, 0.0, 0.0],
            [f32::NAN, 1.0, f32::INFINITY],
        ]
        .concat(),
    );
    let health = layer.analysed().0.health;
    let expected = Health {
        zero: vec![5, 6],
        non_finite: vec![7],
        duplicates: vec![(1, 0), (3, 2)],
        sign_flipped: vec![(2, 0), (3, 0)],
        non_finite_numbers: 2,
        ..Health::default()
    };
    assert_eq!(health, expected);
    assert!(!health.is_good());
}

#[test]
fn weak_kernels_and_subnormal_numbers_are_found() {
    let numbers = [1.0, 1.25, 1.5, 0.0099, 1e-9, 1e-39];
    let (numbers, _) = Layer::new(&[6, 1], 1, &numbers).analysed();
    let expected = Health {
        near_dead: vec![3],
        zero: vec![4, 5],
        subnormal_numbers: 1,
        ..Health::default()
    };
    assert_eq!(numbers.health, expected);
    let layer = Layer::new(&[2, 1], 1, &[1.0, -2.0]);
    assert!(layer.analysed().0.health.is_good());
}

#[test]
fn spectra_are_summed_over_panels() {
    // One number each, where no other has one: the squares are the eigenvalues. More numbers than are made float64 at once,
    // and then more kernels.
    for [n, d] in [[600, 1100], [1100, 600]] {
        let size = |kernel: usize| (kernel % 5 + 1) as f32;
        let mut numbers = vec![0.0; n * d];
        for kernel in 0..n.min(d) {
            numbers[kernel * d + d - 1 - kernel] = size(kernel);
        }
        let layer = Layer::new(&[n, d], 1, &numbers);
        let weight = layer.weight();
        let found = Spectrum::of(&weight, &weight.rows(&layer.values), &()).unwrap();
        let mut expected: Vec<f64> = (0..n.min(d)).map(|k| f64::from(size(k)).powi(2)).collect();
        expected.resize(n, 0.0);
        expected.sort_unstable_by(|a, b| b.total_cmp(a));
        assert_eq!(found.unwrap().eigenvalues, expected);
    }
}

#[test]
fn a_layer_that_is_not_finite_has_no_spectrum() {
    let (numbers, _) = Layer::new(&[2, 1], 1, &[1.0, f32::NAN]).analysed();
    assert_eq!((numbers.spectrum, numbers.pairs), (None, 0));
    assert!(numbers.norms[1].is_nan());
}

#[test]
fn pictures_show_a_mean_or_three_colours() {
    let shown = |shape: &[usize], kind| {
        let mut layer = Layer::new(shape, 1, &noise(shape.iter().product()));
        layer.kind = kind;
        let pairs = layer.analysed().1.pairs;
        let picture = pairs.first().map(|pair| {
            let picture = &pair.pictures[0];
            (
                picture.width,
                picture.height,
                picture.colours,
                pair.shows.clone(),
            )
        });
        (pairs.len(), picture)
    };
    let picture = |w, h, colours, shows: &str| (9, Some((w, h, colours, shows.to_owned())));
    let colours = "red, green and blue input channels";
    assert_eq!(shown(&[8, 3, 5, 4], Kind::Conv), picture(4, 5, 3, colours));
    let one = "its one input channel";
    assert_eq!(shown(&[8, 1, 7], Kind::Conv), picture(7, 1, 1, one));
    let mean = "mean over 6 input channels and 2 slices";
    assert_eq!(shown(&[8, 6, 2, 3, 4], Kind::Conv), picture(4, 3, 1, mean));
    // Of eight outputs for each of five inputs.
    let mean = "mean over 5 input channels";
    assert_eq!(
        shown(&[5, 8, 2, 2], Kind::Transposed),
        picture(2, 2, 1, mean)
    );
    assert_eq!(shown(&[8, 6, 1, 1], Kind::Conv), (0, None));
    assert_eq!(shown(&[8, 6], Kind::Conv), (0, None));
    // Three pairs, none shown twice.
    assert_eq!(shown(&[3, 1, 2], Kind::Conv).0, 3);
}

/// A kernel looks the same with its channels on the last axis.
#[test]
fn pictures_do_not_depend_on_the_order_of_the_axes() {
    let (kernels, channels, pixels) = (4, 3, 2 * 5);
    let first = noise(kernels * channels * pixels);
    let mut last = Vec::with_capacity(first.len());
    for kernel in first.chunks_exact(channels * pixels) {
        for pixel in 0..pixels {
            last.extend(kernel.iter().skip(pixel).step_by(pixels));
        }
    }
    let pictures = |layer: &Layer| {
        let pairs = layer.analysed().1.pairs;
        let shown = |pair: &PairPicture| (pair.pair.kernels, pair.pictures.clone());
        pairs.iter().map(shown).collect::<Vec<_>>()
    };
    let expected = pictures(&Layer::new(&[kernels, channels, 2, 5], 1, &first));
    let mut layer = Layer::new(&[kernels, 2, 5, channels], 1, &last);
    layer.channels_last = true;
    assert!(!expected.is_empty());
    assert_eq!(pictures(&layer), expected);
}

#[test]
fn a_pixel_is_the_mean_of_its_place() {
    // Two channels of two slices of one row of two: (1 + 3 + 5 + 7) / 4 and (2 + 4 + 6 + 8) / 4.
    let numbers = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let layer = Layer::new(
        &[2, 2, 2, 1, 2],
        1,
        &[numbers, numbers.map(|x| -x)].concat(),
    );
    let pairs = layer.analysed().1.pairs;
    assert_eq!(pairs.len(), 1);
    let values = [&pairs[0].pictures[0].values, &pairs[0].pictures[1].values];
    assert_eq!(values, [&vec![0.8, 1.0], &vec![-0.8, -1.0]]);

    // Three channels of two pixels: for each pixel its three colours, of 8 at most.
    let layer = Layer::new(&[2, 3, 2], 1, &[&numbers[..6], &numbers[2..8]].concat());
    let picture = &layer.analysed().1.pairs[0].pictures[0];
    assert_eq!(
        picture.values,
        [1.0, 3.0, 5.0, 2.0, 4.0, 6.0].map(|x| x / 8.0)
    );
}

#[test]
fn large_kernels_become_small_pictures() {
    // Of 128 numbers, pairs of which become one of 64 pixels: 1 and 3, 5 and 7, …
    let numbers: Vec<f32> = (0..128u8).map(|x| 2.0 * f32::from(x) + 1.0).collect();
    let negative: Vec<f32> = numbers.iter().map(|x| -x).collect();
    let layer = Layer::new(&[2, 1, 1, 128], 1, &[numbers, negative].concat());
    let picture = &layer.analysed().1.pairs[0].pictures[0];
    assert_eq!((picture.width, picture.height), (64, 1));
    let means: Vec<f32> = (0..64u8)
        .map(|x| (f32::from(x) * 4.0 + 2.0) / 254.0)
        .collect();
    for (found, expected) in picture.values.iter().zip(&means) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn a_net_is_the_sum_of_its_layers() {
    let [a, b] = [5usize, 40].map(|n| Layer::new(&[n, 8], 1, &motley(n, 8)).analysed().0);
    let net = NetNumbers::of([&a, &b].into_iter());
    assert_eq!((net.kernels, net.pairs), (45, a.pairs + b.pairs));
    let greatest = [&a, &b].map(|layer| layer.nearest.greatest().unwrap());
    assert_eq!(net.greatest, Some(greatest[0].max(greatest[1])));
    for place in 0..THRESHOLDS {
        let sum = a.kernels_above.above()[place] + b.kernels_above.above()[place];
        assert_eq!(net.kernels_above.above()[place], sum);
    }
    // One percent of 45 kernels is none, and of the two of five percent each has the other.
    assert_eq!(net.hints.len(), SHARES.len() - 2);
    for hint in &net.hints {
        let nearest = a.nearest.similarities().chain(b.nearest.similarities());
        assert_eq!(hint.kernels, nearest.filter(|&s| s > hint.tau).count());
        assert!(hint.kernels as f64 <= hint.percent / 100.0 * 45.0);
    }
}

#[test]
fn without_drawings_there_is_less_to_do() {
    let layer = Layer::new(&[700, 128, 3, 3], 1, &noise(700 * 1152));
    let task = |spectrum, drawings| LayerTask {
        weight: layer.weight(),
        spectrum,
        drawings,
    };
    let (numbers, drawings) = task(false, false)
        .analyse(&layer.values, ENGINE, &())
        .unwrap();
    assert!(drawings.is_none() && numbers.spectrum.is_none());
    let (all, _) = layer.analysed();
    assert_eq!(
        (numbers.pairs_above, numbers.closest),
        (all.pairs_above, all.closest)
    );
    let load = |spectrum, drawings| task(spectrum, drawings).load().memory;
    assert!(load(false, false) < load(false, true) && load(false, true) < load(true, true));
}

#[test]
fn the_meter_is_told_of_what_was_announced() {
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Sum(AtomicU64);
    impl crate::meter::Meter for Sum {
        fn multiplied(&self, products: u64) {
            self.0.fetch_add(products, Ordering::Relaxed);
        }
    }

    for (shape, groups) in [([700, 8, 3], 1), ([64, 8, 3], 2)] {
        let layer = Layer::new(&shape, groups, &noise(shape.iter().product()));
        let task = LayerTask {
            weight: layer.weight(),
            spectrum: true,
            drawings: true,
        };
        let sum = Sum(AtomicU64::new(0));
        task.analyse(&layer.values, ENGINE, &sum).unwrap();
        let (told, announced) = (sum.0.into_inner() as f64, task.products() as f64);
        assert!(
            (told / announced - 1.0).abs() < 0.01,
            "{told} of {announced}"
        );
    }
}
