//! The life of a slot: what it is doing, what is to become of it, and the steps in between.
//!
//! Life of the `life` lock: whoever changes whether an incarnation lives, or what is to become of the slot, holds it, so
//! a stop either reaches the living incarnation or the supervisor that would build the next one.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::Serialize;

use super::waiters::{self, Wait, Waiters, Wish};
use super::{Attached, Slot};
use crate::actor::StopReason;
use crate::address::Address;
use crate::cell::Cell;
use crate::exit::{ExitReason, Verdict};
use crate::incarnation::{Guard, Incarnation};
use crate::intensity::RestartWindow;
use crate::mailbox::{Signal, Stop};
use crate::shell::{Incarnate, Launch};
use crate::spec::Restart;
use crate::time;

/// What an actor is doing, as introspection shows it.
///
/// See [`System::snapshot`](crate::System::snapshot) for an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Its value is being built.
    Starting,
    /// It takes messages.
    Running,
    /// It ends.
    Stopping,
    /// Between two incarnations; what is sent waits.
    Down,
    /// Its restarts are used up; callers get `unavailable` until the next try.
    Gated,
    /// It ended for good.
    Gone,
}

/// What is to become of a slot when its incarnation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its supervisor decides by the exit.
    Live,
    /// Its supervisor builds it anew; the stop is part of a plan.
    Recycle,
    /// Its supervisor builds it anew because somebody asked for it, which is no failure.
    Renew,
    /// It is over.
    Terminate,
}

pub(crate) struct Life {
    pub(crate) phase: Phase,
    pub(crate) fate: Fate,
    pub(crate) number: u32,
    pub(crate) cell: Option<Cell>,
    pub(crate) incarnation: Option<Arc<Incarnation>>,
    /// The restarts of late; made with the first.
    pub(crate) window: Option<Box<RestartWindow>>,
    /// Whether any incarnation has started. Before, a failure is the spawner's and no case for a restart.
    pub(crate) proven: bool,
    /// Whether the end for good has begun.
    pub(crate) ended: bool,
    /// How the first incarnation ended, if it never started: what its spawner gets.
    pub(crate) failed_start: Option<Box<ExitReason>>,
    /// Who waits for a step.
    pub(super) waiters: Waiters,
    /// How an incarnation is made; `None` once there will be none.
    recipe: Option<Arc<dyn Incarnate>>,
}

impl Life {
    pub(super) fn new(recipe: Arc<dyn Incarnate>) -> Self {
        Self {
            phase: Phase::Down,
            fate: Fate::Live,
            number: 0,
            cell: None,
            incarnation: None,
            window: None,
            proven: false,
            ended: false,
            failed_start: None,
            waiters: Waiters::default(),
            recipe: Some(recipe),
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Starting | Phase::Running | Phase::Stopping)
    }

    /// Begins the end for good. Returns the recipe, which nobody needs any more.
    fn finish(&mut self) -> Option<Arc<dyn Incarnate>> {
        self.ended = true;
        self.fate = Fate::Terminate;
        self.recipe.take()
    }

    /// Returns whether no incarnation follows one that ends like this, whatever its supervisor has counted.
    pub(crate) fn is_last(&self, restart: Restart, reason: &ExitReason) -> bool {
        match self.fate {
            Fate::Terminate => true,
            Fate::Recycle | Fate::Renew => false,
            Fate::Live if !self.proven => true,
            Fate::Live => match restart {
                Restart::Permanent => false,
                Restart::Transient => !reason.is_failure(),
                Restart::Temporary => true,
            },
        }
    }
}

impl Slot {
    pub(crate) fn phase(&self) -> Phase {
        self.life.lock().phase
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.phase() == Phase::Gone
    }

    /// Returns whether the end for good has begun: what is entered from now on for this slot, nobody removes.
    pub(crate) fn has_ended(&self) -> bool {
        self.life.lock().ended
    }

    /// Returns whether no incarnation will follow the one that ends.
    pub(crate) fn ends_for_good(&self) -> bool {
        let life = self.life.lock();
        life.ended || life.fate == Fate::Terminate || self.parent.is_none()
    }

    /// Returns whether it waits for its parent's next incarnation.
    pub(crate) fn is_resting(&self) -> bool {
        let life = self.life.lock();
        let down = matches!(life.phase, Phase::Down | Phase::Gated);
        self.settings.is_kept() && down && life.fate != Fate::Terminate && !life.ended
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.life.lock().is_alive()
    }

    /// Returns whether it was ever launched.
    pub(crate) fn has_lived(&self) -> bool {
        self.life.lock().number != 0
    }

