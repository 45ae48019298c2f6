//! Map, filter, merge, collect.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use beluga_core::{BoxStream, Error, Result};
use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::SelectAll;

/// Changes every item. An error of the function ends the stream, as one of the source does.
///
/// ```
/// use beluga_core::Error;
/// use beluga_runtime::stream::{collect, map};
/// use futures_util::{StreamExt, stream};
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let numbers = stream::iter((1..=4).map(Ok::<u32, Error>)).boxed();
/// assert_eq!(collect(map(numbers, |n| Ok(n * 10)), 100).await?, [10, 20, 30, 40]);
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
pub fn map<T, U>(
    source: BoxStream<'static, Result<T>>,
    mut change: impl FnMut(T) -> Result<U> + Send + 'static,
) -> BoxStream<'static, Result<U>>
where
    T: 'static,
    U: 'static,
{
    Box::pin(UntilError { source: Some(source.map(move |item| item.and_then(&mut change)).boxed()) })
}

/// Keeps the items that `keep` wants, and every error.
///
/// After 128 items in a row that it does not want, others get the thread: a source that is always ready blocks nobody.
///
/// ```
/// use beluga_core::Error;
/// use beluga_runtime::stream::{collect, filter};
/// use futures_util::{StreamExt, stream};
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let numbers = stream::iter((1..=4).map(Ok::<u32, Error>)).boxed();
/// assert_eq!(collect(filter(numbers, |n| n % 2 == 0), 100).await?, [2, 4]);
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
pub fn filter<T: Send + 'static>(
    source: BoxStream<'static, Result<T>>,
    keep: impl FnMut(&T) -> bool + Send + 'static,
) -> BoxStream<'static, Result<T>> {
    let kept = Filter { source, keep };
    Box::pin(UntilError { source: Some(kept.boxed()) })
}

/// Merges streams in the order in which their items arrive. No stream can keep the others from being read.
///
/// The merged stream ends when all have ended, or with the first error; then the others are dropped.
///
/// ```
/// use beluga_core::Error;
/// use beluga_runtime::stream::{collect, merge};
/// use futures_util::{StreamExt, stream};
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let ones = stream::iter([Ok::<u32, Error>(1), Ok(1)]).boxed();
/// let twos = stream::iter([Ok(2), Ok(2)]).boxed();
/// let mut both = collect(merge([ones, twos]), 100).await?;
/// both.sort_unstable();
/// assert_eq!(both, [1, 1, 2, 2]);
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
pub fn merge<T: Send + 'static>(
    sources: impl IntoIterator<Item = BoxStream<'static, Result<T>>>,
) -> BoxStream<'static, Result<T>> {
    let merged: SelectAll<_> = sources.into_iter().collect();
    Box::pin(UntilError { source: Some(merged.boxed()) })
}

/// Reads a stream to its end.
///
/// ```
/// use beluga_core::{Code, Error};
/// use beluga_runtime::stream::collect;
/// use futures_util::{StreamExt, stream};
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let numbers = || stream::iter((1..=4).map(Ok::<u32, Error>)).boxed();
/// assert_eq!(collect(numbers(), 4).await?, [1, 2, 3, 4]);
/// assert_eq!(collect(numbers(), 3).await.unwrap_err().code(), Code::Overloaded);
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// The stream's error; `overloaded` if it has more than `max` items (the rest is not read).
pub async fn collect<T>(mut source: BoxStream<'static, Result<T>>, max: usize) -> Result<Vec<T>> {
    let mut items = Vec::new();
    while let Some(item) = source.next().await {
        let item = item?;
        if items.len() >= max {
            return Err(Error::overloaded("the stream has too many items").with("items_max", max));
        }
        items.push(item);
    }
    Ok(items)
}

/// How many unwanted items a filter takes at a time.
const UNWANTED_MAX: usize = 128;

struct Filter<T, F> {
    source: BoxStream<'static, Result<T>>,
    keep: F,
}

// The function is only called, never pinned.
impl<T, F> Unpin for Filter<T, F> {}

