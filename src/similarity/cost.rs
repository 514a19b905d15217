//! The time that a layer's similarities take on the CPU and on a GPU, by which `--backend auto` chooses.
//!
//! The comparison need not be precise: a wrong choice only costs time, and where it is close either will do. So the model
//! is a handful of rates.
//!
//! Both sides take n²·d/2g multiply-adds for n kernels of d numbers in g groups: each pair of kernels is computed once.
//!
//! | | | from |
//! |---|---|---|
//! | CPU, a thread: multiply-adds in int8 | 45·10⁹ /s | measured |
//! | in float32 | 23·10⁹ /s | measured |
//! | reading, normalising and the rest, by bytes of the weight | 1.0·10⁹ /s | measured |
//!
//! <!-- gpu rates: made by benches/gpu_tables.py -->
//! **Only those of the CPU are measured. Those of GPUs are assumed or from data sheets.**
//!
//! | a GPU | | from |
//! |---|---|---|
//! | multiply-adds a cycle | see [`DevicePrecision::multiply_adds_per_cycle`] | data sheets |
//! | share of that peak which cuBLAS and the screen reach together, in f32 | 0.5 | assumed |
//! | share of that peak which cuBLAS and the screen reach together, in tf32 | 0.5 | assumed |
//! | share of that peak which cuBLAS and the screen reach together, in bf16 | 0.5 | assumed |
//! | bytes of the weight over the bus, from memory that is not pinned | 6·10⁹ /s | assumed (PCIe 3.0 ×16, about half) |
//! | for each layer: launches, the wait for the results | 0.3 ms | assumed |
//! | for each run: starting the driver, a context, cuBLAS; the driver's compilation of our kernels | 1 s | assumed |
//! <!-- end of gpu rates -->
//!
//! The CPU's rates are those of a whole `merge --dry-run --tau 20% --skip-shallow 0` on one thread of an AMD EPYC
//! (Zen 4, OpenBLAS 0.3.21), the best of three or four, in seconds, beside what the model says:
//!
//! | | products | MB | int8 | model | float32 | model |
//! |---|---|---|---|---|---|---|
//! | densenet121 | 0.45·10⁹ | 28 | 0.055 | 0.037 | 0.059 | 0.047 |
//! | vgg19 | 4.81·10⁹ | 80 | 0.213 | 0.187 | 0.294 | 0.289 |
//! | resnet50 | 9.73·10⁹ | 94 | 0.317 | 0.310 | 0.537 | 0.517 |
//! | `[4096,512,3,3]` | 38.7·10⁹ | 75 | 1.19 | 0.93 | 1.76 | 1.76 |
//! | `[8192,256,3,3]` | 77.3·10⁹ | 75 | 1.48 | 1.79 | 3.47 | 3.44 |
//!
//! A Zen 3, whose int8 is AVX2's, took 0.57 s (int8) and 0.65 s (float32) for the resnet50, 2.4 and 4.5 s for the last: a slower machine, in
//! much the same proportion, so that these rates serve there too.
//!
//! Bare products are faster (230·10⁹ /s in int8, see `bytes.rs`); looking at them and the exact tests take the rest, most
//! in int8, which leaves more open. Two threads took 0.50 to 0.57 of one's time. Small layers, whose products run at a
//! lower rate, are those with few products for their bytes, which the third rate covers.

use crate::weight::ConvWeight;

use super::Precision;
use super::cuda::DevicePrecision;

/// The size of a layer, the only thing that its estimated time depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerSize {
    pub kernels: usize,
    /// Numbers of each kernel.
    pub length: usize,
    /// Parts of the kernels that are not compared with each other.
    pub groups: usize,
    /// Bytes of the weight.
    pub bytes: usize,
}

impl LayerSize {
    /// The size of a layer with this weight.
    pub fn of(weight: &ConvWeight<'_>) -> Self {
        Self {
            kernels: weight.layout().kernels(),
            length: weight.layout().kernel_len(),
            groups: weight.groups(),
            bytes: weight.bytes(),
        }
    }

    /// The largest layer that [`BreakEven`] tries: if a GPU is not faster for it, it never is.
    pub fn largest() -> Self {
        Self::square(LARGEST)
    }

    /// A float32 layer `[n, n, 3, 3]` of so many kernels n.
    fn square(kernels: usize) -> Self {
        Self {
            kernels,
            length: kernels * 9,
            groups: 1,
            bytes: kernels * kernels * 9 * size_of::<f32>(),
        }
    }

    /// The multiply-adds for all pairs of kernels of one group.
    fn products(&self) -> f64 {
        let kernels = self.kernels as f64;
        kernels * kernels * self.length as f64 / self.groups.max(1) as f64 / 2.0
    }
}

/// CPU: bytes of a weight read, normalised and so on in a second, by one thread.
const READ: f64 = 1.0e9;

// Made by benches/gpu_tables.py of what `make gpu-check` measured, or of what is assumed where that is nothing.
/// GPU: share of its peak rate that is reached, in float32, TF32 and bfloat16.
const SHARE_OF_PEAK: [f64; 3] = [0.5, 0.5, 0.5];