    /// Starts the next incarnation. False if one lives, or the slot is to end.
    pub(crate) fn launch(self: &Arc<Self>, report: bool) -> bool {
        let mut life = self.life.lock();
        if life.is_alive() || life.ended || life.fate == Fate::Terminate {
            return false;
        }
        let Some(recipe) = life.recipe.clone() else { return false };
        life.fate = Fate::Live;
        life.phase = Phase::Starting;
        life.number = life.number.wrapping_add(1).max(1);
        let incarnation = Incarnation::new(Arc::clone(self), life.number);
        life.incarnation = Some(Arc::clone(&incarnation));
        self.children.lock().closed = false;
        if life.number > 1 {
            self.mailbox.gate(None);
        }
        let guard = Guard::new(Arc::clone(&incarnation));
        let resident = recipe.resident(Launch { guard, report });
        // The guard takes the life lock when it ends, so the resident must not be dropped under it.
        drop(life);
        if let Some(cell) = self.ground.carriers.carry(resident) {
            let mut life = self.life.lock();
            if life.number == incarnation.number && life.is_alive() {
                life.cell = Some(cell);
            }
        }
        true
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        let mut life = self.life.lock();
        if life.phase != Phase::Gone {
            life.phase = phase;
        }
        life.proven |= phase == Phase::Running;
        waiters::step(life);
    }

    /// The incarnation begins to end. If no other is to follow, nobody comes in any more.
    pub(crate) fn begin_stop(&self) {
        let mut life = self.life.lock();
        if life.phase != Phase::Gone {
            life.phase = Phase::Stopping;
        }
        let for_good = life.fate == Fate::Terminate;
        waiters::step(life);
        if for_good {
            self.shut();
        }
    }

    /// Ends the slot for good, on request from anywhere.
    pub(crate) fn request_stop(self: &Arc<Self>, drain: bool) {
        self.stop_with(Fate::Terminate, Stop { reason: StopReason::Requested, drain, deadline: None });
    }

    /// Tells the living incarnation to stop; without one, tells the supervisor what is to become of the slot. Returns the
    /// number of the incarnation that was meant.
    pub(crate) fn stop_with(self: &Arc<Self>, fate: Fate, stop: Stop) -> u32 {
        self.stop_locked(&mut self.life.lock(), fate, stop)
    }

    /// As [`stop_with`](Self::stop_with), for who has decided it under the lock.
    pub(crate) fn stop_locked(self: &Arc<Self>, life: &mut Life, fate: Fate, stop: Stop) -> u32 {
        if life.phase == Phase::Gone {
            return life.number;
        }
        if life.fate != Fate::Terminate {
            life.fate = fate;
        }
        if fate == Fate::Terminate && stop.drain {
            self.shut();
            // What was accepted is still to be handled, so nothing may hold it back.
            self.mailbox.set_suspended(false);
        }
        if life.is_alive() {
            self.mailbox.signal(Signal::Stop(stop));
        } else if matches!(fate, Fate::Terminate | Fate::Renew)
            && let Some(parent) = self.supervisor()
        {
            parent.mailbox.signal(Signal::ChildDown(Arc::clone(self), ExitReason::Stopped));
        }
        life.number
    }

    /// Shuts the door if the actor is idle, so that its incarnation ends; the decision and the shutting are one step.
    pub(crate) fn try_passivate(&self, batch: &crate::mailbox::Batch) -> bool {
        let mut life = self.life.lock();
        // A paused actor stays: its next activation would not know of the pause.
        let passive = life.fate == Fate::Live && !self.mailbox.is_suspended() && self.mailbox.close_if_empty(batch);
        if passive {
            life.fate = Fate::Terminate;
            drop(life);
            self.shut();
        }
        passive
    }

    /// Drops the incarnation at its next await. Returns whether there is one.
    pub(crate) fn kill(&self) -> bool {
        self.kill_if(|_| true)
    }

    fn kill_if(&self, meant: impl FnOnce(&Life) -> bool) -> bool {
        let life = self.life.lock();
        let cell = if meant(&life) { life.cell.clone() } else { None };
        drop(life);
        cell.map(|cell| cell.kill()).is_some()
    }

    /// The guard's last act: no incarnation lives any more, and the supervisor learns how it ended.
    ///
    /// If it is certain that no other will follow, the slot ends here and now, without its supervisor's help.
    pub(crate) fn incarnation_ended(self: &Arc<Self>, reason: ExitReason) {
        let supervisor = self.supervisor();
        let mut life = self.life.lock();
        life.cell = None;
        let incarnation = life.incarnation.take();
        let mut recipe = None;
        if !life.proven && life.failed_start.is_none() {
            life.failed_start = Some(Box::new(reason.clone()));
        }
        let given_up = life.ended;
        let last = !given_up && (supervisor.is_none() || life.is_last(self.settings.restart, &reason));
        if last {
            // Its phase stays until all is done: whoever waits for the end may use the name at once.
            recipe = life.finish();
            drop(life);
        } else {
            if life.phase != Phase::Gone {
                life.phase = Phase::Down;
            }
            // What was said to that incarnation does not concern the next one.
            self.mailbox.clear_signals();
            waiters::step(life);
        }
        drop((incarnation, recipe));
        self.stats.hand_since_ns.store(0, Ordering::Relaxed);
        self.wake();
        if last {
            self.depart(supervisor.as_ref(), &reason, true);
            return;
        }
        if given_up {
            // It could not be killed in time; what its drain held came back into a mailbox that was emptied before.
            self.bury_rest();
        }
        if let Some(supervisor) = supervisor {
            supervisor.mailbox.signal(Signal::ChildDown(Arc::clone(self), reason));
        }
    }

