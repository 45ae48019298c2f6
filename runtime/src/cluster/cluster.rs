//! A node's place in its cluster, as code uses it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use beluga_core::{BoxFuture, BoxStream, CallContext, Error, MessageId, Result, TenantId};
use bytes::Bytes;
use futures_util::stream;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::driver::drive;
use super::heartbeat::Heartbeat;
use super::inbound::{Inbound, Leave};
use super::link::{Inbox, Link};
use super::membership::{Membership, Standing};
use super::node::NodeId;
use super::outbound::{Answering, Outbound, Way, is_stream};
use super::report::ClusterReport;
use super::shard::{SHARDS, Shard, shard_of};
use super::store::KvCas;
use super::timing::Timing;
use super::view::{View, WEIGHT_MAX};
use super::warden::{self, WardenProtocol};
use crate::naming::check_name;
use crate::reference::Ref;
use crate::system::System;
use crate::task::{self, AbortOnDrop};
use crate::time;
use crate::wire::frame::{self, Cancel, Credit, Fence, Frame, Moved, Owner, Target};
use crate::wire::{Egress, Ingress, WireCall, WireProtocol, message_id};

/// How a node takes part.
#[derive(Debug, Clone)]
pub struct ClusterSettings {
    /// The node's name, one per cluster.
    pub name: Arc<str>,
    /// How much it takes in comparison with the others; 1 unless told otherwise, at most [`WEIGHT_MAX`].
    pub weight: u32,
    /// How many shards the cluster has, if this node is its first; [`SHARDS`] unless told otherwise.
    pub shards: u16,
    /// How long the cluster waits for what.
    pub timing: Timing,
    /// How long calls of a shard that is to move may take to end; then they are cancelled. 10 s unless told otherwise.
    pub grace: Duration,
}

impl ClusterSettings {
    /// Makes the settings of a node with this name.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let (timing, grace) = (Timing::default(), Duration::from_secs(10));
        Self { name: name.into(), weight: 1, shards: SHARDS, timing, grace }
    }

    fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        self.timing.check()?;
        if self.weight == 0 || self.weight > WEIGHT_MAX || self.shards == 0 {
            return Err(Error::config("cluster: weight and shards must be within their bounds")
                .with("weight", self.weight)
                .with("shards", self.shards));
        }
        Ok(())
    }
}

/// Shards that leave a node, and the keys in them.
#[derive(Debug, Clone)]
pub struct Leaving {
    /// `None`: all of them.
    pub(super) shard: Option<Shard>,
    pub(super) shards: u16,
    pub(super) kind: &'static str,
}

impl Leaving {
    /// Returns whether a key of the kind leaves.
    #[must_use]
    pub fn has(&self, tenant: &TenantId, key: &str) -> bool {
        self.shard.is_none_or(|shard| shard == shard_of(tenant.as_str(), self.kind, key, self.shards))
    }
}

type Leaver = Arc<dyn Fn(Leaving) -> BoxFuture<'static, ()> + Send + Sync>;

/// A node in its cluster. Clones are the same; the last one that drops takes the node out of it without a word, as a crash would:
/// [`leave`](Self::leave) is the way to go.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    _driver: Arc<AbortOnDrop<()>>,
}

