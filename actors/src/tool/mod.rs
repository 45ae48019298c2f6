//! Tools as supervised actors.

pub mod builtin;
pub mod typed;
