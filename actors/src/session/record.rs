//! What a session writes to its journal, and how each record reads as public events.
//!
//! One table maps both ways of looking at a turn:
//!
//! | record | public events |
//! |---|---|
//! | `opened`, `turn_started`, `reserved`, `cancelled` | none |
//! | `resumed` | `retry` |
//! | `answered` | `thinking`, `text` (one each per stretch), `usage`, `tool_call`, `handoff` to an agent that comes back |
//! | `tools_finished` | `handoff` back to the agent that asked, `tool_result` |
//! | `handed_off` | `handoff` |
//! | `turn_ended` | `done` or `error` |
//!
//! A group is one append: all its records are durable together. Text deltas are visible before their record; their
//! numbers and text offsets are kept in it, so that a cursor inside a finished step gets the rest and nothing twice.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use beluga_core::{
    AgentName, ChatMessage, Effect, Error, ErrorRecord, Event, HandoffMode, Numbered, ResponseFormat, Result,
    ToolResult, TurnId, Usage,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::origin::{Beginning, Origin};

/// How many event numbers are reserved at a time.
pub(crate) const NUMBERS_PER_RANGE: u64 = 1024;

/// How many bytes of a group are written without growing the buffer: as many as most groups have, and as most
/// allocators keep at hand.
const GROUP_EXPECTED_BYTES: usize = 1000;

/// A buffer for JSON, which comes in pieces of a byte or few: written in place, not through a call each.
struct Line(Vec<u8>);

impl io::Write for Line {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match bytes {
            [byte] => self.0.push(*byte),
            bytes => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One append of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupBody {
    /// Calendar time of the append, milliseconds since 1970 UTC.
    pub(crate) at_ms: u64,
    /// The turn it belongs to.
    pub(crate) turn: TurnId,
    /// The agent that acts.
    pub(crate) agent: AgentName,
    /// What happened, in order.
    pub(crate) records: Vec<Record>,
}

impl GroupBody {
    /// Encodes the group as JSON: self-describing, so that an older journal stays readable.
    pub(crate) fn encode(&self) -> Result<Bytes> {
        let mut line = Line(Vec::with_capacity(GROUP_EXPECTED_BYTES));
        serde_json::to_writer(&mut line, self)
            .map_err(|error| Error::internal("a session record is no JSON").with_source(error))?;
        // A large one is not copied, though it keeps what its buffer grew too far.
        if line.0.capacity() > GROUP_EXPECTED_BYTES {
            return Ok(Bytes::from(line.0));
        }
        Ok(Bytes::copy_from_slice(&line.0))
    }

    /// Decodes a group.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self> {
        serde_json::from_slice(payload)
            .map_err(|error| Error::decode("a session record cannot be read").with_source(error))
    }

    /// Returns the public events of the group with a number above `after`, oldest first. `beginning` is that of the turn
    /// the groups before left open, and is moved on where one starts.
    pub(crate) fn events(&self, after: u64, beginning: &mut Beginning) -> Vec<Numbered> {
        let mut events = Vec::new();
        self.visit((after, after), beginning, |event| events.push(event));
        events
    }

    /// Returns the public events of the group but those that were shown while they came.
    pub(crate) fn unshown(&self, mut beginning: Beginning) -> Vec<Arc<Numbered>> {
        let mut events = Vec::new();
        self.visit((u64::MAX, 0), &mut beginning, |event| events.push(Arc::new(event)));
        events
    }

