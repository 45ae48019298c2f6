//! The way back of one ask.

use std::fmt;
use std::sync::Arc;

use beluga_core::{Error, Result};

use crate::call::Call;

/// Answers one ask. Dropped unanswered, the caller gets `unknown_outcome`.
///
/// For a tell nobody listens; an error sent there is logged.
pub struct ReplyPort<R> {
    call: Option<Arc<Call<R>>>,
    message: &'static str,
}

impl<R> ReplyPort<R> {
    /// Makes the way back of a told message.
    pub(crate) fn to_nobody(message: &'static str) -> Self {
        Self { call: None, message }
    }

    pub(crate) fn to_caller(call: Arc<Call<R>>, message: &'static str) -> Self {
        Self { call: Some(call), message }
    }

    /// Answers. A caller that left is no error.
    pub fn send(mut self, outcome: Result<R>) {
        match self.call.take() {
            Some(call) => call.answer(outcome),
            None => {
                if let Err(error) = &outcome {
                    self.log(error);
                }
            }
        }
    }

    /// Returns whether nobody waits for the answer any more; always so for a tell.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.call.as_ref().is_none_or(|call| call.is_left())
    }

    /// Answers that the message was not handled; a teller is not told.
    pub(crate) fn refuse(mut self, error: Error) {
        if let Some(call) = self.call.take() {
            call.answer(Err(error));
        }
    }

    #[cold]
    fn log(&self, error: &Error) {
        tracing::warn!(message = self.message, %error, "a told message failed");
    }
}

impl<R> Drop for ReplyPort<R> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            call.lose();
        }
    }
}

impl<R> fmt::Debug for ReplyPort<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyPort").field("message", &self.message).field("closed", &self.is_closed()).finish()
    }
}