/// GPU: bytes a second over the bus, from pageable memory.
const BUS: f64 = 6.0e9;

/// GPU: seconds for every layer, however small.
const LAYER: f64 = 3.0e-4;

/// GPU: seconds to start it, once a run.
pub const START: f64 = 1.0;

/// Where the GPU's rates come from.
pub const SOURCE: &str = "the GPU's rates are those of data sheets";

// End of what is made.

/// The clock rate in Hz that is assumed if the driver does not tell it: lower than that of any GPU we know.
const CLOCK: u64 = 1_000_000_000;

/// How fast the CPU is.
#[derive(Clone, Copy, Debug)]
pub struct CpuSpeed {
    multiply_adds: f64,
    bytes: f64,
}

impl CpuSpeed {
    /// That of this machine's CPU, on this many threads, with similarities screened in this precision.
    pub fn new(precision: Precision, threads: usize) -> Self {
        let rate = match precision {
            Precision::Int8 => 45.0e9,
            Precision::F32 => 23.0e9,
        };
        let threads = threads as f64;
        Self {
            multiply_adds: rate * threads,
            bytes: READ * threads,
        }
    }

    /// Seconds that a layer takes.
    pub fn seconds(&self, layer: &LayerSize) -> f64 {
        layer.products() / self.multiply_adds + layer.bytes as f64 / self.bytes
    }
}

/// How fast a GPU is assumed to be.
#[derive(Clone, Copy, Debug)]
pub struct GpuSpeed {
    multiply_adds: f64,
}

impl GpuSpeed {
    /// For a GPU with this many multiprocessors, this clock rate (in Hz; 0 if unknown) and this compute capability that screens
    /// in this precision.
    pub fn new(
        multiprocessors: u32,
        clock: u64,
        capability: (u32, u32),
        precision: DevicePrecision,
    ) -> Self {
        let clock = if clock == 0 { CLOCK } else { clock };
        let cycles = f64::from(multiprocessors) * clock as f64;
        let [single, tf32, bf16] = SHARE_OF_PEAK;
        let share = match precision {
            DevicePrecision::F32 => single,
            DevicePrecision::Tf32 => tf32,
            DevicePrecision::Bf16 => bf16,
        };
        Self {
            multiply_adds: share * cycles * precision.multiply_adds_per_cycle(capability),
        }
    }

    /// Seconds that a layer takes, including the copy of its weight.
    pub fn seconds(&self, layer: &LayerSize) -> f64 {
        layer.products() / self.multiply_adds + layer.bytes as f64 / BUS + LAYER
    }
}

/// How fast the CPU and a GPU are.
#[derive(Clone, Copy, Debug)]
pub struct Speeds {
    /// The CPU, which computes if the GPU does not.
    pub cpu: CpuSpeed,
    pub gpu: GpuSpeed,
}

impl Speeds {
    /// Whether the GPU, once started, is faster for a layer.
    pub fn is_faster_on_gpu(&self, layer: &LayerSize) -> bool {
        self.gpu.seconds(layer) < self.cpu.seconds(layer)
    }

    /// Whether the time that the GPU saves on the layers of a run makes up for starting it.
    pub fn makes_up_for_start(&self, layers: &[LayerSize]) -> bool {
        let on_cpu = |layer| self.cpu.seconds(layer);
        let fastest = |layer| self.gpu.seconds(layer).min(on_cpu(layer));
        START + layers.iter().map(fastest).sum::<f64>() < layers.iter().map(on_cpu).sum()
    }

    /// Tries the multiples of 8 up to [`LARGEST`].
    pub fn break_even(&self) -> BreakEven {
        let first = |wins: &dyn Fn(&LayerSize) -> bool| {
            (8..=LARGEST)
                .step_by(8)
                .find(|&kernels| wins(&LayerSize::square(kernels)))
        };
        BreakEven {
            layer: first(&|layer| self.is_faster_on_gpu(layer)),
            run: first(&|layer| self.makes_up_for_start(&[*layer])),
        }
    }
}

/// The most kernels for which the CPU and a GPU are compared: a layer of more takes minutes on the CPU.
const LARGEST: usize = 65_536;

