//! A source that works ahead of its reader, by as many items as it has credit for, and can be paused.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use beluga_core::{BoxStream, Result};
use futures_core::Stream;
use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};

use crate::task::{self, AbortOnDrop};

/// Reads a source in a task of its own, at most `capacity` items (at least 1) ahead of the reader.
///
/// Each free place is a credit: the source is not polled without one. Reading an item gives the credit back.
/// Dropping the reader aborts the task, and with it the source. A panic of the source is the stream's last item.
///
/// ```
/// use std::time::Duration;
/// use beluga_runtime::stream::buffered;
/// use beluga_runtime::time;
/// use futures_util::{StreamExt, TryStreamExt, stream};
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let source = stream::iter((1..=5).map(Ok::<u32, beluga_core::Error>)).boxed();
/// let (mut reader, control) = buffered(source, 2);
/// time::sleep(Duration::from_secs(1)).await;
/// assert_eq!(control.buffer_size(), 2, "it works ahead by as many as it has credit for");
/// assert_eq!(reader.try_next().await?, Some(1));
/// assert_eq!(reader.try_collect::<Vec<_>>().await?, [2, 3, 4, 5]);
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside a tokio runtime.
#[must_use]
pub fn buffered<T: Send + 'static>(
    source: BoxStream<'static, Result<T>>,
    capacity: usize,
) -> (Buffered<T>, FlowControl) {
    let (items, received) = mpsc::channel(capacity.clamp(1, tokio::sync::Semaphore::MAX_PERMITS));
    let (paused, pauses) = watch::channel(false);
    let control = FlowControl(Arc::new(Flow { paused, buffered: AtomicUsize::new(0) }));
    let producer = task::spawn("stream.buffered", produce(source, items, pauses, control.clone()));
    (Buffered { received, producer: Some(producer.abort_on_drop()), control: control.clone() }, control)
}

async fn produce<T>(
    mut source: BoxStream<'static, Result<T>>,
    items: mpsc::Sender<Result<T>>,
    mut pauses: watch::Receiver<bool>,
    control: FlowControl,
) {
    loop {
        let Ok(credit) = items.reserve().await else { return };
        if pauses.wait_for(|paused| !paused).await.is_err() {
            return;
        }
        let Some(item) = source.next().await else { return };
        let is_last = item.is_err();
        control.0.buffered.fetch_add(1, Ordering::AcqRel);
        credit.send(item);
        if is_last {
            return;
        }
    }
}

/// The reader's end of a buffered stream.
///
/// See [`buffered`](buffered()) for an example.
pub struct Buffered<T> {
    received: mpsc::Receiver<Result<T>>,
    /// `None` once its end was seen.
    producer: Option<AbortOnDrop<()>>,
    control: FlowControl,
}

impl<T> Stream for Buffered<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        if let Some(item) = ready!(self.received.poll_recv(cx)) {
            self.control.0.buffered.fetch_sub(1, Ordering::AcqRel);
            return Poll::Ready(Some(item));
        }
        let Some(producer) = &mut self.producer else { return Poll::Ready(None) };
        let ended = ready!(Pin::new(producer).poll(cx));
        self.producer = None;
        Poll::Ready(ended.err().map(Err))
    }
}

impl<T> fmt::Debug for Buffered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffered").field("control", &self.control).finish_non_exhaustive()
    }
}

/// Pauses and resumes the source of a buffered stream. Clones control the same stream.
///
/// See [`buffered`](buffered()) for an example.
#[derive(Clone)]
pub struct FlowControl(Arc<Flow>);

struct Flow {
    paused: watch::Sender<bool>,
    buffered: AtomicUsize,
}

impl FlowControl {
    /// Asks the source to stop. An item it is already making still arrives; what is buffered can be read.
    pub fn request_pause(&self) {
        self.0.paused.send_replace(true);
    }

    /// Lets the source go on.
    pub fn request_resume(&self) {
        self.0.paused.send_replace(false);
    }

    /// Returns whether the source was asked to stop.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        *self.0.paused.borrow()
    }

    /// Returns how many items wait to be read.
    #[must_use]
    pub fn buffer_size(&self) -> usize {
        self.0.buffered.load(Ordering::Acquire)
    }
}

