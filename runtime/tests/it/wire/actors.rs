//! Actors that can be spoken to from another node.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{CallContext, Code, Error, Result, Retry};
use beluga_runtime::wire::Target;
use beluga_runtime::{
    Activation, Activator, Actor, Address, Cx, DeferredHandler, Handler, Message, Ref, ReplyPort, Silent, Sink, Spec,
    StreamHandler, System, protocol, testkit, time,
};
use serde::{Deserialize, Serialize};

use super::loopback::{Node, link};
use crate::fixture::{GRACE, Journal};

/// Adds to a total.
#[derive(Debug, Clone, PartialEq, Message, Serialize, Deserialize)]
#[message(name = "meter.add", reply = u64)]
pub(crate) struct Add(pub u64);

/// Says on whose behalf it was asked.
#[derive(Debug, Clone, PartialEq, Message, Serialize, Deserialize)]
#[message(name = "meter.who", reply = Caller)]
pub(crate) struct Who;

/// What a handler knows of its caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Caller {
    pub tenant: String,
    pub tier: Option<String>,
    pub principal: Option<String>,
    pub request: Option<String>,
    pub trace: String,
    pub hops: u8,
    pub message: Option<String>,
    pub key: Option<String>,
    pub remaining_ms: Option<u128>,
}

impl Caller {
    pub(crate) fn of(context: &CallContext) -> Self {
        Self {
            tenant: context.tenant().to_string(),
            tier: context.tier().map(str::to_owned),
            principal: context.principal().map(str::to_owned),
            request: context.request_id().map(ToString::to_string),
            trace: context.trace().to_string(),
            hops: context.hops(),
            message: context.message().map(|id| id.to_string()),
            key: context.idempotency_key().map(str::to_owned),
            remaining_ms: context.remaining(time::now()).map(|left| left.as_millis()),
        }
    }
}

/// Fails with a code.
#[derive(Debug, Clone, PartialEq, Message, Serialize, Deserialize)]
#[message(name = "meter.fail", reply = ())]
pub(crate) struct Fail {
    pub code: String,
    pub after_ms: Option<u64>,
}

/// Panics.
#[derive(Debug, Clone, PartialEq, Message, Serialize, Deserialize)]
#[message(name = "meter.explode", reply = ())]
pub(crate) struct Explode;

/// Waits in the handler.
#[derive(Debug, Clone, PartialEq, Message, Serialize, Deserialize)]
#[message(name = "meter.wait", reply = ())]
pub(crate) struct Wait(pub u64);

/// Counts up to a number, and fails beyond it if told so.
#[derive(Debug, Clone, PartialEq, Message, Serialize, Deserialize)]
#[message(name = "meter.count", stream = u64)]
pub(crate) struct Count {
    pub to: u64,
    pub fails: bool,
}

protocol!(pub(crate) MeterProtocol: Add, Who, Fail, Explode, Wait; stream Count);

#[derive(Default)]
pub(crate) struct Meter {
    pub total: u64,
    pub journal: Journal,
}

impl Meter {
    pub(crate) fn noting(journal: &Journal) -> Self {
        Self { total: 0, journal: journal.clone() }
    }
}

impl Actor for Meter {
    type Protocol = MeterProtocol;
    const KIND: &'static str = "meter";
}

impl Handler<Add> for Meter {
    async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
        self.total += n;
        self.journal.note(n.to_string());
        Ok(self.total)
    }
}

impl Handler<Who> for Meter {
    async fn handle(&mut self, _: Who, cx: &mut Cx<Self>) -> Result<Caller> {
        Ok(Caller::of(cx.context()))
    }
}

impl Handler<Fail> for Meter {
    async fn handle(&mut self, Fail { code, after_ms }: Fail, _cx: &mut Cx<Self>) -> Result<()> {
        let code = Code::parse(&code).ok_or_else(|| Error::invalid_input("no code"))?;
        let error = Error::new(code, "as told").with("meter", "m-1");
        Err(match after_ms {
            Some(millis) => error.with_retry(Retry::After(Duration::from_millis(millis))),
            None => error,
        })
    }
}

impl Handler<Explode> for Meter {
    async fn handle(&mut self, _: Explode, _cx: &mut Cx<Self>) -> Result<()> {
        panic!("as told")
    }
}

