//! Whether the node lives, and whether it can do its work.

use std::sync::{Arc, Weak};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use beluga_runtime::{Health, HealthReport, HealthState, Lifecycles};
use indexmap::IndexMap;
use serde::Serialize;

use super::face::Face;

/// What the health routes ask: the parts of the node.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    /// Weak: the face is a part itself. `None` without any parts.
    parts: Option<Weak<Lifecycles>>,
    notes: Vec<(String, String)>,
}

impl Readiness {
    /// Answers from these parts, as long as they are there.
    #[must_use]
    pub fn of(parts: &Arc<Lifecycles>) -> Self {
        Self { parts: Some(Arc::downgrade(parts)), notes: Vec::new() }
    }

    /// Adds a fact that operators should know, such as which journal is used.
    #[must_use]
    pub fn note(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.notes.push((name.into(), value.into()));
        self
    }

    /// Asks all parts, or the vital ones alone. Nothing is known of parts that are gone.
    async fn ask(&self, vital: bool) -> HealthReport {
        let report = |state| HealthReport { state, parts: Vec::new() };
        match self.parts.as_ref().map(Weak::upgrade) {
            None => report(HealthState::Healthy),
            Some(None) => report(HealthState::Unhealthy),
            Some(Some(parts)) if vital => parts.liveness().await,
            Some(Some(parts)) => parts.health().await,
        }
    }
}

/// What the health routes answer.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    status: &'static str,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    checks: IndexMap<String, Health>,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    notes: IndexMap<String, String>,
}

/// `GET /healthz`: 200 as long as the process is worth keeping, 503 if it is to be started anew.
pub(super) async fn live(State(face): State<Face>) -> (StatusCode, Json<Answer>) {
    let report = face.0.readiness.ask(true).await;
    let (code, status) = match report.state {
        HealthState::Healthy | HealthState::Degraded => (StatusCode::OK, "ok"),
        HealthState::Unhealthy => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
    };
    (code, Json(Answer { status, checks: report.parts.into_iter().collect(), notes: IndexMap::new() }))
}

/// `GET /readyz`: 200 when no part is unhealthy and the node is not draining, else 503.
pub(super) async fn ready(State(face): State<Face>) -> (StatusCode, Json<Answer>) {
    let report = face.0.readiness.ask(false).await;
    let (code, status) = match report.state {
        _ if face.0.draining.is_cancelled() => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        HealthState::Unhealthy => (StatusCode::SERVICE_UNAVAILABLE, "failing"),
        HealthState::Degraded => (StatusCode::OK, "degraded"),
        HealthState::Healthy => (StatusCode::OK, "ready"),
    };
    let notes = face.0.readiness.notes.iter().cloned().collect();
    (code, Json(Answer { status, checks: report.parts.into_iter().collect(), notes }))
}
