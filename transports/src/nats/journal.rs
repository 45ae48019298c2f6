//! A journal on JetStream: what a node wrote, the next one reads.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{Config, DiscardPolicy, LastRawMessageErrorKind, StorageType, Stream};
use async_nats::jetstream::{self, Context};
use beluga_core::{
    Append, BoxFuture, Error, GROUP_MAX_BYTES, Group, ID_MAX_BYTES, Journal, Mark, Result, StreamKey, SyncLevel,
    TenantId,
};
use beluga_runtime::cluster::{SHARDS, shard_of};
use beluga_runtime::wire::message_id;
use beluga_runtime::{SystemRandom, time};
use parking_lot::Mutex;

use super::connection::Connection;
use super::link::INTERNAL_ROOT;
use super::subject::{escape, unescape};

/// The version of a group.
const VERSION: &str = "Beluga-Version";
/// The fence of its writer.
const FENCE: &str = "Beluga-Fence";
/// Whether the stream's open mark is set after it.
const OPEN: &str = "Beluga-Open";

/// How much room a group's headers take, at most.
const HEAD_BYTES: usize = 4 << 10;

/// How long the server may take for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the last group is read to learn what became of an append whose answer was lost.
const LOOKS_MAX: usize = 5;

/// Between two of these looks.
const LOOK_AFTER: Duration = Duration::from_millis(500);

/// How many streams' last groups are remembered; then all are forgotten and read again.
const HEADS_MAX: usize = 65_536;

/// A [`Journal`] on JetStream. Clones share it.
///
/// Each group is one message, under `beluga-int.v1.<cluster>.ev.<tenant>.<shard>.<kind>.<id>`, written only if the last one of the
/// subject is the one its writer knows: a zombie's append fails at the server. A group never expires and no subject is
/// ever purged, as that would let an append that expects an empty one pass. Open marks are messages of a second stream, so that they
/// can be listed; what counts is the last group's own word.
///
/// **What it promises.** JetStream acknowledges before it syncs to disk (every two minutes unless the server says otherwise), so
/// with one replica an append survives the death of every process, and no loss of power: [`SyncLevel::Disk`] is refused
/// as `unsupported`, unless the journal is [`lenient`](Self::lenient). With three or more replicas it survives the loss of a machine.
///
/// **Limits.** A group and its headers fit into the server's `max_payload` (1 MiB unless set; [`GROUP_MAX_BYTES`] at most): a larger
/// one is `invalid_input`. Reading takes one request a group.
#[derive(Clone)]
pub struct NatsJournal {
    shared: Arc<Shared>,
    is_lenient: bool,
}

struct Shared {
    context: Context,
    groups: Stream,
    marks: Stream,
    root: String,
    payload_max: usize,
    replicas: usize,
    random: SystemRandom,
    heads: Mutex<HashMap<StreamKey, Head>>,
    /// Where the last read of a stream ended: the version and its sequence.
    ends: Mutex<HashMap<StreamKey, (u64, u64)>>,
}

/// The last group of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Head {
    version: u64,
    sequence: u64,
    fence: u64,
    is_open: bool,
}

impl NatsJournal {
    /// Opens the journal of a cluster, and makes its streams if they are not there, with so many replicas (1, 3 or 5).
    ///
    /// # Errors
    /// `unavailable` if JetStream does not answer or makes no stream.
    pub async fn open(connection: &Connection, cluster: &str, replicas: usize, random: &SystemRandom) -> Result<Self> {
        let context = jetstream::new(connection.client().clone());
        let root = format!("{INTERNAL_ROOT}.{}", escape(cluster));
        let config = |name: &str, tokens: &str| Config {
            name: format!("BELUGA_{name}_{}", escape(cluster)),
            subjects: vec![format!("{root}.{tokens}.>")],
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            num_replicas: replicas,
            ..Config::default()
        };
        let groups =
            stream(&context, Config { deny_purge: true, deny_delete: true, ..config("JOURNAL", "ev") }).await?;
        let marks = stream(&context, Config { max_messages_per_subject: 1, ..config("OPEN", "open") }).await?;
        let payload_max = connection.payload_max().saturating_sub(HEAD_BYTES).min(GROUP_MAX_BYTES);
        let replicas = groups.cached_info().config.num_replicas;
        let (heads, ends, random) = (Mutex::default(), Mutex::default(), random.fork());
        let shared = Shared { context, groups, marks, root, payload_max, replicas, random, heads, ends };
        Ok(Self { shared: Arc::new(shared), is_lenient: false })
    }

