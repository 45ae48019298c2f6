//! The part of a resident that knows no types: what to do next, when to yield, when to end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use beluga_core::Error;

use crate::actor::StopReason;
use crate::address::Address;
use crate::dead_letter::DeadReason;
use crate::envelope::Envelope;
use crate::exit::{ChildExit, ExitReason};
use crate::family::Tie;
use crate::incarnation::{Guard, Incarnation};
use crate::mailbox::{Signal, Stop};
use crate::slot::Slot;
use crate::supervise::Plan;
use crate::{testkit, time};

use super::Launch;
use super::hold::Why;

/// After how many messages a drain lets others run.
const YIELD_MESSAGES: u32 = 128;
/// After how long a drain lets others run.
const YIELD_AFTER_NS: u64 = 200_000;
/// How many messages share one look at the clock.
const MESSAGES_PER_CLOCK: u64 = 16;
/// How long an activation without a message is not asked to leave memory.
const UNSERVED_STAYS: Duration = Duration::from_secs(1);

/// How this incarnation is to end.
pub(crate) enum Ending {
    Stop(Stop),
    Fail(ExitReason),
}

/// What the user's code is told between messages.
pub(crate) enum Notice {
    ChildExited(ChildExit),
    WatchedExited(Address, ExitReason),
}

pub(crate) struct Drain {
    pub(crate) guard: Guard,
    pub(crate) incarnation: Arc<Incarnation>,
    pub(crate) report: bool,
    pub(crate) ending: Option<Ending>,
    pub(crate) notices: VecDeque<Notice>,
    pub(crate) plan: Plan,
    /// Whether the actor is to leave memory when it is idle.
    pub(super) passivate: bool,
    has_served: bool,
    _family: Option<Tie>,
    /// When the incarnation of a virtual actor began.
    built: Option<Instant>,
    pub(super) waker: Waker,
    /// How many messages were handled since the drain last rested.
    served: u32,
    served_since_ns: u64,
    /// How many messages were handled since the drain last read the clock. Wider than it has to be: two counters of one width
    /// beside each other are added to as one, and wait for the last write to either.
    unclocked: u64,
}

