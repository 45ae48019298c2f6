//! Nodes that agree who serves which key.
//!
//! A cluster has a fixed number of *shards*; a key belongs to one ([`shard_of`]), and a shard is served by one node at a
//! time. Who is a member and who has which shard stands in one value, the [`View`], which lies in a store and is changed by
//! compare-and-swap of the whole. What a node may do on its own is decided by [`Membership`], which does no I/O: a driver
//! carries out what it says and tells what came of it, over a store with compare-and-swap ([`KvCas`]) and something that
//! carries heartbeats.
//!
//! # Why a shard is never served twice
//!
//! *Consent.* A member serves only while **every** member whose word counts ([`Member::is_voter`]) in the view it knows has
//! confirmed a heartbeat it sent less than [`Timing::lease`] ago. Whoever takes a silent member out has not heard it for the
//! lease and [`Timing::margin`], confirms nothing of it until its swap has failed for certain, and is one of those the member
//! asks: the member's heartbeats said that it knows a view in which this node's word counts, and every later one in which it
//! does not has another revision, so that the swap fails. So its consent has run out when the swap happens, whenever it
//! happens.
//!
//! *One dead member stops nobody.* After [`Timing::suspect`], before leases end, its word stops counting: that is a swap too.
//! It takes most of those whose word counts to suspect or take out a member, so a node that hears nobody takes out nobody.
//!
//! *Nobody is left to judge.* A node also renews a record in the store and serves for [`Timing::membership`] after the last
//! renewal began. A record that was not renewed for [`Timing::revoke`], watched from the first read of its revision, may be
//! revoked by a swap that fails if it was renewed meanwhile; then its node is taken out.
//!
//! *Handing over.* A shard moves when its owner lets it go: it takes no more calls, ends what it serves, and swaps.
//!
//! *Pauses.* A node stopped between a look at its lease and its effect can still be late. Each owner of a shard has a
//! [fencing token](View::fence), higher than all before; whatever keeps state refuses lower ones.
//!
//! # Limits
//!
//! [`MEMBERS_MAX`] members. A member that only some hear is taken out and has to come back in a new life. When most members die
//! at once the rest waits for [`Timing::revoke`]. Without the store nobody joins, leaves or is taken out; those who hear each other
//! serve on until their records are stale.

mod heartbeat;
mod membership;
mod node;
mod peer;
mod record;
mod shard;
mod store;
mod timing;
mod view;

pub use heartbeat::{HEARTBEAT_MAX_BYTES, Heartbeat};
pub use membership::{Action, Membership, Standing};
pub use node::NodeId;
pub use record::RecordRead;
pub use shard::{SHARDS, Shard, shard_of};
pub use store::{Entry, KvCas, Swap, VIEW_KEY};
pub use timing::Timing;
pub use view::{Change, Known, MEMBERS_MAX, Member, MemberState, Place, View, WEIGHT_MAX};
