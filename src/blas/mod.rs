//! Products and eigenvalues by OpenBLAS.
//!
//! It is loaded when it is first needed, not linked. As it is loaded it starts a thread for every further processor, and each
//! takes a buffer of 128 MiB; where a limit on memory leaves no room for that it tries again for ever. A command that computes
//! nothing has no part in that, and before one that computes something `room` makes sure that there is room.

mod eigenvalues;
mod error;
mod library;
mod products;
mod room;

pub(crate) use eigenvalues::eigenvalues;
pub use error::Error;
pub use library::load;
pub(crate) use products::{add_products, products, self_products};
pub use room::make_room;

/// The bytes of the buffer that each thread in a call takes: `BUFFER_SIZE` on x86-64 and AArch64.
const BUFFER: usize = 128 << 20;

/// OpenBLAS's own words on its version, build and the processor it found.
///
/// # Errors
///
/// Where it cannot be loaded.
pub fn description() -> Result<&'static str, Error> {
    Ok(&library::functions()?.description)
}
