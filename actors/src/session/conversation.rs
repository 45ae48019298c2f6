//! A session as people read it: its turns, in pages, folded from the journal without waking the session.

use std::collections::BTreeMap;
use std::sync::Arc;

use beluga_core::{
    AgentName, Code, Error, Group, HandoffMode, Journal, Problem, RequestId, Result, SessionId, StreamKey, TenantId,
    TurnId, Usage,
};
use serde::{Deserialize, Serialize};

use super::directory::Sessions;
use super::record::{GroupBody, Outcome, Record};
use super::stream::EventStream;

/// The most turns of one page.
pub const PAGE_MAX_TURNS: usize = 200;

/// How many turns a page has unless the reader says otherwise.
pub const PAGE_TURNS_DEFAULT: usize = 50;

/// A page takes no further turn once it holds so many bytes of text; its first turn always fits.
pub const PAGE_MAX_BYTES: usize = 1024 * 1024;

/// How many groups one read brings.
const GROUPS_PER_READ: usize = 64;

/// Which turns of a conversation are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Where to go on: the [`Conversation::next`] of the page before; the first turn if absent.
    pub from: Option<u64>,
    /// The most turns, 1 to [`PAGE_MAX_TURNS`].
    pub limit: usize,
}

impl Default for Page {
    /// Returns the first [`PAGE_TURNS_DEFAULT`] turns.
    fn default() -> Self {
        Self { from: None, limit: PAGE_TURNS_DEFAULT }
    }
}

/// One page of a session's turns, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// The session.
    pub session: SessionId,
    /// Its turns; the last one of the session may still run.
    pub turns: Vec<ConversationTurn>,
    /// Where the next page begins; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One turn: what was asked, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConversationTurn {
    /// The turn.
    pub turn: TurnId,
    /// The agent that has it, or had it at its end.
    pub agent: AgentName,
    /// How it stands.
    pub status: TurnStatus,
    /// The text of what was asked.
    pub input: String,
    /// The answer of a turn that is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Why the turn failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Problem>,
    /// The caller's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The trace it belongs to, 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The request from outside that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
    /// When it began: calendar time, milliseconds since 1970 UTC.
    pub started_at_ms: u64,
    /// When it ended; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<u64>,
    /// How often the model answered.
    pub steps: u32,
    /// How many tools the model called.
    pub tool_calls: u32,
    /// How often it began; more than 1 after a crash.
    pub attempts: u32,
    /// Tokens, as far as they are recorded.
    pub usage: Usage,
}

/// How a turn stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnStatus {
    /// It runs, or goes on when its session is activated.
    Running,
    /// It ended with an answer.
    Done,
    /// It ended with an error.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// One session, to look at. Made by [`AgentRef::session`](crate::agent::AgentRef::session) and [`Sessions::of`].
#[derive(Debug, Clone)]
pub struct SessionRef {
    pub(crate) sessions: Sessions,
    pub(crate) tenant: TenantId,
    pub(crate) id: SessionId,
}

impl SessionRef {
    /// Names the tenant the session belongs to, where it is not the default one.
    #[must_use]
    pub fn of_tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = tenant;
        self
    }

    /// Returns the session's id.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Returns the first page of its turns; see [`Sessions::conversation`].
    ///
    /// # Errors
    /// `not_found` if there is no such session; what the journal answers.
    pub async fn conversation(&self) -> Result<Conversation> {
        self.page(Page::default()).await
    }

    /// Returns a page of its turns; see [`Sessions::conversation`].
    ///
    /// # Errors
    /// As [`Sessions::conversation`].
    pub async fn page(&self, page: Page) -> Result<Conversation> {
        self.sessions.conversation(&self.tenant, &self.id, page).await
    }

    /// Returns its events; see [`Sessions::events`].
    ///
    /// # Errors
    /// As [`Sessions::events`].
    pub async fn events(&self, after: Option<u64>, follow: bool) -> Result<EventStream> {
        self.sessions.events(&self.tenant, &self.id, after, follow).await
    }

    /// Cancels its running turn; see [`Sessions::cancel`].
    ///
    /// # Errors
    /// As [`Sessions::cancel`].
    pub async fn cancel(&self) -> Result<Option<TurnId>> {
        self.sessions.cancel(&self.tenant, &self.id).await
    }
}

