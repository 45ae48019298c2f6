//! Calls as bytes: what lets a reference lead to another node, and a stranger speak to an actor.
//!
//! A message travels if it and its answer derive `serde::Serialize` and `serde::Deserialize`; a protocol all of whose
//! messages do is a [`WireProtocol`]. Nothing is registered by the linker: [`System::register`](crate::System::register) and
//! [`System::serve`](crate::System::serve) say what may be called from outside, and whatever was not said is refused.
//!
//! - [`Codec`]: how payloads become bytes. CBOR unless the message says otherwise, JSON for strangers, b2 for those who opt in.
//! - [`frame`]: what nodes say to each other; [`headers`]: the same as headers any tool can read.
//! - [`Ingress`]: from an encoded call to the actor and back. [`Egress`]: the way out, which a cluster implements;
//!   [`System::remote`](crate::System::remote) makes a [`Ref`](crate::Ref) of it.
//!
//! **Versions.** A message of another version than its receiver knows is refused as `unsupported`, which says that nothing
//! was executed. With `upgrade_from` the version before is understood too, and with `downgrade` a receiver that knows no
//! other is spoken to in it: so nodes of two adjacent versions work together while one after the other is upgraded. The
//! answer keeps its type, so what is added to it has a default. Within a version a field may be added if it has a
//! default and the codec describes itself. JSON is always understood, CBOR too, b2 only by messages that are written in it.
//!
//! **Not here**: sockets, retries, who owns which key, and who may call what.
//!
//! ```
//! use std::sync::Arc;
//! use beluga_core::{CallContext, Result};
//! use beluga_runtime::wire::{Answer, Codec, Manner, Target, WireCall};
//! # use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
//! # use serde::{Deserialize, Serialize};
//!
//! #[derive(Message, Serialize, Deserialize)]
//! #[message(name = "counter.add", reply = u64)]
//! struct Add { amount: u64 }
//! # protocol!(CounterProtocol: Add);
//! # #[derive(Default)]
//! # struct Counter { total: u64 }
//! # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
//! # impl Handler<Add> for Counter {
//! #     async fn handle(&mut self, Add { amount }: Add, _cx: &mut Cx<Self>) -> Result<u64> {
//! #         self.total += amount;
//! #         Ok(self.total)
//! #     }
//! # }
//!
//! # beluga_runtime::testkit::run(1, |system| async move {
//! system.register::<Counter>()?;
//! system.spawn("counter", Counter::default).await?;
//! let call = WireCall {
//!     target: Arc::new(Target::Named { node: "here".into(), name: "counter".into(), slot: 0 }),
//!     manner: Manner::Ask,
//!     message: "counter.add".into(),
//!     version: 1,
//!     codec: Codec::Json,
//!     payload: r#"{"amount": 3}"#.into(),
//!     context: CallContext::new(),
//!     sender: 0,
//! };
//! let Answer::Reply(reply) = system.ingress().call(call).await? else { unreachable!("it was asked") };
//! assert_eq!(&reply.await?[..], b"3");
//! # system.shutdown_gracefully().await
//! # }).unwrap();
//! ```

mod call;
mod codec;
mod egress;
mod entry;
pub mod frame;
pub mod headers;
mod inbound;
mod ingress;
mod outbound;
mod registry;
mod remote;
mod schema;

pub use call::{WireCall, message_id};
pub use codec::{B2, Cbor, Codec, DEPTH_MAX, Json, PAYLOAD_MAX_BYTES, WireCodec};
pub use egress::Egress;
pub use entry::{WireElement, WireEntry, WireMessages, WireProtocol, WireType};
pub use frame::{Manner, Target};
pub use ingress::{Answer, Ingress};
pub(crate) use registry::Registry;
pub use registry::{KINDS_MAX, PROTOCOLS_MAX};
pub use schema::MessageSchema;

/// What `#[derive(Message)]` expands to names these. Not part of the API.
#[doc(hidden)]
pub use beluga_core::Result;
#[doc(hidden)]
pub use inbound::{downgraded, upgraded};
