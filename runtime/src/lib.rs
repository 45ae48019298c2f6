//! The actor system of Beluga. It knows no word of AI and no vendor; what other nodes say comes in through [`wire`].
//!
//! Start with [`Actor`], whose example is a whole program; then [`guide::supervision`] says in ten minutes what happens
//! when an actor fails, and [`guide::coming_from`] is for those who know ractor, kameo, actix or an agent framework.
#![warn(clippy::print_stdout)] // Libraries do not print; binaries and examples do.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

// The derive macros name this crate from outside and from within alike.
#[allow(unused_extern_crates)]
extern crate self as beluga_runtime;

mod actor;
mod address;
mod ask;
mod backoff;
mod batch;
mod breaker;
mod call;
mod cell;
mod clock;
pub mod cluster;
mod control;
mod cx;
mod dead_letter;
mod delivery;
mod envelope;
mod errand;
mod exit;
mod family;
mod forward;
mod ground;
mod group;
pub mod guide;
mod host;
mod incarnation;
mod intensity;
mod job;
mod lifecycle;
mod lock;
mod mailbox;
mod message;
#[cfg(all(test, beluga_loom))]
mod models;
mod naming;
mod pool;
mod protocol;
mod random;
mod recipient;
mod reference;
mod reply;
mod scope;
pub mod service;
mod shelf;
mod shell;
mod sink;
mod slot;
mod spec;
pub mod stream;
mod supervise;
mod sync;
mod system;
pub mod task;
pub mod telemetry;
pub mod testkit;
pub mod time;
mod timer;
mod topic;
mod waits;
mod watchdog;
mod window;
pub mod wire;

pub use actor::{Actor, DeferredHandler, Handler, StatusSource, StopReason, StreamHandler};
pub use address::Address;
pub use ask::Ask;
pub use backoff::Backoff;
pub use batch::BATCH_MAX;
pub use beluga_macros::Message;
pub use breaker::{Breaker, BreakerConfig, BreakerState, BreakerStatus, PROBE_WAIT, Permit, failure_counts};
pub use cx::Cx;
pub use dead_letter::{DEAD_LETTER_CAPACITY, DeadLetter, DeadLetters, DeadReason};
pub use exit::{ChildExit, ExitReason, Verdict};
pub use family::{Activation, Activator, Family, FamilyOptions, IDLE_AFTER, MAX_ACTIVE, VirtualRef};
pub use forward::Forward;
pub use group::{GROUPS_MAX, Groups, MEMBERS_MAX, Member};
pub use host::RuntimeHost;
pub use intensity::{Intensity, RESTARTS_MAX, RestartWindow};
pub use job::{JOBS_MAX, Job, JobCx};
pub use lifecycle::{HEALTH_TIMEOUT, Health, HealthReport, HealthState, Lifecycle, Lifecycles, PART_TIMEOUT};
pub use mailbox::{LaneSettings, Lanes, Overflow};
pub use message::{Lane, Message, StreamMessage};
pub use naming::{NAME_MAX_BYTES, NAMES_MAX, Names, check_name};
pub use pool::{Pool, PoolKey, PoolSettings, PoolSpec, PoolStatus, Routing, WORKERS_MAX, WorkerStatus};
pub use protocol::{Accepts, Protocol, Silent, Streaming};
pub use random::SystemRandom;
pub use recipient::Recipient;
pub use reference::{Ref, StreamCall, Tell};
pub use reply::ReplyPort;
pub use scope::Scope;
pub use shell::Serves;
pub use sink::{ReplyStream, STREAM_WINDOW, Sending, Sink};
pub use slot::Phase;
pub use spec::{CANCEL_GRACE, ChildSpec, OnExhausted, Restart, START_TIMEOUT, STOP_GRACE, Spec, Strategy};
pub use system::{
    ASK_TIMEOUT, ActorView, AskInFlight, BreakerNode, Census, Deadlock, INSPECT_MAX, KindCensus, LaneDepths, LaneLimit,
    LaneLimits, Policy, SHUTDOWN_GRACE, System, SystemBuilder, TreeBounds, TreeNode,
};
pub use timer::{TIMERS_MAX, TimerKey};
pub use topic::{Published, Topics};
pub use watchdog::{
    BLOCKED_AFTER, BlockedWorker, KindTroubles, STUCK_AFTER, StuckHandler, TROUBLES_LISTED_MAX, TroubleCounts,
    Troubles, WATCHDOG_PERIOD, WATCHDOG_PERIOD_MIN, WatchdogSettings,
};
