//! The way back of one ask.

use std::fmt;

use beluga_core::{Error, HOPS_MAX};

use crate::call::{Answers, in_a_circle};

/// Answers one ask. Dropped unanswered, the caller gets `unknown_outcome`.
///
/// For a tell nobody listens; an error sent there is logged.
///
/// See [`DeferredHandler`](crate::DeferredHandler) for an example.
pub struct ReplyPort<R> {
    answers: Answers<R>,
    /// A thin reference: the port is moved often.
    message: &'static &'static str,
}

impl<R> ReplyPort<R> {
    pub(crate) fn new(answers: Answers<R>, message: &'static &'static str) -> Self {
        Self { answers, message }
    }

    /// Answers. A caller that left is no error.
    pub fn send(self, outcome: beluga_core::Result<R>) {
        if self.answers.are_to_nobody() {
            if let Err(error) = &outcome {
                log(self.message, error);
            }
            return;
        }
        self.answers.put(outcome);
    }

    /// Returns whether nobody waits for the answer any more; always so for a tell.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.answers.is_left()
    }

    /// Counts that the question is passed on once more. `Err`: it was too often, and the caller has been told.
    pub(crate) fn passed_on(self) -> Result<Self, ()> {
        if self.answers.pass_on() > HOPS_MAX {
            self.answers.put(Err(in_a_circle().with("message", *self.message)));
            return Err(());
        }
        Ok(self)
    }

    pub(crate) fn into_answers(self) -> Answers<R> {
        self.answers
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
