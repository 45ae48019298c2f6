//! Carries out what the membership says, and lets shards go.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use beluga_core::Result;
use bytes::Bytes;
use futures_util::future::join_all;

use super::cluster::Leaving;
use super::inbox::Inbox;
use super::inner::{Inner, new_epoch};
use super::membership::{Action, Membership, Standing};
use super::node::NodeId;
use super::record::RecordRead;
use super::shard::Shard;
use super::store::{Swap, VIEW_KEY};
use super::view::{Known, View};
use super::warden::{self, Warden};
use crate::{task, time};

/// How long the store may take to answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the driver looks when nothing wakes it.
const LOOK: Duration = Duration::from_millis(20);

/// How long what is there of a key may take to leave memory, beyond the grace of its calls.
const LEAVE_MAX: Duration = Duration::from_secs(5);

/// What a record says while it is its node's, and once it was revoked.
const HELD: &[u8] = b"held";
const REVOKED: &[u8] = b"revoked";

/// Runs a node's part until it left or is dropped.
pub(super) async fn drive(inner: Arc<Inner>) {
    let mut letting_go = HashSet::new();
    open(&inner).await;
    if let Err(error) = employ(&inner).await {
        tracing::warn!(%error, "other nodes cannot tell this one to leave");
    }
    loop {
        let now = time::now();
        let (actions, standing, version, leaving) = {
            let mut member = inner.member.lock();
            let actions = member.tick(now);
            let version = member.view().map_or(0, |view| view.version());
            (actions, member.standing(), version, member.leaving().into_iter().collect::<HashSet<Shard>>())
        };
        for action in actions {
            act(&inner, action);
        }
        let is_news =
            inner.news.send_if_modified(|news| std::mem::replace(news, (version, standing)) != (version, standing));
        if is_news {
            inner.outbound.hurry(now);
        }
        for shard in leaving.difference(&letting_go) {
            drop(task::spawn("cluster-let-go", let_go(Arc::clone(&inner), *shard)));
        }
        letting_go = leaving;
        match standing {
            Standing::Left => {
                end_all(&inner).await;
                inner.outbound.lose_all(time::now());
                return;
            }
            Standing::Out => {
                begin_again(&inner).await;
                letting_go.clear();
            }
            Standing::Joining | Standing::Up | Standing::Draining => sweep(&inner),
        }
        tokio::select! {
            () = time::sleep(LOOK) => {}
            () = inner.wake.notified() => {}
        }
    }
}

/// Starts the actor that others ask about this node.
async fn employ(inner: &Arc<Inner>) -> Result<()> {
    inner.system.register::<Warden>()?;
    let warden = Arc::downgrade(inner);
    inner.system.spawn(warden::NAME, move || Warden(Weak::clone(&warden))).await?;
    Ok(())
}

/// Sends what is due, and ends what was sent to nodes that are gone.
fn sweep(inner: &Arc<Inner>) {
    let now = time::now();
    let (view, me) = {
        let member = inner.member.lock();
        (member.view().cloned(), member.me().clone())
    };
    let Some(view) = view else { return };
    let is_there = |node: &NodeId| view.find(node).is_some();
    for (to, frame) in inner.outbound.sweep(&me, is_there, |target| inner.way(target), now) {
        inner.say(&to, frame);
    }
    inner.inbound.sweep(now);
}

/// Lets everything for this life come in; tries until it can.
async fn open(inner: &Arc<Inner>) {
    let (me, inbox) = (inner.me(), Inbox::new(inner));
    while let Err(error) = inner.link.open(&me, inbox.clone()).await {
        tracing::warn!(node = %me, %error, "the cluster cannot be heard yet");
        time::sleep(STORE_TIMEOUT).await;
    }
}

/// This life is over: ends what it served and begins another.
async fn begin_again(inner: &Arc<Inner>) {
    let before = inner.me();
    tracing::warn!(node = %before, "the cluster took this node out; it comes back as another");
    end_all(inner).await;
    let settings = &inner.settings;
    let me = NodeId::new(Arc::clone(&settings.name), new_epoch(before.epoch));
    *inner.member.lock() = Membership::new(me, settings.weight, settings.shards, settings.timing);
    inner.outbound.lose_all(time::now());
    open(inner).await;
}

/// Ends everything that is served of shards.
async fn end_all(inner: &Arc<Inner>) {
    inner.inbound.cancel_shards(|_| true);
    leave(inner, None).await;
}

