//! The way in from other nodes.

use std::fmt;
use std::sync::Arc;

use beluga_core::{BoxFuture, BoxStream, Error, Result};
use bytes::Bytes;

use super::WireCall;
use crate::ground::Ground;

/// What a call is answered by.
pub enum Answer {
    /// Nothing: it was told.
    None,
    /// One reply, in the codec of the call. Dropped, the call is cancelled.
    Reply(BoxFuture<'static, Result<Bytes>>),
    /// A stream of items, in the codec of the call. Poll it only with credit in hand: whatever it is polled for is one item
    /// more that the producer may send. Dropped before its end, the call is cancelled.
    Items(BoxStream<'static, Result<Bytes>>),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answer::None => "None",
            Answer::Reply(_) => "Reply",
            Answer::Items(_) => "Items",
        })
    }
}

/// Delivers encoded calls to the actors of this node. [`System::ingress`](crate::System::ingress) is the real one.
pub trait Ingress: fmt::Debug + Send + Sync + 'static {
    /// Delivers a call; ready as soon as the message is in its lane. Dropped before, it was not sent.
    ///
    /// Where the lane has room and the actor is active that is the first poll; otherwise it waits, so calls that must stay in
    /// order are delivered one after the other. The deadline of the call's context bounds the wait and the answer.
    ///
    /// # Errors
    /// `not_found` for an unknown target, `unsupported` for an unknown type, version or codec and for a target that may not be
    /// called from outside, `decode` for a payload that is no such message, and those of [`Ref::tell`](crate::Ref::tell):
    /// nothing was executed. The answer gives what the handler gives; `unknown_outcome` if it panicked.
    fn call(&self, call: WireCall) -> BoxFuture<'static, Result<Answer>>;
}

/// The ingress of a system.
pub(crate) struct Gate {
    ground: Arc<Ground>,
}

impl Gate {
    pub(crate) fn new(ground: &Arc<Ground>) -> Self {
        Self { ground: Arc::clone(ground) }
    }
}

impl Ingress for Gate {
    fn call(&self, call: WireCall) -> BoxFuture<'static, Result<Answer>> {
        let found =
            call.context.check(crate::time::now()).and_then(|()| self.ground.wire.find(&self.ground, &call.target));
        let (route, entries) = match found {
            Ok(found) => found,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let Some(index) = entries.iter().position(|entry| entry.wire_type.name == call.message) else {
            let error = Error::unsupported("the actor takes no such message")
                .with("message", &call.message)
                .with("kind", route.kind());
            return Box::pin(std::future::ready(Err(error)));
        };
        match entries.get(index) {
            Some(entry) => (entry.deliver)(route, index, call),
            None => Box::pin(std::future::ready(Err(Error::internal("an entry without a place")))),
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingress").field("system", &self.ground.name).finish_non_exhaustive()
    }
}
