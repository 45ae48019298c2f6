//! A node's place in its cluster, as code uses it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{BoxFuture, CallContext, Error, Result, TenantId};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use super::driver::drive;
use super::inbound::Inbound;
use super::inner::{Inner, new_epoch};
use super::link::Link;
use super::membership::{Membership, Standing};
use super::node::NodeId;
use super::outbound::Outbound;
use super::report::ClusterReport;
use super::shard::{SHARDS, Shard, shard_of};
use super::store::KvCas;
use super::timing::Timing;
use super::view::{View, WEIGHT_MAX};
use super::warden::{self, WardenProtocol};
use super::way_out::Out;
use crate::naming::check_name;
use crate::reference::Ref;
use crate::system::System;
use crate::task::{self, AbortOnDrop};
use crate::time;
use crate::wire::frame::{Fence, Target};
use crate::wire::{Egress, WireProtocol};

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

/// A node in its cluster. Clones are the same; the last one that drops takes the node out of it without a word, as a crash would:
/// [`leave`](Self::leave) is the way to go.
#[derive(Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
    _driver: Arc<AbortOnDrop<()>>,
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
        let me = NodeId::new(Arc::clone(&settings.name), new_epoch(0));
        let member = Membership::new(me, settings.weight, settings.shards, settings.timing);
        let inner = Arc::new(Inner {
            system: system.clone(),
            ingress: system.ingress(),
            link,
            store,
            member: Mutex::new(member),
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
        self.inner.me()
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
        let ((calls_out, calls_in), is_ready) = (self.calls(), self.is_ready());
        let member = self.inner.member.lock();
        let report = ClusterReport {
            node: member.me().clone(),
            standing: member.standing(),
            is_ready,
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

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
