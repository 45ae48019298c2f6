//! Streams of results and what is built from them: combinators, fan-out, buffers with flow control, runnables, batches.
//!
//! The common currency is `BoxStream<'static, Result<T>>`, pulled by its reader. Laws of everything here: an error is the
//! last item; dropping the last reader drops the source at once; nothing grows without bound. Only [`buffered`] runs a
//! task, and that task ends with its reader.

mod batch;
mod buffered;
mod combine;
mod fan_out;
mod runnable;

pub use batch::{BatchConfig, batch};
pub use buffered::{Buffered, FlowControl, buffered};
pub use combine::{collect, filter, map, merge};
pub use fan_out::{FAN_OUT_BUFFER, fan_out};
pub use runnable::{PARALLEL_MAX, ParallelOutput, Runnable, SharedRunnable, parallel, pipe, runnable_fn};