    fn visit(&self, (shown_after, after): (u64, u64), beginning: &mut Beginning, mut emit: impl FnMut(Numbered)) {
        for record in &self.records {
            if let Record::TurnStarted { origin, .. } = record {
                *beginning = Beginning::new(self.at_ms, origin);
            }
            record.events(shown_after, after, |number, timing, event| {
                let (at_ms, meta) = match timing {
                    Timing::Group => (self.at_ms, beginning.meta_at(self.at_ms)),
                    Timing::Stretch(0) => (self.at_ms, beginning.meta_of(None)),
                    Timing::Stretch(at_ms) => (at_ms, beginning.meta_at(at_ms)),
                    Timing::Took(took_ms) => (self.at_ms, beginning.meta_of(took_ms)),
                };
                emit(Numbered { number, turn: self.turn.clone(), agent: self.agent.clone(), at_ms, meta, event });
            });
        }
    }
}

/// What an event's time and latency are taken from.
#[derive(Debug, Clone, Copy)]
enum Timing {
    /// The time of its group, since the turn began.
    Group,
    /// The time at which its stretch of text began, 0 in an old journal; since the turn began.
    Stretch(u64),
    /// The time of its group; what it tells of took so many milliseconds.
    Took(Option<u64>),
}

/// One fact about a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(crate) enum Record {
    /// The session came to be.
    Opened {
        /// What was said before it began, when another agent delegates to it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        history: Vec<ChatMessage>,
    },
    /// A turn began.
    TurnStarted {
        /// What was asked.
        input: ChatMessage,
        /// The caller's idempotency key and the digest of its body.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<KeyMark>,
        /// The form its answer must have.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<ResponseFormat>,
        /// Which request it serves and in which trace.
        #[serde(default, skip_serializing_if = "Origin::is_unknown")]
        origin: Box<Origin>,
        /// The caller's labels.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        metadata: BTreeMap<String, String>,
        /// The numbers reserved for its events: the first of the range.
        from: u64,
        /// The last number of the range.
        until: u64,
        /// How many handoffs led to this turn, when another agent delegates to it.
        #[serde(default, skip_serializing_if = "is_zero")]
        hops: u32,
    },
    /// More numbers were reserved.
    Reserved {
        /// The last number now reserved.
        until: u64,
    },
    /// The turn began again after a crash.
    Resumed {
        /// Which try begins, from 2.
        attempt: u32,
        /// The number of the `retry` event.
        number: u64,
        /// The first number that is void.
        discard_from: u64,
        /// The last number reserved.
        until: u64,
    },
    /// The model answered.
    Answered(Answered),
    /// Tools of the answer finished.
    ToolsFinished {
        /// One result per call, in the order of the calls.
        results: Vec<FinishedCall>,
    },
    /// Another agent took over.
    HandedOff {
        /// The number of the `handoff` event.
        number: u64,
        /// Who handed over.
        from: AgentName,
        /// Who took over.
        to: AgentName,
        /// Whether it comes back.
        mode: HandoffMode,
        /// What was said before the turn, where the handoff filters it: the conversation from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transcript: Option<Vec<ChatMessage>>,
    },
    /// The turn is to be cancelled.
    Cancelled,
    /// The turn ended.
    TurnEnded {
        /// The number of the `done` or `error` event.
        number: u64,
        /// How.
        outcome: Outcome,
        /// Tokens of the whole turn.
        usage: Usage,
    },
}

/// An idempotency key and what it was first used with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyMark {
    /// The caller's key.
    pub(crate) key: String,
    /// A digest of the body; the same key with another one is refused.
    pub(crate) digest: String,
}

/// One answer of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answered {
    /// The message, for the history.
    pub(crate) message: Arc<ChatMessage>,
    /// What was shown of it while it came, for cursors.
    pub(crate) shown: Vec<Shown>,
    /// The tool calls about to run.
    pub(crate) intents: Arc<[Intent]>,
    /// The number of the `usage` event.
    pub(crate) usage_number: u64,
    /// How long the answer took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) took_ms: Option<u64>,
}

/// A stretch of text or thinking that was shown in pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// Whether it is thinking.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) thinking: bool,
    /// The whole stretch.
    pub(crate) text: String,
    /// When its first piece was shown: calendar time, milliseconds since 1970 UTC. All its events have this time, so that
    /// a piece costs no look at the clock and reads the same from here.
    #[serde(default, skip_serializing_if = "is_never")]
    pub(crate) at_ms: u64,
    /// Event number and the byte offset at which its piece ends, rising.
    pub(crate) marks: Vec<(u64, usize)>,
}

impl Shown {
    /// Returns the number of the last piece and the text after the piece numbered `after`; `None` if all was seen.
    fn rest(&self, after: u64) -> Option<(u64, &str)> {
        let (last, _) = *self.marks.last()?;
        if last <= after {
            return None;
        }
        let seen = self.marks.iter().rev().find(|(number, _)| *number <= after).map_or(0, |(_, end)| *end);
        self.text.get(seen..).filter(|rest| !rest.is_empty()).map(|rest| (last, rest))
    }
}

