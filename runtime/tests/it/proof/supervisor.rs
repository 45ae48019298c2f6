//! Supervision against its model: a parent with up to four children under every strategy, kind, intensity and end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use beluga_core::{Code, Error, Result};
use beluga_runtime::testkit::{self, kill, pause, quiet_panics, resume};
use beluga_runtime::{
    Actor, Backoff, Cx, DeadReason, Handler, Intensity, Message, OnExhausted, Phase, Ref, Restart, Spec, StopReason,
    Strategy, System, protocol, time,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::supervisor_model::{Model, State};
use super::supervisor_ops::{Crash, Op, Plan, child_of, notes_of, op, plans};
use crate::fixture::{GRACE, Journal};

#[derive(Message)]
#[message(name = "node.note")]
struct Note(u64);
#[derive(Message)]
#[message(name = "node.panic")]
struct Panic;
#[derive(Message)]
#[message(name = "node.give_up")]
struct GiveUp;
#[derive(Message)]
#[message(name = "node.leave")]
struct Leave;
#[derive(Message)]
#[message(name = "node.hold")]
struct Hold;

protocol!(NodeProtocol: Note, Panic, GiveUp, Leave, Hold);

/// Notes its life and what it handles.
struct Node {
    name: String,
    life: Journal,
    handled: Journal,
    bad_starts: Arc<AtomicU8>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.life.note(format!("{} dropped", self.name));
    }
}

impl Actor for Node {
    type Protocol = NodeProtocol;
    const KIND: &'static str = "node";

    async fn started(&mut self, _cx: &mut Cx<Self>) -> Result<()> {
        let left = self.bad_starts.load(Ordering::Relaxed);
        self.bad_starts.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 0 { Ok(()) } else { Err(Error::config("a bad start")) }
    }

    async fn stopping(&mut self, _cx: &mut Cx<Self>, _reason: StopReason) {
        self.life.note(format!("{} stopping", self.name));
    }
}

impl Handler<Note> for Node {
    async fn handle(&mut self, Note(n): Note, _cx: &mut Cx<Self>) -> Result<()> {
        self.handled.note(format!("{} {n}", self.name));
        Ok(())
    }
}

impl Handler<Panic> for Node {
    async fn handle(&mut self, _: Panic, _cx: &mut Cx<Self>) -> Result<()> {
        panic!("on purpose")
    }
}

impl Handler<GiveUp> for Node {
    async fn handle(&mut self, _: GiveUp, cx: &mut Cx<Self>) -> Result<()> {
        cx.fail(Error::internal("gave up"));
        Ok(())
    }
}

impl Handler<Leave> for Node {
    async fn handle(&mut self, _: Leave, cx: &mut Cx<Self>) -> Result<()> {
        cx.stop();
        Ok(())
    }
}

impl Handler<Hold> for Node {
    async fn handle(&mut self, _: Hold, _cx: &mut Cx<Self>) -> Result<()> {
        std::future::pending().await
    }
}

/// The real thing, told the same as the model.
struct World {
    system: System,
    parent: Ref<NodeProtocol>,
    children: Vec<Ref<NodeProtocol>>,
    bad_starts: Vec<Arc<AtomicU8>>,
    plans: Vec<Plan>,
    life: Journal,
    handled: Journal,
    letters_seen: usize,
}

fn path(child: usize) -> String {
    format!("p/c{child}")
}

impl World {
    async fn new(system: &System, strategy: Strategy, plans: &[Plan]) -> Self {
        let (life, handled) = (Journal::default(), Journal::default());
        let spec = node("p", &life, &handled, &Arc::default())
            .strategy(strategy)
            .backoff(Backoff { initial: Duration::ZERO, ..Backoff::default() })
            .intensity(Intensity { max_restarts: 1_000, window: Duration::from_secs(1) });
        let parent = system.spawn_with(spec).await.unwrap();
        let bad_starts = plans.iter().map(|_| Arc::default()).collect();
        let (system, plans) = (system.clone(), plans.to_vec());
        let mut world =
            Self { system, parent, children: Vec::new(), bad_starts, plans, life, handled, letters_seen: 0 };
        for child in 0..world.plans.len() {
            let started = world.spawn(child).await.unwrap();
            world.children.push(started);
        }
        world.life.clear();
        world
    }

