//! A network and a store in memory, for clusters of real actors on paused time.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{BoxFuture, Result};
use beluga_runtime::cluster::{Entry, Inbox, KvCas, Link, NodeId, Swap};
use beluga_runtime::wire::frame::{self, Frame};
use beluga_runtime::{SystemRandom, task, time};
use bytes::Bytes;
use parking_lot::Mutex;

/// What all nodes are connected to.
#[derive(Clone)]
pub(crate) struct Net(Arc<Wires>);

struct Wires {
    random: SystemRandom,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    inboxes: HashMap<NodeId, Inbox>,
    /// Names that neither hear nor are heard.
    cut: HashSet<Arc<str>>,
    /// Of a hundred frames, how many are lost; and by how much they are late at most.
    loss: u64,
    late: Duration,
    entries: HashMap<String, Entry>,
    revision: u64,
    /// Calls that were sent.
    calls: u64,
}

impl Net {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Wires { random: SystemRandom::seeded(seed), state: Mutex::default() }))
    }

    /// Returns a node's end of it.
    pub(crate) fn link(&self, name: &str) -> Arc<dyn Link> {
        Arc::new(End { net: self.clone(), name: name.into() })
    }

    pub(crate) fn store(&self) -> Arc<dyn KvCas> {
        Arc::new(Store(self.clone()))
    }

    /// Lets a node neither hear nor be heard.
    pub(crate) fn cut(&self, name: &str) {
        self.0.state.lock().cut.insert(name.into());
    }

    pub(crate) fn mend(&self) {
        let state = &mut *self.0.state.lock();
        state.cut.clear();
        (state.loss, state.late) = (0, Duration::ZERO);
    }

    /// Lets frames be lost and late.
    pub(crate) fn worsen(&self, loss: u64, late: Duration) {
        let state = &mut *self.0.state.lock();
        (state.loss, state.late) = (loss, late);
    }

    pub(crate) fn calls(&self) -> u64 {
        self.0.state.lock().calls
    }

    fn is_cut(&self, from: &str, to: &str) -> bool {
        let state = self.0.state.lock();
        state.cut.contains(from) || state.cut.contains(to)
    }
}

struct End {
    net: Net,
    name: Arc<str>,
}

impl Link for End {
    fn open(&self, me: &NodeId, inbox: Inbox) -> BoxFuture<'static, Result<()>> {
        let state = &mut *self.net.0.state.lock();
        state.inboxes.retain(|node, _| node.name != me.name);
        state.inboxes.insert(me.clone(), inbox);
        Box::pin(std::future::ready(Ok(())))
    }

    fn send(&self, to: &NodeId, publish: Bytes) -> Result<()> {
        let (random, to) = (&self.net.0.random, to.clone());
        let (lost, late, inbox) = {
            let state = &mut *self.net.0.state.lock();
            let calls = frame::decode(&publish)?.iter().filter(|frame| matches!(frame, Frame::Call(_))).count();
            state.calls += u64::try_from(calls).unwrap();
            (state.loss, state.late, state.inboxes.get(&to).cloned())
        };
        if random.below(100) < lost || self.net.is_cut(&self.name, &to.name) {
            return Ok(());
        }
        let Some(inbox) = inbox else { return Ok(()) };
        if late.is_zero() {
            inbox.frames(&publish);
            return Ok(());
        }
        let copies = if random.below(100) < lost { 2 } else { 1 };
        for _ in 0..copies {
            let wait = Duration::from_micros(random.below(u64::try_from(late.as_micros()).unwrap()));
            let (inbox, publish) = (inbox.clone(), publish.clone());
            drop(task::spawn("late", async move {
                time::sleep(wait).await;
                inbox.frames(&publish);
            }));
        }
        Ok(())
    }

    fn beat(&self, heartbeat: Bytes) -> Result<()> {
        let inboxes: Vec<_> = {
            let state = self.net.0.state.lock();
            state.inboxes.iter().map(|(node, inbox)| (node.clone(), inbox.clone())).collect()
        };
        for (node, inbox) in inboxes {
            if node.name != self.name && !self.net.is_cut(&self.name, &node.name) {
                inbox.heartbeat(&heartbeat);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "End({})", self.name)
    }
}

struct Store(Net);

impl KvCas for Store {
    fn read(&self, key: &str) -> BoxFuture<'static, Result<Option<Entry>>> {
        let entry = self.0.0.state.lock().entries.get(key).cloned();
        Box::pin(std::future::ready(Ok(entry)))
    }

    fn swap(&self, key: &str, revision: Option<u64>, value: Bytes) -> BoxFuture<'static, Swap> {
        let state = &mut *self.0.0.state.lock();
        let outcome = if state.entries.get(key).map(|entry| entry.revision) == revision {
            state.revision += 1;
            state.entries.insert(key.to_owned(), Entry { value, revision: state.revision });
            Swap::Written(state.revision)
        } else {
            Swap::Conflict
        };
        Box::pin(std::future::ready(outcome))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}
