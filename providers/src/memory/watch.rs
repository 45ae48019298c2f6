//! Who watches which key of a state store: a bounded broadcast per key, within the process.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use beluga_core::{BoxStream, Error, Result, StateKey};
use futures_util::stream;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};

/// How many changes a watcher may lag behind; a slower one ends with `overloaded`.
pub const WATCH_CAPACITY: usize = 64;

/// How many keys may be watched at a time; one more ends at once with `overloaded`.
pub const WATCHED_KEYS_MAX: usize = 65_536;

type Change = Option<Arc<Value>>;

/// The watchers of one store. Clones share them. Whoever writes calls [`Watchers::changed`] in the order of the writes.
#[derive(Clone, Default)]
pub(crate) struct Watchers {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    keys: HashMap<StateKey, Sender<Change>>,
    closed: bool,
}

impl Watchers {
    /// Returns the changes of a key from now on. Ends with `overloaded` if the reader lags, `unavailable` at the close.
    pub(crate) fn watch(&self, key: StateKey) -> BoxStream<'static, Result<Option<Value>>> {
        let receiver = {
            let mut inner = self.inner.lock();
            if inner.closed {
                return failed(closed());
            }
            if inner.keys.len() >= WATCHED_KEYS_MAX && !inner.keys.contains_key(&key) {
                return failed(Error::overloaded("too many keys are watched").with("max_keys", WATCHED_KEYS_MAX));
            }
            let sender = inner.keys.entry(key.clone()).or_insert_with(|| broadcast::channel(WATCH_CAPACITY).0);
            sender.subscribe()
        };
        let watch = Watch { receiver: Some(receiver), key, watchers: self.clone() };
        Box::pin(stream::unfold(Some(watch), |watch| async move {
            let mut watch = watch?;
            match watch.next().await {
                Ok(change) => Some((Ok(change), Some(watch))),
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    /// Tells the watchers of a key; `None` means deleted. Costs one map look-up if nobody watches.
    pub(crate) fn changed(&self, key: &StateKey, value: Option<&Value>) {
        let inner = self.inner.lock();
        if let Some(sender) = inner.keys.get(key) {
            // Nobody listening is fine: the last watcher is just leaving.
            let _ = sender.send(value.cloned().map(Arc::new));
        }
    }

    /// Ends every watch with `unavailable`, after the changes it has not read yet.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.closed = true;
        inner.keys.clear();
    }
}

impl fmt::Debug for Watchers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watchers").field("keys", &self.inner.lock().keys.len()).finish()
    }
}

struct Watch {
    /// Taken by the drop, so that it is gone before the key is looked at.
    receiver: Option<Receiver<Change>>,
    key: StateKey,
    watchers: Watchers,
}

impl Watch {
    async fn next(&mut self) -> Result<Option<Value>> {
        let Some(receiver) = &mut self.receiver else { return Err(closed()) };
        match receiver.recv().await {
            Ok(change) => Ok(change.map(Arc::unwrap_or_clone)),
            Err(RecvError::Lagged(missed)) => Err(Error::overloaded("the watcher is too slow, changes were missed")
                .with_op("state.watch")
                .with("missed", missed)
                .with("capacity", WATCH_CAPACITY)),
            Err(RecvError::Closed) => Err(closed()),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut inner = self.watchers.inner.lock();
        self.receiver = None;
        if inner.keys.get(&self.key).is_some_and(|sender| sender.receiver_count() == 0) {
            inner.keys.remove(&self.key);
        }
    }
}

fn closed() -> Error {
    Error::unavailable("the store is closed").with_op("state.watch")
}

fn failed(error: Error) -> BoxStream<'static, Result<Option<Value>>> {
    Box::pin(stream::once(std::future::ready(Err(error))))
}

#[cfg(test)]
mod tests {
    use beluga_core::{Code, StateScope, TenantId};
    use futures_util::StreamExt;

    use super::*;

    fn key(name: &str) -> StateKey {
        StateKey { tenant: TenantId::default(), scope: StateScope::Global, name: name.to_owned() }
    }

    #[tokio::test]
    async fn a_key_nobody_watches_any_more_costs_nothing() {
        let watchers = Watchers::default();
        let (first, second) = (watchers.watch(key("a")), watchers.watch(key("a")));
        drop(first);
        assert_eq!(watchers.inner.lock().keys.len(), 1);
        drop(second);
        assert_eq!(watchers.inner.lock().keys.len(), 0);
    }

    #[tokio::test]
    async fn a_close_ends_the_watch_after_its_last_change() {
        let watchers = Watchers::default();
        let mut watch = watchers.watch(key("a"));
        watchers.changed(&key("a"), Some(&Value::from(1)));
        watchers.close();
        assert_eq!(watch.next().await.unwrap().unwrap(), Some(Value::from(1)));
        assert_eq!(watch.next().await.unwrap().unwrap_err().code(), Code::Unavailable);
        assert!(watch.next().await.is_none());
        let late = watchers.watch(key("a")).next().await.unwrap();
        assert_eq!(late.unwrap_err().code(), Code::Unavailable);
    }
}
