//! The one place that touches ractor: a non-generic actor that carries one incarnation.
//!
//! Its single start message holds the *resident* future, which drains the slot until the incarnation ends; ractor gives
//! the task, the kill signal and a last panic backstop. Used of ractor: spawn, one message, kill. Links, monitors, stop,
//! drain, timers, the global registry and groups are not used: they leak, drop queues or know one world only.

use std::sync::Arc;

use beluga_core::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorRuntime};

/// The task of one incarnation.
#[derive(Clone)]
pub(crate) struct Cell(Arc<ActorCell>);

impl Cell {
    /// Drops the resident future at its next await, or before its first poll. A second call does nothing.
    pub(crate) fn kill(&self) {
        self.0.kill();
    }
}

/// Runs a resident future in its own ractor actor. If that fails the future is dropped, and its guard reports.
///
/// The actor is spawned and told under no span: otherwise ractor runs the whole life inside the spawner's.
///
/// # Panics
/// Outside a tokio runtime.
pub(crate) fn spawn(resident: BoxFuture<'static, ()>) -> Option<Cell> {
    tracing::dispatcher::with_default(&tracing::Dispatch::none(), || {
        let (actor, _join) = ActorRuntime::<Carrier>::spawn_instant(None, Carrier, ()).ok()?;
        actor.send_message(Start(resident)).ok()?;
        Some(Cell(Arc::new(actor.get_cell())))
    })
}

struct Carrier;

struct Start(BoxFuture<'static, ()>);

#[cfg(feature = "ractor-cluster")]
impl ractor::Message for Start {}

impl Actor for Carrier {
    type Msg = Start;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<Start>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Start>,
        Start(resident): Start,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        resident.await;
        // The value is dropped and the exit reported; the carrier has nothing left to do.
        myself.kill();
        Ok(())
    }
}
