//! The way out to other nodes.

use std::fmt;

use beluga_core::{BoxFuture, BoxStream, Result};
use bytes::Bytes;

use super::{Target, WireCall};

/// Carries encoded calls to other nodes. A cluster implements it; [`System::remote`](crate::System::remote) makes references
/// of it.
///
/// Laws: calls of one sender to one target are carried in the order in which `call`, `stream` and `try_tell` were *called*,
/// whenever their futures are polled. A call whose future or stream is dropped before its end is cancelled at the receiver. No
/// future and no stream lasts beyond the deadline of the call's context. `not_sent` means that the call was certainly not
/// executed, `unknown_outcome` that it may have been.
pub trait Egress: fmt::Debug + Send + Sync + 'static {
    /// Carries a tell, or an ask and its answer; a tell is answered by nothing, with empty bytes.
    ///
    /// The future is polled by whoever asks, so that an ask costs no task.
    fn call(&self, call: WireCall) -> BoxFuture<'static, Result<Bytes>>;

    /// Carries a call that is answered by a stream. An item taken from it gives its credit back. It ends, or gives one error
    /// and ends; a lost item is an error.
    fn stream(&self, call: WireCall) -> BoxStream<'static, Result<Bytes>>;

    /// Carries a tell that may not wait.
    ///
    /// # Errors
    /// `overloaded` without room, `unavailable` if it would have to wait for something else.
    fn try_tell(&self, call: WireCall) -> Result<()>;

    /// Returns whether this node serves the target itself now. Then a message goes to its actor as it is, unencoded.
    fn is_here(&self, target: &Target) -> bool {
        let _ = target;
        false
    }
}