    async fn spawn(&self, child: usize) -> Result<Ref<NodeProtocol>> {
        let plan = &self.plans[child];
        let backoff = Duration::from_millis(plan.backoff_ms);
        let intensity = Intensity {
            max_restarts: u32::try_from(plan.max_restarts).unwrap(),
            window: Duration::from_millis(plan.window_ms),
        };
        let spec = node(&format!("c{child}"), &self.life, &self.handled, &self.bad_starts[child])
            .restart(plan.restart)
            .intensity(intensity)
            .backoff(Backoff { initial: backoff, factor: 2.0, max: Duration::from_secs(3600), jitter: 0.0 })
            .on_exhausted(plan.gate_ms.map_or(OnExhausted::Escalate, |gate_ms| OnExhausted::OpenGate {
                reset_after: Duration::from_millis(gate_ms),
            }));
        let spec = if plan.kept { spec.kept() } else { spec };
        self.system.spawn_under(&self.parent.address().unwrap(), spec).await
    }

    /// Tells it all in one go: the actor takes nothing before the last is there.
    async fn at_once(&self, child: usize, what: impl AsyncFnOnce(&Ref<NodeProtocol>)) {
        pause(&self.system, &path(child));
        what(&self.children[child]).await;
        resume(&self.system, &path(child));
    }

    async fn apply(&mut self, op: &Op, model: &State, before: &[u64], after: &[u64]) -> Result<(), TestCaseError> {
        match *op {
            Op::Note(child) => {
                let told = self.children[child].tell(Note(before[0])).await;
                let expected = match model {
                    State::Up | State::Down => None,
                    State::Gated => Some(Code::Unavailable),
                    State::Gone => Some(Code::NotSent),
                };
                prop_assert_eq!(told.err().map(|error| error.code()), expected, "a note to c{}", child);
            }
            Op::Burst(child, _, crash, _) => {
                self.at_once(child, async |node| {
                    tell_notes(node, before).await;
                    match crash {
                        Crash::Panic => node.tell(Panic).await.unwrap(),
                        Crash::GiveUp => node.tell(GiveUp).await.unwrap(),
                        Crash::Leave => node.tell(Leave).await.unwrap(),
                    }
                    tell_notes(node, after).await;
                })
                .await;
            }
            Op::Kill(child) => prop_assert!(kill(&self.system, &path(child))),
            Op::KillBusy(child, _) => {
                self.children[child].tell(Hold).await.unwrap();
                tell_notes(&self.children[child], after).await;
                settle().await;
                prop_assert!(kill(&self.system, &path(child)));
            }
            Op::Renew(child, _) => {
                let again = self.plans[child].restart != Restart::Temporary;
                let address = self.children[child].address().unwrap();
                let mut comes = false;
                self.at_once(child, async |node| {
                    tell_notes(node, before).await;
                    comes = address.restart();
                })
                .await;
                prop_assert_eq!(comes, again);
            }
            Op::Stop(child, _) => {
                self.at_once(child, async |node| {
                    tell_notes(node, before).await;
                    node.stop();
                })
                .await;
            }
            Op::Drain(child, _) => {
                self.at_once(child, async |node| {
                    tell_notes(node, before).await;
                    node.drain();
                })
                .await;
            }
            Op::BadStarts(child, count) => self.bad_starts[child].store(count, Ordering::Relaxed),
            Op::Respawn(child) => {
                let lame = self.bad_starts[child].load(Ordering::Relaxed) > 0;
                let started = self.spawn(child).await;
                prop_assert_eq!(started.as_ref().err().map(Error::code), lame.then_some(Code::Config));
                if let Ok(started) = started {
                    self.children[child] = started;
                }
            }
            Op::KillParent => prop_assert!(kill(&self.system, "p")),
            Op::FailParent => self.parent.tell(GiveUp).await.unwrap(),
            Op::Pass(ms) => time::sleep(Duration::from_millis(ms)).await,
        }
        settle().await;
        Ok(())
    }

