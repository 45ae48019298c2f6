//! A group restart, step by step: stop the youngest first, then start the oldest first, each after the one before.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::actor::StopReason;
use crate::mailbox::Stop;
use crate::slot::{Fate, Phase, Slot};
use crate::spec::Restart;
use crate::task;

enum Step {
    Stop { child: Arc<Slot>, asked: bool },
    Start { child: Arc<Slot>, launched: bool },
}

/// The steps of the group restarts in progress. Bounded by twice the children.
#[derive(Default)]
pub(crate) struct Plan {
    steps: VecDeque<Step>,
}

impl Plan {
    /// Plans to rebuild a group. A group restart already planned is replaced: its children are among all children.
    pub(crate) fn rebuild(&mut self, group: &[Arc<Slot>]) {
        let mut group = group.to_vec();
        for step in self.steps.drain(..) {
            let (Step::Stop { child, .. } | Step::Start { child, .. }) = step;
            if !group.iter().any(|known| Arc::ptr_eq(known, &child)) {
                group.push(child);
            }
        }
        group.sort_by_key(|child| child.id());
        self.steps.extend(group.iter().rev().map(|child| Step::Stop { child: Arc::clone(child), asked: false }));
        let back = group.into_iter().filter(comes_back);
        self.steps.extend(back.map(|child| Step::Start { child, launched: false }));
    }

    /// Forgets a child that is gone for good.
    pub(crate) fn gone(&mut self, gone: &Arc<Slot>) {
        self.steps.retain(|step| {
            let (Step::Stop { child, .. } | Step::Start { child, .. }) = step;
            !Arc::ptr_eq(child, gone)
        });
    }

    /// A child reports that it has started. Returns whether the plan waited for it.
    pub(crate) fn started(&mut self, started: &Arc<Slot>) -> bool {
        let waited =
            matches!(self.steps.front(), Some(Step::Start { child, launched: true }) if Arc::ptr_eq(child, started));
        if waited {
            self.steps.pop_front();
        }
        waited
    }

    /// Takes every step that needs no waiting.
    pub(crate) fn advance(&mut self) {
        loop {
            match self.steps.front_mut() {
                None => return,
                Some(Step::Stop { child, asked }) => match child.phase() {
                    Phase::Down | Phase::Gated | Phase::Gone => {}
                    _ if *asked => return,
                    _ => {
                        *asked = true;
                        let (fate, reason) = if comes_back(child) {
                            (Fate::Recycle, StopReason::Restart)
                        } else {
                            (Fate::Terminate, StopReason::Requested)
                        };
                        let stop = Stop { reason, drain: false, deadline: None };
                        drop(task::spawn("recycle", child.end(fate, stop)));
                        return;
                    }
                },
                Some(Step::Start { child, launched }) => match child.phase() {
                    Phase::Gone => {}
                    Phase::Starting if *launched => return,
                    Phase::Running if *launched => {}
                    // It failed to start: the judgement of that exit replaces or extends the plan.
                    _ if *launched => {}
                    _ => {
                        *launched = true;
                        if child.launch(true) {
                            return;
                        }
                    }
                },
            }
            self.steps.pop_front();
        }
    }
}

/// Returns whether a child that is stopped with its group is started with it again.
fn comes_back(child: &Arc<Slot>) -> bool {
    child.settings.restart != Restart::Temporary
}