/// A tool call about to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intent {
    /// The number of the `tool_call` event.
    pub(crate) number: u64,
    /// The id the model gave.
    pub(crate) id: String,
    /// The tool's name.
    pub(crate) name: String,
    /// The arguments as the model wrote them.
    pub(crate) arguments: String,
    /// What a repeated call does.
    pub(crate) effect: Effect,
    /// The key of this call, the same after every resume.
    pub(crate) key: String,
    /// Whom the call asks, if it is a handoff that comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) relay: Option<Relay>,
}

/// The conversation passes from one agent to another, and is to come back or does come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Relay {
    /// The number of the `handoff` event.
    pub(crate) number: u64,
    /// Who had it.
    pub(crate) from: AgentName,
    /// Who has it now.
    pub(crate) to: AgentName,
}

/// A finished tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FinishedCall {
    /// The number of the `tool_result` event.
    pub(crate) number: u64,
    /// What the tool answered.
    pub(crate) result: ToolResult,
    /// How long the call took, in milliseconds; absent if it was not run to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) took_ms: Option<u64>,
    /// Who gives the conversation back with this result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) relay: Option<Relay>,
}

/// How a turn ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// With an answer.
    Done {
        /// The answer.
        result: String,
    },
    /// With an error.
    Failed {
        /// Why.
        error: ErrorRecord,
    },
}

impl Record {
    fn events(&self, shown_after: u64, after: u64, mut emit: impl FnMut(u64, Timing, Event)) {
        let mut emit = |number: u64, timing: Timing, event: Event| {
            if number > after {
                emit(number, timing, event);
            }
        };
        match self {
            Record::Opened { .. } | Record::TurnStarted { .. } | Record::Reserved { .. } | Record::Cancelled => {}
            Record::Resumed { attempt, number, discard_from, .. } => {
                emit(*number, Timing::Group, Event::Retry { attempt: *attempt, discard_from: Some(*discard_from) });
            }
            Record::Answered(answered) => answered.events(shown_after, emit),
            Record::ToolsFinished { results } => {
                for call in results {
                    if let Some(relay) = &call.relay {
                        emit(relay.number, Timing::Group, relay.event());
                    }
                    emit(call.number, Timing::Took(call.took_ms), tool_result(&call.result));
                }
            }
            Record::HandedOff { number, from, to, mode, .. } => {
                emit(*number, Timing::Group, Event::Handoff { from: from.clone(), to: to.clone(), mode: *mode });
            }
            Record::TurnEnded { number, outcome, usage } => emit(*number, Timing::Group, outcome.event(*usage)),
        }
    }

    /// Returns the highest number this record makes durable.
    pub(crate) fn last_number(&self) -> Option<u64> {
        match self {
            Record::Opened { .. } | Record::TurnStarted { .. } | Record::Reserved { .. } | Record::Cancelled => None,
            Record::Resumed { number, .. } | Record::HandedOff { number, .. } | Record::TurnEnded { number, .. } => {
                Some(*number)
            }
            Record::Answered(answered) => {
                answered.intents.iter().map(Intent::last_number).chain([answered.usage_number]).max()
            }
            Record::ToolsFinished { results } => results.iter().map(|call| call.number).max(),
        }
    }
}

impl Answered {
    /// Returns how many bytes of text were shown and how many the arguments have.
    pub(crate) fn text_bytes(&self) -> usize {
        let shown = self.shown.iter().map(|shown| shown.text.len());
        shown.chain(self.intents.iter().map(|intent| intent.arguments.len())).sum()
    }

    fn events(&self, shown_after: u64, mut emit: impl FnMut(u64, Timing, Event)) {
        for shown in &self.shown {
            if let Some((number, rest)) = shown.rest(shown_after) {
                let text = rest.to_owned();
                let event = if shown.thinking { Event::Thinking { text } } else { Event::Text { text } };
                emit(number, Timing::Stretch(shown.at_ms), event);
            }
        }
        let usage = self.message.usage.unwrap_or_default();
        emit(self.usage_number, Timing::Took(self.took_ms), Event::Usage { usage });
        for intent in &*self.intents {
            emit(intent.number, Timing::Group, intent.event());
            if let Some(relay) = &intent.relay {
                emit(relay.number, Timing::Group, relay.event());
            }
        }
    }
}

