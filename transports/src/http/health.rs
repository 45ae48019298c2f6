//! Whether the node lives, and whether it can do its work.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use beluga_core::{BoxFuture, Result};
use beluga_runtime::time;
use futures_util::future::join_all;
use indexmap::IndexMap;
use serde::Serialize;

use super::face::Face;

/// The most time one check may take.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// The named checks behind `/readyz`; all run at the same time.
#[derive(Clone, Default)]
pub struct Readiness {
    checks: Vec<(String, Probe)>,
    notes: Vec<(String, String)>,
}

impl Readiness {
    /// Adds a check. It gets [`CHECK_TIMEOUT`], then counts as failed.
    #[must_use]
    pub fn check(
        mut self,
        name: impl Into<String>,
        probe: impl Fn() -> BoxFuture<'static, Result<()>> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push((name.into(), Arc::new(probe)));
        self
    }

    /// Adds a fact that operators should know, such as which journal is used.
    #[must_use]
    pub fn note(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.notes.push((name.into(), value.into()));
        self
    }

    async fn run(&self) -> IndexMap<String, String> {
        let probes = self.checks.iter().map(|(name, probe)| async move {
            let outcome = match time::timeout(CHECK_TIMEOUT, probe()).await {
                Ok(outcome) => outcome,
                Err(timeout) => Err(timeout),
            };
            (name.clone(), outcome.map_or_else(|error| error.to_string(), |()| "ok".to_owned()))
        });
        join_all(probes).await.into_iter().collect()
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.checks.iter().map(|(name, _)| name)).finish()
    }
}

/// What the health routes answer.
#[derive(Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    checks: IndexMap<String, String>,
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    notes: IndexMap<String, String>,
}

/// `GET /healthz`: the process answers.
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "ok", checks: IndexMap::new(), notes: IndexMap::new() })
}

/// `GET /readyz`: 200 when every check passes and the node is not draining, else 503.
pub(super) async fn ready(State(face): State<Face>) -> (StatusCode, Json<Health>) {
    let checks = face.0.readiness.run().await;
    let (status, word) = if face.0.draining.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if checks.values().any(|outcome| outcome != "ok") {
        (StatusCode::SERVICE_UNAVAILABLE, "failing")
    } else {
        (StatusCode::OK, "ready")
    };
    let notes = face.0.readiness.notes.iter().cloned().collect();
    (status, Json(Health { status: word, checks, notes }))
}
