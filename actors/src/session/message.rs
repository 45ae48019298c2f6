//! What may be said to a session.

use std::collections::BTreeMap;
use std::sync::Arc;

use beluga_core::{AgentName, CancelToken, ChatMessage, ResponseFormat, TurnId};
use beluga_runtime::{Message, protocol};

use super::hub::Hub;
use super::record::KeyMark;

/// Starts a turn, or attaches to the one the same key started. Answered once the turn is durable.
#[derive(Debug, Message)]
#[message(name = "session.start_turn", version = 1, reply = Started)]
pub(crate) struct StartTurn {
    /// The agent the caller speaks to.
    pub(crate) agent: AgentName,
    /// What is asked.
    pub(crate) input: ChatMessage,
    /// The caller's idempotency key.
    pub(crate) key: Option<KeyMark>,
    /// The form the answer must have.
    pub(crate) format: Option<ResponseFormat>,
    /// The caller's labels.
    pub(crate) metadata: BTreeMap<String, String>,
    /// What was said before, for a session another agent delegates to.
    pub(crate) history: Vec<Arc<ChatMessage>>,
    /// How many handoffs led to this turn.
    pub(crate) hops: u32,
    /// Whether the caller set a deadline: the turn then shares its time out.
    pub(crate) has_deadline: bool,
    /// Cancels the turn, waiting or running; the caller's half of it.
    pub(crate) cancel: CancelToken,
}

/// Where a turn's events are.
#[derive(Debug)]
pub(crate) struct Started {
    /// The turn.
    pub(crate) turn: TurnId,
    /// The event number before the turn's first.
    pub(crate) before: u64,
    /// The live end.
    pub(crate) hub: Arc<Hub>,
}

/// Cancels the running turn. Answered once the wish is durable.
#[derive(Debug, Message)]
#[message(name = "session.cancel_turn", version = 1, reply = Option<TurnId>, lane = "interrupt")]
pub(crate) struct CancelTurn {
    /// Only if this turn runs; whichever runs if absent.
    pub(crate) turn: Option<TurnId>,
}

/// Asks for the live end of the events, activating a session that exists.
#[derive(Debug, Message)]
#[message(name = "session.attach", version = 1, reply = Arc<Hub>)]
pub(crate) struct Attach;

/// Tells the session that its turn's job ended.
#[derive(Debug, Message)]
#[message(name = "session.turn_finished", version = 1, lane = "interrupt")]
pub(crate) struct TurnFinished {
    /// The incarnation that ran the job: its successor runs the turn in a job of its own.
    pub(crate) incarnation: u32,
    /// The turn.
    pub(crate) turn: TurnId,
    /// How its job ended.
    pub(crate) end: JobEnd,
}

/// How the job of a turn ended.
#[derive(Debug)]
pub(crate) enum JobEnd {
    /// The turn's end is in the journal, or it never began.
    Recorded,
    /// The job panicked or was killed; the journal is fine.
    Crashed(beluga_core::Error),
    /// The journal failed.
    Journal(beluga_core::Error),
}

protocol!(
    /// What may be said to a session.
    pub(crate) SessionProtocol: StartTurn, CancelTurn, Attach, TurnFinished
);
