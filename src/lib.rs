//! An actor-system runtime for AI agents: supervised, durable, streaming.
//!
//! Every agent, session, tool, model and memory tier is a supervised actor that speaks typed messages. This crate is
//! the facade: it re-exports the crates by their rooms, and adds what needs all of them: the configuration
//! ([`config`]), the node ([`node`]) and the telemetry of a process ([`telemetry`]).
//!
//! - [`prelude`]: what a program that has agents starts with;
//! - [`core`]: words and contracts; [`runtime`]: the actor system; [`actors`]: agents, sessions, tools, memory;
//! - [`providers`]: models, stores and tools behind the contracts; [`transports`]: HTTP.
#![warn(clippy::print_stdout)] // Libraries do not print; binaries and examples do.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod config;
mod embed;
pub mod node;
pub mod telemetry;
pub mod testkit;

pub use embed::in_memory;

pub use beluga_actors as actors;
pub use beluga_core as core;
pub use beluga_providers as providers;
pub use beluga_runtime as runtime;
pub use beluga_transports as transports;

/// What a program that has agents starts with: `use beluga::prelude::*;`.
pub mod prelude {
    pub use beluga_actors::agent::{Agent, AgentRef, Agents, Persona};
    pub use beluga_actors::session::{EventStream, Invoke, Reply};
    pub use beluga_actors::tool::builtin::{calculator, clock};
    pub use beluga_actors::tool::typed::tool;
    pub use beluga_core::{
        CallContext, ChatMessage, ChatModel, Code, Effect, Error, Event, HandoffMode, Numbered, Result, SessionId,
        Tool, ToolContext,
    };
    pub use beluga_providers::offline::OfflineModel;
    pub use beluga_runtime::{
        Actor, Cx, Handler, Message, Protocol, Ref, Sink, StreamHandler, StreamMessage, System, protocol,
    };
}

/// What macros of this crate expand to. Not for use by hand.
#[doc(hidden)]
pub mod __private {
    pub use beluga_actors::tool::typed::support;
}
