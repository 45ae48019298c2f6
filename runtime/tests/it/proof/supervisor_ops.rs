//! What a supervisor is put through: how its children are supervised and what happens to them.

use beluga_runtime::Restart;
use proptest::prelude::*;

use super::supervisor_model::{Model, State};

/// How one child is supervised.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub restart: Restart,
    pub max_restarts: usize,
    pub window_ms: u64,
    /// The first wait between restarts; each later one is twice as long.
    pub backoff_ms: u64,
    /// How long the gate stays open; `None` escalates.
    pub gate_ms: Option<u64>,
    pub kept: bool,
}

/// How a child comes to its end in the middle of a burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Crash {
    Panic,
    GiveUp,
    Leave,
}

/// What is done to the system; children are named by their index.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// Tells one note, whatever the child is doing.
    Note(usize),
    /// Gives notes, a message that ends the incarnation, and notes, all at once.
    Burst(usize, u8, Crash, u8),
    /// Kills it with nothing to do.
    Kill(usize),
    /// Kills it with a message in hand and notes behind that.
    KillBusy(usize, u8),
    /// Has it built anew, wherever it stands, with notes in its queue if it runs.
    Renew(usize, u8),
    /// Stops it for good with notes in its queue.
    Stop(usize, u8),
    /// Drains it with notes in its queue.
    Drain(usize, u8),
    /// Makes its next starts fail.
    BadStarts(usize, u8),
    /// Spawns it again once it is gone.
    Respawn(usize),
    KillParent,
    FailParent,
    /// Lets time pass.
    Pass(u64),
}

pub(super) fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let restart = prop_oneof![
        4 => Just(Restart::Permanent),
        2 => Just(Restart::Transient),
        1 => Just(Restart::Temporary),
    ];
    let plan = (restart, 0..4_usize, prop_oneof![Just(5_000_u64), Just(60_000)], any::<bool>(), any::<bool>());
    prop::collection::vec(plan, 1..=4).prop_map(|plans| {
        // Odd numbers, so that two restarts are hardly ever due at the same instant.
        let odd = [(1_009, 30_011), (1_213, 31_013), (1_427, 32_027), (1_619, 33_023)];
        let with_times = plans.into_iter().zip(odd);
        with_times
            .map(|((restart, max_restarts, window_ms, gates, kept), (backoff_ms, gate_ms))| Plan {
                restart,
                max_restarts,
                window_ms,
                backoff_ms,
                gate_ms: gates.then_some(gate_ms),
                kept,
            })
            .collect()
    })
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let (child, few) = (0..4_usize, 0..4_u8);
    let crash = prop_oneof![Just(Crash::Panic), Just(Crash::GiveUp), Just(Crash::Leave)];
    prop_oneof![
        3 => child.clone().prop_map(Op::Note),
        6 => (child.clone(), few.clone(), crash, few.clone()).prop_map(|(c, b, how, a)| Op::Burst(c, b, how, a)),
        2 => child.clone().prop_map(Op::Kill),
        2 => (child.clone(), few.clone()).prop_map(|(child, count)| Op::KillBusy(child, count)),
        2 => (child.clone(), few.clone()).prop_map(|(child, count)| Op::Renew(child, count)),
        1 => (child.clone(), few.clone()).prop_map(|(child, count)| Op::Stop(child, count)),
        1 => (child.clone(), few).prop_map(|(child, count)| Op::Drain(child, count)),
        3 => (child.clone(), 1..4_u8).prop_map(|(child, count)| Op::BadStarts(child, count)),
        3 => child.prop_map(Op::Respawn),
        1 => Just(Op::KillParent),
        1 => Just(Op::FailParent),
        4 => prop_oneof![Just(250_u64), Just(1_250), Just(4_000), Just(35_000)].prop_map(Op::Pass),
    ]
}

/// Returns how many notes an operation tells before and after what it does; `None` if it makes no sense now.
pub(super) fn notes_of(op: &Op, model: &Model) -> Option<(u8, u8)> {
    let state = |child: usize| model.children.get(child).map(|child| child.state);
    let is_up = |child: usize| state(child) == Some(State::Up);
    match *op {
        Op::Note(child) => state(child).map(|_| (1, 0)),
        Op::Burst(child, before, _, after) => is_up(child).then_some((before, after)),
        Op::Kill(child) => is_up(child).then_some((0, 0)),
        Op::KillBusy(child, after) => is_up(child).then_some((0, after)),
        Op::Renew(child, before) | Op::Stop(child, before) | Op::Drain(child, before) => match state(child)? {
            State::Up => Some((before, 0)),
            State::Down | State::Gated => Some((0, 0)),
            State::Gone => None,
        },
        Op::BadStarts(child, _) => state(child).map(|_| (0, 0)),
        Op::Respawn(child) => (state(child) == Some(State::Gone)).then_some((0, 0)),
        Op::KillParent | Op::FailParent | Op::Pass(_) => Some((0, 0)),
    }
}

pub(super) fn child_of(op: &Op) -> usize {
    match *op {
        Op::Note(child) | Op::Burst(child, ..) | Op::Kill(child) | Op::KillBusy(child, _) => child,
        Op::Renew(child, _) | Op::Stop(child, _) | Op::Drain(child, _) => child,
        Op::BadStarts(child, _) | Op::Respawn(child) => child,
        Op::KillParent | Op::FailParent | Op::Pass(_) => 0,
    }
}
