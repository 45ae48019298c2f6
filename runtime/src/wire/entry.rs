//! What the wire knows of one message, and of a protocol: a table made by the compiler.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::inbound::{self, Deliver};
use super::outbound::{self, Send, TrySend};
use super::{Codec, MessageSchema};
use crate::message::{Lane, Message, StreamMessage};
use crate::protocol::{Protocol, Streaming};

/// One message as other nodes see it.
#[derive(Debug, Clone, Copy)]
pub struct WireType {
    /// The stable name.
    pub name: &'static str,
    /// The version that is written.
    pub version: u16,
    /// The oldest version that is read.
    pub oldest: u16,
    /// The codec it is written in.
    pub codec: Codec,
    /// The lane it travels in.
    pub lane: Lane,
    /// Whether it is answered by a stream.
    pub streams: bool,
    /// Returns its schemas, if it has any.
    pub schema: fn() -> Option<MessageSchema>,
}

/// One message of a protocol with the functions that carry it. Not part of the API.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct WireEntry {
    pub(crate) wire_type: WireType,
    pub(crate) deliver: Deliver,
    pub(crate) send: Send,
    pub(crate) try_send: TrySend,
}

/// One element of a protocol's tuple that can travel. Not part of the API.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel between nodes",
    label = "has no wire form",
    note = "derive `serde::Serialize` and `serde::Deserialize` for the message and for its reply or item",
    note = "messages without a wire form stay local: keep them in a protocol of their own"
)]
pub trait WireElement {
    /// What the wire knows of it.
    const ENTRY: WireEntry;
}

impl<M> WireElement for M
where
    M: Message + Serialize + DeserializeOwned,
    M::Reply: Serialize + DeserializeOwned,
{
    const ENTRY: WireEntry = WireEntry {
        wire_type: WireType {
            name: M::NAME,
            version: M::VERSION,
            oldest: M::OLDEST,
            codec: M::CODEC,
            lane: M::LANE,
            streams: false,
            schema: M::schema,
        },
        deliver: inbound::deliver::<M>,
        send: outbound::send::<M>,
        try_send: outbound::try_send::<M>,
    };
}

impl<M> WireElement for Streaming<M>
where
    M: StreamMessage + Serialize + DeserializeOwned,
    M::Item: Serialize + DeserializeOwned,
{
    const ENTRY: WireEntry = WireEntry {
        wire_type: WireType {
            name: M::NAME,
            version: M::VERSION,
            oldest: M::OLDEST,
            codec: M::CODEC,
            lane: M::LANE,
            streams: true,
            schema: M::schema,
        },
        deliver: inbound::open::<M>,
        send: outbound::open::<M>,
        try_send: outbound::never_told,
    };
}

/// The messages of a protocol, if all of them can travel. Not part of the API.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the messages `{Self}` cannot travel between nodes",
    note = "each message of the protocol, and each reply and item, derives `serde::Serialize` and `serde::Deserialize`"
)]
pub trait WireMessages {
    /// One entry per message, in the order of the protocol.
    const ENTRIES: &'static [WireEntry];
}

/// A protocol that other nodes can speak: every message, reply and item of it is `Serialize` and `Deserialize`.
///
/// ```
/// use beluga_runtime::wire::WireProtocol;
/// # use beluga_runtime::{Message, protocol};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Message, Serialize, Deserialize)]
/// #[message(name = "counter.add", version = 2, reply = u64)]
/// struct Add(u64);
/// #[derive(Message, Serialize, Deserialize)]
/// #[message(name = "counter.watch", stream = u64)]
/// struct Watch;
/// protocol!(CounterProtocol: Add; stream Watch);
///
/// let types: Vec<_> = CounterProtocol::wire_types().map(|known| (known.name, known.version, known.streams)).collect();
/// assert_eq!(types, [("counter.add", 2, false), ("counter.watch", 1, true)]);
/// ```
///
/// A protocol with a message that stays local is none:
///
/// ```compile_fail,E0277
/// # use beluga_runtime::wire::WireProtocol;
/// # use beluga_runtime::{Message, protocol};
/// #[derive(Message)]
/// #[message(name = "counter.add", reply = u64)]
/// struct Add(u64);
/// protocol!(CounterProtocol: Add);
///
/// let types = CounterProtocol::wire_types(); // `Add` derives neither `Serialize` nor `Deserialize`.
/// ```
#[diagnostic::on_unimplemented(
    message = "the protocol `{Self}` cannot be spoken between nodes",
    label = "has a message without a wire form",
    note = "each message of the protocol, and each reply and item, derives `serde::Serialize` and `serde::Deserialize`",
    note = "messages without a wire form stay local: keep them in a protocol of their own"
)]
pub trait WireProtocol: Protocol {
    /// One entry per message, in the order of the protocol. Not part of the API.
    #[doc(hidden)]
    const ENTRIES: &'static [WireEntry];

    /// Returns the messages as other nodes see them.
    fn wire_types() -> impl Iterator<Item = &'static WireType> {
        Self::ENTRIES.iter().map(|entry| &entry.wire_type)
    }
}

impl<P: Protocol> WireProtocol for P
where
    P::Messages: WireMessages,
{
    const ENTRIES: &'static [WireEntry] = <P::Messages as WireMessages>::ENTRIES;
}

macro_rules! messages {
    ($($name:ident)*) => { messages!(@step [] $($name)*); };
    (@step [$($done:ident)*]) => { messages!(@impl $($done)*); };
    (@step [$($done:ident)*] $next:ident $($rest:ident)*) => {
        messages!(@impl $($done)*);
        messages!(@step [$($done)* $next] $($rest)*);
    };
    (@impl $($name:ident)*) => {
        impl<$($name: WireElement),*> WireMessages for ($($name,)*) {
            const ENTRIES: &'static [WireEntry] = &[$(<$name as WireElement>::ENTRY),*];
        }
    };
}

messages!(M0 M1 M2 M3 M4 M5 M6 M7 M8 M9 M10 M11 M12 M13 M14 M15 M16 M17 M18 M19 M20 M21 M22 M23 M24 M25 M26 M27 M28 M29 M30 M31);
