//! How core memory reacts: one actor per owner, so that edits never race.

use std::sync::Arc;

use arc_swap::ArcSwap;
use beluga_core::{Error, MemoryOwner, Result, StateKey, StateScope, StateStore};
use beluga_runtime::{Actor, Cx, Handler, StatusSource};
use serde_json::json;

use super::message::{BLOCK_MAX_CHARS, Blocks, CoreProtocol, Edit, EditBlock, Forget, Read};

/// How many edit keys are remembered; the oldest is forgotten first.
const KEYS_MAX: usize = 64;

/// The actor of one owner's core memory.
pub(crate) struct CoreActor {
    owner: MemoryOwner,
    state: Arc<dyn StateStore>,
    /// Shared with introspection, which only reads.
    blocks: Arc<ArcSwap<Blocks>>,
}

impl CoreActor {
    pub(crate) fn new(owner: MemoryOwner, state: Arc<dyn StateStore>) -> Self {
        Self { owner, state, blocks: Arc::default() }
    }

    fn key(&self) -> StateKey {
        StateKey {
            tenant: self.owner.tenant.clone(),
            scope: StateScope::Agent(self.owner.agent.to_string()),
            name: "core_memory".to_owned(),
        }
    }

    async fn store(&mut self, blocks: Blocks) -> Result<Arc<Blocks>> {
        let value = serde_json::to_value(&blocks)
            .map_err(|error| Error::internal("core memory is no JSON").with_source(error))?;
        self.state.set(self.key(), value).await?;
        self.blocks.store(Arc::new(blocks));
        Ok(self.blocks.load_full())
    }
}

impl Actor for CoreActor {
    type Protocol = CoreProtocol;
    const KIND: &'static str = "core_memory";

    async fn started(&mut self, _cx: &mut Cx<Self>) -> Result<()> {
        if let Some(value) = self.state.get(self.key()).await? {
            let blocks = serde_json::from_value(value)
                .map_err(|error| Error::decode("core memory cannot be read").with_source(error))?;
            self.blocks.store(Arc::new(blocks));
        }
        Ok(())
    }

    fn status(&self) -> Option<StatusSource> {
        let (owner, blocks) = (self.owner.clone(), Arc::clone(&self.blocks));
        Some(StatusSource::new(move || {
            let blocks = blocks.load();
            json!({
                "tenant": owner.tenant, "agent": owner.agent,
                "persona_chars": blocks.persona.chars().count(), "human_chars": blocks.human.chars().count(),
            })
        }))
    }
}

impl Handler<Read> for CoreActor {
    async fn handle(&mut self, _: Read, _cx: &mut Cx<Self>) -> Result<Arc<Blocks>> {
        Ok(self.blocks.load_full())
    }
}

impl Handler<EditBlock> for CoreActor {
    async fn handle(&mut self, message: EditBlock, _cx: &mut Cx<Self>) -> Result<Arc<Blocks>> {
        if message.key.as_ref().is_some_and(|key| self.blocks.load().applied.contains(key)) {
            return Ok(self.blocks.load_full());
        }
        let mut blocks = Blocks::clone(&self.blocks.load());
        let text = edited(blocks.block(message.block), message.edit)?;
        *blocks.block_mut(message.block) = text;
        if let Some(key) = message.key {
            blocks.applied.push(key);
            let surplus = blocks.applied.len().saturating_sub(KEYS_MAX);
            blocks.applied.drain(..surplus);
        }
        self.store(blocks).await
    }
}

impl Handler<Forget> for CoreActor {
    async fn handle(&mut self, _: Forget, _cx: &mut Cx<Self>) -> Result<()> {
        self.state.delete(self.key()).await?;
        self.blocks.store(Arc::default());
        Ok(())
    }
}

fn edited(text: &str, edit: Edit) -> Result<String> {
    let edited = match edit {
        Edit::Append(line) if text.is_empty() => line,
        Edit::Append(line) => format!("{text}\n{line}"),
        Edit::Replace { old, new } => {
            let places = if old.is_empty() { 0 } else { text.matches(&old).count() };
            if places != 1 {
                return Err(Error::invalid_input(format!(
                    "\"old\" must stand in the block exactly once, it does {places} times"
                ))
                .with("field", "old"));
            }
            text.replacen(&old, &new, 1)
        }
    };
    let chars = edited.chars().count();
    if chars > BLOCK_MAX_CHARS {
        return Err(Error::invalid_input(format!(
            "the block would have {chars} characters; at most {BLOCK_MAX_CHARS} fit, replace something first"
        )));
    }
    Ok(edited)
}
