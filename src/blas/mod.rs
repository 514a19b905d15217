//! Products and eigenvalues by OpenBLAS.
//!
//! It is loaded when it is first needed, not linked: on loading it starts a thread for every further processor, each with a buffer
//! of 128 MiB, and if a memory limit leaves no room for a buffer it retries for ever. So commands that compute nothing do not
//! load it, and the others first make sure that there is room (`room`).

mod band;
#[cfg(feature = "bundled-openblas")]
mod bundled;
mod eigenvalues;
mod error;
mod library;
mod products;
mod room;

pub(crate) use eigenvalues::eigenvalues;
pub use error::Error;
pub(crate) use products::{add_products, products, self_products};
pub(crate) use room::make_room;

/// Bytes of the buffer that each thread uses during a call: `BUFFER_SIZE` on x86-64 and AArch64.
const BUFFER: usize = 128 << 20;

/// OpenBLAS's description of its version, its build and the processor it found.
///
/// # Errors
///
/// If it cannot be loaded.
pub fn description() -> Result<&'static str, Error> {
    Ok(&library::functions()?.description)
}