impl Handler<Wait> for Meter {
    async fn handle(&mut self, Wait(millis): Wait, cx: &mut Cx<Self>) -> Result<()> {
        self.journal.note("waits");
        let waited = cx.sleep(Duration::from_millis(millis)).await;
        self.journal.note(if waited.is_ok() { "waited" } else { "cancelled" });
        waited
    }
}

impl StreamHandler<Count> for Meter {
    async fn handle(&mut self, Count { to, fails }: Count, sink: Sink<u64>, _cx: &mut Cx<Self>) -> Result<()> {
        for n in 1..=to {
            if let Err(error) = sink.send(n).await {
                self.journal.note("reader left");
                return Err(error);
            }
            self.journal.note(format!("sent {n}"));
        }
        if fails {
            return Err(Error::overloaded("no more"));
        }
        sink.finish();
        Ok(())
    }
}

/// Passes questions on.
pub(crate) struct Desk(pub Ref<MeterProtocol>);

impl Actor for Desk {
    type Protocol = MeterProtocol;
    const KIND: &'static str = "desk";
}

macro_rules! passed_on {
    ($($message:ty => $reply:ty;)*) => {$(
        impl DeferredHandler<$message> for Desk {
            async fn handle(&mut self, message: $message, reply: ReplyPort<$reply>, _cx: &mut Cx<Self>) {
                self.0.forward(message, reply).await;
            }
        }
    )*};
}

passed_on! {
    Add => u64;
    Who => Caller;
    Fail => ();
    Explode => ();
    Wait => ();
}

impl StreamHandler<Count> for Desk {
    async fn handle(&mut self, count: Count, sink: Sink<u64>, _cx: &mut Cx<Self>) -> Result<()> {
        self.0.forward_stream(count, sink).await;
        Ok(())
    }
}

/// Makes meters by key.
pub(crate) struct Meters {
    pub supervisor: Address,
    pub journal: Journal,
}

impl Activator<MeterProtocol> for Meters {
    fn activate(&self, key: &str) -> beluga_core::BoxFuture<'_, Result<Activation<MeterProtocol>>> {
        let journal = self.journal.clone();
        let spec = Spec::new(key, move || Meter::noting(&journal));
        Box::pin(async move { Ok(Activation { supervisor: self.supervisor.clone(), spec }) })
    }
}

/// Supervises meters.
pub(crate) struct Root;

impl Actor for Root {
    type Protocol = Silent;
    const KIND: &'static str = "meters";
}

/// Two linked systems; the second one has a meter of that name, open to the first.
pub(crate) struct Pair {
    pub near: System,
    pub far: System,
    pub first: Arc<Node>,
    pub second: Arc<Node>,
    pub journal: Journal,
    /// The far meter as the near system sees it.
    pub meter: Ref<MeterProtocol>,
}

pub(crate) fn named(name: &str) -> Target {
    Target::Named { node: "second".into(), name: name.into(), slot: 0 }
}

pub(crate) fn keyed(key: &str) -> Target {
    Target::Key { tenant: "acme".into(), kind: "meter".into(), key: key.into() }
}

/// Runs a test with such a pair, on paused time, and ends both systems. Nothing may be left of any call.
pub(crate) fn crossing<F, Fut>(test: F)
where
    F: FnOnce(Pair) -> Fut,
    Fut: Future<Output = ()>,
{
    testkit::run(1, |near| async move {
        let far = testkit::system("far", 2);
        far.register::<Meter>().unwrap();
        let journal = Journal::default();
        let own = journal.clone();
        far.spawn("meter", move || Meter::noting(&own)).await.unwrap();
        let (first, second) = link(&near, &far);
        let meter = near.remote::<MeterProtocol>("meter", named("meter"), first.egress());
        test(Pair {
            near: near.clone(),
            far: (*far).clone(),
            first: Arc::clone(&first),
            second: Arc::clone(&second),
            journal,
            meter,
        })
        .await;
        near.shutdown(GRACE).await.unwrap();
        far.shutdown(GRACE).await.unwrap();
        crate::fixture::settle().await;
        assert!(first.is_clean() && second.is_clean(), "something is left of a call");
    });
}
