//! `[memory]`, `[journal]`, `[http]`, `[limits]` and `[watchdog]`: what the node itself does.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::agent::MemoryTier;
use super::budget::SpendSettings;
use super::check::Check;
use super::period::Period;

/// What agents remember between turns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemorySettings {
    /// The tiers of agents that name none: "core", "recall".
    #[schemars(length(max = 2))]
    pub tiers: Vec<MemoryTier>,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { tiers: vec![MemoryTier::Core, MemoryTier::Recall] }
    }
}

/// Where sessions are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JournalSettings {
    /// "sqlite": in the data directory. "nats": on JetStream, for all nodes of a cluster. "memory": gone with the process.
    pub kind: JournalKind,
    /// What survives the loss of power: "turn" what a finished turn said, "every" each step, "off" what the system wrote.
    pub sync: JournalSync,
}

/// Where sessions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JournalKind {
    /// In a file of the data directory.
    #[default]
    Sqlite,
    /// On JetStream; what agents remember stays in a file of the data directory.
    Nats,
    /// In memory.
    Memory,
}

/// When the journal is written through to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JournalSync {
    /// When a turn starts, before a tool with an effect, and when the turn ends.
    #[default]
    Turn,
    /// With every append.
    Every,
    /// Never: what was acknowledged survives kill -9, not the loss of power.
    Off,
}

/// One tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantSettings {
    /// Its service tier, one of `[tiers]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// What it may spend, in place of its tier's budget and `budgets.tenant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<SpendSettings>,
}

/// The limits of a service tier, for each of its tenants at each provider, in place of `tenant_rpm` and `tenant_tpm`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TierSettings {
    /// Requests per minute; none is no limit.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<u32>,
    /// Tokens per minute; none is no limit.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<u64>,
    /// What each of its tenants may spend, in place of `budgets.tenant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<SpendSettings>,
}

/// The HTTP face.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Where it listens; port 0 takes a free one and prints it.
    pub addr: String,
    /// The environment variable that holds the bearer token; needed beyond loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// Whether X-Beluga-Tenant is believed from callers that are not on this machine.
    pub trust_tenant_header: bool,
    /// Names callers may use for this node besides its addresses; checked on loopback without a token.
    #[schemars(length(max = 64))]
    pub allowed_hosts: Vec<String>,
    /// The largest request body, in bytes.
    #[schemars(range(min = 1024, max = 104_857_600))]
    pub body_limit_bytes: usize,
    /// The most connections at the same time.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: usize,
    /// The time between two keep-alive comments on a stream.
    pub keep_alive: Period,
    /// How long a reader may refuse bytes before it is cut off.
    pub write_timeout: Period,
    /// The most time one invoke may take.
    pub invoke_timeout: Period,
    /// How often each tenant may call an endpoint, per minute; no limit where absent.
    pub rates: RateSettings,
}

/// Requests per minute of each tenant, by endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateSettings {
    /// Turns asked for as a whole.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoke: Option<u32>,
    /// Turns asked for as a stream.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<u32>,
    /// Sessions read.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<u32>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            addr: "127.0.0.1:8080".to_owned(),
            token_env: None,
            trust_tenant_header: false,
            allowed_hosts: Vec::new(),
            body_limit_bytes: 1024 * 1024,
            max_connections: 10_000,
            keep_alive: Period::from_secs(15),
            write_timeout: Period::from_secs(30),
            invoke_timeout: Period::from_secs(600),
            rates: RateSettings::default(),
        }
    }
}

impl HttpSettings {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        if parse_addr(&self.addr).is_none() {
            let hint = "write it as \"127.0.0.1:8080\"".to_owned();
            check.problem(
                &["http", "addr"],
                format!("\"{}\" is no address and port", self.addr.escape_debug()),
                Some(hint),
            );
        }
        if let Some(variable) = &self.token_env {
            check.variable(&["http", "token_env"], variable);
        }
        if self.keep_alive.get().is_zero() {
            check.problem(&["http", "keep_alive"], "must be above zero", None);
        }
    }
}

/// Reads an address to listen on; `localhost` is the IPv4 loopback.
#[must_use]
pub(crate) fn parse_addr(text: &str) -> Option<SocketAddr> {
    let text = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().ok()
}

/// The bounds of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// The most sessions in memory; the least used idle one makes room, or the new one is refused.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub active_sessions: usize,
    /// How long a session stays in memory without work.
    pub session_idle: Period,
    /// The most time one turn may take.
    pub turn_timeout: Period,
    /// How long running turns may go on after SIGTERM.
    pub shutdown_grace: Period,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            active_sessions: 10_000,
            session_idle: Period::from_secs(300),
            turn_timeout: Period::from_secs(600),
            shutdown_grace: Period::from_secs(20),
        }
    }
}

/// Who looks for stuck handlers, blocked threads and deadlocks, and reports them in the log and the metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WatchdogSettings {
    /// Whether a thread looks all the time. Without it the metrics still count what is stuck when they are read.
    pub enabled: bool,
    /// How often it looks: 10ms to 1m.
    pub period: Period,
    /// How long a handler may await before it counts as stuck.
    pub stuck_after: Period,
    /// How long one piece of code may keep its thread before that counts as blocked.
    pub blocked_after: Period,
}

/// The shortest and the longest period of the watchdog.
const WATCHDOG_PERIOD: (Period, Period) = (Period::from_millis(10), Period::from_secs(60));

/// A poll that is shorter than this holds nobody up whom people would miss.
const BLOCKED_AFTER_MIN: Period = Period::from_millis(10);

impl Default for WatchdogSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            period: Period::from_millis(500),
            stuck_after: Period::from_secs(30),
            blocked_after: Period::from_secs(1),
        }
    }
}

impl WatchdogSettings {
    pub(super) fn check(&self, check: &mut Check<'_>) {
        let (shortest, longest) = WATCHDOG_PERIOD;
        if self.period < shortest || self.period > longest {
            let hint = (self.period == Period::from_secs(0)).then(|| "enabled = false switches it off".to_owned());
            check.problem(&["watchdog", "period"], format!("must be {shortest} to {longest}"), hint);
        }
        if self.stuck_after.get().is_zero() {
            check.problem(&["watchdog", "stuck_after"], "must be above zero", None);
        }
        if self.blocked_after < BLOCKED_AFTER_MIN {
            check.problem(&["watchdog", "blocked_after"], format!("must be at least {BLOCKED_AFTER_MIN}"), None);
        }
    }
}
