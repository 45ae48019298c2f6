//! What the parts of a node in a cluster share: where calls go, what comes in, and what is said.

use std::fmt;
use std::sync::Arc;

use beluga_core::{BoxFuture, Error, MessageId, Result};
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, watch};

use super::cluster::{ClusterSettings, Leaving};
use super::inbound::{Grant, Inbound};
use super::link::Link;
use super::membership::{Membership, Standing};
use super::node::NodeId;
use super::outbound::{Answering, Outbound, Way};
use super::shard::{Shard, shard_of};
use super::store::KvCas;
use crate::system::System;
use crate::time;
use crate::wire::frame::{self, Cancel, Credit, Fence, Frame, Moved, Owner, Target};
use crate::wire::{Ingress, WireCall, message_id};

/// Ends what a kind has of shards that leave.
pub(super) type Leaver = Arc<dyn Fn(Leaving) -> BoxFuture<'static, ()> + Send + Sync>;

/// What the parts of a cluster's node share.
pub(super) struct Inner {
    pub(super) system: System,
    pub(super) settings: ClusterSettings,
    pub(super) link: Arc<dyn Link>,
    pub(super) store: Arc<dyn KvCas>,
    pub(super) ingress: Arc<dyn Ingress>,
    pub(super) member: Mutex<Membership>,
    pub(super) outbound: Outbound,
    pub(super) inbound: Inbound,
    pub(super) leavers: RwLock<Vec<(&'static str, Leaver)>>,
    /// Wakes the driver.
    pub(super) wake: Notify,
    /// Version and standing, whenever they change.
    pub(super) news: watch::Sender<(u64, Standing)>,
}

/// Makes the epoch of a new life: the calendar time in milliseconds, and above the one before.
pub(super) fn new_epoch(before: u64) -> u64 {
    let since = time::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(before + 1)
}

impl Inner {
    /// Returns which life of the node this is.
    pub(super) fn me(&self) -> NodeId {
        self.member.lock().me().clone()
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
    pub(super) fn grant(&self, target: &Target) -> Option<Grant> {
        match target {
            Target::Key { tenant, kind, key } => {
                let member = self.member.lock();
                let shard = shard_of(tenant, kind, key, member.view()?.shards());
                let fence = member.serves(shard, time::now())?;
                Some(Grant { shard: Some((shard, fence)) })
            }
            Target::Named { node, .. } => (**node == *self.settings.name).then_some(Grant { shard: None }),
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
        if *to == self.me() {
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
        if let Some(grant) = self.grant(&call.target) {
            return self.inbound.take(self, call, grant);
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
    pub(super) fn begin(self: &Arc<Self>, call: WireCall, answering: Answering) -> Result<MessageId> {
        if self.member.lock().standing() == Standing::Left {
            return Err(Error::unavailable("the node left its cluster").with("node", &self.settings.name));
        }
        let id = message_id(self.system.random());
        let way = self.way(&call.target);
        if let Way::Nowhere = way {
            let error = Error::unavailable("no member of the cluster has this name");
            return Err(error.with("target", format!("{:?}", call.target)));
        }
        if let Some((to, frame)) = self.outbound.begin(id, call, answering, &self.me(), &way, time::now())? {
            self.say(&to, frame);
        }
        Ok(id)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("node", &self.settings.name).finish_non_exhaustive()
    }
}
