//! Several models as one, chosen anew for each call.
//!
//! A [`Router`] is a [`ChatModel`] over named [`Route`]s. For each call it leaves out the routes that cannot answer it
//! (tools, pictures, JSON, length), lets its [`RouterStrategy`] put the rest in order, asks the first, hedges with the
//! second if that is set, and falls back along the order on errors another model may not have. After the first content
//! nothing is switched. What a route did (an answer, a failure, how soon, at what cost) is told to the strategy.
//!
//! Supervised like any model: [`Models::spawn`](super::Models::spawn) with [`ModelPolicy::router`]; its strategy and its
//! cache survive restarts. Limits, breakers, tries and budgets belong to the routes, which are supervised themselves.
//! Outside in: total time → cache → order → fallback → hedge → route. Limits: [`ROUTES_MAX`].
//!
//! [`ChatModel`]: beluga_core::ChatModel
//! [`ModelPolicy::router`]: super::ModelPolicy::router

mod ability;
mod bandit;
mod latency;
mod order;
mod route;
mod strategy;
mod watch;

#[cfg(test)]
mod tests;

pub use ability::{Abilities, Need};
pub use bandit::{Learned, LearnedSettings};
pub use latency::{LowestLatency, LowestLatencySettings};
pub use order::{Cheapest, Failover, LeastCapable, RoundRobin};
pub use route::{ROUTES_MAX, Route, Router, RouterSettings};
pub use strategy::{Outcome, RouteQuery, RouteReport, RouterStrategy};
