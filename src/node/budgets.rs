//! Makes budgets of `[budgets]`, `[tenants]`, `[tiers]` and `[prices]`.

use std::sync::Arc;
use std::time::Duration;

use beluga_actors::budget::{BudgetSettings, WindowLimits};
use beluga_core::{Price, PriceRow, PriceTable, Result, SpendLimits, TenantId};
use beluga_providers::price;

use crate::config::{Config, Period, PriceSettings, SpendSettings, Usd};

/// Returns the budgets of a configuration.
///
/// # Errors
/// `invalid_input` for the id of a tenant that is none, which the checks of the configuration exclude.
pub(super) fn settings(config: &Config) -> Result<BudgetSettings> {
    let budgets = &config.budgets;
    let mut settings = BudgetSettings {
        run: limits(&budgets.run),
        session: limits(&budgets.session),
        tenant: window(&budgets.tenant),
        node: window(&budgets.node),
        prices: Arc::new(prices(config)),
        output_tokens: budgets.output_tokens,
        ..BudgetSettings::default()
    };
    for (name, tenant) in &config.tenants {
        if let Some(budget) = &tenant.budget {
            settings.tenants.insert(TenantId::parse(name)?, window(budget));
        }
    }
    for (name, tier) in &config.tiers {
        if let Some(budget) = &tier.budget {
            settings.tiers.insert(name.clone(), window(budget));
        }
    }
    Ok(settings)
}

/// Returns the prices that are built in, overridden by those of a configuration.
pub(super) fn prices(config: &Config) -> PriceTable {
    price::table().overridden_by(config.prices.iter().map(|(family, settings)| row(family, settings)))
}

/// Returns the limits of a budget without windows.
pub(super) fn limits(settings: &SpendSettings) -> SpendLimits {
    SpendLimits {
        requests: settings.requests,
        tokens: settings.tokens,
        cost_micro_usd: settings.cost_usd.map(Usd::micro),
        time_ms: settings.time.map(|time| u64::try_from(time.get().as_millis()).unwrap_or(u64::MAX)),
    }
}

fn window(settings: &SpendSettings) -> WindowLimits {
    let every: Option<Duration> = settings.every.map(Period::get);
    WindowLimits { limits: limits(settings), every }
}

fn row(family: &str, settings: &PriceSettings) -> PriceRow {
    let input = settings.input.micro();
    let price = Price {
        input,
        cached_input: settings.cached_input.map_or(input, Usd::micro),
        cache_write: settings.cache_write.map_or(input, Usd::micro),
        output: settings.output.micro(),
    };
    PriceRow { provider: settings.provider.clone(), family: family.to_owned(), price, read: "configuration".to_owned() }
}
