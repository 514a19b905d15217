//! Torture: the program under a tracer that has each of its system calls fail, be interrupted, transfer less than it was to,
//! or be its last, and then looks whether anything was lost.
//!
//! The default tests try a sample. `make torture` tries everything; `INMERGE_TORTURE=sharded-in-place/nfs/fail make torture`
//! tries a part (scenario, file system, kind of fault, call, detail; `*` for all of one), and so repeats a single run.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod calls;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod campaign;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod injection;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod persona;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../integration/common/program.rs"]
mod program;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod scenario;
#[path = "../integration/common/skip.rs"]
mod skip;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[path = "../integration/common/tensors.rs"]
mod tensors;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod tests;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod tracer;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod tree;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod verdict;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod watchdog;

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
#[test]
fn nothing_is_lost() {
    skip::skipped("the tracer knows Linux on x86-64 only");
}
