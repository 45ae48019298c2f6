//! The state of a session: a pure fold over its journal.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use beluga_core::{AgentName, ChatMessage, Group, ResponseFormat, Result, ToolResult, TurnId, Usage};

use super::origin::{Beginning, Origin};
use super::record::{Answered, GroupBody, KeyMark, Outcome, Record, Relay};

/// How many idempotency keys a session remembers; the oldest finished one is forgotten first.
pub(crate) const KEYS_MAX: usize = 256;

/// How long a key is remembered, in milliseconds: 24 hours.
pub(crate) const KEY_AGE_MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// What the journal says about a session.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The version of the last group; 0 before the first.
    pub(crate) version: u64,
    /// The agent that owns the session now.
    pub(crate) agent: Option<AgentName>,
    /// The conversation, oldest first. Never holds a tool call without its result once its turn has ended.
    /// Shared with whoever reads it; a push copies the pointers only while somebody does.
    pub(crate) messages: Arc<Vec<Arc<ChatMessage>>>,
    /// What all answers came to: how many the vendors counted tokens of, and their tokens.
    pub(crate) used: (u64, Usage),
    /// How many turns ever started.
    pub(crate) turns: u64,
    /// The last event number ever reserved.
    pub(crate) reserved: u64,
    /// The last event number that is durable.
    pub(crate) recorded: u64,
    /// Where each turn begins: the event number before its first, and its group's version.
    pub(crate) index: Vec<(u64, u64)>,
    /// The turn that has not ended.
    pub(crate) open: Option<OpenTurn>,
    /// Idempotency keys in use, oldest first.
    pub(crate) keys: VecDeque<KeyEntry>,
    /// The last finished turn: its id, input and answer.
    pub(crate) last: Option<(TurnId, Arc<ChatMessage>, Arc<ChatMessage>, u64)>,
}

/// A turn that has not ended.
#[derive(Debug, Clone)]
pub(crate) struct OpenTurn {
    /// Its id.
    pub(crate) turn: TurnId,
    /// What was asked.
    pub(crate) input: Arc<ChatMessage>,
    /// The form its answer must have.
    pub(crate) format: Option<ResponseFormat>,
    /// Which request it serves and in which trace.
    pub(crate) origin: Origin,
    /// What its events are measured from.
    pub(crate) beginning: Beginning,
    /// The caller's labels.
    pub(crate) metadata: BTreeMap<String, String>,
    /// How often it began, from 1.
    pub(crate) attempt: u32,
    /// How often the model answered.
    pub(crate) steps: u32,
    /// Tokens so far.
    pub(crate) usage: Usage,
    /// An answer whose tools have no results yet.
    pub(crate) pending: Option<Answered>,
    /// Whether it is to be cancelled.
    pub(crate) cancelled: bool,
    /// How many handoffs it made, those that led to it included.
    pub(crate) hops: u32,
}

impl OpenTurn {
    /// Returns the handoffs that come back among the calls without a result, one place per call; empty if there are none.
    pub(crate) fn relays(&self) -> Vec<Option<Relay>> {
        let intents = self.pending.as_ref().map(|pending| &*pending.intents).unwrap_or_default();
        if intents.iter().all(|intent| intent.relay.is_none()) {
            return Vec::new();
        }
        intents.iter().map(|intent| intent.relay.clone()).collect()
    }
}

/// An idempotency key and the turn it started.
#[derive(Debug, Clone)]
pub(crate) struct KeyEntry {
    /// The key and the digest of the body.
    pub(crate) mark: KeyMark,
    /// The turn.
    pub(crate) turn: TurnId,
    /// The event number before the turn's first.
    pub(crate) before: u64,
    /// When it was used, milliseconds since 1970 UTC.
    pub(crate) at_ms: u64,
}

impl History {
    /// Folds groups in, oldest first.
    ///
    /// # Errors
    /// `decode` names the version that cannot be read.
    pub(crate) fn extend(&mut self, groups: &[Group]) -> Result<()> {
        for group in groups {
            let body = GroupBody::decode(&group.payload).map_err(|error| error.with("version", group.version))?;
            self.apply(group.version, body);
        }
        Ok(())
    }

    /// Folds one group in.
    pub(crate) fn apply(&mut self, version: u64, body: GroupBody) {
        let GroupBody { at_ms, turn, agent, records } = body;
        self.version = version;
        self.agent = Some(agent);
        for record in records {
            if let Some(number) = record.last_number() {
                self.recorded = self.recorded.max(number);
            }
            self.apply_record(version, at_ms, &turn, record);
        }
    }

