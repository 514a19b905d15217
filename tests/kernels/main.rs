//! The CUDA kernels, run on the processor (`tests/fake_cuda`) over random and edge inputs, against plain statements of what
//! they are to compute; and the PTX, against their sources.
//!
//! A program of its own: it loads the stand-in, which other tests would find in the process and take for a GPU.

mod cells;
mod definition;
mod device;
#[path = "../integration/common/fake_cuda.rs"]
mod fake_cuda;
mod ptx;
mod random;
mod rows;
mod scan;
#[path = "../integration/common/skip.rs"]
mod skip;
mod stand_in;
mod tally;
mod tile;
mod units;
