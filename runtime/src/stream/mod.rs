//! Streams of results and what is built from them: combinators, many readers, buffers with flow control, runnables,
//! batches.
//!
//! The common currency is `BoxStream<'static, Result<T>>`, pulled by its reader. Laws of everything here: an error is the
//! last item; dropping the last reader drops the source at once; nothing grows without bound. Only [`buffered`] runs a
//! task, and that task ends with its reader.
//!
//! Many readers of one stream, in two ways:
//!
//! - [`fan_out`] loses nothing: the slowest reader holds the others and the source back, at most [`FAN_OUT_BUFFER`] items
//!   apart. For a fixed number of readers that need every item, such as the steps of one piece of work.
//! - [`Broadcast`] holds nobody back: a reader that is too slow for its ring misses items and is told which. For readers
//!   that come and go and must not disturb the producer or each other, such as those who watch.

mod batch;
mod broadcast;
mod buffered;
mod combine;
mod fan_out;
mod runnable;

pub use batch::{BatchConfig, batch};
pub use broadcast::{BROADCAST_RING, Broadcast, Gap, Heard, Subscription};
pub use buffered::{Buffered, FlowControl, buffered};
pub use combine::{collect, filter, map, merge};
pub use fan_out::{FAN_OUT_BUFFER, fan_out};
pub use runnable::{PARALLEL_MAX, ParallelOutput, Runnable, SharedRunnable, parallel, pipe, runnable_fn};
