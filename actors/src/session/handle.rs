//! What a caller hands to a session and gets back.

use std::collections::BTreeMap;

use beluga_core::{CallContext, ChatMessage, Error, ResponseFormat, Result, SessionId, TurnId, Usage};
use serde::{Deserialize, Serialize};

/// The most labels of one request.
pub const METADATA_MAX: usize = 16;

/// The most bytes of a label's key.
pub const METADATA_KEY_MAX_BYTES: usize = 64;

/// The most bytes of a label's value.
pub const METADATA_VALUE_MAX_BYTES: usize = 512;

/// One request to an agent.
///
/// ```
/// use beluga_actors::session::Invoke;
/// use beluga_core::SessionId;
///
/// let invoke = Invoke::text("Hello").with_session(SessionId::parse("s-1").unwrap()).with_idempotency_key("order-17");
/// assert_eq!(invoke.input.text(), "Hello");
/// ```
#[derive(Debug, Clone)]
pub struct Invoke {
    /// What is asked.
    pub input: ChatMessage,
    /// The session to go on with; a new one if absent.
    pub session: Option<SessionId>,
    /// The key under which a repeated request has one effect; kept for 24 hours.
    pub idempotency_key: Option<String>,
    /// Tenant, principal, trace and deadline of the turn.
    pub context: CallContext,
    /// The form the answer must have; instead of the agent's own.
    pub format: Option<ResponseFormat>,
    /// The caller's labels: kept with the turn, seen by planners and readers of the conversation, never by the model.
    pub metadata: BTreeMap<String, String>,
    /// Whether dropping the stream cancels the turn.
    pub cancel_on_drop: bool,
    pub(crate) history: Vec<std::sync::Arc<ChatMessage>>,
    pub(crate) hops: u32,
    /// Whether the deadline of the context is the turn's own limit and no caller's.
    pub(crate) unhurried: bool,
}

impl Invoke {
    /// Makes a request of a message.
    #[must_use]
    pub fn new(input: ChatMessage) -> Self {
        Self {
            input,
            session: None,
            idempotency_key: None,
            context: CallContext::new(),
            format: None,
            metadata: BTreeMap::new(),
            cancel_on_drop: false,
            history: Vec::new(),
            hops: 0,
            unhurried: false,
        }
    }

    /// Makes a request of a text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(ChatMessage::user(text))
    }

    /// Goes on with a session.
    #[must_use]
    pub fn with_session(mut self, session: SessionId) -> Self {
        self.session = Some(session);
        self
    }

    /// Sets the idempotency key.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Replaces the context.
    #[must_use]
    pub fn with_context(mut self, context: CallContext) -> Self {
        self.context = context;
        self
    }

    /// Asks for an answer of a form. A model that knows none is told in words; nothing here checks the answer, see
    /// [`Ask::output`](crate::agent::Ask::output).
    #[must_use]
    pub fn with_format(mut self, format: ResponseFormat) -> Self {
        self.format = Some(format);
        self
    }

    /// Adds a label; at most [`METADATA_MAX`], each within [`METADATA_KEY_MAX_BYTES`] and [`METADATA_VALUE_MAX_BYTES`].
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Checks the bounds of the labels.
    pub(crate) fn check_metadata(&self) -> Result<()> {
        let fits = |(key, value): (&String, &String)| {
            (1..=METADATA_KEY_MAX_BYTES).contains(&key.len()) && value.len() <= METADATA_VALUE_MAX_BYTES
        };
        if self.metadata.len() <= METADATA_MAX && self.metadata.iter().all(fits) {
            return Ok(());
        }
        Err(Error::invalid_input("too many labels, or one is too long")
            .with("field", "metadata")
            .with("entries_max", METADATA_MAX)
            .with("key_max_bytes", METADATA_KEY_MAX_BYTES)
            .with("value_max_bytes", METADATA_VALUE_MAX_BYTES))
    }

    /// Cancels the turn when the stream is dropped before its end.
    #[must_use]
    pub fn cancel_on_drop(mut self, cancel: bool) -> Self {
        self.cancel_on_drop = cancel;
        self
    }
}

/// The answer of a finished turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The answer.
    pub result: String,
    /// The session, to go on with.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// Tokens of the turn.
    pub usage: Usage,
}
