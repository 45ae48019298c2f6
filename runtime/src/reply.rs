//! The way back of one ask.

use std::fmt;

use beluga_core::{Error, Result};

use crate::call::Answers;

/// Answers one ask. Dropped unanswered, the caller gets `unknown_outcome`.
///
/// For a tell nobody listens; an error sent there is logged.
pub struct ReplyPort<R> {
    /// `None` for a told message.
    answers: Option<Answers<R>>,
    message: &'static str,
}

impl<R> ReplyPort<R> {
    /// Makes the way back of a told message.
    pub(crate) fn to_nobody(message: &'static str) -> Self {
        Self { answers: None, message }
    }

    pub(crate) fn to_caller(answers: Answers<R>, message: &'static str) -> Self {
        Self { answers: Some(answers), message }
    }

    /// Answers. A caller that left is no error.
    pub fn send(self, outcome: Result<R>) {
        match self.answers {
            Some(answers) => answers.put(outcome),
            None => {
                if let Err(error) = &outcome {
                    log(self.message, error);
                }
            }
        }
    }

    /// Returns whether nobody waits for the answer any more; always so for a tell.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.answers.as_ref().is_none_or(Answers::is_left)
    }

    /// Answers that the message was not handled; a teller is not told.
    pub(crate) fn refuse(self, error: Error) {
        if let Some(answers) = self.answers {
            answers.put(Err(error));
        }
    }
}

#[cold]
fn log(message: &'static str, error: &Error) {
    tracing::warn!(message, %error, "a told message failed");
}

impl<R> fmt::Debug for ReplyPort<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyPort").field("message", &self.message).field("closed", &self.is_closed()).finish()
    }
}