/// What the parts of a cluster's node share.
pub(super) struct Inner {
    pub(super) system: System,
    pub(super) settings: ClusterSettings,
    pub(super) link: Arc<dyn Link>,
    pub(super) store: Arc<dyn KvCas>,
    pub(super) ingress: Arc<dyn Ingress>,
    pub(super) member: Mutex<Membership>,
    pub(super) epoch: AtomicU64,
    pub(super) outbound: Outbound,
    pub(super) inbound: Inbound,
    pub(super) leavers: RwLock<Vec<(&'static str, Leaver)>>,
    /// Wakes the driver.
    pub(super) wake: Notify,
    /// Version and standing, whenever they change.
    pub(super) news: watch::Sender<(u64, Standing)>,
}

impl Cluster {
    /// Lets a node take part: it joins as soon as the others hear it. Kinds that are served from other nodes are named with
    /// [`serve`](Self::serve) before.
    ///
    /// # Errors
    /// `config` or `invalid_input` for wrong settings.
    pub fn start(
        system: &System,
        link: Arc<dyn Link>,
        store: Arc<dyn KvCas>,
        settings: ClusterSettings,
    ) -> Result<Self> {
        settings.check()?;
        let epoch = new_epoch(0);
        let me = NodeId::new(Arc::clone(&settings.name), epoch);
        let member = Membership::new(me, settings.weight, settings.shards, settings.timing);
        let inner = Arc::new(Inner {
            system: system.clone(),
            ingress: system.ingress(),
            link,
            store,
            member: Mutex::new(member),
            epoch: AtomicU64::new(epoch),
            outbound: Outbound::default(),
            inbound: Inbound::default(),
            leavers: RwLock::default(),
            wake: Notify::new(),
            news: watch::Sender::new((0, Standing::Joining)),
            settings,
        });
        let driver = task::spawn("cluster", drive(Arc::clone(&inner))).abort_on_drop();
        Ok(Self { inner, _driver: Arc::new(driver) })
    }

    /// Serves the keys of a kind that belong to this node. `resolve` says who takes a call, as with [`System::serve`]; `leave` ends
    /// what is there of the keys that leave, and is ready when nothing is. It is called with [`Leaving`] for one shard when it moves
    /// in order, and for all when this node was taken out.
    ///
    /// # Errors
    /// As [`System::serve`].
    pub fn serve<P: WireProtocol>(
        &self,
        kind: &'static str,
        resolve: impl Fn(&TenantId, &str) -> Result<Ref<P>> + Send + Sync + 'static,
        leave: impl Fn(Leaving) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Result<()> {
        self.inner.system.serve(kind, resolve)?;
        self.inner.leavers.write().push((kind, Arc::new(leave)));
        Ok(())
    }

    /// Returns the reference of a key, wherever it is. It works like any other; see [`System::remote`] for what is different.
    ///
    /// A message waits while its shard moves. An ask whose node died is `unknown_outcome` unless its context has an idempotency
    /// key: then it is sent again, to the next owner.
    #[must_use]
    pub fn key<P: WireProtocol>(&self, kind: &'static str, tenant: &TenantId, key: &str) -> Ref<P> {
        let target = Target::Key { tenant: tenant.as_str().into(), kind: kind.into(), key: key.into() };
        self.inner.system.remote(kind, target, self.egress())
    }

    /// Returns the reference of an actor of a node, by their names.
    #[must_use]
    pub fn named<P: WireProtocol>(&self, kind: &'static str, node: &str, name: &str) -> Ref<P> {
        let target = Target::Named { node: node.into(), name: name.into(), slot: 0 };
        self.inner.system.remote(kind, target, self.egress())
    }

    /// Returns the way out for encoded calls.
    #[must_use]
    pub fn egress(&self) -> Arc<dyn Egress> {
        Arc::new(Out(Arc::clone(&self.inner)))
    }

    /// Returns which life of the node this is. It changes when the others took the node out and it came back.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.inner.member.lock().me().clone()
    }

    /// Returns where the node stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.inner.member.lock().standing()
    }

    /// Returns the newest view the node knows.
    #[must_use]
    pub fn view(&self) -> Option<Arc<View>> {
        self.inner.member.lock().view().cloned()
    }

    /// Returns the token under which this node serves a key now; `None` if it does not.
    #[must_use]
    pub fn serves(&self, tenant: &TenantId, kind: &str, key: &str) -> Option<Fence> {
        let member = self.inner.member.lock();
        let shards = member.view()?.shards();
        member.serves(shard_of(tenant.as_str(), kind, key, shards), time::now())
    }

