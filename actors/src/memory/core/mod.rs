//! Core memory: what an agent always knows about itself and about whom it talks to.

mod actor;
mod handle;
mod message;
mod tools;

pub use handle::CoreMemory;
pub(crate) use handle::owner_key;
pub use message::{BLOCK_MAX_CHARS, Block};
