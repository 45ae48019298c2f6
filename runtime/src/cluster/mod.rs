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
//! # Calls
//!
//! [`Cluster`] drives all this over a [`Link`] and a [`KvCas`] and carries calls: [`Cluster::key`] is a reference to a key
//! wherever it is, [`Cluster::serve`] lets keys be called, [`Cluster::leave`] hands them over,
//! [`Cluster::drain`] tells another node to, and [`Cluster::report`] is for those who look.
//!
//! - **Order.** The calls of one sender to one target reach its mailbox in the order in which they were made, while shards move and
//!   frames are lost.
//! - **Effect.** A call is taken at most once. An ask whose node died with it is `unknown_outcome`; with an idempotency key it is
//!   sent again, and the key is what keeps its effect single.
//! - **Moves.** A call waits while its shard moves or has nobody, as long as its deadline lets it; a tell without one for
//!   [`TELL_KEPT`].
//! - **Answers** go out only while the token holds under which the call was taken. If the shard went to another node meanwhile,
//!   the caller hears `unknown_outcome`.
//! - **Streams** have credit of the reader's window. They are not taken up by the next owner: `unknown_outcome`, and the reader
//!   asks again from where it is.
//!
//! Every call of a key goes through this, those of the owner's own node too: they wait, keep order and are answered under a
//! token like any other.
//!
//! # Limits
//!
//! [`CALLS_OUT_MAX`] calls on their way and [`CALLS_IN_MAX`] served at once per node, [`SENDERS_MAX`] senders whose order is known,
//! [`LINE_MAX`] calls of one sender before a full mailbox; what is more is `overloaded`. Messages, answers and items of
//! at most [`INLINE_MAX_BYTES`](crate::wire::frame::INLINE_MAX_BYTES). [`MEMBERS_MAX`] members. A member that only some hear is taken out and has to come back in a new life. When most members die
//! at once the rest waits for [`Timing::revoke`]. Without the store nobody joins, leaves or is taken out; those who hear each other
//! serve on until their records are stale.

#[allow(clippy::module_inception, reason = "the noun is the room's own")]
mod cluster;
mod driver;
mod heartbeat;
mod inbound;
mod inbox;
mod inner;
mod link;
mod membership;
mod node;
mod outbound;
mod peer;
mod record;
mod report;
mod shard;
mod store;
mod timing;
mod view;
mod warden;
mod way_out;

pub use cluster::{Cluster, ClusterSettings, Leaving};
pub use heartbeat::{HEARTBEAT_MAX_BYTES, Heartbeat};
pub use inbound::{CALLS_IN_MAX, LINE_MAX, SENDERS_MAX};
pub use inbox::Inbox;
pub use link::Link;
pub use membership::{Action, Membership, Standing};
pub use node::NodeId;
pub use outbound::{CALLS_OUT_MAX, RESEND_AFTER, TELL_KEPT};
pub use record::RecordRead;
pub use report::{ClusterReport, MemberReport};
pub use shard::{SHARDS, Shard, shard_of};
pub use store::{Entry, KvCas, Swap, VIEW_KEY};
pub use timing::Timing;
pub use view::{Change, Known, MEMBERS_MAX, Member, MemberState, Place, View, WEIGHT_MAX};
