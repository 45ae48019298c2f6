//! A key-value bucket of JetStream, as what a cluster agrees in.

use std::fmt;

use async_nats::jetstream;
use async_nats::jetstream::kv::{Operation, Store, UpdateErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use beluga_core::{BoxFuture, Error, Result};
use beluga_runtime::cluster::{Entry, KvCas, Swap};
use bytes::Bytes;

use super::connection::Connection;
use super::subject::escape;

/// The bucket of one cluster: `beluga_<cluster>`, in files, with the newest value of each key.
#[derive(Clone)]
pub struct NatsStore {
    bucket: Store,
}

impl NatsStore {
    /// Opens the bucket of a cluster, and makes it if it is not there: with so many replicas (1, 3 or 5), which count for a new one
    /// only.
    ///
    /// # Errors
    /// `unavailable` if JetStream does not answer, or is not turned on; `config` if it refuses the bucket.
    pub async fn open(connection: &Connection, cluster: &str, replicas: usize) -> Result<Self> {
        let name = format!("beluga_{}", escape(cluster));
        let context = jetstream::new(connection.client().clone());
        if let Ok(bucket) = context.get_key_value(&name).await {
            return Ok(Self { bucket });
        }
        // `create_key_value` first asks for the account, and does not understand what servers before 2.10 answer. Two nodes that
        // make it at once make the same.
        let config = Config {
            name: format!("KV_{name}"),
            subjects: vec![format!("$KV.{name}.>")],
            max_messages_per_subject: 1,
            discard: DiscardPolicy::New,
            storage: StorageType::File,
            num_replicas: replicas,
            allow_rollup: true,
            deny_delete: true,
            allow_direct: true,
            ..Config::default()
        };
        let refused = |message, error: Box<dyn std::error::Error + Send + Sync>| {
            Error::unavailable(message).with("bucket", &name).with("replicas", replicas).with_source(error)
        };
        context
            .create_stream(config)
            .await
            .map_err(|error| refused("jetstream makes no bucket for the cluster: is it turned on?", Box::new(error)))?;
        let bucket = context.get_key_value(&name).await;
        let bucket =
            bucket.map_err(|error| refused("jetstream does not show the cluster's bucket", Box::new(error)))?;
        Ok(Self { bucket })
    }
}

impl KvCas for NatsStore {
    fn read(&self, key: &str) -> BoxFuture<'static, Result<Option<Entry>>> {
        let (bucket, key) = (self.bucket.clone(), escape_key(key));
        Box::pin(async move {
            let entry = bucket.entry(key).await;
            let entry =
                entry.map_err(|error| Error::unavailable("the cluster's bucket is not read").with_source(error))?;
            let entry = entry.filter(|entry| entry.operation == Operation::Put);
            Ok(entry.map(|entry| Entry { value: entry.value, revision: entry.revision }))
        })
    }

    fn swap(&self, key: &str, revision: Option<u64>, value: Bytes) -> BoxFuture<'static, Swap> {
        let (bucket, key) = (self.bucket.clone(), escape_key(key));
        Box::pin(async move {
            match bucket.update(key, value, revision.unwrap_or(0)).await {
                Ok(revision) => Swap::Written(revision),
                Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => Swap::Conflict,
                Err(error) => {
                    tracing::debug!(%error, "the outcome of a swap is not known");
                    Swap::Unknown
                }
            }
        })
    }
}

/// Writes a key with the characters a bucket takes; dots stay.
fn escape_key(key: &str) -> String {
    key.split('.').map(escape).collect::<Vec<_>>().join(".")
}

impl fmt::Debug for NatsStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsStore").field("bucket", &self.bucket.name).finish_non_exhaustive()
    }
}
