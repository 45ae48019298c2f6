//! The bounded queue between the async side and the writer's thread.
//!
//! Two lanes: what a turn waits for, and recall, which may wait. A command counts until it is answered.

use std::collections::VecDeque;
use std::time::Duration;

use beluga_core::{Error, Result};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::command::Command;
use super::health::HealthState;

/// How many appends and state writes may be pending; one more is `overloaded`. Every session in memory may have one.
pub const QUEUE_GROUPS_MAX: usize = 16_384;
/// How many bytes of them may be pending.
pub const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How many recall writes may be pending; one more is `overloaded`.
pub const RECALL_QUEUE_MAX: usize = 1_024;
/// How many bytes of them may be pending.
pub const RECALL_QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long the writer waits after a batch of several, so that those who were answered together write together again: a
/// commit costs nearly as much for one as for fifty. A lone writer never waits.
const GATHER: Duration = Duration::from_micros(50);
/// With so many commands it waits no longer.
const GATHERED: usize = 64;

/// How many messages are indexed in one transaction, so that a turn waits a few milliseconds at most.
const PATIENT_BATCH_MESSAGES: usize = 64;
/// After how many batches in a row recall gets its turn under a load that never pauses.
const PATIENT_EVERY: u32 = 16;

/// What the writer does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Runs the batch it was given.
    Batch,
    /// Goes on with its own background work: nothing is queued.
    Background,
    /// Ends: nothing is queued and nothing will be.
    End,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    gathered: Condvar,
}

#[derive(Debug, Default)]
struct State {
    urgent: Lane,
    patient: Lane,
    /// How many urgent batches ran since the last patient one.
    streak: u32,
    /// No new command is taken.
    is_closed: bool,
    /// The writer ends when it has nothing left.
    is_ending: bool,
    failed: Option<String>,
    /// The writer's thread is gone.
    has_ended: bool,
    waiting: Vec<oneshot::Sender<Result<u64>>>,
}

#[derive(Debug, Default)]
struct Lane {
    commands: VecDeque<Command>,
    pending: usize,
    pending_bytes: usize,
}

impl Queue {
    /// Queues a command.
    ///
    /// # Errors
    /// `overloaded` (a bound), `unavailable` (closed or failed).
    pub(super) fn push(&self, command: Command) -> Result<()> {
        let mut state = self.state.lock();
        state.check_open()?;
        let (lane, max, max_bytes) = if command.is_patient() {
            (&mut state.patient, RECALL_QUEUE_MAX, RECALL_QUEUE_BYTES_MAX)
        } else {
            (&mut state.urgent, QUEUE_GROUPS_MAX, QUEUE_BYTES_MAX)
        };
        let bytes = lane.pending_bytes.saturating_add(command.bytes);
        if lane.pending >= max || bytes > max_bytes {
            return Err(Error::overloaded("the write queue of the store is full")
                .with("pending", lane.pending)
                .with("max", max)
                .with("max_bytes", max_bytes));
        }
        lane.pending += 1;
        lane.pending_bytes = bytes;
        lane.commands.push_back(command);
        let is_gathered = state.urgent.commands.len() >= GATHERED;
        drop(state);
        if is_gathered {
            self.gathered.notify_one();
        }
        self.ready.notify_one();
        Ok(())
    }

    /// Moves what runs together into `batch`. Blocks while nothing is queued, unless there is background work.
    pub(super) fn next(&self, batch: &mut Vec<Command>, alone: bool, has_background: bool) -> Next {
        let mut state = self.state.lock();
        loop {
            let recall_waits = has_background || !state.patient.commands.is_empty();
            let is_recalls_turn = recall_waits && state.streak >= PATIENT_EVERY;
            if !state.urgent.commands.is_empty() && !is_recalls_turn {
                state.streak += 1;
                let count = if alone { 1 } else { state.urgent.commands.len() };
                batch.extend(state.urgent.commands.drain(..count));
                return Next::Batch;
            }
            if recall_waits {
                state.streak = 0;
                // Background work is older than what is queued behind it.
                return if has_background { Next::Background } else { state.patient.take(batch) };
            }
            if state.is_ending {
                return Next::End;
            }
            self.ready.wait(&mut state);
        }
    }