    /// Takes what asks for [`SyncLevel::Disk`] with fewer than three replicas too, as [`SyncLevel::Commit`]: a loss of power may
    /// then lose turns that were acknowledged. For trying out, and where the server itself syncs always.
    #[must_use]
    pub fn lenient(self) -> Self {
        Self { is_lenient: true, ..self }
    }
}

async fn stream(context: &Context, config: Config) -> Result<Stream> {
    let name = config.name.clone();
    let made = time::timeout(ANSWER_TIMEOUT, context.get_or_create_stream(config)).await?;
    made.map_err(|error| {
        Error::unavailable("jetstream makes no stream for the journal: is it turned on?")
            .with("stream", name)
            .with_source(error)
    })
}

impl Journal for NatsJournal {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<u64>> {
        let (shared, is_lenient) = (Arc::clone(&self.shared), self.is_lenient);
        Box::pin(async move { shared.append(append, is_lenient).await })
    }

    fn read(&self, stream: StreamKey, from: u64, limit: usize) -> BoxFuture<'static, Result<Vec<Group>>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.read(&stream, from, limit).await })
    }

    fn open(&self, kind: &'static str, limit: usize) -> BoxFuture<'static, Result<Vec<StreamKey>>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.open(kind, limit).await })
    }
}

impl Shared {
    async fn append(&self, append: Append, is_lenient: bool) -> Result<u64> {
        let key = &append.stream;
        if append.payload.len() > self.payload_max {
            return Err(Error::invalid_input("the group is larger than the journal takes")
                .with("stream", key)
                .with("size_bytes", append.payload.len())
                .with("limit_bytes", self.payload_max));
        }
        if append.sync == SyncLevel::Disk && self.replicas < 3 && !is_lenient {
            let error = Error::unsupported("a journal of fewer than three replicas survives no loss of power");
            return Err(error.with("stream", key).with("replicas", self.replicas));
        }
        let known = self.heads.lock().get(key).copied();
        let mut head = match known {
            Some(head) if head.version == append.expected && head.fence <= append.fence => head,
            // Somebody else may have written meanwhile.
            _ => self.head(key).await?,
        };
        check(&append, &head)?;
        let is_open = match append.mark {
            Mark::Keep => head.is_open,
            Mark::Open => true,
            Mark::Close => false,
        };
        let mark = self.mark_subject(key);
        if is_open && !head.is_open {
            self.publish(mark.clone(), PublishMessage::build()).await.map_err(unavailable)?;
        }
        let marked = if head.is_open && !is_open { last(&self.marks, &mark).await? } else { None };
        let version = head.version + 1;
        let id = message_id(&self.random).to_string();
        let publish = PublishMessage::build()
            .message_id(&id)
            .expected_last_subject_sequence(head.sequence)
            .header(VERSION, version.to_string().as_str())
            .header(FENCE, append.fence.to_string().as_str())
            .header(OPEN, if is_open { "1" } else { "0" })
            .payload(append.payload.clone());
        head.sequence = match self.publish(self.group_subject(key), publish).await {
            Ok(sequence) => sequence,
            Err(error) => self.resolve(&append, &id, &head, error).await?,
        };
        (head.version, head.fence, head.is_open) = (version, append.fence, is_open);
        self.remember(key, head);
        if let Some(marked) = marked {
            // Up to the mark that was there before: a later one is somebody else's.
            let purge = self.marks.purge().filter(mark).sequence(marked.sequence + 1).into_future();
            if !matches!(time::timeout(ANSWER_TIMEOUT, purge).await, Ok(Ok(_))) {
                tracing::debug!(stream = %key, "a mark was left; the group says that it counts no more");
            }
        }
        Ok(version)
    }

