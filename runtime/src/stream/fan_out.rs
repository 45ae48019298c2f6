//! One source, several readers: each gets every item.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use beluga_core::{BoxStream, Error, Result};
use futures_core::Stream;
use futures_util::StreamExt;
use parking_lot::Mutex;

/// How many items a reader may be behind the fastest one before that one waits.
pub const FAN_OUT_BUFFER: usize = 16;

/// Gives every item of a source to each of `readers` streams; the error, if it ends with one, too.
///
/// Readers pull: whoever needs an item polls the source, so there is no task and nothing to leak. A reader that is
/// [`FAN_OUT_BUFFER`] items behind holds the others back until it reads on or is dropped. The source is dropped at its
/// end, or with the last reader. Where nobody may be held back, a [`Broadcast`](super::Broadcast) is the choice.
///
/// ```
/// use beluga_core::Error;
/// use beluga_runtime::stream::{collect, fan_out};
/// use futures_util::{StreamExt, stream};
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let source = stream::iter((1..=3).map(Ok::<u32, Error>)).boxed();
/// let mut readers = fan_out(source, 2).into_iter();
/// let (one, other) = (readers.next().unwrap(), readers.next().unwrap());
/// let (one, other) = tokio::try_join!(collect(one, 10), collect(other, 10))?;
/// assert_eq!((one.as_slice(), other.as_slice()), (&[1, 2, 3][..], &[1, 2, 3][..]));
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
pub fn fan_out<T: Clone + Send + 'static>(
    source: BoxStream<'static, Result<T>>,
    readers: usize,
) -> Vec<BoxStream<'static, Result<T>>> {
    let queues = (0..readers).map(|_| Some(VecDeque::new())).collect();
    let shared = Arc::new(Shared {
        state: Mutex::new(State { source: Some(source), queues, failed: None }),
        wakers: Arc::new(Wakers(Mutex::new((0..readers).map(|_| None).collect()))),
    });
    (0..readers).map(|index| Reader { shared: Arc::clone(&shared), index, ended: false }.boxed()).collect()
}

struct Shared<T> {
    state: Mutex<State<T>>,
    wakers: Arc<Wakers>,
}

struct State<T> {
    /// `None` once it has ended.
    source: Option<BoxStream<'static, Result<T>>>,
    /// What each reader has not read yet; `None` for a reader that was dropped.
    queues: Vec<Option<VecDeque<T>>>,
    failed: Option<Error>,
}

/// The wakers of waiting readers. Apart from the state, because the source may wake while it is polled.
struct Wakers(Mutex<Vec<Option<Waker>>>);

impl Wakers {
    fn register(&self, index: usize, waker: &Waker) {
        if let Some(slot) = self.0.lock().get_mut(index) {
            match slot {
                Some(have) => have.clone_from(waker),
                None => *slot = Some(waker.clone()),
            }
        }
    }

    fn wake_all(&self) {
        let wakers: Vec<Waker> = self.0.lock().iter_mut().filter_map(Option::take).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Forgets one reader, which goes on by itself, and wakes the others.
    fn wake_others(&self, index: usize) {
        let own = self.0.lock().get_mut(index).and_then(Option::take);
        drop(own);
        self.wake_all();
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

struct Reader<T> {
    shared: Arc<Shared<T>>,
    index: usize,
    ended: bool,
}

impl<T: Clone> Stream for Reader<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let queued = this.shared.state.lock().queued(this.index);
        if let Some((item, was_full)) = queued {
            if was_full {
                this.shared.wakers.wake_all();
            }
            return Poll::Ready(Some(Ok(item)));
        }
        // Registered first: whatever happens from here on wakes this reader again.
        this.shared.wakers.register(this.index, cx.waker());
        let mut over = None;
        let (item, wake) = this.shared.state.lock().pull(this.index, &this.shared.wakers, &mut over);
        drop(over);
        if wake {
            this.shared.wakers.wake_others(this.index);
        }
        if matches!(item, Poll::Ready(None | Some(Err(_)))) {
            this.ended = true;
        }
        item
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let (queue, source) = {
            let mut state = self.shared.state.lock();
            let queue = state.queues.get_mut(self.index).and_then(Option::take);
            let is_last = state.queues.iter().all(Option::is_none);
            (queue, if is_last { state.source.take() } else { None })
        };
        // What users gave is dropped without a lock.
        drop((queue, source));
        self.shared.wakers.wake_all();
    }
}

impl<T: Clone> State<T> {
    /// Takes what lies in a reader's queue, and tells whether that held the others back.
    fn queued(&mut self, index: usize) -> Option<(T, bool)> {
        let queue = self.queues.get_mut(index)?.as_mut()?;
        let was_full = queue.len() >= FAN_OUT_BUFFER;
        queue.pop_front().map(|item| (item, was_full))
    }