impl Drain {
    pub(super) fn new(Launch { guard, report }: Launch) -> Self {
        let incarnation = Arc::clone(&guard.incarnation);
        let family = incarnation.slot.seat.as_ref().and_then(|seat| seat.tie());
        Self {
            guard,
            incarnation,
            report,
            ending: None,
            notices: VecDeque::new(),
            plan: Plan::default(),
            passivate: false,
            has_served: false,
            built: family.as_ref().map(|_| time::now()),
            _family: family,
            waker: Waker::noop().clone(),
            served: 0,
            served_since_ns: 0,
            unclocked: 0,
        }
    }

    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.incarnation.slot
    }

    /// Remembers the task's waker, which first polls between two awaits use.
    #[inline]
    pub(super) fn keep_waker(&mut self, cx: &Context<'_>) {
        if !self.waker.will_wake(cx.waker()) {
            self.waker.clone_from(cx.waker());
        }
    }

    /// Takes the word of the kernel.
    pub(crate) fn on_signal(&mut self, signal: Signal) {
        match signal {
            Signal::Stop(stop) => self.stop(stop),
            Signal::ChildUp(child) => self.child_up(&child),
            Signal::ChildDown(child, reason) => self.child_down(&child, &reason),
            Signal::ChildGone(child, reason) => self.child_gone(&child, &reason),
            Signal::RestartDue(child, number) => self.restart_due(&child, number),
            // An activation that has handled nothing yet stays a while for whoever it was made for.
            Signal::Passivate => {
                let stays = |built| time::now() < built + UNSERVED_STAYS;
                self.passivate = self.has_served || !self.built.is_some_and(stays);
            }
            Signal::WatchedGone(address, reason) => self.notices.push_back(Notice::WatchedExited(address, reason)),
        }
    }

    fn stop(&mut self, stop: Stop) {
        match &self.ending {
            // A failure stays one; a stop at once overrides a drain.
            Some(Ending::Fail(_)) => {}
            Some(Ending::Stop(current)) if !current.drain => {}
            _ => self.ending = Some(Ending::Stop(stop)),
        }
    }

    pub(crate) fn fail(&mut self, reason: ExitReason) {
        if !matches!(self.ending, Some(Ending::Fail(_))) {
            self.ending = Some(Ending::Fail(reason));
        }
    }

    /// Returns whether what was accepted is still handled before the end.
    pub(crate) fn is_draining(&self) -> bool {
        matches!(&self.ending, Some(Ending::Stop(stop)) if stop.drain)
    }

    /// Returns whether no further message may be handled.
    pub(crate) fn is_over(&self) -> bool {
        match &self.ending {
            None => false,
            Some(Ending::Fail(_)) => true,
            Some(Ending::Stop(stop)) => !stop.drain || stop.deadline.is_some_and(|deadline| deadline <= time::now()),
        }
    }

    /// Looks at a message before it is handled, and takes it in hand. False: nobody wants it any more, it never runs.
    #[inline]
    pub(super) fn admit(&mut self, envelope: Envelope) -> bool {
        let head = envelope.head();
        if head.incarnation != 0 && head.incarnation != self.incarnation.number {
            let error = Error::not_sent("a timer's message met a later incarnation");
            self.slot().bury(envelope, DeadReason::Stale, error);
            return false;
        }
        let clock = &self.incarnation.slot.ground.clock;
        // Whoever woke the drain has read the clock for the first message.
        let is_fresh = self.served == 0;
        if let Err(error) = head.carried.check(clock, || if is_fresh { clock.coarse() } else { clock.read() }) {
            let error = error.with("actor", self.slot().name()).with("message", head.name());
            self.slot().bury(envelope, DeadReason::Expired, error);
            return false;
        }
        if head.keep {
            self.guard.kept = envelope.kept();
        }
        self.guard.is_batch = head.is_batch;
        self.guard.take_up(envelope);
        true
    }

    /// Ends the incarnation if nothing waits and nothing runs. A message that races either came before, then the actor
    /// stays, or meets the shut door and activates the next incarnation.
    pub(super) fn try_passivate(&mut self) -> bool {
        self.passivate = false;
        if !self.incarnation.jobs.is_idle() || !self.notices.is_empty() || self.ending.is_some() {
            return false;
        }
        let passive = self.slot().try_passivate(&self.guard.batch);
        if passive {
            self.ending = Some(Ending::Stop(Stop { reason: StopReason::Passivated, drain: false, deadline: None }));
        }
        passive
    }

    /// Goes to rest. Who was asked to leave memory and is still here is loath to, and so is who has served nobody yet.
    #[inline]
    pub(super) fn rest(&mut self) {
        let loath = std::mem::take(&mut self.passivate) || !self.has_served;
        self.slot().rest(loath);
    }

    /// Returns whether the message in hand crashes on purpose.
    pub(super) fn crashes(&self) -> bool {
        self.guard.hand.as_ref().is_some_and(|hand| testkit::crashes(self.slot(), hand.head()))
    }

    /// Counts a handled message.
    #[inline]
    pub(super) fn done(&mut self) {
        self.guard.finish();
        if self.guard.kept.is_some() {
            self.guard.kept = None;
        }
        self.has_served = true;
        self.incarnation.slot.stats.add_handled(1);
    }

    /// Names the poison message and returns how the incarnation ends.
    pub(super) fn poisoned(&mut self, text: String) -> ExitReason {
        let text: Arc<str> = Arc::from(text);
        let message = self.guard.hand.as_ref().map(|hand| hand.head().name());
        self.slot().stats.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(actor = %self.slot().name(), message, panic = %text, "a handler panicked");
        self.guard.bury_hand(DeadReason::Panicked, Some(Arc::clone(&text)));
        ExitReason::Panicked { text, message }
    }

    /// Names a message whose handler had to be dropped and returns how the incarnation ends.
    pub(super) fn abandoned(&mut self, why: Why) -> ExitReason {
        let message = self.guard.hand.as_ref().map_or("", |hand| hand.head().name());
        self.guard.bury_hand(DeadReason::Abandoned, None);
        if why == Why::Stopped {
            return ExitReason::Stopped;
        }
        let error = Error::internal("a handler went on after its call was cancelled").with("message", message);
        ExitReason::failed(&error)
    }

    /// Returns whether others should run now.
    #[inline]
    pub(super) fn is_due_to_yield(&mut self) -> bool {
        self.served += 1;
        self.unclocked += 1;
        self.unclocked >= MESSAGES_PER_CLOCK && self.has_worked_long()
    }

    /// Looks at the clock.
    fn has_worked_long(&mut self) -> bool {
        self.unclocked = 0;
        let now = self.slot().ground.clock.read();
        let due = self.served >= YIELD_MESSAGES || now.saturating_sub(self.served_since_ns) > YIELD_AFTER_NS;
        if due {
            self.rested();
        }
        due
    }

    /// Starts a new stretch of work. Whoever woke the drain has set the coarse clock.
    #[inline]
    pub(super) fn rested(&mut self) {
        self.served = 0;
        self.served_since_ns = self.slot().ground.clock.coarse_at_most();
    }

    /// Cancels what the handler in hand does for its call, and what no call stands behind.
    pub(super) fn cancel_hand(&mut self) {
        self.incarnation.cancel();
        self.incarnation.errand.cancel();
    }

    /// Returns how long a step of the stop may take.
    pub(super) fn stop_patience(&self) -> Duration {
        let grace = self.slot().settings.graces.stop;
        match &self.ending {
            Some(Ending::Stop(Stop { deadline: Some(deadline), .. })) => {
                deadline.saturating_duration_since(time::now()).min(grace)
            }
            _ => grace,
        }
    }

    /// Returns the stop that children get when this incarnation ends.
    pub(super) fn stop_for_children(&self) -> Stop {
        match &self.ending {
            Some(Ending::Stop(stop)) => Stop { reason: StopReason::Shutdown, ..*stop },
            _ => Stop { reason: StopReason::Shutdown, drain: false, deadline: None },
        }
    }
}
