//! The listener as an actor: `faces` supervises one per address, and the tree shows it with its connections.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use beluga_core::{CancelToken, Result};
use beluga_runtime::{Actor, Address, Cx, Handler, Message, Spec, StatusSource, System, protocol};
use serde_json::json;

use super::server::Server;
use crate::faces;

/// Tells a listener to accept until it is stopped.
#[derive(Debug, Message)]
#[message(name = "http.accept", version = 1)]
struct Accept;

protocol!(ListenerProtocol: Accept);

/// Accepts on one address. A restart accepts on the same bound socket, so no connection is refused meanwhile.
struct ListenerActor {
    serving: Serving,
}

#[derive(Clone)]
struct Serving {
    server: Arc<Server>,
    router: Router,
    stop: CancelToken,
    ended: CancelToken,
    grace: Duration,
}

impl Actor for ListenerActor {
    type Protocol = ListenerProtocol;
    const KIND: &'static str = "http";

    async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
        cx.myself().try_tell(Accept)
    }

    fn status(&self) -> Option<StatusSource> {
        let address = self.serving.server.address().to_string();
        Some(StatusSource::new(move || json!({ "address": address })))
    }
}

impl Handler<Accept> for ListenerActor {
    /// Waits for the accepting job; if it dies, so does this incarnation, and the next one accepts again.
    async fn handle(&mut self, _: Accept, cx: &mut Cx<Self>) -> Result<()> {
        let serving = self.serving.clone();
        let accepting = cx.job("accept", "accept", cx.own_context(), move |_| async move {
            serving.server.serve(serving.router, serving.stop, serving.grace).await;
            serving.ended.cancel();
            Ok(())
        });
        accepting.await
    }
}

/// A listener that accepts.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    stop: CancelToken,
    ended: CancelToken,
}

impl Listener {
    /// Starts to accept on a bound server, as an actor under `faces`.
    ///
    /// # Errors
    /// `conflict` if a listener of this name is there.
    pub async fn start(system: &System, name: &str, server: Server, router: Router, grace: Duration) -> Result<Self> {
        let faces = faces::supervisor(system).await?;
        let (stop, ended) = (CancelToken::new(), CancelToken::new());
        let serving = Serving { server: Arc::new(server), router, stop: stop.clone(), ended: ended.clone(), grace };
        let spec = Spec::new(name, move || ListenerActor { serving: serving.clone() });
        let address = system.spawn_under(&faces, spec).await?.address()?;
        Ok(Self { address, stop, ended })
    }

    /// Returns the listener's place in the tree.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Accepts no more and waits until the open connections have ended, at most the grace.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.ended.cancelled().await;
    }
}