    /// Returns whether the node is in and may serve what it has at this moment.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let member = self.inner.member.lock();
        member.standing() == Standing::Up && member.has_consent(time::now())
    }

    /// Waits until the node is in.
    pub async fn joined(&self) {
        while !self.is_ready() {
            time::sleep(READY_LOOK).await;
        }
    }

    /// Waits until the view has another version than this, or the node left, and returns the version and where the node stands.
    pub async fn after(&self, version: u64) -> (u64, Standing) {
        let mut news = self.inner.news.subscribe();
        let is_new = |news: &(u64, Standing)| news.0 != version || news.1 == Standing::Left;
        match news.wait_for(is_new).await {
            Ok(news) => *news,
            Err(_) => (version, Standing::Left),
        }
    }

    /// Returns how many calls of this node are on their way, and how many it serves for others.
    #[must_use]
    pub fn calls(&self) -> (usize, usize) {
        (self.inner.outbound.len(), self.inner.inbound.len())
    }

    /// Hands over all shards and leaves. It is ready when the node is out; dropped before, it goes on leaving.
    pub async fn leave(&self) {
        self.inner.drain();
        let mut news = self.inner.news.subscribe();
        let is_over = |news: &(u64, Standing)| matches!(news.1, Standing::Left);
        drop(news.wait_for(is_over).await);
    }
}

impl Cluster {
    /// Tells a node of the cluster, by its name, to hand over what it has and to leave; ready when it has begun to.
    ///
    /// # Errors
    /// `unavailable` if there is no such node, or it does not answer.
    pub async fn drain(&self, node: &str) -> Result<()> {
        if *node == *self.inner.settings.name {
            self.inner.drain();
            return Ok(());
        }
        // Telling it twice is telling it once.
        let context = CallContext::new().with_idempotency_key("leave").with_timeout(time::now(), DRAIN_TIMEOUT);
        self.named::<WardenProtocol>("warden", node, warden::NAME).ask(warden::Leave).with_context(&context).await
    }

    /// Returns what this node knows of its cluster.
    #[must_use]
    pub fn report(&self) -> ClusterReport {
        let (calls_out, calls_in) = self.calls();
        let member = self.inner.member.lock();
        let report = ClusterReport {
            node: member.me().clone(),
            standing: member.standing(),
            is_ready: member.standing() == Standing::Up && member.has_consent(time::now()),
            calls_out,
            calls_in,
            version: None,
            shards: self.inner.settings.shards,
            shards_unowned: 0,
            members: Vec::new(),
        };
        match member.view() {
            Some(view) => report.with_view(view),
            None => report,
        }
    }
}

/// How long a node may take to begin to leave.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two looks whether the node is in.
const READY_LOOK: Duration = Duration::from_millis(20);

/// Makes the epoch of a new life: the calendar time in milliseconds, and above the one before.
pub(super) fn new_epoch(before: u64) -> u64 {
    let since = time::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(before + 1)
}

impl Inner {
    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Lets this node hand over and leave.
    pub(super) fn drain(&self) {
        self.member.lock().drain();
        self.changed();
    }

    /// Lets the driver look at once.
    pub(super) fn changed(&self) {
        self.wake.notify_one();
    }

    /// Returns under what a target is served here now; `None` if it is not.
    pub(super) fn leave(&self, target: &Target) -> Option<Leave> {
        match target {
            Target::Key { tenant, kind, key } => {
                let member = self.member.lock();
                let shard = shard_of(tenant, kind, key, member.view()?.shards());
                let fence = member.serves(shard, time::now())?;
                Some(Leave { shard: Some((shard, fence)) })
            }
            Target::Named { node, .. } => (**node == *self.settings.name).then_some(Leave { shard: None }),
        }
    }

    /// Returns whether what was begun under a token may have an effect now, and whether the shard is still this node's.
    pub(super) fn holds(&self, shard: Shard, fence: Fence) -> (bool, bool) {
        let member = self.member.lock();
        (member.holds(shard, fence, time::now()), member.keeps(shard, fence))
    }

