//! Settings: `beluga.toml`, the environment over it, and the checks that make a [`Config`] of both.
//!
//! [`load`] works for any type with serde, schemars and [`Settings`]: the JSON Schema gives types, bounds, defaults and
//! unknown keys, [`Settings::check`] the rules between fields, and every problem comes back in one list with its path,
//! line, column and a hint. [`Watcher`] loads again when the file changes; a broken file never replaces a working one.
//!
//! Secrets are not in the file: it names environment variables (`api_key_env`, `token_env`). Whoever prints a
//! configuration prints [`Config::masked`]. Limits: a file of at most [`FILE_MAX_BYTES`].

mod agent;
mod budget;
mod check;
mod cluster;
mod context;
mod document;
mod environment;
mod facts;
mod fallback;
mod hint;
mod load;
mod money;
mod nats;
mod period;
mod pool;
mod problem;
mod provider;
mod retrieval;
mod router;
mod schema;
mod service;
mod settings;
mod tool;
mod watch;

#[cfg(test)]
mod tests;

pub use agent::{AgentSettings, HandoffSettings, HandoffTarget, MemoryTier, PersonaSettings};
pub use budget::{BudgetSettings, PriceSettings, SpendSettings};
pub use check::Check;
pub use cluster::ClusterSettings;
pub use context::{ContextSettings, ContextStrategy, SLIDING_TURNS_DEFAULT};
pub use environment::{Environment, PREFIX};
pub use facts::FactsSettings;
pub use fallback::{DEFAULT_AGENT, DEFAULT_PROVIDER, provider_from_environment};
pub use load::{FILE_MAX_BYTES, Settings, Sources, load};
pub use money::Usd;
pub use nats::NatsSettings;
pub use period::Period;
pub use pool::{PoolRouting, PoolSettings};
pub use problem::{ConfigError, Problem};
pub use provider::{AdmissionSettings, BreakerSettings, ProviderSettings, RetrySettings};
pub use retrieval::RetrievalSettings;
pub use router::{CacheSettings, RouteSettings, RouteTarget, RouterSettings, RouterStrategy};
pub use schema::schema;
pub(crate) use service::parse_addr;
pub use service::{
    HttpSettings, JournalKind, JournalSettings, JournalSync, LimitSettings, MemorySettings, RateSettings,
    TenantSettings, TierSettings, WatchdogSettings,
};
pub use settings::Config;
pub use tool::{BuiltinSettings, HttpToolSettings, ToolSettings};
pub use watch::{DEBOUNCE, Watcher};
