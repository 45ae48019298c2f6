//! Writes one line per call when it ends: how long it took, how many items it gave, how it failed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use beluga_core::{BoxStream, CallContext, Error, Result};
use futures_core::Stream;
use futures_util::StreamExt;

use super::{Content, Service, SharedService};
use crate::telemetry::{log_ids, request_id};
use crate::time;

/// Logs every call under a name: failures as `warn`, everything else as `debug`. Never content.
///
/// A stream that is dropped before its end is logged with the outcome `dropped`.
///
/// ```
/// # use beluga_runtime::service::log;
/// # use beluga_core::{CallContext, Code, Error, Result};
/// # use beluga_runtime::service::{Content, SharedService, first, one, service_fn};
/// # struct Word(&'static str);
/// # impl Content for Word {}
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let service = log(service_fn(|(), _| one(async { Ok(Word("hello")) })), "greeter");
/// assert_eq!(first(service.call((), CallContext::new())).await?.0, "hello", "and one line at `debug`");
/// # Ok::<(), Error>(())
/// # }).unwrap();
/// ```
pub fn log<Req, Item>(inner: SharedService<Req, Item>, name: impl Into<Arc<str>>) -> SharedService<Req, Item>
where
    Req: Send + 'static,
    Item: Content + Send + 'static,
{
    Arc::new(Log { inner, name: name.into() })
}

struct Log<Req, Item> {
    inner: SharedService<Req, Item>,
    name: Arc<str>,
}

impl<Req, Item> Service<Req> for Log<Req, Item>
where
    Req: Send + 'static,
    Item: Content + Send + 'static,
{
    type Item = Item;

    fn call(&self, request: Req, context: CallContext) -> BoxStream<'static, Result<Item>> {
        let inner = self.inner.call(request, context.clone());
        let line = Line { name: Arc::clone(&self.name), context, started: time::now(), items: 0 };
        Box::pin(LogStream { inner: Some(inner), line: Some(line) })
    }
}

struct LogStream<Item> {
    inner: Option<BoxStream<'static, Result<Item>>>,
    line: Option<Line>,
}

struct Line {
    name: Arc<str>,
    context: CallContext,
    started: Instant,
    items: u64,
}

impl<Item> Stream for LogStream<Item> {
    type Item = Result<Item>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Item>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let item = ready!(inner.poll_next_unpin(cx));
        match &item {
            Some(Ok(_)) => {
                if let Some(line) = &mut self.line {
                    line.items += 1;
                }
            }
            ended => {
                self.inner = None;
                if let Some(line) = self.line.take() {
                    line.write(ended.as_ref().and_then(|last| last.as_ref().err()), "ended");
                }
            }
        }
        Poll::Ready(item)
    }
}

impl<Item> Drop for LogStream<Item> {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.write(None, "dropped");
        }
    }
}

impl Line {
    fn write(&self, error: Option<&Error>, outcome: &'static str) {
        let (trace_id, span_id) = log_ids(&self.context);
        let request_id = request_id(&self.context);
        let took_ms = time::now().saturating_duration_since(self.started).as_millis();
        let (call, items, tenant) = (&self.name, self.items, self.context.tenant().as_str());
        match error {
            Some(error) if !error.is_cancelled() => {
                tracing::warn!(%call, tenant, items, took_ms, %trace_id, %span_id, request_id, %error, "call failed");
            }
            Some(_) => {
                tracing::debug!(%call, tenant, items, took_ms, %trace_id, %span_id, request_id, "call cancelled")
            }
            None => {
                tracing::debug!(%call, tenant, items, took_ms, outcome, %trace_id, %span_id, request_id, "call ended")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use parking_lot::Mutex;
    use tracing::field::{Field, Visit};
    use tracing::span;

    use super::*;
    use crate::service::testing::{Script, fails, hang, items};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    struct Text(String);

    impl Visit for Text {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            self.0.push_str(&format!(" {}={value:?}", field.name()));
        }
    }

    impl tracing::Subscriber for Lines {
        fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            let mut text = Text(event.metadata().level().to_string());
            event.record(&mut text);
            self.0.lock().push(text.0);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test(start_paused = true)]
    async fn every_call_leaves_one_line_with_its_outcome_and_ids() {
        let lines = Lines::default();
        let _subscriber = tracing::subscriber::set_default(lines.clone());
        let script = Script::new(vec![items([1, 2]), fails(Error::timeout("late")), hang()]);
        let service = log(script.service(), "model");
        assert_eq!(service.call((), CallContext::new()).count().await, 2);
        assert_eq!(service.call((), CallContext::new()).count().await, 1);
        drop(service.call((), CallContext::new()));
        let lines = lines.0.lock();
        assert_eq!(lines.len(), 3);
        assert!(
            lines[0].starts_with("DEBUG message=call ended call=model") && lines[0].contains("items=2"),
            "{lines:?}"
        );
        assert!(lines[1].starts_with("WARN message=call failed") && lines[1].contains("timeout: late"), "{lines:?}");
        assert!(lines[2].contains("outcome=\"dropped\"") && lines[2].contains(" trace_id=0000"), "{lines:?}");
    }
}
