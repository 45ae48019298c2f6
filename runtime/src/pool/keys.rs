//! By which key a message is routed: from the message where its type was given, else from the call's context.

use std::any::Any;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use beluga_core::CallContext;

use crate::call::CallPacket;
use crate::envelope::{Parcel, StreamPacket};
use crate::message::{Message, StreamMessage};

/// What messages have in common that belong to one worker: the hash of a session, a tenant, a file.
///
/// Two things of one hash share a worker now and then, which costs nothing but time.
///
/// ```
/// use beluga_runtime::PoolKey;
///
/// assert_eq!(PoolKey::of("session-7"), PoolKey::of(&String::from("session-7")));
/// assert_ne!(PoolKey::of("session-7"), PoolKey::of("session-8"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PoolKey(pub(super) u64);

impl PoolKey {
    /// Makes the key of a thing. The same within one process, not from one version of Beluga to the next.
    #[must_use]
    pub fn of<T: Hash + ?Sized>(thing: &T) -> Self {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        Self(hasher.finish())
    }
}

type OfContext = Arc<dyn Fn(&CallContext) -> Option<PoolKey> + Send + Sync>;
type OfMessage = Arc<dyn Fn(&dyn Any) -> Option<PoolKey> + Send + Sync>;

/// How a pool finds the key of a message.
#[derive(Clone, Default)]
pub(super) struct Keys {
    of_context: Option<OfContext>,
    /// By the position of the message in the protocol.
    of_message: BTreeMap<usize, OfMessage>,
}

impl Keys {
    pub(super) fn set_context(&mut self, key: impl Fn(&CallContext) -> Option<PoolKey> + Send + Sync + 'static) {
        self.of_context = Some(Arc::new(key));
    }

    pub(super) fn set_call<M: Message>(
        &mut self,
        index: usize,
        key: impl Fn(&M) -> Option<PoolKey> + Send + Sync + 'static,
    ) {
        let of = move |parcel: &dyn Any| key(parcel.downcast_ref::<CallPacket<M>>()?.message()?);
        self.of_message.insert(index, Arc::new(of));
    }

    pub(super) fn set_stream<M: StreamMessage>(
        &mut self,
        index: usize,
        key: impl Fn(&M) -> Option<PoolKey> + Send + Sync + 'static,
    ) {
        let of = move |parcel: &dyn Any| key(parcel.downcast_ref::<StreamPacket<M>>()?.message()?);
        self.of_message.insert(index, Arc::new(of));
    }

    /// Returns the key of a message. A function of the application that panics has given none.
    pub(super) fn of(&self, parcel: &dyn Parcel) -> Option<PoolKey> {
        if self.of_context.is_none() && self.of_message.is_empty() {
            return None;
        }
        let head = parcel.head();
        catch_unwind(AssertUnwindSafe(|| {
            let of_message = self.of_message.get(&usize::from(head.index));
            let key = of_message.and_then(|of| of(parcel));
            key.or_else(|| self.of_context.as_ref()?(head.carried.nearest()?))
        }))
        .unwrap_or_else(|_| {
            tracing::warn!(message = head.name(), "finding the key of a message panicked");
            None
        })
    }
}
