//! How recall memory reacts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use beluga_core::{ChatMessage, Exchange, MemoryOwner, MessageStore, Recollection, Result};
use beluga_runtime::{Actor, Cx, DeferredHandler, Handler, ReplyPort, StatusSource, task};
use serde_json::json;

use super::message::{Forget, RecallProtocol, Save, Search};
use crate::memory::observe::{MemorySpan, UPSERT_MEMORY};

/// The most characters of one message that are indexed.
const INDEXED_MAX_CHARS: usize = 16_384;

/// The actor of one owner's recall memory.
pub(crate) struct RecallActor {
    owner: MemoryOwner,
    messages: Arc<dyn MessageStore>,
    span: MemorySpan,
    saved: Arc<AtomicU64>,
}

impl RecallActor {
    pub(crate) fn new(owner: MemoryOwner, messages: Arc<dyn MessageStore>, span: MemorySpan) -> Self {
        Self { owner, messages, span, saved: Arc::default() }
    }
}

impl Actor for RecallActor {
    type Protocol = RecallProtocol;
    const KIND: &'static str = "recall_memory";

    fn status(&self) -> Option<StatusSource> {
        let (owner, saved) = (self.owner.clone(), Arc::clone(&self.saved));
        Some(StatusSource::new(
            move || json!({"tenant": owner.tenant, "agent": owner.agent, "saved": saved.load(Ordering::Relaxed)}),
        ))
    }
}

impl Handler<Save> for RecallActor {
    async fn handle(&mut self, Save(exchange): Save, cx: &mut Cx<Self>) -> Result<()> {
        let append = async |_| self.messages.append(exchange.owner.clone(), entries(&exchange)).await;
        self.span.record(UPSERT_MEMORY, &exchange.owner, cx.context().clone(), append).await?;
        self.saved.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl DeferredHandler<Search> for RecallActor {
    async fn handle(&mut self, Search(query): Search, reply: ReplyPort<Vec<Recollection>>, cx: &mut Cx<Self>) {
        let messages = Arc::clone(&self.messages);
        let context = cx.context().clone();
        let job = cx.job("search", "recall", &context, move |_| async move { messages.search(query).await });
        task::spawn("recall.search", async move { reply.send(job.await) });
    }
}

impl Handler<Forget> for RecallActor {
    async fn handle(&mut self, _: Forget, _cx: &mut Cx<Self>) -> Result<()> {
        self.messages.clear(self.owner.clone()).await
    }
}

fn entries(exchange: &Exchange) -> Vec<Recollection> {
    let entry = |message: &ChatMessage| Recollection {
        session: exchange.session.clone(),
        turn: exchange.turn.clone(),
        role: message.role,
        text: message.text().chars().take(INDEXED_MAX_CHARS).collect(),
        at_ms: exchange.at_ms,
        score: 0.0,
    };
    vec![entry(&exchange.input), entry(&exchange.output)]
}