    /// Compares everything there is to see with what the model says, and forgets it on both sides.
    fn compare(&mut self, strategy: Strategy, model: &mut Model) -> Result<(), TestCaseError> {
        let tree = self.system.snapshot().unwrap();
        for (index, child) in model.children.iter().enumerate() {
            let seen = tree.find(&path(index)).map(|node| (node.state, node.restarts, node.lanes.normal));
            let state = match child.state {
                State::Gone => None,
                State::Up => Some(Phase::Running),
                State::Down => Some(Phase::Down),
                State::Gated => Some(Phase::Gated),
            };
            prop_assert_eq!(seen, state.map(|state| (state, child.restarts, child.queue.len())), "c{}", index);
            prop_assert_eq!(self.children[index].is_gone(), child.state == State::Gone);
        }
        let order: Vec<String> = tree.find("p").unwrap().children.iter().map(|child| child.name.clone()).collect();
        prop_assert_eq!(order, model.order.iter().map(|child| path(*child)).collect::<Vec<_>>());

        let (life, handled) = (self.life.read(), self.handled.read());
        let wanted: Vec<String> = model.handled.iter().map(|(child, note)| format!("c{child} {note}")).collect();
        // The order of one group is promised; actors that have nothing to do with each other have none.
        if strategy != Strategy::OneForOne {
            prop_assert_eq!(&life, &model.life);
        }
        for name in ["p", "c0", "c1", "c2", "c3"] {
            prop_assert_eq!(of(name, &life), of(name, &model.life));
            prop_assert_eq!(of(name, &handled), of(name, &wanted));
        }
        let recent = self.system.dead_letters().recent();
        let mut letters: Vec<(DeadReason, &str, String)> =
            recent[self.letters_seen..].iter().map(|it| (it.reason, it.message, it.actor.to_string())).collect();
        let mut expected: Vec<_> = model.letters.iter().map(|(why, what, child)| (*why, *what, path(*child))).collect();
        letters.sort_by_key(|letter| format!("{letter:?}"));
        expected.sort_by_key(|letter| format!("{letter:?}"));
        prop_assert_eq!(letters, expected);
        self.letters_seen = recent.len();
        self.life.clear();
        self.handled.clear();
        model.life.clear();
        model.handled.clear();
        model.letters.clear();
        Ok(())
    }
}

fn node(name: &str, life: &Journal, handled: &Journal, bad_starts: &Arc<AtomicU8>) -> Spec<NodeProtocol> {
    let (own, life, handled, bad_starts) = (name.to_owned(), life.clone(), handled.clone(), Arc::clone(bad_starts));
    Spec::new(name, move || {
        life.note(format!("{own} built"));
        let (life, handled, bad_starts) = (life.clone(), handled.clone(), Arc::clone(&bad_starts));
        Node { name: own.clone(), life, handled, bad_starts }
    })
}

async fn tell_notes(node: &Ref<NodeProtocol>, notes: &[u64]) {
    for note in notes {
        node.tell(Note(*note)).await.unwrap();
    }
}

fn of<'a>(name: &str, notes: &'a [String]) -> Vec<&'a str> {
    notes.iter().map(String::as_str).filter(|note| note.split(' ').next() == Some(name)).collect()
}

/// Lets everything that needs no time happen, group restarts of all children several times over included.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

async fn run(system: System, strategy: Strategy, plans: Vec<Plan>, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let outcome = follow(&system, strategy, &plans, &ops).await;
    let ended = system.shutdown(GRACE).await;
    outcome?;
    prop_assert!(ended.is_ok() && system.names().is_empty());
    Ok(())
}

async fn follow(system: &System, strategy: Strategy, plans: &[Plan], ops: &[Op]) -> Result<(), TestCaseError> {
    let mut model = Model::new(strategy, plans);
    let mut world = World::new(system, strategy, plans).await;
    for (step, op) in ops.iter().enumerate() {
        let Some((before, after)) = notes_of(op, &model) else { continue };
        let before: Vec<u64> = (0..before).map(|_| model.note()).collect();
        let after: Vec<u64> = (0..after).map(|_| model.note()).collect();
        let state = model.children[child_of(op)].state;
        model.apply(op, &before, &after);
        if model.undecided {
            break;
        }
        let outcome = world.apply(op, &state, &before, &after).await;
        outcome
            .and_then(|()| world.compare(strategy, &mut model))
            .map_err(|error| TestCaseError::fail(format!("step {step}, {op:?}: {error}")))?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(super::config(128))]

    #[test]
    fn a_supervisor_does_what_its_model_does(
        strategy in prop_oneof![Just(Strategy::OneForOne), Just(Strategy::OneForAll), Just(Strategy::RestForOne)],
        plans in plans(),
        ops in prop::collection::vec(op(), 1..40),
    ) {
        quiet_panics();
        testkit::run(11, |system| run(system, strategy, plans, ops))?;
    }
}
