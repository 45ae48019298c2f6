//! Where an application may observe the turns of an agent, and answer for a turn that failed.

use std::fmt;

use beluga_core::{AgentName, Error, Result, SessionId, TenantId, TurnId};

/// Observes the turns of an agent, and may answer for one that failed. Every method does nothing by default. Runs in the
/// turn's task; must not block.
///
/// After a transfer the hooks of the agent that took over are called.
pub trait AgentHooks: fmt::Debug + Send + Sync + 'static {
    /// Sees that a turn began, not that it is resumed, and may refuse it.
    ///
    /// # Errors
    /// Ends the turn with this error, which passes [`on_error`](Self::on_error).
    fn on_start(&self, turn: &TurnNotice, input: &str) -> Result<()> {
        let _ = (turn, input);
        Ok(())
    }

    /// Sees the answer before it is recorded as the turn's end. A turn that dies before that record is done calls this
    /// again when it is resumed.
    fn on_end(&self, turn: &TurnNotice, answer: &str) {
        let _ = (turn, answer);
    }

    /// Sees the error a turn is about to end with, and may replace it, or swallow it by an answer.
    ///
    /// The answer is shown after what was shown of the failed step; the turn's result is both, with an empty line
    /// between them. Not called for `cancelled`, and not for a turn that cannot be resumed after a crash.
    ///
    /// # Errors
    /// The error the turn ends with.
    fn on_error(&self, turn: &TurnNotice, error: Error) -> Result<String> {
        let _ = turn;
        Err(error)
    }
}

/// Which turn hooks are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnNotice {
    /// Whose it is.
    pub tenant: TenantId,
    /// The agent that acts.
    pub agent: AgentName,
    /// The session.
    pub session: SessionId,
    /// The turn.
    pub turn: TurnId,
}
