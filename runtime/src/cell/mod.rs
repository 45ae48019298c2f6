//! The one place that touches ractor: a non-generic actor that carries one incarnation.
//!
//! Its state is the *resident* future, which drains the slot until the incarnation ends, and its `post_start` awaits it:
//! there the kill signal is watched and nothing else, and no message has to be sent or waited for. ractor gives the task,
//! the kill signal and a last panic backstop. Used of ractor: spawn and kill. Messages, links, monitors, stop, drain, timers,
//! the global registry and groups are not used: they leak, drop queues or know one world only.

use std::fmt;

use beluga_core::BoxFuture;
use futures_util::FutureExt;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorRuntime};

/// The task of one incarnation.
#[derive(Clone)]
pub(crate) struct Cell(ActorCell);

impl Cell {
    /// Drops the resident future at its next await, or before its first poll. A second call does nothing.
    pub(crate) fn kill(&self) {
        self.0.kill();
    }
}

/// Runs a resident future in its own ractor actor. If that fails the future is dropped, and its guard reports.
///
/// The actor is spawned under no span: otherwise ractor runs the whole life inside the spawner's. Its `pre_start` waits for
/// nothing, so spawning is done with one poll, and needs no task of its own.
///
/// # Panics
/// Outside a tokio runtime.
pub(crate) fn spawn(resident: BoxFuture<'static, ()>) -> Option<Cell> {
    tracing::dispatcher::with_default(&tracing::Dispatch::none(), || {
        let spawned = ActorRuntime::<Carrier>::spawn(None, Carrier, resident).now_or_never();
        let (actor, _join) = spawned?.ok()?;
        Some(Cell(actor.get_cell()))
    })
}

struct Carrier;

/// What ractor calls a message; none is ever sent.
enum Nothing {}

#[cfg(feature = "ractor-cluster")]
impl ractor::Message for Nothing {}

/// Ends the carrier: the resident is over, its value is dropped and the exit is reported.
#[derive(Debug)]
struct Over;

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the incarnation is over")
    }
}

impl std::error::Error for Over {}

#[cfg_attr(feature = "ractor-async-trait", ractor::async_trait)]
impl Actor for Carrier {
    type Msg = Nothing;
    type State = Option<BoxFuture<'static, ()>>;
    type Arguments = BoxFuture<'static, ()>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Nothing>,
        resident: BoxFuture<'static, ()>,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Some(resident))
    }

    async fn post_start(&self, _myself: ActorRef<Nothing>, state: &mut Self::State) -> Result<(), ActorProcessingErr> {
        if let Some(resident) = state.take() {
            resident.await;
        }
        // Allocates nothing: the error has no size.
        Err(Box::new(Over))
    }
}
