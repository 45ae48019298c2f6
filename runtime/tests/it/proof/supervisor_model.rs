//! What supervision promises, in plain code: no tasks, no signals, no locks, one thing after the other.

use std::collections::VecDeque;

use beluga_runtime::{DeadReason, Restart, Strategy};

use super::supervisor_ops::{Crash, Op, Plan};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum State {
    Gone,
    Up,
    Down,
    Gated,
}

pub(super) struct Child {
    pub plan: Plan,
    pub state: State,
    /// When it is built anew; never, if another step of a group restart does that.
    pub due_ms: Option<u64>,
    pub queue: VecDeque<u64>,
    pub restarts: u32,
    failures_ms: Vec<u64>,
    bad_starts: u8,
}

pub(super) struct Model {
    strategy: Strategy,
    now_ms: u64,
    pub children: Vec<Child>,
    /// The children that are not gone, the oldest first.
    pub order: Vec<usize>,
    /// Who is started next.
    pending: VecDeque<usize>,
    next_note: u64,
    /// Everything that was built, said goodbye and was dropped, in order.
    pub life: Vec<String>,
    /// Which child handled which note.
    pub handled: Vec<(usize, u64)>,
    /// Why which message to whom was not handled.
    pub letters: Vec<(DeadReason, &'static str, usize)>,
    /// Who comes first is nobody's promise: two restarts are due at the same instant, or actors that do not wait for each
    /// other start while their parent fails.
    pub undecided: bool,
}

impl Model {
    pub(super) fn new(strategy: Strategy, plans: &[Plan]) -> Self {
        let child = |plan: &Plan| Child {
            plan: plan.clone(),
            state: State::Up,
            due_ms: None,
            queue: VecDeque::new(),
            restarts: 0,
            failures_ms: Vec::new(),
            bad_starts: 0,
        };
        Self {
            strategy,
            now_ms: 0,
            children: plans.iter().map(child).collect(),
            order: (0..plans.len()).collect(),
            pending: VecDeque::new(),
            next_note: 0,
            life: Vec::new(),
            handled: Vec::new(),
            letters: Vec::new(),
            undecided: false,
        }
    }

    pub(super) fn note(&mut self) -> u64 {
        self.next_note += 1;
        self.next_note
    }

    fn log(&mut self, child: usize, what: &str) {
        self.life.push(format!("c{child} {what}"));
    }

    /// Queues notes, as a burst does.
    pub(super) fn queue(&mut self, child: usize, notes: &[u64]) {
        self.children[child].queue.extend(notes);
    }

    /// Does one operation and everything that follows from it at once. `before` and `after` are the notes it tells.
    pub(super) fn apply(&mut self, op: &Op, before: &[u64], after: &[u64]) {
        match *op {
            Op::Note(child) => self.told(child, before[0]),
            Op::Burst(child, _, crash, _) => {
                before.iter().for_each(|note| self.told(child, *note));
                self.queue(child, after);
                if crash == Crash::Panic {
                    self.letters.push((DeadReason::Panicked, "node.panic", child));
                }
                self.ended(child, crash == Crash::Leave);
                self.exit(child, crash != Crash::Leave);
            }
            Op::Kill(child) | Op::KillBusy(child, _) => {
                if matches!(op, Op::KillBusy(..)) {
                    self.letters.push((DeadReason::Abandoned, "node.hold", child));
                }
                self.queue(child, after);
                self.ended(child, false);
                self.exit(child, true);
            }
            Op::Renew(child, _) => {
                let again = self.children[child].plan.restart != Restart::Temporary;
                if again && self.children[child].state == State::Up {
                    self.queue(child, before);
                    self.ended(child, true);
                } else {
                    before.iter().for_each(|note| self.told(child, *note));
                }
                if again {
                    self.restart(child);
                }
            }
            Op::Stop(child, _) | Op::Drain(child, _) => {
                if self.children[child].state == State::Up {
                    if matches!(op, Op::Drain(..)) {
                        before.iter().for_each(|note| self.told(child, *note));
                    } else {
                        self.queue(child, before);
                    }
                    self.ended(child, true);
                }
                self.gone(child);
            }
            Op::BadStarts(child, count) => self.children[child].bad_starts = count,
            Op::Respawn(child) => self.respawn(child),
            Op::KillParent => self.parent_failed(true),
            Op::FailParent => self.parent_failed(false),
            Op::Pass(ms) => self.pass(ms),
        }
        self.settle();
    }

    fn told(&mut self, child: usize, note: u64) {
        match self.children[child].state {
            State::Up => self.handled.push((child, note)),
            State::Down => self.children[child].queue.push_back(note),
            State::Gated => {}
            State::Gone => self.letters.push((DeadReason::Stopped, "node.note", child)),
        }
    }

    /// Its incarnation ends; only one that stops in order says goodbye.
    fn ended(&mut self, child: usize, in_order: bool) {
        if in_order {
            self.log(child, "stopping");
        }
        self.log(child, "dropped");
        self.children[child].state = State::Down;
        self.children[child].due_ms = None;
    }

