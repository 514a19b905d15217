//! Which tensors are convolutions, of which kind, and in which depth order.
