//! One node in memory, and tools with a witness.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use beluga_actors::agent::{Agent, AgentBuilder, AgentRef, Agents};
use beluga_actors::memory::{CoreMemory, RecallMemory};
use beluga_actors::model::Models;
use beluga_actors::session::{EventStream, Settings, Stores};
use beluga_actors::testkit::ScriptedModel;
use beluga_actors::tool::typed::FunctionTool;
use beluga_core::{Effect, Event, Numbered, Result, SessionId, ToolContext};
use beluga_providers::memory::{MemoryJournal, MemoryMessages, MemoryState};
use beluga_runtime::System;
use futures_util::StreamExt;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;

pub struct Node {
    pub system: System,
    pub agents: Agents,
    pub stores: Stores,
}

impl Node {
    pub async fn start() -> Self {
        Self::with(stores(), Settings::default()).await
    }

    pub async fn with(stores: Stores, settings: Settings) -> Self {
        let system = System::builder("test").seed(7).build().unwrap();
        let agents = Agents::start(&system, &stores, settings).await.unwrap();
        Self { system, agents, stores }
    }

    pub async fn core_memory(&self) -> CoreMemory {
        CoreMemory::start(&self.system, Arc::clone(&self.stores.state)).await.unwrap()
    }

    pub async fn recall_memory(&self) -> RecallMemory {
        RecallMemory::start(&self.system, Arc::clone(&self.stores.messages)).await.unwrap()
    }

    pub async fn models(&self) -> Models {
        Models::start(&self.system).await.unwrap()
    }

    pub async fn agent(&self, model: &ScriptedModel, build: impl FnOnce(AgentBuilder) -> AgentBuilder) -> AgentRef {
        build(Agent::builder("assistant").model(model.clone())).spawn(&self.agents).await.unwrap()
    }

    pub async fn stop(self) {
        drop(self.agents);
        self.system.shutdown(Duration::from_secs(5)).await.unwrap();
    }
}

pub fn stores() -> Stores {
    Stores {
        journal: Arc::new(MemoryJournal::new()),
        messages: Arc::new(MemoryMessages::new()),
        state: Arc::new(MemoryState::new()),
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
pub struct Word {
    #[serde(default)]
    pub word: String,
}

/// Counts how often a tool took effect.
#[derive(Debug, Clone, Default)]
pub struct Witness(Arc<AtomicUsize>);

impl Witness {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub fn mark(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A door that work arrives at and waits before.
#[derive(Debug, Clone)]
pub struct Gate {
    arrived: Arc<tokio::sync::watch::Sender<usize>>,
    open: Arc<tokio::sync::watch::Sender<bool>>,
}

impl Gate {
    pub fn shut() -> Self {
        Self {
            arrived: Arc::new(tokio::sync::watch::Sender::new(0)),
            open: Arc::new(tokio::sync::watch::Sender::new(false)),
        }
    }

    /// Arrives, and goes on once the gate is open.
    pub async fn pass(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }

    /// Waits until so many have arrived.
    pub async fn arrived(&self, count: usize) {
        let arrived = async { self.arrived.subscribe().wait_for(|arrived| *arrived >= count).await.map(|_| ()) };
        tokio::time::timeout(Duration::from_secs(300), arrived).await.expect("nobody came to the gate").unwrap();
    }

    pub fn count(&self) -> usize {
        *self.arrived.borrow()
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

/// What was called, in order.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub fn add(&self, note: impl Into<String>) {
        self.0.lock().push(note.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

/// A tool that waits before a gate and then answers its word in capitals.
pub fn wait(name: &str, effect: Effect, gate: &Gate) -> FunctionTool {
    let gate = gate.clone();
    FunctionTool::new(name, "Waits, then shouts.", move |Word { word }: Word, _cx: ToolContext| {
        let gate = gate.clone();
        async move {
            gate.pass().await;
            Result::Ok(word.to_uppercase())
        }
    })
    .with_effect(effect)
}

/// A tool that answers its word in capitals, after its effect.
pub fn shout(name: &str, effect: Effect, witness: &Witness) -> FunctionTool {
    let witness = witness.clone();
    FunctionTool::new(name, "Shouts a word.", move |Word { word }: Word, _cx: ToolContext| {
        let witness = witness.clone();
        async move {
            witness.mark();
            Result::Ok(word.to_uppercase())
        }
    })
    .with_effect(effect)
}

/// A tool that takes effect and then never answers.
pub fn hang(name: &str, effect: Effect, witness: &Witness) -> FunctionTool {
    let witness = witness.clone();
    FunctionTool::new(name, "Hangs.", move |_: Word, _cx: ToolContext| {
        let witness = witness.clone();
        async move {
            witness.mark();
            std::future::pending::<Result<String>>().await
        }
    })
    .with_effect(effect)
}

pub fn session(id: &str) -> SessionId {
    SessionId::parse(id).unwrap()
}

pub async fn collect(stream: EventStream) -> Vec<Numbered> {
    stream.map(|event| event.unwrap()).collect().await
}

pub fn names(events: &[Numbered]) -> Vec<&'static str> {
    events.iter().map(|event| event.event.name()).collect()
}

pub fn text(events: &[Numbered]) -> String {
    events
        .iter()
        .filter_map(|event| match &event.event {
            Event::Text { text } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}