    fn gone(&mut self, child: usize) {
        let own = &mut self.children[child];
        (own.state, own.due_ms) = (State::Gone, None);
        let lost = own.queue.drain(..).map(|_| (DeadReason::Stopped, "node.note", child));
        self.letters.extend(lost);
        self.order.retain(|known| *known != child);
        self.pending.retain(|known| *known != child);
    }

    /// The supervisor's decision.
    fn exit(&mut self, child: usize, is_failure: bool) {
        let now_ms = self.now_ms;
        let own = &mut self.children[child];
        let again = match own.plan.restart {
            Restart::Permanent => true,
            Restart::Transient => is_failure,
            Restart::Temporary => false,
        };
        if !again {
            return self.gone(child);
        }
        own.failures_ms.retain(|at| now_ms - at < own.plan.window_ms);
        let earlier = own.failures_ms.len();
        own.failures_ms.push(now_ms);
        if earlier < own.plan.max_restarts {
            match earlier.checked_sub(1) {
                None => self.restart(child),
                Some(doublings) => own.due_ms = Some(now_ms + (own.plan.backoff_ms << doublings)),
            }
        } else if let Some(gate_ms) = own.plan.gate_ms {
            (own.state, own.due_ms) = (State::Gated, Some(now_ms + gate_ms));
        } else {
            self.parent_failed(false);
        }
    }

    /// Builds a child anew, together with whom the strategy names and whom an earlier group restart still owes.
    fn restart(&mut self, child: usize) {
        self.children[child].restarts += 1;
        let position = self.order.iter().position(|known| *known == child).unwrap_or(0);
        let mut group = match self.strategy {
            Strategy::OneForOne => vec![child],
            Strategy::OneForAll => self.order.clone(),
            Strategy::RestForOne => self.order[position..].to_vec(),
        };
        group.extend(self.pending.drain(..).filter(|owed| *owed != child));
        let group: Vec<usize> = self.order.iter().copied().filter(|known| group.contains(known)).collect();
        for member in group.iter().rev().copied() {
            if self.children[member].state == State::Up {
                self.ended(member, true);
                if self.children[member].plan.restart == Restart::Temporary {
                    self.gone(member);
                }
            }
        }
        self.pending = group.into_iter().filter(|member| self.children[*member].state != State::Gone).collect();
    }

    fn settle(&mut self) {
        while let Some(child) = self.pending.pop_front() {
            self.start(child);
        }
    }

    fn start(&mut self, child: usize) {
        self.log(child, "built");
        let own = &mut self.children[child];
        own.due_ms = None;
        if own.bad_starts > 0 {
            own.bad_starts -= 1;
            self.ended(child, false);
            return self.exit(child, true);
        }
        own.state = State::Up;
        let notes: Vec<u64> = own.queue.drain(..).collect();
        notes.into_iter().for_each(|note| self.told(child, note));
    }

    /// The first start of a new slot. If that fails it is the spawner's error.
    fn respawn(&mut self, child: usize) {
        let own = &mut self.children[child];
        own.failures_ms.clear();
        own.restarts = 0;
        self.log(child, "built");
        let own = &mut self.children[child];
        if own.bad_starts > 0 {
            own.bad_starts -= 1;
            return self.log(child, "dropped");
        }
        own.state = State::Up;
        self.order.push(child);
    }

    /// The parent ends and is built anew at once: what is kept comes back with it, the rest is gone.
    fn parent_failed(&mut self, is_killed: bool) {
        self.undecided |= self.strategy == Strategy::OneForOne && !self.pending.is_empty();
        self.pending.clear();
        if is_killed {
            self.life.push("p dropped".to_owned());
        }
        for child in self.order.clone().into_iter().rev() {
            if self.children[child].state == State::Up {
                self.ended(child, true);
            }
            let plan = &self.children[child].plan;
            if !plan.kept || plan.restart == Restart::Temporary {
                self.gone(child);
            }
        }
        if !is_killed {
            self.life.push("p dropped".to_owned());
        }
        self.life.push("p built".to_owned());
        for child in self.order.clone() {
            let own = &mut self.children[child];
            (own.state, own.due_ms) = (State::Down, None);
            own.restarts += 1;
            own.failures_ms.clear();
            self.pending.push_back(child);
        }
    }

    fn pass(&mut self, ms: u64) {
        let until_ms = self.now_ms + ms;
        loop {
            let mut due: Vec<(u64, usize)> =
                self.order.iter().filter_map(|child| Some((self.children[*child].due_ms?, *child))).collect();
            due.sort_unstable();
            let Some((at_ms, child)) = due.first().copied().filter(|(at_ms, _)| *at_ms <= until_ms) else { break };
            self.undecided |= due.get(1).is_some_and(|(other_ms, _)| *other_ms == at_ms);
            self.now_ms = at_ms;
            self.restart(child);
            self.settle();
        }
        self.now_ms = until_ms;
    }
}
