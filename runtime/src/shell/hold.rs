//! Polling one piece of user code, and watching the kernel's word while it awaits.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use beluga_core::Cancelled;

use super::drain::Drain;
use super::nest::Placed;
use crate::{task, time};

/// How a piece of user code ended.
pub(super) enum Held {
    Done,
    /// It panicked, with this text.
    Panicked(String),
    /// It did not end although it had to, and was dropped.
    Dropped(Why),
}

/// Why a piece of user code was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its call was cancelled and its grace passed.
    Cancelled,
    /// The incarnation stops and its grace passed.
    Stopped,
    /// Its own limit passed.
    TimedOut,
}

/// Polls `work` to its end. Ready at once, it costs one poll; only a pending one is watched.
///
/// With `polled` the work is known to be pending in this very poll of the task.
pub(super) async fn hold(drain: &mut Drain, mut work: Placed<'_>, limit: Option<Duration>, mut polled: bool) -> Held {
    let mut watch: Option<Box<Watch>> = None;
    let held = poll_fn(|cx| {
        drain.keep_waker(cx);
        let polled = std::mem::take(&mut polled);
        if drain.slot().mailbox.is_paused() && drain.slot().mailbox.park_paused(&drain.guard.batch, cx.waker()) {
            // Whatever woke the work while it was held is gone: it is polled when it may go on.
            return Poll::Pending;
        }
        if !polled {
            // It waited, nobody knows for how long, and what it sends now is timed by the last reading.
            drain.slot().ground.clock.read();
            if let Poll::Ready(outcome) = work.poll(cx) {
                return Poll::Ready(match outcome {
                    Ok(()) => Held::Done,
                    Err(panic) => Held::Panicked(task::panic_text(panic.as_ref())),
                });
            }
        }
        watch.get_or_insert_with(|| Box::new(Watch::new(drain, limit))).poll(drain, cx).map(Held::Dropped)
    })
    .await;
    if watch.is_some() {
        drain.slot().stats.hand_since_ns.store(0, Ordering::Relaxed);
        drain.rested();
    }
    held
}

/// What can end a piece of user code that awaits.
struct Watch {
    cancelled: Option<Cancelled>,
    patience: Option<(Pin<Box<time::Sleep>>, Why)>,
    stopping: bool,
}

impl Watch {
    fn new(drain: &Drain, limit: Option<Duration>) -> Self {
        let slot = drain.slot();
        slot.stats.hand_since_ns.store(slot.ground.clock.read(), Ordering::Relaxed);
        *slot.stats.hand_message.lock() = drain.guard.hand.as_ref().map(|hand| hand.head().name());
        let token = drain.incarnation.errand.carried().token();
        Self {
            cancelled: token.map(|token| token.cancelled()),
            patience: limit.map(|limit| (Box::pin(time::sleep(limit)), Why::TimedOut)),
            stopping: false,
        }
    }

    fn poll(&mut self, drain: &mut Drain, cx: &mut Context<'_>) -> Poll<Why> {
        loop {
            while let Some(signal) = drain.slot().mailbox.next_signal() {
                drain.on_signal(signal);
            }
            self.heed_ending(drain);
            if drain.slot().mailbox.park_awaiting(&drain.guard.batch, cx.waker()) {
                break;
            }
        }
        let cancelled = self.cancelled.as_mut().is_some_and(|cancelled| Pin::new(cancelled).poll(cx).is_ready());
        if cancelled {
            self.cancelled = None;
            let grace = drain.slot().settings.graces.cancel;
            self.shorten(grace, Why::Cancelled);
        }
        match &mut self.patience {
            Some((sleep, why)) => sleep.as_mut().poll(cx).map(|()| *why),
            None => Poll::Pending,
        }
    }

    /// Once the incarnation is to end, the handler's awaits return and a grace begins.
    fn heed_ending(&mut self, drain: &mut Drain) {
        if self.stopping || drain.ending.is_none() {
            return;
        }
        if drain.is_draining() {
            // The message in hand was accepted: it may end by itself within the patience of the stop.
            self.shorten(drain.stop_patience(), Why::Stopped);
        } else {
            drain.cancel_hand();
            self.shorten(drain.stop_patience(), Why::Stopped);
            self.stopping = true;
        }
    }

    /// Sets the end of patience, unless an earlier one is set.
    fn shorten(&mut self, patience: Duration, why: Why) {
        let sleep = Box::pin(time::sleep(patience));
        if self.patience.as_ref().is_none_or(|(current, _)| sleep.deadline() < current.deadline()) {
            self.patience = Some((sleep, why));
        }
    }
}
