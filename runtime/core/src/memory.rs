//! The contracts of memory: what an agent keeps between turns and how it is found again.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::BoxFuture;
use crate::content::{ChatMessage, Role};
use crate::context::CallContext;
use crate::error::Result;
use crate::id::{AgentName, SessionId, TenantId, TurnId};

/// Whose memory it is. Nothing ever crosses a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MemoryOwner {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent.
    pub agent: AgentName,
}

/// A tier of memory. A turn loads before it plans and saves after it finished.
pub trait Memory: fmt::Debug + Send + Sync + 'static {
    /// Keeps what was asked and answered.
    ///
    /// # Errors
    /// `unavailable`, `internal`; the turn is finished all the same.
    fn save(&self, exchange: Exchange) -> BoxFuture<'static, Result<()>>;

    /// Returns what belongs in the prompt of a new turn, as text for the system prompt; empty if nothing does.
    ///
    /// # Errors
    /// `unavailable`, `internal`.
    fn load(&self, query: MemoryQuery) -> BoxFuture<'static, Result<String>>;

    /// Returns the best matches, best first.
    ///
    /// # Errors
    /// `unavailable`, `internal`; a query in a wrong syntax is searched as plain words, never an error.
    fn search(&self, query: MemoryQuery) -> BoxFuture<'static, Result<Vec<Recollection>>>;

    /// Forgets everything of the owner in this tier.
    ///
    /// # Errors
    /// `unavailable`, `internal`.
    fn clear(&self, owner: MemoryOwner) -> BoxFuture<'static, Result<()>>;
}

impl<M: Memory + ?Sized> Memory for Arc<M> {
    fn save(&self, exchange: Exchange) -> BoxFuture<'static, Result<()>> {
        (**self).save(exchange)
    }

    fn load(&self, query: MemoryQuery) -> BoxFuture<'static, Result<String>> {
        (**self).load(query)
    }

    fn search(&self, query: MemoryQuery) -> BoxFuture<'static, Result<Vec<Recollection>>> {
        (**self).search(query)
    }

    fn clear(&self, owner: MemoryOwner) -> BoxFuture<'static, Result<()>> {
        (**self).clear(owner)
    }
}

/// One finished turn, as memory sees it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Whose memory.
    pub owner: MemoryOwner,
    /// The session it happened in.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// What was asked.
    pub input: Arc<ChatMessage>,
    /// What was answered.
    pub output: Arc<ChatMessage>,
    /// Calendar time, milliseconds since 1970 UTC.
    pub at_ms: u64,
    /// The call it is saved for: trace, deadline, cancellation.
    pub context: CallContext,
}

/// What is looked for.
#[derive(Debug, Clone)]
pub struct MemoryQuery {
    /// Whose memory.
    pub owner: MemoryOwner,
    /// The words.
    pub text: String,
    /// The most results.
    pub limit: usize,
    /// Only this session; all sessions of the owner if absent.
    pub session: Option<SessionId>,
    /// The call it is asked for: trace, deadline, cancellation.
    pub context: CallContext,
}

/// One thing remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recollection {
    /// The session it was said in.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub text: String,
    /// Calendar time, milliseconds since 1970 UTC.
    pub at_ms: u64,
    /// How well it matches; higher is better, comparable within one result only.
    pub score: f64,
}

/// The store under recall memory: messages by (tenant, agent, session), searchable by words.
///
/// Laws: `append` of the same (session, turn, role) twice keeps one; `search` never leaves the owner; a deleted owner
/// is found no more.
pub trait MessageStore: fmt::Debug + Send + Sync + 'static {
    /// Keeps messages, all or none.
    ///
    /// # Errors
    /// `unavailable`, `overloaded`, `internal`.
    fn append(&self, owner: MemoryOwner, entries: Vec<Recollection>) -> BoxFuture<'static, Result<()>>;

    /// Returns the best matches by words, best first.
    ///
    /// # Errors
    /// `unavailable`, `internal`.
    fn search(&self, query: MemoryQuery) -> BoxFuture<'static, Result<Vec<Recollection>>>;

    /// Returns the newest messages of one session, oldest first.
    ///
    /// # Errors
    /// `unavailable`, `internal`.
    fn all(
        &self,
        owner: MemoryOwner,
        session: SessionId,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Recollection>>>;

    /// Forgets everything of an owner.
    ///
    /// # Errors
    /// `unavailable`, `internal`.
    fn clear(&self, owner: MemoryOwner) -> BoxFuture<'static, Result<()>>;
}