impl<T, F: FnMut(&T) -> bool> Stream for Filter<T, F> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = &mut *self;
        for _ in 0..UNWANTED_MAX {
            match ready!(this.source.poll_next_unpin(cx)) {
                Some(Ok(item)) if !(this.keep)(&item) => {}
                next => return Poll::Ready(next),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Ends with the first error and drops its source at the end.
struct UntilError<T> {
    source: Option<BoxStream<'static, Result<T>>>,
}

impl<T> Stream for UntilError<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let Some(source) = &mut self.source else { return Poll::Ready(None) };
        let item = ready!(source.poll_next_unpin(cx));
        if !matches!(item, Some(Ok(_))) {
            self.source = None;
        }
        Poll::Ready(item)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use beluga_core::Code;
    use futures_util::stream;

    use super::*;
    use crate::time;

    type Numbers = BoxStream<'static, Result<u32>>;

    fn numbers(items: impl IntoIterator<Item = u32>) -> Numbers {
        stream::iter(items.into_iter().map(Ok).collect::<Vec<_>>()).boxed()
    }

    fn every(period_ms: u64, items: &'static [u32]) -> Numbers {
        stream::iter(items)
            .then(move |item| async move {
                time::sleep(Duration::from_millis(period_ms)).await;
                Ok(*item)
            })
            .boxed()
    }

    #[tokio::test]
    async fn map_and_filter_change_and_keep_items() {
        let even = filter(map(numbers(1..=6), |number| Ok(number * 10)), |number| number % 20 == 0);
        assert_eq!(collect(even, 10).await.unwrap(), [20, 40, 60]);
    }

    #[tokio::test]
    async fn an_error_is_the_last_item() {
        let odd = |number| if number == 2 { Err(Error::invalid_input("two")) } else { Ok(number) };
        let items: Vec<_> = map(numbers(1..=3), odd).collect().await;
        assert_eq!(items.len(), 2);
        let merged = merge([map(numbers([2]), odd), stream::pending().boxed()]);
        assert_eq!(merged.count().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn merge_keeps_the_order_of_arrival() {
        let merged = merge([every(35, &[1, 2]), every(20, &[10, 20, 30]), numbers([100])]);
        assert_eq!(collect(merged, 10).await.unwrap(), [100, 10, 1, 20, 30, 2]);
    }

    #[tokio::test]
    async fn a_stream_that_is_always_ready_does_not_starve_the_others() {
        let loud = stream::repeat(0).map(Ok).boxed();
        let items: Vec<_> = merge([loud, numbers([1, 2, 3])]).take(10).map(|item| item.unwrap()).collect().await;
        assert_eq!(items.iter().filter(|item| **item != 0).count(), 3, "{items:?}");
    }

    #[tokio::test]
    async fn dropping_the_merged_stream_drops_all_sources() {
        let alive = Arc::new(());
        let sources: Vec<Numbers> = (0..3)
            .map(|_| {
                let alive = Arc::clone(&alive);
                stream::pending().inspect(move |_: &Result<u32>| drop(Arc::clone(&alive))).boxed()
            })
            .collect();
        let mut merged = merge(sources);
        assert!(futures_util::poll!(merged.next()).is_pending());
        assert_eq!(Arc::strong_count(&alive), 4);
        drop(merged);
        assert_eq!(Arc::strong_count(&alive), 1);
    }

    #[tokio::test]
    async fn the_first_error_drops_every_source_at_once() {
        let alive = Arc::new(());
        let endless = || {
            let held = Arc::clone(&alive);
            stream::repeat_with(move || Ok(u32::try_from(Arc::strong_count(&held)).unwrap())).boxed()
        };
        let fails = |_| Err::<u32, _>(Error::not_found("nothing"));
        let late = || stream::iter([Ok(0), Err(Error::timeout("late"))]).boxed();
        let combined: [&dyn Fn() -> Numbers; 2] =
            [&|| map(endless(), fails), &|| merge([endless(), late(), endless()])];
        for open in combined {
            let mut combined = open();
            while combined.next().await.unwrap().is_ok() {}
            assert_eq!(Arc::strong_count(&alive), 1);
            assert!(combined.next().await.is_none());
        }
        assert_eq!(merge::<u32>([]).count().await, 0);
    }

    #[tokio::test]
    async fn a_filter_that_wants_nothing_lets_others_run_and_be_dropped() {
        let asked = Arc::new(());
        let held = Arc::clone(&asked);
        let source = stream::repeat(1).map(Ok).boxed();
        let mut nothing = filter(source, move |_: &u32| Arc::strong_count(&held) == 0);
        for _ in 0..3 {
            assert!(futures_util::poll!(nothing.next()).is_pending());
            tokio::task::yield_now().await;
        }
        drop(nothing);
        assert_eq!(Arc::strong_count(&asked), 1);
    }

    #[tokio::test]
    async fn a_filter_keeps_what_follows_any_number_of_unwanted_items_and_the_error() {
        let items = (0..1_000).map(Ok).chain([Err(Error::timeout("late"))]).collect::<Vec<_>>();
        let kept = filter(stream::iter(items).boxed(), |number: &u32| *number == 999);
        let kept: Vec<_> = kept.map(|item| item.map_err(|error| error.code())).collect().await;
        assert_eq!(kept, [Ok(999), Err(Code::Timeout)]);
    }

    #[tokio::test]
    async fn collect_is_bounded() {
        assert_eq!(collect(numbers(0..5), 5).await.unwrap().len(), 5);
        let endless = stream::repeat(1).map(Ok).boxed();
        assert_eq!(collect(endless, 100).await.unwrap_err().code(), Code::Overloaded);
    }
}
