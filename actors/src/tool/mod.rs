//! Tools as supervised actors.
//!
//! One actor per tool, supervised by `tools`. It checks the arguments, bounds the calls in flight, and runs each call as a
//! job child under a time limit: a tool that panics or hangs is a failed call and nothing more. Its breaker lives with its
//! supervisor. With a pool ([`ToolSettings::pool`]) the tool's actor is a pool of workers, each of which runs one call at a
//! time; limits, totals and breaker are the tool's, not a worker's. [`ToolHooks`] let an application observe or alter calls, a [`ToolLayer`] goes round them; [`builtin`] holds the tools every node has, and
//! [`typed`] what `#[tool]` expands to.
//!
//! Limits: [`ToolSettings`].

mod actor;
pub mod builtin;
mod handle;
mod hooks;
mod message;
pub mod typed;

pub use actor::{ToolLayer, ToolSettings, ToolTotals};
pub use handle::{ToolRef, Tools};
pub use hooks::ToolHooks;
