//! Recall memory: everything that was said, in any session of the agent, found by words.

mod actor;
mod handle;
mod message;
mod tool;

pub use handle::RecallMemory;
