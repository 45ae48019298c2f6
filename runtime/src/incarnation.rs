//! One incarnation: what lives and dies with one value of an actor, and the guard that reports its end.
//!
//! Reason for unsafe: the errand of a handler changes between two handlers only, which the guard knows.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use beluga_core::CallContext;

use crate::actor::StopReason;
use crate::call::Carried;
use crate::dead_letter::DeadReason;
use crate::envelope::Envelope;
use crate::errand::Errand;
use crate::exit::ExitReason;
use crate::job::Jobs;
use crate::mailbox::{Batch, Stop};
use crate::shelf;
use crate::slot::{Fate, Phase, Slot};
use crate::task;
use crate::timer::Timers;

pub(crate) struct Incarnation {
    pub(crate) slot: Arc<Slot>,
    pub(crate) number: u32,
    /// The context of everything that no call stands behind; cancelled when the incarnation ends.
    context: OnceLock<CallContext>,
    ending: AtomicBool,
    pub(crate) errand: Errand,
    pub(crate) jobs: Jobs,
    pub(crate) timers: Timers,
}

impl Incarnation {
    pub(crate) fn new(slot: Arc<Slot>, number: u32) -> Arc<Self> {
        Arc::new(Self {
            slot,
            number,
            context: OnceLock::new(),
            ending: AtomicBool::new(false),
            errand: Errand::default(),
            jobs: Jobs::default(),
            timers: Timers::default(),
        })
    }

    pub(crate) fn context(&self) -> &CallContext {
        let context = self.context.get_or_init(CallContext::new);
        if self.ending.load(Ordering::Acquire) {
            context.cancel_token().cancel();
        }
        context
    }

    /// Cancels a context that was made while the incarnation ends.
    pub(crate) fn heed_end(&self, made: &CallContext) {
        if self.ending.load(Ordering::Acquire) {
            made.cancel_token().cancel();
        }
    }

    /// Cancels what no call stands behind.
    pub(crate) fn cancel(&self) {
        self.ending.store(true, Ordering::Release);
        if let Some(context) = self.context.get() {
            context.cancel_token().cancel();
        }
    }
}

/// Releases the slot when its incarnation ends, however it ends: in order, by a kill, with the runtime.
///
/// Order on the kill path: the resident's fields drop first (handler future, value), then this: what was taken out of
/// the mailbox goes back, the message in hand is named, jobs and children end, and as the last act the exit is
/// reported. Only that report lets the supervisor start the next incarnation, so there are never two drains.
pub(crate) struct Guard {
    pub(crate) incarnation: Arc<Incarnation>,
    pub(crate) batch: Batch,
    /// The message whose handler runs; its content is taken out.
    pub(crate) hand: Option<Envelope>,
    /// Whether there may be a rest of it.
    pub(crate) is_batch: bool,
    /// Its text, if its type opted in.
    pub(crate) kept: Option<String>,
    pub(crate) reason: Option<ExitReason>,
    /// Whether children, jobs and timers have ended, and none can begin.
    pub(crate) is_bare: bool,
}

