//! Where a carrier gets its residents: one at a time, each under a number of its own, so that a kill meets the one it was
//! meant for or none.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll, Waker, ready};

use beluga_core::BoxFuture;
use parking_lot::Mutex;
use ractor::ActorCell;
use tokio::runtime::Id;

use super::carriers::Carriers;

/// One incarnation's hold on its carrier.
#[derive(Clone)]
pub(crate) struct Cell {
    berth: Arc<Berth>,
    resident: u64,
}

impl Cell {
    /// Drops the resident future at its next await, or before its first poll. Nothing happens if it is over.
    pub(crate) fn kill(&self) {
        {
            let mut state = self.berth.state.lock();
            if state.resident != self.resident || state.closed {
                return;
            }
            // From now on the carrier takes no other resident, so that the signal cannot meet one.
            state.killed = true;
        }
        if let Some(carrier) = self.berth.carrier.get() {
            carrier.kill();
        }
    }
}

/// The place of one carrier.
pub(super) struct Berth {
    /// The runtime its task belongs to. A resident runs where it was started.
    pub(super) runtime: Id,
    carriers: Weak<Carriers>,
    carrier: OnceLock<ActorCell>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Who comes next, until the carrier takes it.
    next: Option<BoxFuture<'static, ()>>,
    /// The number of the resident that is here or comes next; another one once it is over.
    resident: u64,
    killed: bool,
    /// Nobody is carried any more.
    closed: bool,
    waker: Option<Waker>,
}

impl Berth {
    pub(super) fn new(runtime: Id, carriers: Weak<Carriers>) -> Arc<Self> {
        Arc::new(Self { runtime, carriers, carrier: OnceLock::new(), state: Mutex::default() })
    }

    /// Gives the carrier its next resident, or gives it back if the carrier is gone.
    pub(super) fn give(self: Arc<Self>, resident: BoxFuture<'static, ()>) -> Result<Cell, BoxFuture<'static, ()>> {
        let (waker, number) = {
            let mut state = self.state.lock();
            if state.closed {
                return Err(resident);
            }
            state.next = Some(resident);
            (state.waker.take(), state.resident)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(Cell { berth: self, resident: number })
    }

    /// Lets the carrier go. Whom it was given and has not taken is dropped.
    pub(super) fn close(&self) {
        let (next, waker) = {
            let mut state = self.state.lock();
            state.closed = true;
            (state.next.take(), state.waker.take())
        };
        // Neither under the lock: a resident's guard reports, and a waker may hold a task.
        drop(next);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A berth with its carrier; closed when the carrier ends, however it ends.
pub(super) struct Manned(Arc<Berth>);

impl Manned {
    pub(super) fn new(berth: Arc<Berth>) -> Self {
        Self(berth)
    }

    /// Says who the carrier is.
    pub(super) fn man(&self, carrier: ActorCell) {
        // There is one carrier to a berth.
        drop(self.0.carrier.set(carrier));
    }

    /// The resident is over. Returns whether the carrier is to wait for another one.
    pub(super) fn vacate(&self) -> bool {
        {
            let mut state = self.0.state.lock();
            state.resident += 1;
            if state.killed || state.closed {
                return false;
            }
        }
        self.0.carriers.upgrade().is_some_and(|carriers| carriers.keep(Arc::clone(&self.0)))
    }

    /// Waits for the next resident; `None` once there will be none.
    fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<BoxFuture<'static, ()>>> {
        let mut state = self.0.state.lock();
        if state.closed {
            return Poll::Ready(None);
        }
        if let Some(resident) = state.next.take() {
            return Poll::Ready(Some(resident));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Carries one resident after the other, until there is none any more.
    pub(super) fn carry(&self) -> Carry<'_> {
        Carry { berth: self, resident: None }
    }
}

/// Polls the resident, and sees to the next when it is over. By hand, as every message of every actor comes through here.
pub(super) struct Carry<'a> {
    berth: &'a Manned,
    resident: Option<BoxFuture<'static, ()>>,
}

impl Future for Carry<'_> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(resident) = &mut self.resident
            && resident.as_mut().poll(cx).is_pending()
        {
            return Poll::Pending;
        }
        self.turn(cx)
    }
}

impl Carry<'_> {
    /// The resident is over, or there is none yet.
    #[inline(never)]
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Its place is free once nothing of it is left.
            if self.resident.take().is_some() && !self.berth.vacate() {
                return Poll::Ready(());
            }
            let Some(mut resident) = ready!(self.berth.poll_next(cx)) else { return Poll::Ready(()) };
            let is_over = resident.as_mut().poll(cx).is_ready();
            self.resident = Some(resident);
            if !is_over {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Manned {
    fn drop(&mut self) {
        self.0.close();
        if let Some(carriers) = self.0.carriers.upgrade() {
            carriers.forget(&self.0);
        }
    }
}
