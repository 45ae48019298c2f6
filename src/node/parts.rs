//! The parts of a node as [`Lifecycles`](beluga_runtime::Lifecycles) knows them: what is ended, in which order, and how
//! each is.

use std::time::Duration;

use beluga_actors::agent::Agents;
use beluga_core::{BoxFuture, Result};
use beluga_providers::sqlite::{HealthState, Sqlite};
use beluga_runtime::{BreakerState, Health, Lifecycle, System, time};

/// How long the actors may take to end once no turn runs.
pub(super) const SYSTEM_GRACE: Duration = Duration::from_secs(10);

/// How often a draining node looks whether turns still run.
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// How much longer than its own grace a part may take, to say so.
pub(super) const MARGIN: Duration = Duration::from_secs(1);

/// The store; `None` if everything is kept in memory. Ends last.
pub(super) struct JournalPart(pub(super) Option<Sqlite>);

impl Lifecycle for JournalPart {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn stop(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match &self.0 {
                Some(sqlite) => sqlite.close().await,
                None => Ok(()),
            }
        })
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        let health = match self.0.as_ref().map(|sqlite| sqlite.health().state) {
            None | Some(HealthState::Open) => Health::healthy(),
            Some(HealthState::Closed) => Health::unhealthy("the journal is closed"),
            Some(HealthState::Failed(why)) => Health::unhealthy(format!("the journal does not write: {why}")),
        };
        Box::pin(std::future::ready(health))
    }
}

/// The actors. Vital: without them the process does nothing any more.
pub(super) struct ActorsPart(pub(super) System);

impl Lifecycle for ActorsPart {
    fn name(&self) -> &'static str {
        "actors"
    }

    fn stop(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.0.shutdown(SYSTEM_GRACE))
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(SYSTEM_GRACE + MARGIN)
    }

    fn is_vital(&self) -> bool {
        true
    }

    /// Actors that failed too often refuse their callers for a while; the others work.
    fn health(&self) -> BoxFuture<'_, Health> {
        let health = match self.0.census() {
            Err(error) => Health::unhealthy(error.to_string()),
            Ok(census) if census.gated.is_empty() => Health::healthy(),
            Ok(census) => Health::degraded(listed(census.gated.iter().map(|name| format!("{name} refuses callers")))),
        };
        Box::pin(std::future::ready(health))
    }
}

/// The models. What a vendor does is no reason to send callers elsewhere: an open breaker degrades the node.
pub(super) struct ProvidersPart(pub(super) System);

impl Lifecycle for ProvidersPart {
    fn name(&self) -> &'static str {
        "providers"
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        let health = match self.0.census() {
            Err(error) => Health::unhealthy(error.to_string()),
            Ok(census) => {
                let models = census.breakers.iter().filter(|(_, kind, _)| *kind == MODEL);
                let refusing = models.filter_map(|(name, _, breaker)| match breaker.state {
                    BreakerState::Closed => None,
                    BreakerState::Open => Some(format!("the breaker of {name} is open")),
                    BreakerState::HalfOpen => Some(format!("{name} is being tried again")),
                });
                let refusing = listed(refusing);
                if refusing.is_empty() { Health::healthy() } else { Health::degraded(refusing) }
            }
        };
        Box::pin(std::future::ready(health))
    }
}

/// The kind of a model's actor.
const MODEL: &str = "model";

/// The most things that are named in one message.
const NAMED_MAX: usize = 8;

/// Lists the first things, and how many more there are.
fn listed(things: impl Iterator<Item = String>) -> String {
    let mut things: Vec<String> = things.collect();
    let more = things.len().saturating_sub(NAMED_MAX);
    things.truncate(NAMED_MAX);
    if more > 0 {
        things.push(format!("and {more} more"));
    }
    things.join("; ")
}

/// Waits until no turn runs any more, at most `grace`.
pub(super) async fn turns_end(agents: &Agents, grace: Duration) {
    let idle = async {
        while running_turns(agents) > 0 {
            time::sleep(DRAIN_POLL).await;
        }
    };
    if time::timeout(grace, idle).await.is_err() {
        tracing::warn!("turns still run after the grace; the next start takes them up again");
    }
}

/// Counts the turns that run, as the tree shows them.
fn running_turns(agents: &Agents) -> usize {
    agents.system().census().ok().and_then(|census| census.jobs.get("turn").copied()).unwrap_or(0)
}
