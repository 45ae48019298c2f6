//! Makes routers of `[routers.X]`.

use std::sync::Arc;

use beluga_actors::model::ModelRef;
use beluga_actors::model::cache::{self, ExactCache};
use beluga_actors::model::router::{
    self as choice, Abilities, Cheapest, Failover, Learned, LearnedSettings, LeastCapable, LowestLatency, RoundRobin,
    Route, Router,
};
use beluga_core::{ChatModel, FactsTable, PriceTable, Result};
use beluga_runtime::SystemRandom;

use crate::config::{CacheSettings, Config, RouteSettings, RouterSettings, RouterStrategy};

/// What is known of the models of a configuration.
pub(super) struct Tables {
    pub(super) prices: PriceTable,
    pub(super) facts: FactsTable,
}

/// Builds a router of running models. `find` returns the model of a provider.
///
/// # Errors
/// What `find` answers; `invalid_input` for routes no router takes, which the checks of the configuration exclude.
pub(super) fn build(
    settings: &RouterSettings,
    config: &Config,
    tables: &Tables,
    random: &SystemRandom,
    find: impl Fn(&str) -> Result<ModelRef>,
) -> Result<Router> {
    let mut routes = Vec::with_capacity(settings.routes.len());
    for route in &settings.routes {
        let model = find(route.provider())?;
        let info = model.info();
        let mut built = Route::new(route.provider(), model);
        // The other strategies try what may be too small: what is known of a deployment can be wrong.
        if settings.strategy == RouterStrategy::Capability {
            let facts = tables.facts.find(&info.provider, &info.model);
            built.abilities.context_tokens = facts.map(|facts| facts.context_tokens);
        }
        if let RouteSettings::Full(target) = route {
            let tools = target.tools.or(built.abilities.tools);
            let context_tokens = target.context_tokens.or(built.abilities.context_tokens);
            let (vision, json) = (target.vision, target.json);
            built = built.with_abilities(Abilities { tools, vision, json, context_tokens });
        }
        if let Some(row) = tables.prices.find(&info.provider, &info.model) {
            built = built.with_price(row.price);
        }
        routes.push(built);
    }
    let info = routes.first().map(|route| route.model.info());
    let layers = settings.cache.as_ref().zip(info).map(|(cache, info)| ExactCache::new(kept(cache)).layer(&info));
    let router = choice::RouterSettings {
        strategy: strategy(settings.strategy, random),
        hedge_after: settings.hedge_after.map(|after| after.get()),
        total: settings.timeout.map(|timeout| timeout.get()),
        layers: layers.into_iter().collect(),
        output_tokens: config.budgets.output_tokens,
        ..choice::RouterSettings::default()
    };
    Router::new(routes, router)
}

fn strategy(name: RouterStrategy, random: &SystemRandom) -> Arc<dyn choice::RouterStrategy> {
    match name {
        RouterStrategy::Failover => Arc::new(Failover),
        RouterStrategy::RoundRobin => Arc::new(RoundRobin::default()),
        RouterStrategy::Latency => Arc::new(LowestLatency::default()),
        RouterStrategy::Cost => Arc::new(Cheapest),
        RouterStrategy::Capability => Arc::new(LeastCapable),
        RouterStrategy::Learned => Arc::new(Learned::new(LearnedSettings::default(), random.fork())),
    }
}

fn kept(settings: &CacheSettings) -> cache::CacheSettings {
    cache::CacheSettings {
        entries: settings.entries,
        bytes: settings.bytes,
        ttl: settings.ttl.get(),
        policy: settings.policy.clone(),
        single_flight: settings.single_flight,
    }
}
