//! A key that is on another node, or may be: what a remote reference leads to.

use std::fmt;
use std::sync::{Arc, OnceLock};

use beluga_core::{BoxFuture, Error, Result};

use super::{Egress, Target, WireEntry, WireProtocol};
use crate::clock::Clock;
use crate::delivery::{Elsewhere, Resolve, Route};
use crate::envelope::Envelope;
use crate::ground::Ground;
use crate::slot::Slot;
use crate::task;

/// The route of a remote reference.
pub(crate) struct Remote {
    ground: Arc<Ground>,
    egress: Arc<dyn Egress>,
    target: Arc<Target>,
    kind: &'static str,
    name: String,
    entries: &'static [WireEntry],
    find: fn(&Ground, &Target) -> Result<Route>,
    /// Where the target is on this node, once it was looked for and found to be virtual. A slot may be gone by the next time.
    here: OnceLock<Arc<dyn Resolve>>,
}

impl Remote {
    pub(super) fn new<P: WireProtocol>(
        ground: &Arc<Ground>,
        kind: &'static str,
        target: Target,
        egress: Arc<dyn Egress>,
    ) -> Self {
        let name = match &target {
            Target::Key { kind, key, .. } => format!("{kind}/{key}"),
            Target::Named { node, name, .. } => format!("{name}@{node}"),
        };
        Self {
            ground: Arc::clone(ground),
            egress,
            target: Arc::new(target),
            kind,
            name,
            entries: P::ENTRIES,
            find: |ground, target| ground.wire.route::<P>(ground, target),
            here: OnceLock::new(),
        }
    }

    pub(super) fn egress(&self) -> &dyn Egress {
        &*self.egress
    }

    pub(super) fn egress_handle(&self) -> Arc<dyn Egress> {
        Arc::clone(&self.egress)
    }

    pub(super) fn target(&self) -> Arc<Target> {
        Arc::clone(&self.target)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.ground.clock
    }

    fn entry(&self, envelope: &Envelope) -> Result<&'static WireEntry> {
        let index = usize::from(envelope.head().index);
        self.entries.get(index).ok_or_else(|| Error::internal("a message without a place in its protocol"))
    }

    /// Returns the route on this node.
    fn here(&self) -> Result<Route> {
        if let Some(resolve) = self.here.get() {
            return Ok(Route::Virtual(Arc::clone(resolve)));
        }
        let route = (self.find)(&self.ground, &self.target)?;
        if let Route::Virtual(resolve) = &route {
            drop(self.here.set(Arc::clone(resolve)));
        }
        Ok(route)
    }
}

impl Resolve for Remote {
    fn active(&self) -> Option<Arc<Slot>> {
        if !self.egress.is_here(&self.target) {
            return None;
        }
        self.here().ok()?.active()
    }

    fn activate(&self) -> BoxFuture<'static, Result<Arc<Slot>>> {
        match self.here() {
            Ok(Route::Slot(slot)) => Box::pin(std::future::ready(Ok(slot))),
            Ok(Route::Virtual(resolve)) => resolve.activate(),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn elsewhere(&self) -> Option<&dyn Elsewhere> {
        (!self.egress.is_here(&self.target)).then_some(self)
    }
}

impl Elsewhere for Remote {
    fn send(&self, envelope: Envelope) -> BoxFuture<'static, Result<()>> {
        match self.entry(&envelope) {
            Ok(entry) => (entry.send)(self, envelope),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn try_send(&self, envelope: Envelope) -> Result<()> {
        (self.entry(&envelope)?.try_send)(self, envelope)
    }

    fn detach(&self, envelope: Envelope) {
        let cancelled = envelope.head().carried.token().map(|token| token.cancelled());
        let sending = self.send(envelope);
        drop(task::spawn("passed-on", async move {
            let Some(cancelled) = cancelled else { return drop(sending.await) };
            tokio::select! {
                biased;
                _ = sending => {}
                () = cancelled => {}
            }
        }));
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.name)
    }
}