    /// Returns where a target is, as far as this node knows.
    pub(super) fn way(&self, target: &Target) -> Way {
        let member = self.member.lock();
        let Some(view) = member.view() else { return Way::Nobody };
        match target {
            Target::Key { tenant, kind, key } => {
                let shard = shard_of(tenant, kind, key, view.shards());
                let owner = view.owner(shard).map(|owner| Way::To(owner.node.clone(), view.fence(shard)));
                owner.unwrap_or(Way::Nobody)
            }
            Target::Named { node, .. } => match view.named(node) {
                Some(member) => Way::To(member.node.clone(), None),
                None => Way::Nowhere,
            },
        }
    }

    /// Says something to a node; what cannot be said is lost, as on a network.
    pub(super) fn say(self: &Arc<Self>, to: &NodeId, frame: Frame) {
        if to.epoch == self.epoch() && *to.name == *self.settings.name {
            return self.take(frame);
        }
        let sent = frame::encode(&frame).and_then(|bytes| self.link.send(to, Bytes::from(bytes)));
        if let Err(error) = sent {
            tracing::debug!(node = %to, %error, "a frame was not sent");
            if let Frame::Call(call) = frame {
                // It certainly did not leave: the next try is due soon.
                self.outbound.take(Frame::Moved(Moved { of: call.id, owner: None, fence: None }), time::now());
            }
        }
    }

    /// Takes what a node says.
    pub(super) fn take(self: &Arc<Self>, frame: Frame) {
        match frame {
            Frame::Call(call) => self.serve(*call),
            Frame::Cancel(Cancel { of }) => self.inbound.cancel(of),
            Frame::Credit(Credit { of, more }) => self.inbound.credit(of, more),
            Frame::Moved(moved) => {
                let is_newer = |fence: Fence| {
                    let member = self.member.lock();
                    member
                        .view()
                        .is_none_or(|view| (view.generation(), view.version()) < (fence.generation, fence.revision))
                };
                if moved.fence.is_some_and(is_newer) {
                    self.member.lock().look();
                }
                self.outbound.take(Frame::Moved(moved), time::now());
                self.changed();
            }
            frame => self.outbound.take(frame, time::now()),
        }
    }

    fn serve(self: &Arc<Self>, call: frame::Call) {
        if let Some(leave) = self.leave(&call.target) {
            return self.inbound.take(self, call, leave);
        }
        let from = NodeId { name: Arc::clone(&call.origin.node), epoch: call.origin.epoch };
        let (owner, fence) = match self.way(&call.target) {
            Way::To(node, fence) => (Some(Owner { node: node.name.to_string(), epoch: node.epoch }), fence),
            Way::Nobody | Way::Nowhere => (None, None),
        };
        if call.fence > fence {
            // Its sender knows more than this node.
            self.member.lock().look();
            self.changed();
        }
        self.say(&from, Frame::Moved(Moved { of: call.id, owner, fence }));
    }

    /// Takes a call of this node in.
    fn begin(self: &Arc<Self>, call: WireCall, answering: Answering) -> Result<MessageId> {
        if self.member.lock().standing() == Standing::Left {
            return Err(Error::unavailable("the node left its cluster").with("node", self.name()));
        }
        let id = message_id(self.system.random());
        let way = self.way(&call.target);
        if let Way::Nowhere = way {
            let error = Error::unavailable("no member of the cluster has this name");
            return Err(error.with("target", format!("{:?}", call.target)));
        }
        let me = NodeId { name: Arc::clone(&self.settings.name), epoch: self.epoch() };
        if let Some((to, frame)) = self.outbound.begin(id, call, answering, &me, &way, time::now())? {
            self.say(&to, frame);
        }
        Ok(id)
    }
}

/// Where things come in: it keeps no node alive.
pub(super) struct Mouth(Weak<Inner>);

impl Mouth {
    pub(super) fn new(inner: &Arc<Inner>) -> Self {
        Self(Arc::downgrade(inner))
    }
}

impl Inbox for Mouth {
    fn frames(&self, publish: &[u8]) {
        let Some(inner) = self.0.upgrade() else { return };
        match frame::decode(publish) {
            Ok(frames) => frames.into_iter().for_each(|frame| inner.take(frame)),
            Err(error) => tracing::warn!(%error, "what came in is no publish of a node"),
        }
    }