    /// Ends the slot for good: nobody comes in, whoever waits is answered, the name is free. Idempotent.
    pub(crate) fn terminate(self: &Arc<Self>, reason: &ExitReason) {
        let recipe = {
            let mut life = self.life.lock();
            if life.ended {
                return;
            }
            life.finish()
        };
        // Users' code, which drops without a lock.
        drop(recipe);
        self.depart(self.supervisor().as_ref(), reason, false);
    }

    /// The end for good, once. With `tell` the supervisor learns it.
    ///
    /// [`Phase::Gone`] is set last: whoever waits for it may use the name at once.
    fn depart(self: &Arc<Self>, supervisor: Option<&Arc<Slot>>, reason: &ExitReason, tell: bool) {
        if let Some(seat) = &self.seat {
            seat.shut(self);
        }
        self.bury_rest();
        self.end_resting(reason);
        self.ground.leave(self);
        let attached = match supervisor {
            // In one step, so that the word meets the incarnation whose child it was, or none.
            Some(parent) => {
                let mut siblings = parent.children.lock();
                let was_child = siblings.remove(self);
                let attached = self.be_gone();
                // The root has no code of its own to tell.
                if tell && was_child && !siblings.closed && parent.parent.is_some() {
                    parent.mailbox.signal(Signal::ChildGone(Arc::clone(self), reason.clone()));
                }
                attached
            }
            None => {
                if self.parent.is_none() {
                    self.ground.carriers.close();
                }
                self.be_gone()
            }
        };
        if tell {
            tracing::info!(actor = %self.name, exit = %reason, verdict = ?Verdict::Gone, "an actor ended");
        }
        if let Some(attached) = attached {
            for watcher in attached.watchers.iter().filter_map(Weak::upgrade) {
                watcher.mailbox.signal(Signal::WatchedGone(Address(Arc::clone(self)), reason.clone()));
            }
            if let Some(hook) = attached.on_gone {
                hook();
            }
        }
        if let Some(seat) = &self.seat {
            seat.vacate(self);
        }
        waiters::step(self.life.lock());
    }

    /// Sets the last phase. Returns whom that concerns: later ones see it.
    fn be_gone(&self) -> Option<Box<Attached>> {
        let mut life = self.life.lock();
        life.phase = Phase::Gone;
        // Under the life lock, so that a watcher is either in the list or sees the end.
        self.attached.lock().take()
    }

    fn wait_for(&self, wish: Wish) -> Wait<'_> {
        Wait::new(self, wish)
    }

    /// Waits until the first incarnation has started, or never will.
    pub(crate) async fn wait_settled(&self) {
        self.wait_for(Wish::Settled).await;
    }

    /// Waits until an incarnation has ended; the next one may live already when the waiter looks.
    pub(crate) async fn wait_ended(&self, number: u32) {
        self.wait_for(Wish::Ended(number)).await;
    }

    /// Waits until it takes messages, or never will.
    pub(crate) async fn wait_running(&self) {
        self.wait_for(Wish::Running).await;
    }

    /// Waits until it is gone.
    pub(crate) async fn wait_gone(&self) {
        self.wait_for(Wish::Gone).await;
    }

    /// Ends the living incarnation as its parent does: stop, wait, kill what does not listen. Gives whether it went
    /// without a kill.
    ///
    /// The stop is said at once, also if the future is polled late, and nothing of it reaches a later incarnation.
    pub(crate) fn end(self: &Arc<Self>, fate: Fate, stop: Stop) -> impl Future<Output = bool> + use<> {
        let number = self.stop_with(fate, stop);
        Arc::clone(self).ended(number, stop)
    }

    /// Returns how long an end may take at most. Its own steps are bounded each (hand, jobs, goodbye), and its children end
    /// before it, one after the other.
    fn patience(&self) -> Duration {
        let graces = self.settings.graces;
        let own = graces.stop.saturating_mul(4).saturating_add(graces.cancel);
        let children = self.children.lock().all();
        children.iter().fold(own, |sum, child| sum.saturating_add(child.patience()))
    }

    async fn ended(self: Arc<Self>, number: u32, stop: Stop) -> bool {
        let patience = self.patience();
        let patience = match stop.deadline {
            Some(deadline) => deadline.saturating_duration_since(time::now()).min(patience),
            None => patience,
        };
        if time::timeout(patience, self.wait_ended(number)).await.is_ok() {
            return true;
        }
        self.ground.count_kill();
        self.kill_if(|life| life.number == number);
        if time::timeout(KILL_WAIT, self.wait_ended(number)).await.is_err() {
            tracing::error!(actor = %self.name, "an actor blocks its thread and could not be killed");
        }
        false
    }
}

/// How long a killed actor may take to notice.
const KILL_WAIT: Duration = Duration::from_secs(1);
