//! Times the parts of a merge one by one: reading a header, the screen, the exact test, the blend.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use half::{bf16, f16};
use inmerge_ckpt::checkpoint::{Dtype, FloatType, Header, Tensor};
use inmerge_ckpt::layers::Kind;
use inmerge_ckpt::similarity::{Engine, Kernels, Nearest, NonFinite, Precision, exact};
use inmerge_ckpt::weight::{Blend, ConvWeight};

/// A layer of ResNet's last stage: kernels, and numbers in each.
const LAYER: (usize, usize) = (512, 4608);

/// Numbers without structure, in [−0.5, 0.5).
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let number = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    (0..count).map(number).collect()
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Reading and checking the header of a ResNet-50 (320 tensors).
fn header(c: &mut Criterion) {
    let entry = |i: usize| {
        let (begin, end) = (i * 4, i * 4 + 4);
        format!(
            r#""layer{}.{}.conv{}.weight":{{"dtype":"F32","shape":[1,1,1,1],"data_offsets":[{begin},{end}]}}"#,
            i / 80,
            i / 8 % 10,
            i % 8
        )
    };
    let json = format!("{{{}}}", (0..320).map(entry).collect::<Vec<_>>().join(","));
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(json.as_bytes());
    file.resize(file.len() + 320 * 4, 0);
    Header::parse(&file).expect("a valid header");
    c.bench_function("header of 320 tensors", |b| {
        b.iter(|| Header::parse(black_box(&file)));
    });
}

/// Kernels in clusters of eight, as `make bench` has them.
fn clustered(n: usize, d: usize) -> Vec<u8> {
    let (centres, own) = (noise(n / 8 * d), noise(n * d));
    let number = |i: usize| centres[i % centres.len()] + own[i];
    bytes(&(0..n * d).map(number).collect::<Vec<f32>>())
}

/// Every kernel's nearest neighbour, from the kernels as stored: unit vectors, all products, the scan, the exact test of
/// what is left open. On one thread, to compare precisions.
fn screen(c: &mut Criterion) {
    let (n, d) = LAYER;
    let values = clustered(n, d);
    let tensor = Tensor {
        name: "layer4.0.conv2.weight".to_owned(),
        dtype: Dtype::F32,
        shape: vec![n, d / 9, 3, 3],
        shard: 0,
        bytes: 0..values.len(),
        arrangement: Default::default(),
    };
    let weight = ConvWeight::new(&tensor, Kind::Conv, 1).expect("a convolution");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.expect("a thread");
    let mut group = c.benchmark_group("nearest neighbours of 512 kernels of 4608 numbers");
    group.throughput(Throughput::Elements((n * n * d / 2) as u64));
    for precision in [Precision::Int8, Precision::F32] {
        let engine = Engine::Cpu(precision);
        group.bench_function(precision.to_string(), |b| {
            b.iter(|| {
                pool.install(|| {
                    let rows = weight.rows(black_box(&values));
                    let kernels = Kernels::new(&weight, rows, NonFinite::Refuse, Some(engine));
                    Nearest::of(&kernels.expect("finite kernels"), &())
                })
            });
        });
    }
    group.finish();
}

/// One similarity by the float64 definition, of each type of number.
fn exact_test(c: &mut Criterion) {
    let d = LAYER.1;
    let (x, y) = (noise(d), noise(2 * d)[d..].to_vec());
    let mut group = c.benchmark_group("exact dot product of 4608 numbers");
    group.throughput(Throughput::Elements(d as u64));
    let (a, b) = (bytes(&x), bytes(&y));
    group.bench_function("f32", |bench| {
        bench.iter(|| exact::dot::<f32>(black_box(&a), black_box(&b)));
    });
    let halves = |x: &[f32]| -> Vec<u8> {
        x.iter()
            .flat_map(|&x| f16::from_f32(x).to_le_bytes())
            .collect()
    };
    let (a, b) = (halves(&x), halves(&y));
    group.bench_function("f16", |bench| {
        bench.iter(|| exact::dot::<f16>(black_box(&a), black_box(&b)));
    });
    group.finish();
}

/// One blend of each type of number.
fn blend(c: &mut Criterion) {
    let d = LAYER.1;
    let (x, y) = (noise(d), noise(2 * d)[d..].to_vec());
    let mut group = c.benchmark_group("blend of 4608 numbers");
    group.throughput(Throughput::Elements(d as u64));
    let bf16 = |x: &f32| bf16::from_f32(*x).to_le_bytes();
    let f16 = |x: &f32| f16::from_f32(*x).to_le_bytes();
    for (name, float, a, b) in [
        ("f32", FloatType::F32, bytes(&x), bytes(&y)),
        (
            "f16",
            FloatType::F16,
            x.iter().flat_map(f16).collect(),
            y.iter().flat_map(f16).collect(),
        ),
        (
            "bf16",
            FloatType::Bf16,
            x.iter().flat_map(bf16).collect(),
            y.iter().flat_map(bf16).collect(),
        ),
    ] {
        let mut blended = vec![0; a.len()];
        group.bench_function(name, |bench| {
            bench.iter(|| Blend::new(0.8).kernels(float, black_box(&a), &b, &mut blended));
        });
    }
    group.finish();
}

criterion_group! {
    name = parts;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = header, screen, exact_test, blend
}
criterion_main!(parts);