    /// Waits a moment for more, unless there is enough already.
    pub(super) fn gather(&self) {
        let mut state = self.state.lock();
        if state.urgent.commands.len() < GATHERED && !state.is_ending {
            self.gathered.wait_for(&mut state, GATHER);
        }
    }

    /// Says that commands were answered.
    pub(super) fn answered(&self, is_patient: bool, count: usize, bytes: usize) {
        let mut state = self.state.lock();
        let lane = if is_patient { &mut state.patient } else { &mut state.urgent };
        lane.pending = lane.pending.saturating_sub(count);
        lane.pending_bytes = lane.pending_bytes.saturating_sub(bytes);
    }

    /// Takes no new command from now on.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
    }

    /// Closes, and lets the writer end when everything is answered.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.is_ending = true;
        drop(state);
        self.gathered.notify_one();
        self.ready.notify_one();
    }

    /// Returns the answer that comes when the writer has ended.
    pub(super) fn ended(&self) -> oneshot::Receiver<Result<u64>> {
        let (reply, answer) = oneshot::channel();
        let mut state = self.state.lock();
        if state.has_ended {
            // The receiver is at hand, so this cannot fail.
            let _ = reply.send(state.failed.as_deref().map_or(Ok(0), |reason| Err(failed(reason))));
        } else {
            state.waiting.push(reply);
        }
        answer
    }

    /// Says that the writer's thread is gone, with the reason if it failed; answers everything still queued.
    pub(super) fn ended_with(&self, result: Result<(), String>) {
        let (waiting, commands, reason) = {
            let mut state = self.state.lock();
            state.is_closed = true;
            state.has_ended = true;
            state.failed = result.err();
            let mut commands = std::mem::take(&mut state.urgent).commands;
            commands.extend(std::mem::take(&mut state.patient).commands);
            (std::mem::take(&mut state.waiting), commands, state.failed.clone())
        };
        let answer = |otherwise: Result<u64>| reason.as_deref().map_or(otherwise, |reason| Err(failed(reason)));
        // Whoever dropped the receiving end does not want to know.
        for command in commands {
            let _ = command.reply.send(answer(Err(closed())));
        }
        for waiter in waiting {
            let _ = waiter.send(answer(Ok(0)));
        }
    }

    /// Returns the state, the number of pending commands and their bytes.
    pub(super) fn view(&self) -> (HealthState, usize, usize) {
        let state = self.state.lock();
        let health = match &state.failed {
            Some(reason) => HealthState::Failed(reason.clone()),
            None if state.is_closed => HealthState::Closed,
            None => HealthState::Open,
        };
        let (urgent, patient) = (&state.urgent, &state.patient);
        (health, urgent.pending + patient.pending, urgent.pending_bytes + patient.pending_bytes)
    }
}

impl State {
    fn check_open(&self) -> Result<()> {
        match &self.failed {
            Some(reason) => Err(failed(reason)),
            None if self.is_closed => Err(closed()),
            None => Ok(()),
        }
    }
}

impl Lane {
    fn take(&mut self, batch: &mut Vec<Command>) -> Next {
        let mut messages = 0;
        while let Some(command) = self.commands.front() {
            messages += command.messages();
            if !batch.is_empty() && messages > PATIENT_BATCH_MESSAGES {
                break;
            }
            batch.extend(self.commands.pop_front());
        }
        Next::Batch
    }
}

/// Returns the error of a store that was closed.
pub(super) fn closed() -> Error {
    Error::unavailable("the store is closed")
}

fn failed(reason: &str) -> Error {
    Error::unavailable("the store failed and must be opened again").with("reason", reason)
}