impl Intent {
    /// Returns the public event.
    pub(crate) fn event(&self) -> Event {
        Event::ToolCall { id: self.id.clone(), name: self.name.clone(), arguments: self.arguments.clone() }
    }

    /// Returns the highest number of the call's events.
    fn last_number(&self) -> u64 {
        self.relay.as_ref().map_or(self.number, |relay| relay.number.max(self.number))
    }
}

impl Relay {
    /// Returns the way back, shown under this number.
    pub(crate) fn back(&self, number: u64) -> Self {
        Self { number, from: self.to.clone(), to: self.from.clone() }
    }

    /// Returns the public event.
    fn event(&self) -> Event {
        Event::Handoff { from: self.from.clone(), to: self.to.clone(), mode: HandoffMode::Return }
    }
}

impl Outcome {
    /// Returns the public event.
    pub(crate) fn event(&self, usage: Usage) -> Event {
        match self {
            Outcome::Done { result } => Event::Done { result: result.clone(), usage },
            Outcome::Failed { error } => Event::Error { error: Error::from(error.clone()).problem() },
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The form serde calls.
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The form serde calls.
fn is_never(at_ms: &u64) -> bool {
    *at_ms == 0
}

/// Returns the public event of a finished call.
pub(crate) fn tool_result(result: &ToolResult) -> Event {
    Event::ToolResult {
        id: result.call_id.clone(),
        name: result.name.clone(),
        content: result.text(),
        outcome: result.outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown() -> Shown {
        Shown { thinking: false, text: "abcdef".into(), at_ms: 3, marks: vec![(5, 2), (6, 4), (9, 6)] }
    }

    #[test]
    fn a_cursor_inside_a_finished_step_gets_the_rest() {
        assert_eq!(shown().rest(0), Some((9, "abcdef")));
        assert_eq!(shown().rest(5), Some((9, "cdef")));
        assert_eq!(shown().rest(7), Some((9, "ef")));
        assert_eq!(shown().rest(9), None);
    }

    #[test]
    fn a_group_without_times_is_read_without_latencies() {
        let old = r#"{"at_ms":9,"turn":"t1","agent":"a","records":[{"record":"answered","message":{"role":"assistant",
            "parts":[{"type":"text","text":"ab"}]},"shown":[{"text":"ab","marks":[[1,2]]}],"intents":[],"usage_number":2}]}"#;
        let events = GroupBody::decode(old.as_bytes()).unwrap().events(0, &mut Beginning::default());
        assert!(events.iter().all(|event| event.at_ms == 9 && event.meta.is_empty()), "{events:?}");
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn a_group_survives_encoding() {
        let group = GroupBody {
            at_ms: 1,
            turn: TurnId::parse("t1").unwrap(),
            agent: AgentName::parse("a").unwrap(),
            records: vec![
                Record::Opened { history: vec![] },
                Record::TurnStarted {
                    input: ChatMessage::user("hi"),
                    key: None,
                    format: None,
                    origin: Box::default(),
                    metadata: BTreeMap::new(),
                    from: 1,
                    until: 1024,
                    hops: 0,
                },
                Record::Answered(Answered {
                    message: Arc::new(ChatMessage::assistant("abcdef")),
                    shown: vec![shown()],
                    intents: Arc::default(),
                    usage_number: 10,
                    took_ms: Some(4),
                }),
                Record::Cancelled,
                Record::TurnEnded {
                    number: 11,
                    outcome: Outcome::Done { result: "abcdef".into() },
                    usage: Usage::default(),
                },
            ],
        };
        assert_eq!(GroupBody::decode(&group.encode().unwrap()).unwrap(), group);
        let events = group.events(5, &mut Beginning::default());
        let numbers: Vec<u64> = events.iter().map(|event| event.number).collect();
        assert_eq!(numbers, [9, 10, 11]);
        let latencies: Vec<Option<u64>> = events.iter().map(|event| event.meta.latency_ms).collect();
        assert_eq!((events[0].at_ms, latencies), (3, vec![Some(2), Some(4), Some(0)]));
    }
}