    async fn publish(
        &self,
        subject: String,
        message: PublishMessage,
    ) -> std::result::Result<u64, async_nats::jetstream::context::PublishError> {
        let acknowledged = self.context.send_publish(subject, message).await?.await?;
        Ok(acknowledged.sequence)
    }

    /// Finds out what became of an append that was not acknowledged: a lost answer looks like a refusal.
    async fn resolve(
        &self,
        append: &Append,
        id: &str,
        before: &Head,
        error: async_nats::jetstream::context::PublishError,
    ) -> Result<u64> {
        let key = &append.stream;
        self.heads.lock().remove(key);
        if error.kind() == PublishErrorKind::MaxPayloadExceeded {
            return Err(Error::invalid_input("the group is larger than the server takes").with_source(error));
        }
        let is_refused = error.kind() == PublishErrorKind::WrongLastSequence;
        for look in 0..LOOKS_MAX {
            if look > 0 {
                time::sleep(LOOK_AFTER).await;
            }
            let Ok(message) = last(&self.groups, &self.group_subject(key)).await else { continue };
            let is_mine = message.as_ref().is_some_and(|message| text(&message.headers, "Nats-Msg-Id") == Some(id));
            if let Some(message) = message.as_ref().filter(|_| is_mine) {
                return Ok(message.sequence);
            }
            let head = message.map_or(Ok(Head::default()), |message| read_head(key, &message))?;
            if head != *before {
                check(append, &head)?;
                return Err(Error::conflict("another writer was faster").with("stream", key));
            }
            if is_refused {
                return Err(Error::conflict("the server knows another last group").with("stream", key));
            }
        }
        let error = Error::unknown_outcome("the journal's server did not say whether it wrote").with_source(error);
        Err(error.with("stream", key))
    }

    async fn head(&self, key: &StreamKey) -> Result<Head> {
        let message = last(&self.groups, &self.group_subject(key)).await?;
        let head = message.map_or(Ok(Head::default()), |message| read_head(key, &message))?;
        self.remember(key, head);
        Ok(head)
    }

    fn remember(&self, key: &StreamKey, head: Head) {
        let heads = &mut *self.heads.lock();
        if heads.len() >= HEADS_MAX {
            heads.clear();
        }
        heads.insert(key.clone(), head);
    }

    async fn read(&self, key: &StreamKey, from: u64, limit: usize) -> Result<Vec<Group>> {
        let subject = self.group_subject(key);
        let end = self.ends.lock().get(key).copied().filter(|(version, _)| *version < from);
        let mut sequence = end.map_or(1, |(_, sequence)| sequence + 1);
        let (mut groups, mut end) = (Vec::new(), None);
        while groups.len() < limit {
            let Some(message) = next(&self.groups, &subject, sequence).await? else { break };
            let head = read_head(key, &message)?;
            sequence = message.sequence + 1;
            end = Some((head.version, message.sequence));
            if head.version >= from {
                groups.push(Group { version: head.version, payload: message.payload });
            }
        }
        if let Some(end) = end {
            let ends = &mut *self.ends.lock();
            if ends.len() >= HEADS_MAX {
                ends.clear();
            }
            ends.insert(key.clone(), end);
        }
        Ok(groups)
    }

    async fn open(&self, kind: &str, limit: usize) -> Result<Vec<StreamKey>> {
        let subject = format!("{}.open.*.*.{}.*", self.root, escape(kind));
        let (mut found, mut sequence) = (Vec::new(), 1);
        while found.len() < limit {
            let Some(message) = next(&self.marks, &subject, sequence).await? else { break };
            sequence = message.sequence + 1;
            let Some(key) = self.key(&message.subject) else { continue };
            // The mark comes before its group, and goes after it.
            if self.head(&key).await?.is_open {
                found.push(key);
            }
        }
        Ok(found)
    }

