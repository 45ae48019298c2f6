//! What a caller hands to a session and gets back.

use beluga_core::{CallContext, ChatMessage, ResponseFormat, SessionId, TurnId, Usage};
use serde::{Deserialize, Serialize};

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
    /// Whether dropping the stream cancels the turn.
    pub cancel_on_drop: bool,
    pub(crate) history: Vec<std::sync::Arc<ChatMessage>>,
    pub(crate) hops: u32,
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
            cancel_on_drop: false,
            history: Vec::new(),
            hops: 0,
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
