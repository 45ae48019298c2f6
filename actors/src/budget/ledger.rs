//! All budgets of a node, and what was spent by whom. Made by whoever starts the actor, so it survives its restarts.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use beluga_core::{Budget, CallContext, Error, ModelInfo, Price, Result, Spend, SpendLimits, TenantId};
use parking_lot::Mutex;

use super::account::Account;
use super::report::{Level, UsageQuery, UsageReport, UsageRow};
use super::settings::BudgetSettings;

/// The most tenants whose budgets are kept at once; those without limits that spend nothing now make room.
pub const TENANTS_MAX: usize = 10_000;

/// The most rows of usage; what is beyond is summed up in one.
pub const ROWS_MAX: usize = 10_000;

/// What a row of usage stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowKey {
    tenant: Arc<str>,
    agent: Arc<str>,
    provider: Arc<str>,
    model: Arc<str>,
}

impl RowKey {
    /// Returns the row of a call of a model.
    pub(crate) fn of(context: &CallContext, provider: &Arc<str>, model: &str) -> Self {
        Self {
            tenant: context.tenant().as_str().into(),
            agent: context.agent().map_or("-", |agent| agent.as_str()).into(),
            provider: Arc::clone(provider),
            model: model.into(),
        }
    }

    /// Returns the row of what has none of its own.
    fn rest() -> Self {
        let any: Arc<str> = "*".into();
        Self { tenant: Arc::clone(&any), agent: Arc::clone(&any), provider: Arc::clone(&any), model: any }
    }
}

pub(crate) struct Ledger {
    settings: ArcSwap<BudgetSettings>,
    node: Arc<Account>,
    tenants: Mutex<HashMap<TenantId, Tenant>>,
    usage: Mutex<BTreeMap<RowKey, UsageRow>>,
}

struct Tenant {
    account: Arc<Account>,
    tier: Option<Arc<str>>,
}

impl Ledger {
    pub(crate) fn new(settings: BudgetSettings) -> Arc<Self> {
        let node = Account::new(Level::Node, "node", settings.node.limits, settings.node.every, None);
        Arc::new(Self {
            settings: ArcSwap::from_pointee(settings),
            node: Arc::new(node),
            tenants: Mutex::default(),
            usage: Mutex::default(),
        })
    }

    pub(crate) fn settings(&self) -> Arc<BudgetSettings> {
        self.settings.load_full()
    }

    pub(crate) fn node(&self) -> &Account {
        &self.node
    }

    /// Puts settings in force; what is spent stays spent.
    pub(crate) fn configure(&self, settings: BudgetSettings) {
        // What a source granted is no setting.
        if settings.source.is_none() {
            self.node.limit(settings.node.limits, settings.node.every);
        }
        let tenants = self.tenants.lock();
        for (id, tenant) in &*tenants {
            let limits = settings.of_tenant(id, tenant.tier.as_deref());
            tenant.account.limit(limits.limits, limits.every);
        }
        self.settings.store(Arc::new(settings));
    }

    /// Returns the budget of a tenant, within the node's.
    ///
    /// # Errors
    /// `overloaded` if too many tenants have limits.
    pub(crate) fn tenant(&self, context: &CallContext) -> Result<Arc<Account>> {
        let (id, tier) = (context.tenant(), context.tier());
        let mut tenants = self.tenants.lock();
        if let Some(tenant) = tenants.get_mut(id) {
            if tenant.tier.as_deref() != tier {
                let limits = self.settings.load().of_tenant(id, tier);
                tenant.account.limit(limits.limits, limits.every);
                tenant.tier = tier.map(Arc::from);
            }
            return Ok(Arc::clone(&tenant.account));
        }
        if tenants.len() >= TENANTS_MAX {
            tenants.retain(|_, tenant| tenant.account.is_limited() || Arc::strong_count(&tenant.account) > 1);
        }
        if tenants.len() >= TENANTS_MAX {
            return Err(Error::overloaded("too many tenants with budgets").with("tenants_max", TENANTS_MAX));
        }
        let limits = self.settings.load().of_tenant(id, tier);
        let above: Arc<dyn Budget> = Arc::clone(&self.node) as _;
        let account = Account::new(Level::Tenant, id.as_str(), limits.limits, limits.every, Some(above));
        let account = Arc::new(account);
        tenants.insert(id.clone(), Tenant { account: Arc::clone(&account), tier: tier.map(Arc::from) });
        Ok(account)
    }

    /// Makes the budget of a session or a run within another.
    pub(crate) fn below(
        above: Arc<dyn Budget>,
        level: Level,
        name: &str,
        limits: SpendLimits,
        spent_before: Spend,
    ) -> Arc<dyn Budget> {
        Arc::new(Account::new(level, name, limits, None, Some(above)).spent_before(spent_before))
    }

    /// Returns the price of a model, `None` if it is unknown.
    pub(crate) fn price(&self, provider: &str, model: &str) -> Option<Price> {
        self.settings.load().prices.find(provider, model).map(|row| row.price)
    }

    /// Returns the cost of a usage in millionths of a dollar; nothing where the price is unknown.
    pub(crate) fn cost_micro_usd(&self, info: &ModelInfo, usage: &beluga_core::Usage) -> u64 {
        self.price(&info.provider, &info.model).map_or(0, |price| price.cost_micro_usd(usage))
    }

    /// Changes the row of a call.
    pub(crate) fn note(&self, key: &RowKey, change: impl FnOnce(&mut UsageRow)) {
        let mut usage = self.usage.lock();
        if let Some(row) = usage.get_mut(key) {
            return change(row);
        }
        let rest;
        let key = if usage.len() < ROWS_MAX {
            key
        } else {
            rest = RowKey::rest();
            &rest
        };
        let row = usage.entry(key.clone()).or_insert_with(|| UsageRow {
            tenant: key.tenant.to_string(),
            agent: key.agent.to_string(),
            provider: key.provider.to_string(),
            model: key.model.to_string(),
            ..UsageRow::default()
        });
        change(row);
    }

    pub(crate) fn report(&self, query: &UsageQuery) -> UsageReport {
        let usage: Vec<UsageRow> = self.usage.lock().values().filter(|row| query.takes(row)).cloned().collect();
        let total = usage.iter().fold(UsageRow::default(), |mut total, row| {
            total.add(row);
            total
        });
        let mut budgets: Vec<_> = {
            let tenants = self.tenants.lock();
            let wanted = |id: &TenantId| query.tenant.as_ref().is_none_or(|tenant| tenant == id);
            tenants.iter().filter(|(id, _)| wanted(id)).map(|(_, tenant)| tenant.account.status()).collect()
        };
        budgets.sort_by(|a, b| a.name.cmp(&b.name));
        if query.tenant.is_none() {
            budgets.push(self.node.status());
        }
        UsageReport { usage, total, budgets }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("tenants", &self.tenants.lock().len()).finish_non_exhaustive()
    }
}
