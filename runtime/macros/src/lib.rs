//! The macros of Beluga: `#[derive(Message)]` for kernel messages, `#[tool]` for typed tools.
//!
//! They expand to paths below `::beluga`, `::beluga_runtime` or `::beluga_core`, whichever the calling crate depends
//! on; there is no link-time registration.
