//! A message on its way to another node.

use std::borrow::Cow;
use std::sync::Arc;

use beluga_core::{MessageId, TraceContext};
use serde::{Deserialize, Serialize};

use super::Body;

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Target {
    /// To whatever carries the key, wherever it is.
    Key {
        /// Whose it is.
        tenant: Arc<str>,
        /// What kind of actor it is.
        kind: Arc<str>,
        /// Its key.
        key: Arc<str>,
    },
    /// To an actor of one node.
    Named {
        /// The node.
        node: Arc<str>,
        /// The actor's path on it.
        name: Arc<str>,
        /// The number of its slot; 0 for whoever has the name.
        slot: u64,
    },
}

/// What the caller waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Manner {
    /// For nothing.
    Tell,
    /// For one answer.
    Ask,
    /// For a stream.
    Stream {
        /// How many items the producer may send before it gets more credit; at least 1.
        credit: u32,
    },
}

/// Who sends, and how many calls it has sent to this target before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The node, whose inbox takes what comes back.
    pub node: Arc<str>,
    /// Its epoch.
    pub epoch: u64,
    /// The slot of the actor that sends; 0 for code outside of actors.
    pub actor: u64,
    /// Rises by one with each call of this sender to this target; 0 if the order does not matter.
    pub sequence: u64,
    /// The lowest sequence whose call nobody is known to have yet, so that a receiver that knows nothing of the sender can
    /// tell which call is the next one.
    pub oldest: u64,
}

/// A fencing token: generation of the bucket, then revision of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fence {
    /// How often the bucket was made anew.
    pub generation: u64,
    /// The revision of the key in it.
    pub revision: u64,
}

/// On whose behalf a call is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// The tenant.
    pub tenant: Arc<str>,
    /// The tenant's service tier.
    pub tier: Option<Arc<str>>,
    /// Who asks, as the face authenticated it.
    pub principal: Option<Arc<str>>,
    /// The request from outside.
    pub request: Option<Arc<str>>,
}

/// A message on its way, and all that travels with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Names the call; a retry keeps it.
    pub id: MessageId,
    /// Who sends.
    pub origin: Origin,
    /// Where it goes.
    pub target: Target,
    /// What the caller waits for.
    pub manner: Manner,
    /// The name of the message.
    pub message: Cow<'static, str>,
    /// Its version.
    pub version: u16,
    /// The number of the codec of the payload, and of the answer.
    pub codec: u8,
    /// The message.
    pub body: Body,
    /// How much time was left when it was sent. No clock is compared between nodes.
    pub deadline_ms: Option<u64>,
    /// The newest token of the target the sender knows of.
    pub fence: Option<Fence>,
    /// How many calls lie between the first caller and this one.
    pub hops: u8,
    /// The span the call was made from.
    pub trace: Option<TraceContext>,
    /// On whose behalf.
    pub caller: Caller,
    /// The key under which a repeated call has one effect.
    pub idempotency_key: Option<Arc<str>>,
    /// The message id of the caller's context: the same for all calls made for one message.
    pub correlation: Option<MessageId>,
}