/// Reads one page from the journal.
///
/// # Errors
/// `invalid_input` for a limit out of range; `not_found` if the stream is empty; what the journal answers.
pub(crate) async fn read(
    journal: &Arc<dyn Journal>,
    key: StreamKey,
    session: &SessionId,
    page: Page,
) -> Result<Conversation> {
    if page.limit == 0 || page.limit > PAGE_MAX_TURNS {
        let error = Error::invalid_input(format!("a page has 1 to {PAGE_MAX_TURNS} turns"));
        return Err(error.with("field", "limit").with("limit", page.limit));
    }
    let (mut fold, mut from) = (Fold::new(page.limit), page.from.unwrap_or(1).max(1));
    loop {
        let groups = journal.read(key.clone(), from, GROUPS_PER_READ).await?;
        if groups.is_empty() && fold.turns.is_empty() && !exists(journal, &key).await? {
            return Err(Error::not_found("no such session").with("session", session));
        }
        for group in &groups {
            if !fold.take(group)? {
                return Ok(Conversation { session: session.clone(), turns: fold.turns, next: Some(group.version) });
            }
        }
        match groups.last() {
            Some(last) if groups.len() == GROUPS_PER_READ => from = last.version + 1,
            _ => return Ok(Conversation { session: session.clone(), turns: fold.turns, next: None }),
        }
    }
}

async fn exists(journal: &Arc<dyn Journal>, key: &StreamKey) -> Result<bool> {
    Ok(!journal.read(key.clone(), 1, 1).await?.is_empty())
}

/// Turns under construction.
struct Fold {
    limit: usize,
    bytes: usize,
    turns: Vec<ConversationTurn>,
}

impl Fold {
    fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, turns: Vec::new() }
    }

    /// Folds a group in; false if it begins a turn that no longer fits.
    fn take(&mut self, group: &Group) -> Result<bool> {
        let body = GroupBody::decode(&group.payload).map_err(|error| error.with("version", group.version))?;
        let begins = body.records.iter().any(|record| matches!(record, Record::TurnStarted { .. }));
        if begins && (self.turns.len() >= self.limit || self.bytes >= PAGE_MAX_BYTES) {
            return Ok(false);
        }
        let GroupBody { at_ms, turn, agent, records } = body;
        for record in records {
            self.apply(at_ms, &turn, &agent, record);
        }
        Ok(true)
    }

    fn apply(&mut self, at_ms: u64, id: &TurnId, agent: &AgentName, record: Record) {
        if let Record::TurnStarted { input, metadata, origin, .. } = record {
            let input = input.text();
            self.bytes += input.len();
            self.turns.push(ConversationTurn {
                turn: id.clone(),
                agent: agent.clone(),
                status: TurnStatus::Running,
                input,
                output: None,
                error: None,
                metadata,
                trace_id: origin.trace.is_valid().then(|| format!("{:032x}", origin.trace.trace_id)),
                request_id: origin.request,
                started_at_ms: at_ms,
                ended_at_ms: None,
                steps: 0,
                tool_calls: 0,
                attempts: 1,
                usage: Usage::default(),
            });
            return;
        }
        // A page that begins inside a turn leaves that turn to the page before.
        let Some(turn) = self.turns.last_mut().filter(|turn| turn.turn == *id) else { return };
        match record {
            Record::Resumed { attempt, .. } => turn.attempts = attempt,
            Record::Answered(answered) => {
                turn.steps += 1;
                turn.tool_calls =
                    turn.tool_calls.saturating_add(u32::try_from(answered.intents.len()).unwrap_or(u32::MAX));
                turn.usage += answered.message.usage.unwrap_or_default();
            }
            Record::HandedOff { to, mode: HandoffMode::Transfer, .. } => turn.agent = to,
            Record::TurnEnded { outcome, usage, .. } => {
                turn.ended_at_ms = Some(at_ms);
                turn.usage = usage;
                self.bytes += turn.end(outcome);
            }
            _ => {}
        }
    }
}

impl ConversationTurn {
    /// Notes the end and returns how many bytes it added.
    fn end(&mut self, outcome: Outcome) -> usize {
        match outcome {
            Outcome::Done { result } => {
                self.status = TurnStatus::Done;
                let bytes = result.len();
                self.output = Some(result);
                bytes
            }
            Outcome::Failed { error } => {
                let problem = Error::from(error).problem();
                self.status = if problem.code == Code::Cancelled { TurnStatus::Cancelled } else { TurnStatus::Failed };
                let bytes = problem.detail.len() + problem.partial.as_ref().map_or(0, String::len);
                self.error = Some(problem);
                bytes
            }
        }
    }
}
