//! Pools: one reference, many workers. For work that has to be bounded, or that one actor at a time is too few for.
//!
//! A pool is an actor of its workers' protocol: whoever holds its [`Ref`](crate::Ref) cannot tell it from one of them.
//! It takes an envelope and gives it, unopened, to one of its workers, which are its children `1`, `2`, … of one spec.
//! The context, the way back and the lane go along, so deadlines, cancellation, streams and traces are the worker's.
//!
//! **The queue** is the pool's own lanes: their bound and their policy are what happens to the message that is too
//! many ([`PoolSpec::lane`]). What waits is shown, expires, and is cancelled as in any mailbox. While no worker can take
//! the next message the normal and the bulk lane are held; stops and the urgent lanes are served. An urgent message
//! waits for no free worker: it goes at once into the urgent lane of one. At most one ordinary message is between the
//! queue and a worker; it counts in [`PoolStatus::waiting`].
//!
//! **Busy** is a worker from the message it was given until its handler returns. A handler that gives its work to a job
//! and answers later is free at once, and so is a pool that stands as the worker of another.
//!
//! **Failure.** A crashed worker is built anew by the pool, by the template's settings: it loses the message in hand,
//! keeps its queue, and gets nothing new before it runs but what its keys bind to it. One whose restarts are used up is
//! passed over while others live; when all are, the pool's own gate is open and callers get `unavailable` with a time
//! to wait. A worker that is gone (somebody stopped it) is replaced by the next [`Pool::resize`]; without any worker
//! calls are `unavailable`. A pool that is built anew itself finds its workers again, with their queues.
//!
//! **What is lost**: what a worker or the pool had in hand when it died, and what the lanes' policy dropped. All of it
//! is a dead letter and, where somebody waits, an error.
//!
//! Bounds: [`WORKERS_MAX`], the lanes of pool and workers.

mod actor;
mod crew;
mod handle;
mod keys;
mod roster;
mod settings;

pub(crate) use handle::spawn;
pub use handle::{Pool, PoolStatus, WorkerStatus};
pub use keys::PoolKey;
pub use settings::{PoolSettings, PoolSpec, Routing, WORKERS_MAX};
