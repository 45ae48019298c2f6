//! Actors the tests share.

use std::sync::Arc;
use std::time::Duration;

use beluga_core::{CallContext, Error, Result};
use beluga_runtime::{Actor, Cx, DeferredHandler, Handler, Message, ReplyPort, Sink, StreamHandler, System, protocol};
use parking_lot::Mutex;

/// Adds to a total.
#[derive(Message)]
#[message(name = "counter.add", reply = u64)]
pub(crate) struct Add(pub u64);

/// Reads the total.
#[derive(Message)]
#[message(name = "counter.total", reply = u64)]
pub(crate) struct Total;

/// Panics with a text.
#[derive(Debug, Message)]
#[message(name = "counter.explode", reply = (), keep)]
pub(crate) struct Explode(pub &'static str);

/// Gives the value up.
#[derive(Message)]
#[message(name = "counter.give_up", reply = ())]
pub(crate) struct GiveUp;

/// Stops in order.
#[derive(Message)]
#[message(name = "counter.leave", reply = ())]
pub(crate) struct Leave;

/// Waits inside the handler.
#[derive(Message)]
#[message(name = "counter.wait", reply = ())]
pub(crate) struct Wait(pub Duration);

/// Waits in a job.
#[derive(Message)]
#[message(name = "counter.work", reply = u64)]
pub(crate) struct Work(pub Duration);

/// Counts up to a number.
#[derive(Message)]
#[message(name = "counter.count", stream = u64)]
pub(crate) struct Count(pub u64);

protocol!(pub(crate) CounterProtocol: Add, Total, Explode, GiveUp, Leave, Wait, Work; stream Count);

/// What happened, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.0.lock().push(text.into());
    }

    pub(crate) fn read(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

#[derive(Default)]
pub(crate) struct Counter {
    pub total: u64,
    pub journal: Journal,
}

impl Actor for Counter {
    type Protocol = CounterProtocol;
    const KIND: &'static str = "counter";

    fn status(&self) -> serde_json::Value {
        serde_json::json!({ "total": self.total })
    }
}

impl Handler<Add> for Counter {
    async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
        self.total += n;
        self.journal.note(n.to_string());
        Ok(self.total)
    }
}

impl Handler<Total> for Counter {
    async fn handle(&mut self, _: Total, _cx: &mut Cx<Self>) -> Result<u64> {
        Ok(self.total)
    }
}

impl Handler<Explode> for Counter {
    async fn handle(&mut self, Explode(text): Explode, _cx: &mut Cx<Self>) -> Result<()> {
        panic!("{text}")
    }
}

impl Handler<GiveUp> for Counter {
    async fn handle(&mut self, _: GiveUp, cx: &mut Cx<Self>) -> Result<()> {
        cx.fail(Error::internal("gave up"));
        Ok(())
    }
}

impl Handler<Leave> for Counter {
    async fn handle(&mut self, _: Leave, cx: &mut Cx<Self>) -> Result<()> {
        cx.stop();
        Ok(())
    }
}

impl Handler<Wait> for Counter {
    async fn handle(&mut self, Wait(time): Wait, cx: &mut Cx<Self>) -> Result<()> {
        let outcome = cx.sleep(time).await;
        self.journal.note(if outcome.is_ok() { "waited" } else { "cancelled" });
        outcome
    }
}

impl DeferredHandler<Work> for Counter {
    async fn handle(&mut self, Work(time): Work, reply: ReplyPort<u64>, cx: &mut Cx<Self>) {
        let journal = self.journal.clone();
        let context: CallContext = cx.context().clone();
        drop(cx.job("work", "work", &context, move |_| async move {
            let ended = Ended(journal);
            beluga_runtime::time::sleep(time).await;
            ended.0.note("worked");
            reply.send(Ok(7));
            Ok(())
        }));
    }
}

/// Notes the end of whatever holds it.
pub(crate) struct Ended(pub Journal);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.note("ended");
    }
}

impl StreamHandler<Count> for Counter {
    async fn handle(&mut self, Count(limit): Count, sink: Sink<u64>, _cx: &mut Cx<Self>) -> Result<()> {
        for n in 1..=limit {
            sink.send(n).await?;
            self.total = n;
        }
        sink.finish();
        Ok(())
    }
}

pub(crate) fn system() -> System {
    System::builder("test").seed(7).build().unwrap()
}
