//! Streams made by hand, for whoever reads a stream.

use std::time::Duration;

use beluga_core::{BoxStream, Error, Result};
use beluga_runtime::time;
use futures_util::{StreamExt, stream};

/// A stream in the making: items, pauses, and how it ends. A model's answer is an [`Answer`](super::Answer).
///
/// ```
/// use beluga_actors::testkit::Items;
/// use beluga_core::{Code, Error};
/// use futures_util::StreamExt;
///
/// # futures_util::FutureExt::now_or_never(async {
/// let mut stream = Items::new([1, 2]).then_error(Error::provider_unavailable("reset")).stream();
/// assert_eq!(stream.next().await.unwrap().unwrap(), 1);
/// assert_eq!(stream.next().await.unwrap().unwrap(), 2);
/// assert_eq!(stream.next().await.unwrap().unwrap_err().code(), Code::ProviderUnavailable);
/// assert!(stream.next().await.is_none());
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "items are nothing until they are a stream"]
pub struct Items<T> {
    items: Vec<T>,
    pause: Duration,
    end: End,
}

#[derive(Debug)]
enum End {
    Ends,
    Fails(Error),
    Hangs,
}

impl<T: Send + 'static> Items<T> {
    /// Makes a stream of these items, all ready at once, that ends after the last.
    pub fn new(items: impl IntoIterator<Item = T>) -> Self {
        Self { items: items.into_iter().collect(), pause: Duration::ZERO, end: End::Ends }
    }

    /// Waits before each item, on the runtime's clock.
    pub fn every(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Fails after the last item.
    pub fn then_error(mut self, error: Error) -> Self {
        self.end = End::Fails(error);
        self
    }

    /// Never ends after the last item.
    pub fn then_hang(mut self) -> Self {
        self.end = End::Hangs;
        self
    }

    /// Makes the stream.
    #[must_use]
    pub fn stream(self) -> BoxStream<'static, Result<T>> {
        let pause = self.pause;
        let items = stream::iter(self.items).then(move |item| async move {
            if !pause.is_zero() {
                time::sleep(pause).await;
            }
            Ok(item)
        });
        match self.end {
            End::Ends => items.boxed(),
            End::Fails(error) => items.chain(stream::iter([Err(error)])).boxed(),
            End::Hangs => items.chain(stream::pending()).boxed(),
        }
    }
}
