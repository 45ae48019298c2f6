//! The NATS face: agents and sessions for any NATS client, in any language, in plain JSON.
//!
//! | subject | takes | answers |
//! |---|---|---|
//! | `beluga.v1.<tenant>.agent.<name>.call` | `{input, session?, metadata?}` | `{result, session, turn, usage}` |
//! | `beluga.v1.<tenant>.agent.<name>.tell` | the same | `{session, turn}` once recorded, if there is a reply subject |
//! | `beluga.v1.<tenant>.agent.<name>.stream` | the same, and `cancel_on_disconnect?` | the events of the turn |
//! | `beluga.v1.<tenant>.session.<id>.call` | `{cancel: true}` | `{session, turn, cancelled}` |
//! | `beluga.v1.<tenant>.session.<id>.stream` | `{after?, follow?}` | the events of the session |
//!
//! **Who asks** is told by the subject, because the server's permissions are kept on it: the tenant, and in
//! `beluga.v1.<tenant>.x.<user>.…` the user. No header is believed. Without permissions on the server whoever reaches it
//! is everybody.
//!
//! **Errors** are told as micro services do, in [`header::ERROR`] and [`header::ERROR_CODE`], with the problem details of
//! every face as the body.
//!
//! **Streams** are many messages to one inbox; see [`stream`]. A plain request to a stream sees its opening alone.
//!
//! **Discovery** is that of micro services (`nats micro ls`), with JSON Schemas in the endpoints' metadata;
//! [`asyncapi`] writes the whole contract down.
//!
//! **Limits**: [`FaceSettings`] and the constants of this room. What is more than [`FaceSettings::requests_max`] at the
//! same time is refused with `overloaded`; nothing waits in the client's own buffers.
//!
//! **Clusters**: [`NatsLink`] and [`NatsStore`] are what a [`Cluster`](beluga_runtime::cluster::Cluster) needs. Nodes speak to each
//! other below [`INTERNAL_ROOT`], and agree in a bucket of JetStream.
//!
//! Not here: which node has a session. Sessions of the SQLite journal live on one node, so one node serves a tenant.

mod call;
mod connection;
mod contract;
mod counts;
mod discovery;
mod face;
pub mod header;
mod journal;
mod link;
mod listener;
mod settings;
mod store;
pub mod stream;
mod subject;

pub use connection::Connection;
pub use contract::asyncapi;
pub use discovery::SERVICE;
pub use face::{Face, FaceSettings};
pub use journal::NatsJournal;
pub use link::{INTERNAL_ROOT, NatsLink};
pub use listener::Listener;
pub use settings::{ConnectSettings, Credentials, SERVERS_MAX, TlsSettings};
pub use store::NatsStore;
pub use subject::{ROOT, Subject, USER_MAX_BYTES, Verb};
