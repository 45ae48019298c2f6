//! Where the view's data comes from: the node, over HTTP.

use std::time::Duration;

use beluga::config::Environment;
use beluga_core::{BoxFuture, Code, Error, Result};
use beluga_runtime::time;
use futures_util::future::try_join;
use serde_json::{Value, json};

use super::snapshot::Documents;
use super::view::Change;
use crate::cli::Failure;
use crate::cli::args::Common;
use crate::cli::client::Client;
use crate::cli::place;

/// The most time one look, or one change, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The most actors and jobs of one look: more than a person reads, less than a node notices.
const NODES: usize = 5_000;

/// A node, and how it was found.
#[derive(Clone)]
pub(super) struct Source<'a> {
    common: &'a Common,
    environment: &'a Environment,
    client: Client,
}

/// The outcome of a look, with where to look next.
pub(super) struct Looked<'a> {
    pub(super) source: Source<'a>,
    pub(super) outcome: Result<Documents>,
}

impl<'a> Source<'a> {
    /// Finds the node.
    pub(super) async fn find(common: &'a Common, environment: &'a Environment) -> Result<Self, Failure> {
        let client = place::need_node(common, environment).await?;
        Ok(Self { common, environment, client })
    }

    /// Returns the node's address.
    pub(super) fn url(&self) -> String {
        self.client.url()
    }

    /// Asks the node for everything that is shown, and for one actor in detail.
    ///
    /// # Errors
    /// What the node answered to the tree; other answers may be missing.
    pub(super) async fn look(&self, actor: Option<u64>) -> Result<Documents> {
        let tree = format!("api/v1/tree?nodes={NODES}");
        let looking = try_join(self.client.get(&tree), async {
            let system = optional(self.client.get("api/v1/system").await)?;
            let actor = match actor {
                Some(id) => optional(self.client.get(&format!("api/v1/actors/{id}")).await)?,
                None => Value::Null,
            };
            Ok((system, actor))
        });
        let (tree, (system, actor)) = time::timeout(ANSWER_TIMEOUT, looking).await??;
        Ok(Documents { tree, system, actor })
    }

    /// Looks; a node that does not answer is looked for anew, since its successor may listen elsewhere.
    pub(super) fn look_again(mut self, actor: Option<u64>) -> BoxFuture<'a, Looked<'a>> {
        Box::pin(async move {
            let outcome = self.look(actor).await;
            if outcome.is_err()
                && let Ok(Some(client)) = place::find_node(self.common, self.environment).await
            {
                self.client = client;
            }
            Looked { source: self, outcome }
        })
    }

    /// Changes an actor; returns what to tell the user.
    pub(super) fn change(self, change: Change, id: u64, name: String) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            let path = format!("api/v1/actors/{id}/{}", change.name());
            let nothing = json!({});
            let after = time::timeout(ANSWER_TIMEOUT, self.client.post(&path, &nothing)).await??;
            let state = after.get("state").and_then(Value::as_str).unwrap_or("changed");
            let paused = after.get("paused").and_then(Value::as_bool).unwrap_or_default();
            let state = if paused && state == "running" { "paused" } else { state };
            Ok(format!("{}: {name} is {state}", change.name()))
        })
    }
}

/// Lets a missing answer through as null: the node may be older, may not let us operate it, or the actor may be gone.
fn optional(answer: Result<Value>) -> Result<Value> {
    match answer {
        Err(error) if is_absence(&error) => Ok(Value::Null),
        answer => answer,
    }
}

fn is_absence(error: &Error) -> bool {
    matches!(error.code(), Code::NotFound | Code::PermissionDenied)
}
