//! The way back of one ask.

use std::fmt;

use beluga_core::{Error, Result};
use tokio::sync::oneshot;

/// Answers one ask. Dropped unanswered, the caller gets `unknown_outcome`.
///
/// For a tell nobody listens; an error sent there is logged.
pub struct ReplyPort<R> {
    sender: Option<oneshot::Sender<Result<R>>>,
    message: &'static str,
}

impl<R> ReplyPort<R> {
    pub(crate) fn new(sender: Option<oneshot::Sender<Result<R>>>, message: &'static str) -> Self {
        Self { sender, message }
    }

    /// Answers. A caller that left is no error.
    pub fn send(mut self, outcome: Result<R>) {
        match self.sender.take() {
            Some(sender) => drop(sender.send(outcome)),
            None => self.log(outcome.err().as_ref()),
        }
    }

    /// Returns whether nobody waits for the answer any more; always so for a tell.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    #[cold]
    fn log_error(&self, error: &Error) {
        tracing::warn!(message = self.message, %error, "a told message failed");
    }

    fn log(&self, error: Option<&Error>) {
        if let Some(error) = error {
            self.log_error(error);
        }
    }
}

impl<R> fmt::Debug for ReplyPort<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyPort").field("message", &self.message).field("closed", &self.is_closed()).finish()
    }
}