impl fmt::Debug for FlowControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowControl")
            .field("paused", &self.is_paused())
            .field("buffer_size", &self.buffer_size())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use beluga_core::{Code, Error};
    use futures_util::stream;

    use super::*;
    use crate::time;

    fn counting() -> (BoxStream<'static, Result<usize>>, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        (stream::repeat_with(move || Ok(count.fetch_add(1, Ordering::SeqCst))).boxed(), made)
    }

    async fn settle() {
        time::sleep(Duration::from_millis(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_source_works_ahead_by_its_credit_and_no_further() {
        let (source, made) = counting();
        let (mut reader, control) = buffered(source, 4);
        settle().await;
        assert_eq!((made.load(Ordering::SeqCst), control.buffer_size()), (4, 4));
        assert_eq!(reader.next().await.unwrap().unwrap(), 0);
        settle().await;
        assert_eq!((made.load(Ordering::SeqCst), control.buffer_size()), (5, 4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_source_makes_nothing_until_it_resumes() {
        let (source, made) = counting();
        let (mut reader, control) = buffered(source, 4);
        control.request_pause();
        settle().await;
        assert_eq!(made.load(Ordering::SeqCst), 0);
        control.request_resume();
        assert_eq!(reader.next().await.unwrap().unwrap(), 0);
        settle().await;
        control.request_pause();
        let before = made.load(Ordering::SeqCst);
        for _ in 0..4 {
            reader.next().await.unwrap().unwrap();
        }
        settle().await;
        assert_eq!((made.load(Ordering::SeqCst), control.buffer_size()), (before, 0));
        assert!(control.is_paused());
    }

    #[tokio::test(start_paused = true)]
    async fn an_item_in_the_making_arrives_although_the_source_was_paused() {
        let source = stream::iter([1, 2]).then(|number| async move {
            time::sleep(Duration::from_secs(1)).await;
            Ok(number)
        });
        let (mut reader, control) = buffered(source.boxed(), 4);
        settle().await;
        control.clone().request_pause();
        assert_eq!(reader.next().await.unwrap().unwrap(), 1);
        assert!(time::timeout(Duration::from_secs(60), reader.next()).await.is_err(), "the next one is not begun");
        control.request_resume();
        let resumed = time::now();
        assert_eq!(reader.next().await.unwrap().unwrap(), 2);
        assert_eq!(time::now() - resumed, Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_stream_can_be_dropped_and_a_buffer_of_nothing_holds_one() {
        let (source, made) = counting();
        let (reader, control) = buffered(source, 0);
        settle().await;
        assert_eq!((made.load(Ordering::SeqCst), control.buffer_size()), (1, 1));
        control.request_pause();
        drop(reader);
        settle().await;
        assert_eq!(Arc::strong_count(&made), 1, "the source is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_is_the_last_item_and_ends_the_source() {
        let (source, made) = counting();
        let failing =
            source.map(
                |item| if item.as_ref().is_ok_and(|number| *number == 2) { Err(Error::timeout("late")) } else { item },
            );
        let items: Vec<_> =
            buffered(failing.boxed(), 8).0.map(|item| item.map_err(|error| error.code())).collect().await;
        assert_eq!(items, [Ok(0), Ok(1), Err(Code::Timeout)]);
        assert_eq!((made.load(Ordering::SeqCst), Arc::strong_count(&made)), (3, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_reader_ends_the_source_even_while_it_waits() {
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let source = stream::once(async move {
            let _held = held;
            std::future::pending::<Result<()>>().await
        });
        let (reader, _control) = buffered(source.boxed(), 4);
        settle().await;
        assert_eq!(Arc::strong_count(&alive), 2);
        drop(reader);
        settle().await;
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn end_and_panic_of_the_source_are_told_apart() {
        let (reader, _) = buffered(stream::iter([Ok(1), Ok(2)]).boxed(), 1);
        assert_eq!(reader.map(|item| item.unwrap()).collect::<Vec<_>>().await, [1, 2]);
        let source = stream::iter([1, 2]).map(|item| if item == 2 { panic!("broken source") } else { Ok(item) });
        let items: Vec<_> = buffered(source.boxed(), 1).0.collect().await;
        assert_eq!(items.len(), 2);
        assert_eq!(items[1].as_ref().unwrap_err().get("panic"), Some("broken source"));
    }
}
