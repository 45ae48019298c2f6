//! What nodes say to each other over NATS.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_nats::{Client, PublishError, PublishErrorKind, Subject, Subscriber};
use beluga_core::{BoxFuture, Error, Result};
use beluga_runtime::cluster::{Inbox, Link, NodeId};
use beluga_runtime::task::{self, AbortOnDrop};
use beluga_runtime::wire::frame::INLINE_MAX_BYTES;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;

use super::connection::Connection;
use super::subject::escape;

/// The root of every subject between nodes. No permission of an outside client matches it.
pub const INTERNAL_ROOT: &str = "beluga-int.v1";

/// How much of a publish is not payload, at most.
const HEAD_BYTES: usize = 16 << 10;

/// How many subjects of other nodes are remembered; then all are forgotten.
const SUBJECTS_MAX: usize = 1024;

/// Carries frames and heartbeats of one cluster over a connection.
///
/// | subject | what |
/// |---|---|
/// | `beluga-int.v1.<cluster>.hb` | heartbeats of all nodes |
/// | `beluga-int.v1.<cluster>.n.<node>.<epoch>.in` | frames for one life of a node |
///
/// Names are written as in public subjects ([`Subject`](super::Subject)). While the connection is lost nothing is sent and nothing
/// waits: what could not be sent is `unavailable`, and its caller tries again.
#[derive(Clone)]
pub struct NatsLink {
    shared: Arc<Shared>,
}

struct Shared {
    connection: Connection,
    root: String,
    beats: Subject,
    subjects: Mutex<HashMap<NodeId, Subject>>,
    /// The readers of this life's subscriptions.
    readers: Mutex<Vec<AbortOnDrop<()>>>,
}

impl NatsLink {
    /// Makes the link of a cluster with this name.
    ///
    /// # Errors
    /// `config` if the server takes no message of [`INLINE_MAX_BYTES`].
    pub fn new(connection: Connection, cluster: &str) -> Result<Self> {
        let least = INLINE_MAX_BYTES + HEAD_BYTES;
        if connection.payload_max() < least {
            return Err(Error::config("the nats server's max_payload is too small for a cluster")
                .with("max_payload", connection.payload_max())
                .with("least", least));
        }
        let root = format!("{INTERNAL_ROOT}.{}", escape(cluster));
        let beats = Subject::from(format!("{root}.hb"));
        let (subjects, readers) = (Mutex::default(), Mutex::default());
        Ok(Self { shared: Arc::new(Shared { connection, root, beats, subjects, readers }) })
    }
}

impl Shared {
    fn inbox(&self, node: &NodeId) -> Subject {
        let subjects = &mut *self.subjects.lock();
        if let Some(subject) = subjects.get(node) {
            return subject.clone();
        }
        if subjects.len() >= SUBJECTS_MAX {
            subjects.clear();
        }
        let subject = Subject::from(format!("{}.n.{}.{}.in", self.root, escape(&node.name), node.epoch));
        subjects.insert(node.clone(), subject.clone());
        subject
    }

    fn publish(&self, subject: Subject, payload: Bytes) -> Result<()> {
        if self.connection.is_lost() {
            return Err(Error::unavailable("no nats server answers"));
        }
        // A task that has used up its budget is told to wait where there is room.
        match tokio::task::unconstrained(self.client().publish(subject, payload)).now_or_never() {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(refused(error)),
            None => Err(Error::overloaded("the connection to nats takes no more at the moment")),
        }
    }

    fn client(&self) -> &Client {
        self.connection.client()
    }
}

impl Link for NatsLink {
    fn open(&self, me: &NodeId, inbox: Inbox) -> BoxFuture<'static, Result<()>> {
        let (shared, mine) = (Arc::clone(&self.shared), self.shared.inbox(me));
        Box::pin(async move {
            shared.readers.lock().clear();
            let frames = subscribe(shared.client(), mine).await?;
            let beats = subscribe(shared.client(), shared.beats.clone()).await?;
            // Nobody is to hear of this life before it can hear them.
            let flushed = shared.client().flush().await;
            flushed.map_err(|error| Error::unavailable("no nats server answers").with_source(error))?;
            let heard = inbox.clone();
            let reading = [
                task::spawn("cluster-frames", read(frames, move |bytes| inbox.frames(bytes))),
                task::spawn("cluster-heartbeats", read(beats, move |bytes| heard.heartbeat(bytes))),
            ];
            shared.readers.lock().extend(reading.map(task::JoinHandle::abort_on_drop));
            Ok(())
        })
    }

    fn send(&self, to: &NodeId, publish: Bytes) -> Result<()> {
        self.shared.publish(self.shared.inbox(to), publish)
    }

    fn beat(&self, heartbeat: Bytes) -> Result<()> {
        self.shared.publish(self.shared.beats.clone(), heartbeat)
    }
}

async fn subscribe(client: &Client, subject: Subject) -> Result<Subscriber> {
    let subscribed = client.subscribe(subject.clone()).await;
    subscribed.map_err(|error| {
        Error::unavailable("the nats server takes no subscription").with("subject", subject).with_source(error)
    })
}

async fn read(mut messages: Subscriber, take: impl Fn(&[u8])) {
    while let Some(message) = messages.next().await {
        take(&message.payload);
    }
}

fn refused(error: PublishError) -> Error {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Error::invalid_input("the publish is larger than the server takes"),
        _ => Error::unavailable("the nats client sends nothing any more"),
    }
    .with_source(error)
}

impl fmt::Debug for NatsLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsLink").field("root", &self.shared.root).finish_non_exhaustive()
    }
}
