//! The way back of one ask.

use std::fmt;
use std::sync::Arc;

use beluga_core::{Error, HOPS_MAX};

use crate::call::{Answers, Caller, in_a_circle};

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
    pub fn send(self, outcome: beluga_core::Result<R>) {
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

    /// Counts that the question is passed on once more. `Err`: it was too often, and the caller has been told.
    pub(crate) fn passed_on(self) -> Result<Self, ()> {
        match self.answers {
            Some(answers) if answers.pass_on() > HOPS_MAX => {
                answers.put(Err(in_a_circle().with("message", self.message)));
                Err(())
            }
            answers => Ok(Self { answers, ..self }),
        }
    }

    /// Returns what a receiver may know of the caller.
    pub(crate) fn caller(&self) -> Option<Arc<dyn Caller>>
    where
        R: Send + 'static,
    {
        self.answers.as_ref().and_then(Answers::caller)
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
