//! Placeholder.

mod host;
mod random;
pub mod task;
pub mod time;

pub use host::RuntimeHost;
pub use random::SystemRandom;
