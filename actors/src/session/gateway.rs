//! What other nodes say to the node that has a session: the wire form of turns, events and cancellations.

use std::collections::BTreeMap;
use std::sync::Arc;

use beluga_core::{AgentName, CallContext, ChatMessage, Error, Numbered, ResponseFormat, Result, SessionId, TurnId};
use beluga_runtime::{Actor, Cx, DeferredHandler, Message, ReplyPort, Sink, StreamHandler, protocol};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::directory::{SessionKey, Shared};
use super::handle::Invoke;
use super::message::CancelTurn;
use super::stream::{EventStream, Until};

/// Runs a turn, and tells its events.
#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(name = "session.run", version = 1, stream = Step)]
pub(crate) struct Run {
    pub(crate) agent: AgentName,
    pub(crate) session: SessionId,
    pub(crate) input: ChatMessage,
    pub(crate) key: Option<String>,
    pub(crate) format: Option<ResponseFormat>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) history: Vec<Arc<ChatMessage>>,
    pub(crate) hops: u32,
    pub(crate) unhurried: bool,
}

/// Tells the events of a session, or of one turn, after a number.
#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(name = "session.read", version = 1, stream = Step)]
pub(crate) struct Read {
    pub(crate) session: SessionId,
    pub(crate) turn: Option<TurnId>,
    pub(crate) after: u64,
    /// `None`: as far as there are events now.
    pub(crate) until: Option<Until>,
}

/// Cancels the running turn; only this one, if it is named.
#[derive(Debug, Clone, Serialize, Deserialize, Message)]
#[message(name = "session.cancel", version = 1, reply = Option<TurnId>)]
pub(crate) struct Cancel {
    pub(crate) session: SessionId,
    pub(crate) turn: Option<TurnId>,
}

/// What is told of a turn or a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// The turn is recorded, or the session is there; events come after this number.
    Opened { turn: Option<TurnId>, after: u64 },
    /// One event.
    Event(Box<Numbered>),
}

protocol!(
    /// What other nodes may say to a node that has sessions.
    pub(crate) GatewayProtocol: Cancel; stream Run, Read
);

/// Takes what other nodes say to this one's sessions; each of it is a job.
pub(crate) struct Gateway(pub(crate) Arc<Shared>);

impl Actor for Gateway {
    type Protocol = GatewayProtocol;
    const KIND: &'static str = "session-gateway";
}

impl StreamHandler<Run> for Gateway {
    async fn handle(&mut self, run: Run, sink: Sink<Step>, cx: &mut Cx<Self>) -> Result<()> {
        let (shared, context) = (Arc::clone(&self.0), cx.context().clone());
        let id = run.session.to_string();
        drop(cx.job("run", id, &context.clone(), move |_| async move {
            let agent = run.agent.clone();
            match shared.start_here(&agent, invoke(run, context)).await {
                Ok(events) => pump(events, sink).await,
                Err(error) => sink.fail(error),
            }
            Ok(())
        }));
        Ok(())
    }
}

impl StreamHandler<Read> for Gateway {
    async fn handle(&mut self, read: Read, sink: Sink<Step>, cx: &mut Cx<Self>) -> Result<()> {
        let (shared, context) = (Arc::clone(&self.0), cx.context().clone());
        let key = SessionKey { tenant: context.tenant().clone(), id: read.session };
        let id = key.id.clone();
        drop(cx.job("read", id, &context, move |_| async move {
            match shared.events_here(&key, read.turn, read.after, read.until).await {
                Ok(events) => pump(events, sink).await,
                Err(error) => sink.fail(error),
            }
            Ok(())
        }));
        Ok(())
    }
}

impl DeferredHandler<Cancel> for Gateway {
    async fn handle(&mut self, cancel: Cancel, reply: ReplyPort<Option<TurnId>>, cx: &mut Cx<Self>) {
        let (shared, context) = (Arc::clone(&self.0), cx.context().clone());
        let key = SessionKey { tenant: context.tenant().clone(), id: cancel.session };
        let id = key.id.clone();
        drop(cx.job("cancel", id, &context, move |_| async move {
            reply.send(shared.session_here(&key).ask(CancelTurn { turn: cancel.turn }).await);
            Ok(())
        }));
    }
}

fn invoke(run: Run, context: CallContext) -> Invoke {
    let mut invoke = Invoke::new(run.input).with_context(context).with_session(run.session);
    invoke.idempotency_key = run.key;
    invoke.format = run.format;
    invoke.metadata = run.metadata;
    (invoke.history, invoke.hops, invoke.unhurried) = (run.history, run.hops, run.unhurried);
    invoke
}

/// Hands events on to a reader elsewhere, until it leaves.
async fn pump(events: EventStream, sink: Sink<Step>) {
    let mut events = events.patient();
    let opened = Step::Opened { turn: events.turn().cloned(), after: events.cursor() };
    if sink.send(opened).await.is_err() {
        return;
    }
    while let Some(event) = events.next().await {
        let sent = match event {
            Ok(event) => sink.send(Step::Event(Box::new(event))).await,
            Err(error) => return sink.fail(error),
        };
        if sent.is_err() {
            return;
        }
    }
    sink.finish();
}

/// Makes the error of a step that does not belong where it came.
pub(crate) fn misplaced() -> Error {
    Error::internal("another node told the steps of a session out of order")
}
