//! Placeholder.

mod backoff;
mod breaker;
mod group;
mod host;
mod intensity;
mod naming;
mod random;
pub mod task;
pub mod telemetry;
pub mod time;
mod topic;

pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerConfig, BreakerState, BreakerStatus, PROBE_WAIT, Permit, failure_counts};
pub use group::{GROUPS_MAX, Groups, MEMBERS_MAX, Member};
pub use host::RuntimeHost;
pub use intensity::{Intensity, RESTARTS_MAX, RestartWindow};
pub use naming::{NAME_MAX_BYTES, NAMES_MAX, Names, check_name};
pub use random::SystemRandom;
pub use topic::{Published, Topics};