    fn apply_record(&mut self, version: u64, at_ms: u64, turn: &TurnId, record: Record) {
        match record {
            Record::Opened { history } => self.conversation().extend(history.into_iter().map(Arc::new)),
            Record::TurnStarted { input, key, format, origin, metadata, from, until, hops } => {
                self.index.push((from.saturating_sub(1), version));
                self.start_turn(at_ms, turn, input, key, from);
                if let Some(open) = &mut self.open {
                    open.format = format;
                    open.hops = hops;
                    open.beginning = Beginning::new(at_ms, &origin);
                    open.origin = *origin;
                    open.metadata = metadata;
                }
                self.reserved = self.reserved.max(until);
            }
            Record::Reserved { until } => self.reserved = self.reserved.max(until),
            Record::Resumed { attempt, until, .. } => {
                self.reserved = self.reserved.max(until);
                if let Some(open) = &mut self.open {
                    open.attempt = attempt;
                }
            }
            Record::Answered(answered) => self.answer(answered),
            Record::ToolsFinished { results } => {
                self.finish_tools(results.into_iter().map(|call| call.result).collect());
            }
            Record::HandedOff { to, mode, transcript, .. } => {
                if let Some(transcript) = transcript {
                    self.replace_past(transcript);
                }
                if mode == beluga_core::HandoffMode::Transfer {
                    self.agent = Some(to);
                }
                if let Some(open) = &mut self.open {
                    open.hops += 1;
                }
            }
            Record::Cancelled => {
                if let Some(open) = &mut self.open {
                    open.cancelled = true;
                }
            }
            Record::TurnEnded { outcome, .. } => self.end_turn(at_ms, &outcome),
        }
    }

    fn conversation(&mut self) -> &mut Vec<Arc<ChatMessage>> {
        Arc::make_mut(&mut self.messages)
    }

    fn start_turn(&mut self, at_ms: u64, turn: &TurnId, input: ChatMessage, key: Option<KeyMark>, from: u64) {
        let input = Arc::new(input);
        self.turns += 1;
        self.conversation().push(Arc::clone(&input));
        if let Some(mark) = key {
            self.remember(KeyEntry { mark, turn: turn.clone(), before: from.saturating_sub(1), at_ms });
        }
        self.open = Some(OpenTurn {
            turn: turn.clone(),
            input,
            format: None,
            origin: Origin::default(),
            beginning: Beginning::default(),
            metadata: BTreeMap::new(),
            attempt: 1,
            steps: 0,
            usage: Usage::default(),
            pending: None,
            cancelled: false,
            hops: 0,
        });
    }

    /// Replaces what was said before the open turn.
    fn replace_past(&mut self, transcript: Vec<ChatMessage>) {
        let Some(open) = &self.open else { return };
        if let Some(position) = self.messages.iter().rposition(|message| Arc::ptr_eq(message, &open.input)) {
            self.conversation().splice(..position, transcript.into_iter().map(Arc::new));
        }
    }

    fn answer(&mut self, answered: Answered) {
        let usage = answered.message.usage.unwrap_or_default();
        // An answer of a cache or a hook asked no model.
        self.used.0 += u64::from(usage.total_tokens() > 0);
        self.used.1 += usage;
        self.conversation().push(Arc::clone(&answered.message));
        let pending = (!answered.intents.is_empty()).then_some(answered);
        if let Some(open) = &mut self.open {
            open.steps += 1;
            open.usage += usage;
            open.pending = pending;
        }
    }

    fn finish_tools(&mut self, results: Vec<ToolResult>) {
        self.conversation().push(Arc::new(ChatMessage::tool_results(results)));
        if let Some(open) = &mut self.open {
            open.pending = None;
        }
    }

    fn end_turn(&mut self, at_ms: u64, outcome: &Outcome) {
        let Some(open) = self.open.take() else { return };
        if let (Outcome::Done { .. }, Some(answer)) = (outcome, self.messages.last()) {
            self.last = Some((open.turn, open.input, Arc::clone(answer), at_ms));
        }
    }

    fn remember(&mut self, entry: KeyEntry) {
        while self.keys.len() >= KEYS_MAX
            || self.keys.front().is_some_and(|first| first.at_ms.saturating_add(KEY_AGE_MAX_MS) < entry.at_ms)
        {
            self.keys.pop_front();
        }
        self.keys.push_back(entry);
    }

    /// Returns what the events of the open turn are measured from.
    pub(crate) fn beginning(&self) -> Beginning {
        self.open.as_ref().map_or_else(Beginning::default, |open| open.beginning)
    }

    /// Returns the turn a key started, unless it is too old at `now_ms`.
    pub(crate) fn key(&self, key: &str, now_ms: u64) -> Option<&KeyEntry> {
        self.keys
            .iter()
            .rev()
            .find(|entry| entry.mark.key == key && entry.at_ms.saturating_add(KEY_AGE_MAX_MS) >= now_ms)
    }

    /// Returns the version of the group to start reading at for events after `cursor`.
    pub(crate) fn version_after(index: &[(u64, u64)], cursor: u64) -> u64 {
        let position = index.partition_point(|(before, _)| *before <= cursor);
        position.checked_sub(1).and_then(|at| index.get(at)).map_or(1, |(_, version)| *version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_starts_at_the_turn_that_holds_the_cursor() {
        let index = [(0, 1), (1024, 5), (2048, 9)];
        assert_eq!(History::version_after(&index, 0), 1);
        assert_eq!(History::version_after(&index, 1023), 1);
        assert_eq!(History::version_after(&index, 1024), 5);
        assert_eq!(History::version_after(&index, 9999), 9);
        assert_eq!(History::version_after(&[], 7), 1);
    }
}
