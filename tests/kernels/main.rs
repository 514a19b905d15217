//! The CUDA kernels, run on the processor (`tests/fake_cuda`) over random and edge inputs, against plain statements of what
//! they are to compute; and the PTX, against their sources.

#[path = "../common/mod.rs"]
mod common;

mod cells;
mod definition;
mod device;
mod ptx;
mod random;
mod rows;
mod scan;
mod stand_in;
mod tally;
mod tile;
mod units;
