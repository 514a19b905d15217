//! The program and the library from outside: one test program with a module for each subject, so that the crate is linked once.
//!
//! `cargo test --test integration watch::` runs the tests of one module. They are threads of one process: a test that needs
//! another environment, folder, user or limit, or that is to be killed, starts a process for it. What cannot be so stays apart:
//! `tests/resources.rs` (counts its process's memory), `tests/kernels` (loads a GPU driver's stand-in into its process),
//! `tests/torture` (built with optimisation by `make torture`) and `tests/fuzz_corpus.rs` (needs `fuzz/`).

#[macro_use]
mod common;

mod analysis;
mod analyze;
mod carry;
mod carry_over;
mod checkpoints;
mod commands;
mod completions;
mod copies;
mod cuda;
mod definition;
mod doctor;
mod examples;
mod golden;
mod gpu_check;
mod hostile;
mod layers;
#[cfg(target_os = "linux")]
mod limits;
mod manual;
mod page;
mod properties;
mod python_package;
mod report_folder;
mod sensitivity;
mod sharded;
mod torch_files;
mod trainer_folders;
mod trainers;
mod watch;
