//! The carriers of one system that have no resident just now.

use std::sync::Arc;

use beluga_core::BoxFuture;
use futures_util::FutureExt;
use parking_lot::Mutex;
use ractor::ActorRuntime;
use tokio::runtime::{Handle, Id};

use super::berth::{Berth, Cell, Manned};
use super::{CARRIERS_KEPT_MAX, Carrier};

/// The carriers of one system. When it drops, those that wait end.
#[derive(Default)]
pub(crate) struct Carriers {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    berths: Vec<Arc<Berth>>,
    closed: bool,
}

impl Carriers {
    /// Runs a resident future in the current runtime. If that fails the future is dropped, and its guard reports.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn carry(self: &Arc<Self>, mut resident: BoxFuture<'static, ()>) -> Option<Cell> {
        let runtime = Handle::current().id();
        while let Some(berth) = self.take(runtime) {
            match berth.give(resident) {
                Ok(cell) => return Some(cell),
                // It went with its runtime, which is about to.
                Err(back) => resident = back,
            }
        }
        self.make(runtime, resident)
    }

    fn take(&self, runtime: Id) -> Option<Arc<Berth>> {
        let mut idle = self.idle.lock();
        // The last one that came is the first to go: its memory is warm.
        let index = idle.berths.iter().rposition(|berth| berth.runtime == runtime)?;
        Some(idle.berths.remove(index))
    }

    /// Makes a carrier for a resident.
    ///
    /// It is spawned under no span: otherwise ractor runs the whole life inside the spawner's. Its `pre_start` waits for
    /// nothing, so spawning is done with one poll, and needs no task of its own.
    fn make(self: &Arc<Self>, runtime: Id, resident: BoxFuture<'static, ()>) -> Option<Cell> {
        let berth = Berth::new(runtime, Arc::downgrade(self));
        let manned = Manned::new(Arc::clone(&berth));
        let cell = berth.give(resident).ok()?;
        tracing::dispatcher::with_default(&tracing::Dispatch::none(), || {
            ActorRuntime::<Carrier>::spawn(None, Carrier, manned).now_or_never()?.ok()
        })?;
        Some(cell)
    }

    /// Keeps a carrier whose resident is over. False: there are enough, it is to end.
    pub(super) fn keep(&self, berth: Arc<Berth>) -> bool {
        let mut idle = self.idle.lock();
        let kept = !idle.closed && idle.berths.len() < CARRIERS_KEPT_MAX;
        if kept {
            idle.berths.push(berth);
        }
        kept
    }

    /// Forgets a carrier that ended while it waited, with its runtime.
    pub(super) fn forget(&self, berth: &Arc<Berth>) {
        self.idle.lock().berths.retain(|kept| !Arc::ptr_eq(kept, berth));
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.idle.lock().berths.len()
    }

    /// Lets those that wait end, and keeps none from now on.
    pub(crate) fn close(&self) {
        let idle = {
            let mut idle = self.idle.lock();
            idle.closed = true;
            std::mem::take(&mut idle.berths)
        };
        idle.iter().for_each(|berth| berth.close());
    }
}

impl Drop for Carriers {
    fn drop(&mut self) {
        self.close();
    }
}
