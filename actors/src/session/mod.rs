//! Sessions: conversations that survive crashes, and the turns they run.
//!
//! A session is a virtual actor, one per tenant and session id, supervised by the agent it first belonged to. It owns the
//! conversation; its turns run one after another, each as a job child. Everything it knows is a fold over its journal
//! (`record`, `history`), so a restart, here or in another process, resumes in the middle of a turn and repeats no
//! finished tool call.
//!
//! Limits: [`QUEUE_MAX`] waiting turns, [`RESUMES_MAX`] resumes of one turn, `RING_MAX_EVENTS` events in memory per
//! session. A reader never blocks the turn; see [`EventStream`].
//!
//! In a cluster ([`Sessions::join`]) a session is on the node that has its shard, and writes under that node's token. Whoever asks
//! another node is asked through (`gateway`); readers follow their session (`followed`), for at most a minute without a
//! word, and what a start that is sent again finds is the turn it started.

mod actor;
mod conversation;
mod directory;
mod followed;
mod gateway;
mod handle;
mod history;
mod homes;
mod hub;
mod local;
mod log;
mod message;
mod origin;
mod record;
mod stream;
mod tally;
mod turn;

pub use actor::{QUEUE_MAX, RESUMES_MAX};
pub use conversation::{
    Conversation, ConversationTurn, PAGE_MAX_BYTES, PAGE_MAX_TURNS, PAGE_TURNS_DEFAULT, Page, SessionRef, TurnStatus,
};
pub(crate) use directory::Shared;
pub use directory::{Sessions, Settings, Stores};
pub use handle::{Invoke, METADATA_KEY_MAX_BYTES, METADATA_MAX, METADATA_VALUE_MAX_BYTES, Reply};
pub use stream::{CURSOR, EventStream};
pub use tally::TurnTotals;
pub use turn::{TimeShares, UnknownOutcome};