    /// Returns the next item of a reader, and whether the other readers are to be woken. A source that has ended is put
    /// into `over`, to be dropped without the lock.
    fn pull(
        &mut self,
        index: usize,
        wakers: &Arc<Wakers>,
        over: &mut Option<BoxStream<'static, Result<T>>>,
    ) -> (Poll<Option<Result<T>>>, bool) {
        if let Some((item, was_full)) = self.queued(index) {
            return (Poll::Ready(Some(Ok(item))), was_full);
        }
        let has_room = self.queues.iter().flatten().all(|queue| queue.len() < FAN_OUT_BUFFER);
        let Some(source) = &mut self.source else {
            return (Poll::Ready(self.failed.as_ref().map(|error| Err(error.duplicate()))), false);
        };
        if !has_room {
            return (Poll::Pending, false);
        }
        let waker = Waker::from(Arc::clone(wakers));
        match source.poll_next_unpin(&mut Context::from_waker(&waker)) {
            Poll::Pending => (Poll::Pending, false),
            Poll::Ready(Some(Ok(item))) => {
                for (other, queue) in self.queues.iter_mut().enumerate() {
                    if let (Some(queue), true) = (queue, other != index) {
                        queue.push_back(item.clone());
                    }
                }
                (Poll::Ready(Some(Ok(item))), true)
            }
            Poll::Ready(ended) => {
                *over = self.source.take();
                self.failed = ended.and_then(Result::err);
                (Poll::Ready(self.failed.as_ref().map(|error| Err(error.duplicate()))), true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use beluga_core::Code;
    use futures_util::{FutureExt, stream};

    use super::*;
    use crate::{task, time};

    /// Counts up; tells how many items were pulled, and by its reference count whether it is alive.
    fn counting() -> (BoxStream<'static, Result<usize>>, Arc<AtomicUsize>) {
        let pulled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&pulled);
        (stream::repeat_with(move || Ok(count.fetch_add(1, Ordering::SeqCst))).boxed(), pulled)
    }

    #[tokio::test(start_paused = true)]
    async fn every_reader_gets_every_item_whatever_its_speed() {
        let source = stream::iter(0..100)
            .then(|number| async move {
                time::sleep(Duration::from_millis(3)).await;
                Ok(number)
            })
            .boxed();
        let tasks: Vec<_> = fan_out(source, 4)
            .into_iter()
            .zip([0, 1, 5, 20])
            .map(|(mut reader, pause_ms)| {
                task::spawn("reader", async move {
                    let mut seen = Vec::new();
                    while let Some(item) = reader.next().await {
                        seen.push(item.unwrap());
                        time::sleep(Duration::from_millis(pause_ms)).await;
                    }
                    seen
                })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), (0..100).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn the_slowest_reader_holds_the_source_back_at_the_buffer() {
        let (source, pulled) = counting();
        let mut readers = fan_out(source, 2);
        let mut slow = readers.pop().unwrap();
        let mut fast = readers.pop().unwrap();
        while let Some(item) = fast.next().now_or_never() {
            item.unwrap().unwrap();
        }
        assert_eq!(pulled.load(Ordering::SeqCst), FAN_OUT_BUFFER);
        assert_eq!(slow.next().await.unwrap().unwrap(), 0);
        assert_eq!(fast.next().now_or_never().unwrap().unwrap().unwrap(), FAN_OUT_BUFFER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_early_frees_the_others_and_the_last_one_the_source() {
        let (source, pulled) = counting();
        let mut readers = fan_out(source, 2);
        let lazy = readers.pop().unwrap();
        let mut reader = readers.pop().unwrap();
        let work = task::spawn("reader", async move {
            for _ in 0..100 {
                reader.next().await.unwrap().unwrap();
            }
            reader
        });
        time::sleep(Duration::from_millis(1)).await;
        assert!(!work.is_finished(), "held back by the lazy one");
        drop(lazy);
        let reader = work.await.unwrap();
        assert_eq!(Arc::strong_count(&pulled), 2);
        drop(reader);
        assert_eq!(Arc::strong_count(&pulled), 1, "the source is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn the_reader_that_polled_the_source_may_leave_without_losing_the_wake() {
        let source = stream::once(async {
            time::sleep(Duration::from_secs(1)).await;
            Ok(7)
        })
        .boxed();
        let mut readers = fan_out(source, 2);
        let mut first = readers.pop().unwrap();
        let mut second = readers.pop().unwrap();
        let waiting = task::spawn("reader", async move { second.next().await.unwrap().unwrap() });
        task::spawn("other", async move {
            let _ = time::timeout(Duration::from_millis(500), first.next()).await;
        })
        .await
        .unwrap();
        assert_eq!(waiting.await.unwrap(), 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readers_on_several_threads_miss_nothing_and_never_hang() {
        const ITEMS: usize = 20_000;
        let (source, _) = counting();
        let readers: Vec<_> = fan_out(source, 4)
            .into_iter()
            .map(|reader| {
                let numbered = reader.take(ITEMS).enumerate();
                let wrong = numbered.filter(|(place, item)| std::future::ready(item.as_ref().ok() != Some(place)));
                task::spawn("reader", wrong.count())
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.await.unwrap(), 0);
        }
    }

    #[tokio::test]
    async fn an_error_reaches_every_reader_after_its_items() {
        let source = stream::iter([Ok(1), Err(Error::timeout("late"))]).boxed();
        for reader in fan_out(source, 3) {
            let items: Vec<_> = reader.collect().await;
            assert_eq!(items.len(), 2);
            assert_eq!(items[1].as_ref().unwrap_err().code(), Code::Timeout);
        }
    }
}
