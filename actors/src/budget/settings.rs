//! What may be spent, by whom, and what is known of prices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{PriceTable, Spend, SpendLimits, TenantId, TokenEstimate, Tokenizer};

use super::hooks::BudgetSource;

/// The answer a call without `max_tokens` is taken to have at most, in tokens.
pub const OUTPUT_TOKENS_DEFAULT: u64 = 4_096;

/// The limits of a tenant or of the node, and how often they begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WindowLimits {
    /// The limits.
    pub limits: SpendLimits,
    /// The length of a window, on the node's own clock and from its start; `None` never begins anew.
    pub every: Option<Duration>,
}

/// The budgets of a node. By default nothing is limited, and everything counted.
#[derive(Debug, Clone)]
pub struct BudgetSettings {
    /// The limits of one turn, with all agents it asks; an agent may have its own.
    pub run: SpendLimits,
    /// The limits of one conversation. What its journal shows counts, so they outlive a restart.
    pub session: SpendLimits,
    /// The limits of each tenant that has none of its own.
    pub tenant: WindowLimits,
    /// The limits of each tenant of a tier, by the tier's name; instead of `tenant`.
    pub tiers: BTreeMap<String, WindowLimits>,
    /// The limits of single tenants; instead of `tenant` and its tier's.
    pub tenants: BTreeMap<TenantId, WindowLimits>,
    /// The limits of the node.
    pub node: WindowLimits,
    /// What is known of prices.
    pub prices: Arc<PriceTable>,
    /// What counts the prompt of a call before the vendor does. Default: an estimate.
    pub tokenizer: Arc<dyn Tokenizer>,
    /// The answer a call without `max_tokens` is taken to have at most. Default: [`OUTPUT_TOKENS_DEFAULT`].
    pub output_tokens: u64,
    /// Who gives the node shares of a larger budget. Default: nobody; the node's limits are its own.
    pub source: Option<Arc<dyn BudgetSource>>,
    /// The least that is asked of `source` at a time, so that not every call asks.
    pub grant: Spend,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            run: SpendLimits::NONE,
            session: SpendLimits::NONE,
            tenant: WindowLimits::default(),
            tiers: BTreeMap::new(),
            tenants: BTreeMap::new(),
            node: WindowLimits::default(),
            prices: Arc::default(),
            tokenizer: Arc::new(TokenEstimate),
            output_tokens: OUTPUT_TOKENS_DEFAULT,
            source: None,
            grant: Spend::ZERO,
        }
    }
}

impl BudgetSettings {
    /// Returns the limits of a tenant.
    pub(crate) fn of_tenant(&self, tenant: &TenantId, tier: Option<&str>) -> WindowLimits {
        let own = self.tenants.get(tenant).or_else(|| self.tiers.get(tier?));
        own.copied().unwrap_or(self.tenant)
    }
}