    fn group_subject(&self, key: &StreamKey) -> String {
        self.subject("ev", key)
    }

    fn mark_subject(&self, key: &StreamKey) -> String {
        self.subject("open", key)
    }

    fn subject(&self, room: &str, StreamKey { tenant, kind, id }: &StreamKey) -> String {
        let shard = shard_of(tenant.as_str(), kind, id, SHARDS);
        format!("{}.{room}.{}.{shard}.{}.{}", self.root, escape(tenant.as_str()), escape(kind), escape(id))
    }

    /// Reads the stream of a mark's subject.
    fn key(&self, subject: &str) -> Option<StreamKey> {
        let tokens: Vec<&str> = subject.strip_prefix(&self.root)?.split('.').collect();
        let ["", "open", tenant, _, kind, id] = tokens.as_slice() else { return None };
        let text = |token: &str| if token == "-" { Some(String::new()) } else { unescape(token, ID_MAX_BYTES) };
        let tenant = TenantId::parse(text(tenant)?).ok()?;
        Some(StreamKey { tenant, kind: text(kind)?.into(), id: text(id)?.into() })
    }
}

/// Refuses an append that its stream's last group does not fit.
fn check(append: &Append, head: &Head) -> Result<()> {
    if append.fence < head.fence {
        return Err(Error::unavailable("another writer with a higher fence has the stream")
            .with("stream", &append.stream)
            .with("fence", append.fence)
            .with("highest", head.fence));
    }
    if append.expected != head.version {
        return Err(Error::conflict("the stream has another version")
            .with("stream", &append.stream)
            .with("expected", append.expected)
            .with("version", head.version));
    }
    Ok(())
}

/// Returns the last message of a subject, from the stream's leader.
async fn last(stream: &Stream, subject: &str) -> Result<Option<StreamMessage>> {
    match time::timeout(ANSWER_TIMEOUT, stream.get_last_raw_message_by_subject(subject)).await? {
        Ok(message) => Ok(Some(message)),
        Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}

/// Returns the first message of a subject from a sequence on, from the stream's leader.
async fn next(stream: &Stream, subject: &str, sequence: u64) -> Result<Option<StreamMessage>> {
    match time::timeout(ANSWER_TIMEOUT, stream.get_first_raw_message_by_subject(subject, sequence)).await? {
        Ok(message) => Ok(Some(message)),
        Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::unavailable("the journal's server does not answer").with_source(error)
}

fn read_head(key: &StreamKey, message: &StreamMessage) -> Result<Head> {
    let number = |name| text(&message.headers, name)?.parse().ok();
    let read = || {
        let is_open = text(&message.headers, OPEN)? == "1";
        Some(Head { version: number(VERSION)?, sequence: message.sequence, fence: number(FENCE)?, is_open })
    };
    read().ok_or_else(|| {
        Error::decode("a group of the journal is damaged").with("stream", key).with("sequence", message.sequence)
    })
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(async_nats::HeaderValue::as_str)
}

impl fmt::Debug for NatsJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsJournal").field("root", &self.shared.root).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_writer_that_is_behind_is_told_by_what() {
        let stream = StreamKey { tenant: TenantId::default(), kind: "session".into(), id: "s".into() };
        let append =
            Append { stream, expected: 3, fence: 7, payload: Bytes::new(), sync: SyncLevel::Commit, mark: Mark::Keep };
        let head = Head { version: 3, sequence: 90, fence: 7, is_open: false };
        assert!(check(&append, &head).is_ok());
        let newer = check(&append, &Head { fence: 8, ..head }).unwrap_err();
        assert_eq!(newer.code(), beluga_core::Code::Unavailable, "the fence comes first: {newer}");
        assert_eq!(check(&append, &Head { version: 4, ..head }).unwrap_err().code(), beluga_core::Code::Conflict);
    }
}
