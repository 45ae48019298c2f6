//! The strategies that need no memory of what routes did.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::strategy::{RouteQuery, RouterStrategy};

/// Each call begins at the next route, and falls back to those after it.
#[derive(Debug, Default)]
pub struct RoundRobin(AtomicUsize);

impl RouterStrategy for RoundRobin {
    fn name(&self) -> &'static str {
        "round_robin"
    }

    fn order(&self, query: &RouteQuery<'_>) -> Vec<usize> {
        let first = self.0.fetch_add(1, Ordering::Relaxed) % query.able.len().max(1);
        query.able.iter().cycle().skip(first).take(query.able.len()).copied().collect()
    }
}

/// Always the routes in the order they were given.
#[derive(Debug, Default, Clone, Copy)]
pub struct Failover;

impl RouterStrategy for Failover {
    fn name(&self) -> &'static str {
        "failover"
    }

    fn order(&self, query: &RouteQuery<'_>) -> Vec<usize> {
        query.able.to_vec()
    }
}

/// The route on which the call costs least at most comes first; one whose price is unknown comes last.
///
/// Whether it may cost that is decided where it is reserved, once for all budgets it is within.
#[derive(Debug, Default, Clone, Copy)]
pub struct Cheapest;

impl RouterStrategy for Cheapest {
    fn name(&self) -> &'static str {
        "cost"
    }

    fn order(&self, query: &RouteQuery<'_>) -> Vec<usize> {
        let cost = |place: &usize| {
            let price = query.routes.get(*place)?.price?;
            Some(price.most_micro_usd(query.need.prompt_tokens, query.need.output_tokens))
        };
        sorted_by(query, |place| cost(place).map_or((true, 0), |cost| (false, cost)))
    }
}

/// The route that can do least beyond what the call needs comes first, and of two the one with the smaller context.
#[derive(Debug, Default, Clone, Copy)]
pub struct LeastCapable;

impl RouterStrategy for LeastCapable {
    fn name(&self) -> &'static str {
        "capability"
    }

    fn order(&self, query: &RouteQuery<'_>) -> Vec<usize> {
        sorted_by(query, |place| {
            let abilities = query.routes.get(*place).map(|route| route.abilities).unwrap_or_default();
            (abilities.beyond(&query.need), abilities.context_tokens.unwrap_or(u64::MAX))
        })
    }
}

/// Sorts the able routes; equal ones stay in the order they were given.
fn sorted_by<K: Ord>(query: &RouteQuery<'_>, key: impl FnMut(&usize) -> K) -> Vec<usize> {
    let mut places = query.able.to_vec();
    places.sort_by_cached_key(key);
    places
}