impl Guard {
    pub(crate) fn new(incarnation: Arc<Incarnation>) -> Self {
        Self {
            incarnation,
            batch: Batch::default(),
            hand: None,
            is_batch: false,
            kept: None,
            reason: None,
            is_bare: false,
        }
    }

    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.incarnation.slot
    }

    /// Takes a message in hand: what it carried becomes the errand of its handler.
    #[inline]
    pub(crate) fn take_up(&mut self, mut envelope: Envelope) {
        let head = envelope.head_mut();
        if !matches!(head.carried, Carried::Nothing) {
            let carried = std::mem::take(&mut head.carried);
            // SAFETY: the guard belongs to the drain, which calls this between two handlers.
            unsafe { self.incarnation.errand.begin(carried) };
        }
        self.hand = Some(envelope);
    }

    /// Lets go of the message in hand, whose handler is over.
    #[inline]
    pub(crate) fn finish(&mut self) {
        if self.is_batch {
            drop(self.let_go());
            return;
        }
        // First, as a way back that is still inside lives of what the errand holds.
        if let Some(hand) = self.hand.take() {
            shelf::put_away(hand);
        }
        // SAFETY: the guard belongs to the drain, which calls this after a handler.
        unsafe { self.incarnation.errand.end() }.put_away();
    }

    /// Lets go of the message in hand, whose handler is over or was dropped.
    pub(crate) fn let_go(&mut self) -> Option<Envelope> {
        // SAFETY: the guard belongs to the drain, which calls this after a handler, or drops the guard after it.
        let carried = unsafe { self.incarnation.errand.end() };
        let mut envelope = self.hand.take()?;
        if !matches!(carried, Carried::Nothing) {
            envelope.head_mut().carried = carried;
        }
        if std::mem::take(&mut self.is_batch)
            && let Some(rest) = envelope.rest()
        {
            self.batch.put_first(rest);
        }
        Some(envelope)
    }

    /// Makes the message in hand a dead letter.
    pub(crate) fn bury_hand(&mut self, reason: DeadReason, panic: Option<Arc<str>>) {
        if let Some(hand) = self.let_go() {
            let slot = &self.incarnation.slot;
            slot.ground.bury(slot.name(), hand.head(), reason, self.kept.take(), panic);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let reason = self.reason.take().unwrap_or(ExitReason::Killed);
        let slot = Arc::clone(self.slot());
        self.bury_hand(DeadReason::Abandoned, None);
        slot.mailbox.put_back(std::mem::take(&mut self.batch));
        // After a kill it may still hold what the value held.
        slot.hide();
        if self.is_bare {
            slot.incarnation_ended(reason);
            return;
        }
        self.incarnation.cancel();
        self.incarnation.timers.clear();
        self.incarnation.jobs.close();
        slot.children.lock().closed = true;
        let rest = slot.next_to_end(u64::MAX).is_some();
        let jobs = !self.incarnation.jobs.is_idle();
        if !rest && !jobs {
            slot.incarnation_ended(reason);
            return;
        }
        // A kill: nobody awaited the children. They end in reverse order before the exit is reported.
        let report = Report { incarnation: Arc::clone(&self.incarnation), reason: Some(reason) };
        if tokio::runtime::Handle::try_current().is_ok() {
            drop(task::spawn("reaper", async move {
                let stop = Stop { reason: StopReason::Shutdown, drain: false, deadline: None };
                end_children(&report.incarnation.slot, stop).await;
                report.incarnation.jobs.wait_idle().await;
                drop(report);
            }));
        }
    }
}

/// Reports the exit when it drops: once children and jobs have ended, or at once if the runtime goes and takes whoever waits
/// for them along, as it takes them.
struct Report {
    incarnation: Arc<Incarnation>,
    reason: Option<ExitReason>,
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(reason) = self.reason.take() {
            self.incarnation.slot.incarnation_ended(reason);
        }
    }
}

/// Ends all children, the youngest first, each bounded; kept ones rest if the slot may live on. Returns the names of
/// those that had to be killed.
pub(crate) async fn end_children(slot: &Arc<Slot>, stop: Stop) -> Vec<Arc<str>> {
    let mut killed = Vec::new();
    // The list is closed, so none is younger than one that was met.
    let mut below = u64::MAX;
    while let Some(child) = slot.next_to_end(below) {
        below = child.id();
        let rests = child.settings.is_kept() && !slot.ends_for_good();
        let (fate, reason) = if rests { (Fate::Recycle, StopReason::Restart) } else { (Fate::Terminate, stop.reason) };
        if child.phase() != Phase::Gone && !child.end(fate, Stop { reason, ..stop }).await {
            killed.push(Arc::clone(child.name()));
        }
        if rests && child.is_resting() {
            continue;
        }
        child.terminate(&ExitReason::Stopped);
        // `terminate` removed it; a child of a lost parent would stay.
        slot.children.lock().remove(&child);
    }
    killed
}
