//! The supervisor's side: what becomes of a child whose incarnation ended. Runs in the parent's drain, between messages
//! and while a handler awaits; the state lives in slots, so it survives the children.

mod plan;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use beluga_core::Error;

use crate::address::Address;
use crate::exit::{ChildExit, ExitReason, Verdict};
use crate::intensity::RestartWindow;
use crate::mailbox::Signal;
use crate::shell::{Drain, Notice};
use crate::slot::{Fate, Phase, Slot};
use crate::spec::{OnExhausted, Strategy};
use crate::{task, time};

pub(crate) use plan::Plan;

impl Drain {
    /// A child's incarnation has started.
    pub(crate) fn child_up(&mut self, child: &Arc<Slot>) {
        if self.plan.started(child) {
            self.advance();
        }
    }

    /// A child's incarnation has ended: decide, act, tell the user's code.
    pub(crate) fn child_down(&mut self, child: &Arc<Slot>, reason: &ExitReason) {
        // A living child was launched since: the word is of an exit that an earlier incarnation of ours has seen to.
        if !self.is_child(child) || child.is_alive() {
            return;
        }
        let verdict = self.judge(child, reason);
        match verdict {
            Some(Verdict::Gone) => {
                child.terminate(reason);
                self.plan.gone(child);
            }
            Some(Verdict::Escalated) => self.fail(escalation(child, reason)),
            Some(Verdict::Restart { after }) => self.restart(child, after),
            Some(Verdict::GateOpened { retry_after }) => open_gate(self.slot(), child, retry_after),
            None => {}
        }
        if let Some(verdict) = verdict {
            tracing::info!(actor = %child.name(), exit = %reason, ?verdict, "an actor ended");
            self.notice(child, reason, verdict);
        }
        self.advance();
    }

    /// A child has ended for good by itself: tell the user's code.
    pub(crate) fn child_gone(&mut self, child: &Arc<Slot>, reason: &ExitReason) {
        self.plan.gone(child);
        self.notice(child, reason, Verdict::Gone);
        self.advance();
    }

    fn notice(&mut self, child: &Arc<Slot>, reason: &ExitReason, verdict: Verdict) {
        let restarts = child.stats.restarts.load(Ordering::Relaxed);
        let exit = ChildExit { address: Address(Arc::clone(child)), reason: reason.clone(), verdict, restarts };
        self.notices.push_back(Notice::ChildExited(exit));
    }

    /// Builds anew the kept children that rested while this actor was down. They start with a fresh window.
    pub(crate) fn revive(&mut self) {
        let children = {
            let children = self.slot().children.lock();
            if children.is_empty() {
                return;
            }
            children.all()
        };
        let (resting, ended): (Vec<_>, Vec<_>) = children
            .into_iter()
            // One that has not lived yet belongs to the spawner that is about to start it.
            .filter(|child| child.settings.is_kept() && child.has_lived() && !child.is_alive())
            .partition(|child| child.is_resting());
        ended.iter().rev().for_each(|child| child.terminate(&ExitReason::Stopped));
        for child in &resting {
            child.count_restart();
            child.life.lock().window = None;
        }
        match self.slot().settings.strategy {
            Strategy::OneForOne => resting.iter().for_each(|child| {
                child.launch(false);
            }),
            Strategy::OneForAll | Strategy::RestForOne => self.plan.rebuild(&resting),
        }
        self.advance();
    }

    /// Decides what becomes of a child; `None` if its stop was a step of a plan.
    fn judge(&mut self, child: &Arc<Slot>, reason: &ExitReason) -> Option<Verdict> {
        let settings = &child.settings;
        let mut life = child.life.lock();
        if life.is_last(settings.restart, reason) {
            return Some(Verdict::Gone);
        }
        match life.fate {
            Fate::Recycle => return None,
            // Asked for: nothing failed, so nothing is counted and nothing waits.
            Fate::Renew => return Some(Verdict::Restart { after: Duration::ZERO }),
            Fate::Terminate | Fate::Live => {}
        }
        let now = time::now();
        let window = life.window.get_or_insert_with(|| Box::new(RestartWindow::new(settings.intensity)));
        let earlier = window.count(now);
        if window.record(now) {
            let after = match earlier.checked_sub(1) {
                None => Duration::ZERO,
                Some(attempt) => settings.backoff.delay(attempt, child.ground.random.unit()),
            };
            return Some(Verdict::Restart { after });
        }
        Some(match settings.on_exhausted {
            OnExhausted::Escalate => Verdict::Escalated,
            OnExhausted::OpenGate { reset_after } => Verdict::GateOpened { retry_after: reset_after },
        })
    }

    /// The wait before a restart is over, or an open gate gets its one try.
    pub(crate) fn restart_due(&mut self, child: &Arc<Slot>, number: u32) {
        let due = {
            let life = child.life.lock();
            life.number == number && matches!(life.phase, Phase::Down | Phase::Gated) && life.fate == Fate::Live
        };
        if due && self.is_child(child) && !self.is_over() {
            self.restart(child, Duration::ZERO);
            self.advance();
        }
    }

    fn restart(&mut self, child: &Arc<Slot>, after: Duration) {
        if !after.is_zero() {
            call_later(self.slot(), child, after);
            return;
        }
        child.count_restart();
        let siblings = || self.slot().children.lock().all();
        match self.slot().settings.strategy {
            Strategy::OneForOne => {
                child.launch(false);
            }
            Strategy::OneForAll => {
                let siblings = siblings();
                self.plan.rebuild(&siblings);
            }
            Strategy::RestForOne => {
                let siblings = siblings();
                let position = siblings.iter().position(|sibling| Arc::ptr_eq(sibling, child)).unwrap_or(0);
                self.plan.rebuild(siblings.get(position..).unwrap_or_default());
            }
        }
    }

    /// Goes on with the plan. Also while this actor drains: the messages it has accepted may need its children.
    fn advance(&mut self) {
        if !self.is_over() {
            self.plan.advance();
        }
    }

    fn is_child(&self, child: &Arc<Slot>) -> bool {
        self.slot().children.lock().contains(child)
    }
}

fn escalation(child: &Arc<Slot>, reason: &ExitReason) -> ExitReason {
    let error =
        Error::unavailable("the restarts of a child are used up").with("child", child.name()).with("exit", reason);
    ExitReason::failed(&error)
}

fn open_gate(supervisor: &Arc<Slot>, child: &Arc<Slot>, retry_after: Duration) {
    let mut life = child.life.lock();
    if life.phase == Phase::Gone {
        return;
    }
    // One failure more than a fresh window allows nothing, so the try after the gate counts alone.
    life.phase = Phase::Gated;
    drop(life);
    shut(child, time::now() + retry_after);
    call_later(supervisor, child, retry_after);
}

/// Gates a slot and the kept children that rest below it.
fn shut(slot: &Arc<Slot>, until: Instant) {
    slot.mailbox.gate(Some(until));
    let children = slot.children.lock().all();
    children.iter().filter(|child| child.is_resting()).for_each(|child| shut(child, until));
}

/// Reminds the supervisor of a child after a while. The number tells whether the reminder is still meant.
fn call_later(supervisor: &Arc<Slot>, child: &Arc<Slot>, after: Duration) {
    let (supervisor, weak) = (Arc::downgrade(supervisor), Arc::downgrade(child));
    let number = child.life.lock().number;
    drop(task::spawn("restart", async move {
        time::sleep(after).await;
        if let (Some(supervisor), Some(child)) = (supervisor.upgrade(), weak.upgrade()) {
            supervisor.mailbox.signal(Signal::RestartDue(child, number));
        }
    }));
}
