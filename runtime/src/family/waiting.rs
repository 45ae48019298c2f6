//! The outcome of an activation in progress, for all who wait for it.

use std::sync::Arc;

use beluga_core::{Error, ErrorRecord, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::slot::Slot;

/// How an activation ended. The error is shared: each who waits makes its own of it.
pub(super) type Outcome = Result<Arc<Slot>, Arc<ErrorRecord>>;

#[derive(Default)]
pub(super) struct Waiting {
    outcome: Mutex<Option<Outcome>>,
    done: Notify,
}

impl Waiting {
    pub(super) fn settle(&self, outcome: Outcome) {
        *self.outcome.lock() = Some(outcome);
        self.done.notify_waiters();
    }

    /// Waits for the outcome. Cancel safe.
    pub(super) async fn outcome(&self) -> Result<Arc<Slot>> {
        loop {
            let done = self.done.notified();
            tokio::pin!(done);
            // Registered before the look, so an outcome in between is not missed.
            done.as_mut().enable();
            let outcome = self.outcome.lock().clone();
            if let Some(outcome) = outcome {
                return outcome.map_err(|record| Error::from((*record).clone()));
            }
            done.await;
        }
    }
}
