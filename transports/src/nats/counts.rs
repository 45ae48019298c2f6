//! The endpoints of the face, and what is counted of each.

use std::time::Duration;

use beluga_core::Error;
use parking_lot::Mutex;

use super::subject::Verb;

/// One endpoint: a kind of actor and a way to speak to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Endpoint {
    AgentCall,
    AgentTell,
    AgentStream,
    SessionCall,
    SessionStream,
}

impl Endpoint {
    /// Every endpoint.
    pub(super) const ALL: [Endpoint; 5] = [
        Endpoint::AgentCall,
        Endpoint::AgentTell,
        Endpoint::AgentStream,
        Endpoint::SessionCall,
        Endpoint::SessionStream,
    ];

    /// Returns its name in discovery and in traces.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Endpoint::AgentCall => "agent-call",
            Endpoint::AgentTell => "agent-tell",
            Endpoint::AgentStream => "agent-stream",
            Endpoint::SessionCall => "session-call",
            Endpoint::SessionStream => "session-stream",
        }
    }

    /// Returns the kind of actor.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Endpoint::AgentCall | Endpoint::AgentTell | Endpoint::AgentStream => "agent",
            Endpoint::SessionCall | Endpoint::SessionStream => "session",
        }
    }

    /// Returns the queue group: one for each kind, so that one node answers.
    pub(super) const fn queue_group(self) -> &'static str {
        match self {
            Endpoint::AgentCall | Endpoint::AgentTell | Endpoint::AgentStream => "beluga-agent",
            Endpoint::SessionCall | Endpoint::SessionStream => "beluga-session",
        }
    }

    /// Returns the verb.
    pub(super) const fn verb(self) -> Verb {
        match self {
            Endpoint::AgentCall | Endpoint::SessionCall => Verb::Call,
            Endpoint::AgentTell => Verb::Tell,
            Endpoint::AgentStream | Endpoint::SessionStream => Verb::Stream,
        }
    }
}

/// What is counted of one endpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Count {
    pub(super) requests: usize,
    pub(super) errors: usize,
    pub(super) last_error: Option<(u16, String)>,
    pub(super) processing: Duration,
}

/// The counts of all endpoints.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<[Count; Endpoint::ALL.len()]>);

impl Counts {
    /// Counts a finished request.
    pub(super) fn add(&self, endpoint: Endpoint, took: Duration, error: Option<&Error>) {
        let labels = [("endpoint", endpoint.name()), ("code", error.map_or("ok", |error| error.code().as_str()))];
        metrics::counter!("beluga_nats_requests_total", &labels).increment(1);
        metrics::histogram!("beluga_nats_request_duration_seconds", &labels).record(took.as_secs_f64());
        let mut counts = self.0.lock();
        let Some(count) = Endpoint::ALL.iter().position(|one| *one == endpoint).and_then(|at| counts.get_mut(at))
        else {
            return;
        };
        count.requests += 1;
        count.processing += took;
        if let Some(error) = error {
            count.errors += 1;
            count.last_error = Some((error.http_status(), error.code().to_string()));
        }
    }

    /// Returns each endpoint with its count.
    pub(super) fn all(&self) -> Vec<(Endpoint, Count)> {
        Endpoint::ALL.into_iter().zip(self.0.lock().iter().cloned()).collect()
    }
}
