//! What was spent, by whom and on what; what is reserved, and how much may be.

use std::fmt;

use beluga_core::{Spend, SpendLimits, TenantId};
use serde::{Deserialize, Serialize};

/// Whose budget it is; each is within the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// One turn, with all agents it asks.
    Run,
    /// One conversation.
    Session,
    /// One tenant.
    Tenant,
    /// The whole node, or its share of the cluster's.
    Node,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::Run => "run",
            Level::Session => "session",
            Level::Tenant => "tenant",
            Level::Node => "node",
        })
    }
}

/// The state of one budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// Whose it is.
    pub level: Level,
    /// Its name: the tenant's id, `node`.
    pub name: String,
    /// The limits in force.
    pub limits: SpendLimits,
    /// What settled calls used in this window.
    pub spent: Spend,
    /// What calls in flight have reserved.
    pub reserved: Spend,
    /// What settled calls used beyond their reservations of what is limited: the most by which a limit was passed.
    pub over: Spend,
    /// Until the next window begins; `None` if it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_in_ms: Option<u64>,
}

/// What one agent of one tenant used of one model. Cancelled and failed tries are part of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UsageRow {
    /// The tenant; `*` in the row that sums up what is beyond [`ROWS_MAX`](super::ROWS_MAX).
    pub tenant: String,
    /// The agent; `-` for calls of no agent.
    pub agent: String,
    /// The provider, as OpenTelemetry names it.
    pub provider: String,
    /// The model id that was asked for.
    pub model: String,
    /// Tries that were sent.
    pub requests: u64,
    /// Tokens read, cached ones included.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// Tokens read from the vendor's cache.
    pub cached_tokens: u64,
    /// Tokens written to the vendor's cache.
    pub cache_write_tokens: u64,
    /// The cost in millionths of a US dollar, of the tries whose price is known.
    pub cost_micro_usd: u64,
    /// Tries whose cost is unknown, because no price is; it is in no sum.
    pub unpriced_requests: u64,
    /// Tries whose tokens are estimated: they ended before the vendor told them.
    pub estimated_requests: u64,
    /// Tokens that calls in flight have reserved; nothing is reserved where nothing is limited.
    pub reserved_tokens: u64,
    /// What they have reserved in millionths of a US dollar.
    pub reserved_cost_micro_usd: u64,
}

impl UsageRow {
    pub(crate) fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.requests, other.requests),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.cached_tokens, other.cached_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.cost_micro_usd, other.cost_micro_usd),
            (&mut self.unpriced_requests, other.unpriced_requests),
            (&mut self.estimated_requests, other.estimated_requests),
            (&mut self.reserved_tokens, other.reserved_tokens),
            (&mut self.reserved_cost_micro_usd, other.reserved_cost_micro_usd),
        ];
        pairs.into_iter().for_each(|(own, other)| *own = own.saturating_add(other));
    }
}

/// Which usage is asked for; everything by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageQuery {
    /// Only of this tenant.
    pub tenant: Option<TenantId>,
    /// Only of this agent.
    pub agent: Option<String>,
    /// Only of this model.
    pub model: Option<String>,
}

impl UsageQuery {
    pub(crate) fn takes(&self, row: &UsageRow) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| tenant.as_str() == row.tenant)
            && self.agent.as_ref().is_none_or(|agent| *agent == row.agent)
            && self.model.as_ref().is_none_or(|model| *model == row.model)
    }
}

/// What was spent since the node began, and what may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageReport {
    /// One row for each tenant, agent and model, sorted so.
    pub usage: Vec<UsageRow>,
    /// Their sum; its names are empty.
    pub total: UsageRow,
    /// The budgets of tenants, and the node's; of one tenant if only it was asked for.
    pub budgets: Vec<BudgetStatus>,
}