/// Ends what is served of a shard, and lets it go.
async fn let_go(inner: Arc<Inner>, shard: Shard) {
    let until = time::now() + inner.settings.grace;
    while inner.inbound.is_busy(shard) && time::now() < until {
        time::sleep(LOOK).await;
    }
    inner.inbound.cancel_shards(|other| other == shard);
    leave(&inner, Some(shard)).await;
    inner.member.lock().let_go(shard);
    inner.changed();
}

/// Lets what is there of a shard's keys leave memory.
async fn leave(inner: &Arc<Inner>, shard: Option<Shard>) {
    let leavers = inner.leavers.read().clone();
    let shards = inner.member.lock().view().map_or(inner.settings.shards, |view| view.shards());
    let leaving = leavers.iter().map(|(kind, leave)| leave(Leaving { shard, shards, kind }));
    if time::timeout(LEAVE_MAX, join_all(leaving)).await.is_err() {
        tracing::warn!(
            ?shard,
            "actors were still there when their shard left; only their tokens keep them from doing harm"
        );
    }
}

/// Does one thing; whatever asks the store does so in a task of its own.
fn act(inner: &Arc<Inner>, action: Action) {
    if let Action::Beat(beat) = action {
        if let Err(error) = beat.encode().and_then(|bytes| inner.link.beat(Bytes::from(bytes))) {
            tracing::debug!(%error, "a heartbeat was not sent");
        }
        return;
    }
    drop(task::spawn("cluster-store", ask(Arc::clone(inner), action)));
}

/// Asks the store, and tells this life what came of it.
async fn ask(inner: Arc<Inner>, action: Action) {
    let life = inner.me();
    let mut next = Some(action);
    while let Some(action) = next.take() {
        let told = answer(&inner, action).await;
        let mut member = inner.member.lock();
        if *member.me() != life {
            return;
        }
        next = told(&mut member);
    }
    inner.changed();
}

type Told = Box<dyn FnOnce(&mut Membership) -> Option<Action> + Send>;

async fn answer(inner: &Arc<Inner>, action: Action) -> Told {
    let me = record_key(&inner.me());
    match action {
        Action::Read => {
            let read = read_view(inner).await;
            let since = time::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let generation = u64::try_from(since.as_millis()).unwrap_or(1);
            Box::new(move |member| member.read(read, generation, time::now()))
        }
        Action::Write { revision, view } => {
            let outcome = match view.encode() {
                Ok(bytes) => swap(inner, VIEW_KEY, revision, Bytes::from(bytes)).await,
                Err(_) => Swap::Conflict,
            };
            Box::new(move |member| {
                member.written(outcome, time::now());
                None
            })
        }
        Action::Renew { revision } => {
            let outcome = swap(inner, &me, revision, Bytes::from_static(HELD)).await;
            Box::new(move |member| {
                member.renewed(outcome);
                None
            })
        }
        Action::ReadRecord(node) => {
            let read = time::timeout(STORE_TIMEOUT, inner.store.read(&record_key(&node))).await;
            let read = read.and_then(|read| read).map_err(drop).map(|entry| {
                entry.map(|entry| RecordRead { revision: entry.revision, is_held: *entry.value == *HELD })
            });
            Box::new(move |member| member.record_read(&node, read, time::now()))
        }
        Action::Revoke { node, revision } => {
            let outcome = swap(inner, &record_key(&node), revision, Bytes::from_static(REVOKED)).await;
            Box::new(move |member| {
                member.revoked(&node, outcome);
                None
            })
        }
        Action::Beat(_) => Box::new(|_| None),
    }
}

async fn read_view(inner: &Arc<Inner>) -> Result<Option<Known>, ()> {
    let read = time::timeout(STORE_TIMEOUT, inner.store.read(VIEW_KEY)).await.and_then(|read| read);
    let entry = read.map_err(|error| tracing::debug!(%error, "the cluster's store does not answer"))?;
    let Some(entry) = entry else { return Ok(None) };
    match View::decode(&entry.value) {
        Ok(view) => Ok(Some(Known { view: Arc::new(view), revision: entry.revision })),
        Err(error) => {
            tracing::error!(%error, "the cluster's view cannot be read");
            Err(())
        }
    }
}

async fn swap(inner: &Arc<Inner>, key: &str, revision: Option<u64>, value: Bytes) -> Swap {
    time::timeout(STORE_TIMEOUT, inner.store.swap(key, revision, value)).await.unwrap_or(Swap::Unknown)
}

/// The key of a node's record.
fn record_key(node: &NodeId) -> String {
    format!("node.{}.{}", node.name, node.epoch)
}
