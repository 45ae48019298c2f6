//! The face as an actor: `faces` supervises it, and the tree shows it.

use beluga_core::{CancelToken, Result};
use beluga_runtime::{Actor, Address, Cx, Handler, Message, Spec, StatusSource, System, protocol};
use serde_json::json;

use super::face::Face;
use crate::faces;

/// Tells a listener to take requests until its face drains.
#[derive(Debug, Message)]
#[message(name = "nats.serve", version = 1)]
struct Serve;

protocol!(ListenerProtocol: Serve);

/// Takes requests. A restart subscribes anew.
struct ListenerActor {
    face: Face,
    ended: CancelToken,
}

impl Actor for ListenerActor {
    type Protocol = ListenerProtocol;
    const KIND: &'static str = "nats";

    async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
        cx.myself().try_tell(Serve)
    }

    fn status(&self) -> Option<StatusSource> {
        let face = self.face.clone();
        Some(StatusSource::new(move || {
            let info = face.connection().client().server_info();
            json!({
                "server": info.server_name,
                "version": info.version,
                "connection": face.connection().client().connection_state().to_string(),
                "refusals": face.connection().refusals(),
            })
        }))
    }
}

impl Handler<Serve> for ListenerActor {
    /// Waits for the serving job; if it dies, so does this incarnation, and the next one serves again.
    async fn handle(&mut self, _: Serve, cx: &mut Cx<Self>) -> Result<()> {
        let (face, ended) = (self.face.clone(), self.ended.clone());
        let serving = cx.job("serve", "serve", cx.own_context(), move |_| async move {
            face.serve().await?;
            ended.cancel();
            Ok(())
        });
        serving.await
    }
}

/// A face that takes requests.
#[derive(Debug)]
pub struct Listener {
    face: Face,
    address: Address,
    ended: CancelToken,
}

impl Listener {
    /// Starts to take requests, as an actor under `faces`.
    ///
    /// # Errors
    /// `conflict` if a listener of this name is there.
    pub async fn start(system: &System, name: &str, face: Face) -> Result<Self> {
        let faces = faces::supervisor(system).await?;
        let ended = CancelToken::new();
        let (serving, token) = (face.clone(), ended.clone());
        let spec = Spec::new(name, move || ListenerActor { face: serving.clone(), ended: token.clone() });
        let address = system.spawn_under(&faces, spec).await?.address()?;
        Ok(Self { face, address, ended })
    }

    /// Returns the listener's place in the tree.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Takes no more requests. Requests that run go on, see [`Face::close`].
    pub async fn stop(&self) {
        self.face.drain();
        self.ended.cancelled().await;
    }
}
