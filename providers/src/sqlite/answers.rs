//! Waiting for the writer's answer.

use std::sync::Arc;

use beluga_core::{Error, Host, Result};
use parking_lot::Mutex;
use tokio::sync::oneshot::Receiver;

/// Waits for an answer. Cancel safe: the command is carried out all the same.
///
/// With `park` a blocking task waits, so that a paused clock does not jump meanwhile.
///
/// # Errors
/// What the writer answered; `unavailable` if it died.
pub(super) async fn answer(host: &Arc<dyn Host>, park: bool, receiver: Receiver<Result<u64>>) -> Result<u64> {
    if !park {
        return receiver.await.unwrap_or_else(|_| Err(died()));
    }
    let slot = Arc::new(Mutex::new(None));
    let filled = Arc::clone(&slot);
    host.block(Box::new(move || *filled.lock() = receiver.blocking_recv().ok())).await;
    let answered = slot.lock().take();
    answered.unwrap_or_else(|| Err(died()))
}

fn died() -> Error {
    Error::unavailable("the writer of the store died before it answered")
}