    fn heartbeat(&self, bytes: &[u8]) {
        let Some(inner) = self.0.upgrade() else { return };
        match Heartbeat::decode(bytes) {
            Ok(beat) => inner.member.lock().heard(&beat, time::now()),
            Err(error) => tracing::warn!(%error, "what came in is no heartbeat"),
        }
    }
}

impl fmt::Debug for Mouth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mouth")
    }
}

/// The way out of a node.
struct Out(Arc<Inner>);

impl Egress for Out {
    fn call(&self, call: WireCall) -> BoxFuture<'static, Result<Bytes>> {
        let (answers, waits) = oneshot::channel();
        let context = call.context.clone();
        let answering = match call.manner {
            frame::Manner::Tell => Answering::Told(Some(answers)),
            _ => Answering::Asked(answers),
        };
        let id = match self.0.begin(call, answering) {
            Ok(id) => id,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let leaving = Caller { inner: Arc::clone(&self.0), id };
        Box::pin(async move {
            let _leaving = leaving;
            let lost = |_| Error::unknown_outcome("the cluster's node is gone");
            time::within(&context, waits).await?.map_err(lost)?
        })
    }

    fn stream(&self, call: WireCall) -> BoxStream<'static, Result<Bytes>> {
        if !is_stream(&call) {
            let error = Error::internal("a call that is no stream");
            return Box::pin(stream::once(std::future::ready(Err(error))));
        }
        let (sender, frames) = mpsc::unbounded_channel();
        let context = call.context.clone();
        let id = match self.0.begin(call, Answering::Streamed(sender)) {
            Ok(id) => id,
            Err(error) => return Box::pin(stream::once(std::future::ready(Err(error)))),
        };
        let reading = Reading { caller: Caller { inner: Arc::clone(&self.0), id }, frames, taken: 0, is_over: false };
        Box::pin(stream::unfold((reading, context), |(mut reading, context)| async move {
            let item = match time::within(&context, reading.next()).await {
                Ok(item) => item?,
                Err(_) if reading.is_over => return None,
                Err(error) => {
                    reading.is_over = true;
                    Err(error)
                }
            };
            Some((item, (reading, context)))
        }))
    }

    fn try_tell(&self, call: WireCall) -> Result<()> {
        self.0.begin(call, Answering::Told(None)).map(drop)
    }
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Out({})", self.0.settings.name)
    }
}

/// Who waits for a call; dropped, it left.
struct Caller {
    inner: Arc<Inner>,
    id: MessageId,
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(node) = self.inner.outbound.leave(self.id) {
            self.inner.say(&node, Frame::Cancel(Cancel { of: self.id }));
        }
    }
}

/// The reader of a stream.
struct Reading {
    caller: Caller,
    frames: mpsc::UnboundedReceiver<Frame>,
    taken: u64,
    is_over: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        if self.is_over {
            return None;
        }
        let frame = self.frames.recv().await;
        match frame {
            Some(Frame::Item(item)) if item.number == self.taken + 1 => {
                self.taken += 1;
                if let Some(node) = self.caller.inner.outbound.producer(self.caller.id) {
                    self.caller.inner.say(&node, Frame::Credit(Credit { of: self.caller.id, more: 1 }));
                }
                let missing = || Error::unsupported("the item is not in its frame");
                Some(item.body.inline().cloned().ok_or_else(missing))
            }
            Some(Frame::End(end)) => {
                self.is_over = true;
                match end.failure {
                    Some(failure) => Some(Err(Error::from(failure))),
                    None if end.items == self.taken => None,
                    None => Some(Err(gap(self.taken, end.items))),
                }
            }
            Some(Frame::Item(item)) => {
                self.is_over = true;
                Some(Err(gap(self.taken, item.number)))
            }
            _ => {
                self.is_over = true;
                Some(Err(Error::unknown_outcome("the stream was lost")))
            }
        }
    }
}

fn gap(taken: u64, number: u64) -> Error {
    Error::unknown_outcome("items of the stream were lost on the way").with("taken", taken).with("next", number)
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("node", &self.settings.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