/// The smallest float32 layer `[n, n, 3, 3]` for which a GPU is faster, as its n; `None` if it never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakEven {
    /// In a run that uses the GPU in any case.
    pub layer: Option<usize>,
    /// In a run of this one layer, which has to make up for the GPU's start.
    pub run: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float32(kernels: usize, length: usize, groups: usize) -> LayerSize {
        LayerSize {
            kernels,
            length,
            groups,
            bytes: kernels * length * 4,
        }
    }

    /// The rates as an A100 of 108 multiprocessors has them.
    fn a100(precision: DevicePrecision) -> GpuSpeed {
        GpuSpeed::new(108, 1_410_000_000, (8, 0), precision)
    }

    #[test]
    fn the_processor_s_seconds_are_near_the_measured_ones() {
        let wide4096 = float32(4096, 4608, 1);
        let wide8192 = float32(8192, 2304, 1);
        for (precision, layer, measured) in [
            (Precision::Int8, wide4096, 1.19),
            (Precision::Int8, wide8192, 1.48),
            (Precision::F32, wide4096, 1.76),
            (Precision::F32, wide8192, 3.47),
        ] {
            let seconds = CpuSpeed::new(precision, 1).seconds(&layer);
            assert!(
                (0.75..1.25).contains(&(seconds / measured)),
                "{precision} {layer:?}: {seconds} for {measured}"
            );
            let on_two = CpuSpeed::new(precision, 2).seconds(&layer);
            assert!((on_two * 2.0 - seconds).abs() < 1e-9);
        }
    }

    #[test]
    fn data_sheets_peaks_follow_from_the_rates() {
        // Multiprocessors, boost clock, capability, format, 10¹² operations a second (a multiply-add is two).
        for (multiprocessors, clock, capability, precision, peak) in [
            (40, 1.59e9, (7, 5), DevicePrecision::F32, 8.1),
            (108, 1.41e9, (8, 0), DevicePrecision::F32, 19.5),
            (108, 1.41e9, (8, 0), DevicePrecision::Tf32, 156.0),
            (108, 1.41e9, (8, 0), DevicePrecision::Bf16, 312.0),
            (82, 1.695e9, (8, 6), DevicePrecision::Tf32, 35.6),
            (82, 1.695e9, (8, 6), DevicePrecision::Bf16, 71.2),
            (128, 2.52e9, (8, 9), DevicePrecision::Tf32, 82.6),
            (132, 1.83e9, (9, 0), DevicePrecision::Tf32, 494.7),
            (132, 1.83e9, (9, 0), DevicePrecision::Bf16, 989.4),
            (170, 2.407e9, (12, 0), DevicePrecision::Bf16, 209.5),
        ] {
            let of_rates = 2.0
                * f64::from(multiprocessors)
                * clock
                * precision.multiply_adds_per_cycle(capability);
            assert!(
                (of_rates / 1e12 / peak - 1.0).abs() < 0.01,
                "{capability:?} {precision}: {of_rates}"
            );
        }
    }

    #[test]
    fn groups_divide_the_products_on_both_sides() {
        let cpu = CpuSpeed::new(Precision::F32, 1);
        let gpu = a100(DevicePrecision::F32);
        let (whole, parted) = (float32(1024, 1024, 1), float32(1024, 1024, 32));
        let without_bytes = |seconds: f64, rate: f64| seconds - whole.bytes as f64 / rate;
        let ratio =
            without_bytes(cpu.seconds(&whole), READ) / without_bytes(cpu.seconds(&parted), READ);
        assert!((ratio - 32.0).abs() < 1e-6, "{ratio}");
        let ratio = (without_bytes(gpu.seconds(&whole), BUS) - LAYER)
            / (without_bytes(gpu.seconds(&parted), BUS) - LAYER);
        assert!((ratio - 32.0).abs() < 1e-6, "{ratio}");
    }

    /// An A100 beside two threads.
    fn speeds() -> Speeds {
        Speeds {
            cpu: CpuSpeed::new(Precision::Int8, 2),
            gpu: a100(DevicePrecision::Tf32),
        }
    }

    #[test]
    fn small_layers_stay_and_small_runs_do_not_start_a_gpu() {
        let speeds = speeds();
        let (small, large) = (float32(64, 576, 1), float32(8192, 2304, 1));
        assert!(speeds.makes_up_for_start(&[small, large, large]));
        assert!(!speeds.is_faster_on_gpu(&small) && speeds.is_faster_on_gpu(&large));

        // Alone, a layer of 512 kernels is faster on the GPU by less than it takes to start it.
        let layer = float32(512, 4608, 1);
        assert!(speeds.is_faster_on_gpu(&layer));
        assert!(!speeds.makes_up_for_start(&[layer]));
        assert!(!speeds.makes_up_for_start(&[]));
    }

    #[test]
    fn break_even_is_the_first_size_that_wins() {
        let speeds = speeds();
        let even = speeds.break_even();
        let (layer, run) = (even.layer.unwrap(), even.run.unwrap());
        assert!(layer < run, "{even:?}");
        assert!(speeds.is_faster_on_gpu(&LayerSize::square(layer)));
        assert!(!speeds.is_faster_on_gpu(&LayerSize::square(layer - 8)));
        assert!(speeds.makes_up_for_start(&[LayerSize::square(run)]));
        assert!(!speeds.makes_up_for_start(&[LayerSize::square(run - 8)]));

        // A GPU that hardly computes never wins.
        let gpu = GpuSpeed::new(1, 1_000_000, (7, 5), DevicePrecision::F32);
        assert_eq!(Speeds { gpu, ..speeds }.break_even().run, None);
    }

    #[test]
    fn a_clock_that_is_not_told_is_assumed() {
        let layer = float32(8192, 2304, 1);
        let unknown = GpuSpeed::new(40, 0, (7, 5), DevicePrecision::F32).seconds(&layer);
        let assumed = GpuSpeed::new(40, CLOCK, (7, 5), DevicePrecision::F32).seconds(&layer);
        assert_eq!(unknown, assumed);
    }
}
