//! What may be said to core memory.

use std::sync::Arc;

use beluga_runtime::{Message, protocol};
use serde::{Deserialize, Serialize};

/// The most characters of one block; an edit beyond is refused.
pub const BLOCK_MAX_CHARS: usize = 2000;

/// One block of core memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// Who the agent is.
    Persona,
    /// Whom it talks to.
    Human,
}

/// Both blocks, as they are stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Blocks {
    pub(crate) persona: String,
    pub(crate) human: String,
    /// The keys of the last edits, so that a repeated call edits once.
    #[serde(default)]
    pub(crate) applied: Vec<String>,
}

impl Blocks {
    pub(crate) fn block(&self, block: Block) -> &str {
        match block {
            Block::Persona => &self.persona,
            Block::Human => &self.human,
        }
    }

    pub(crate) fn block_mut(&mut self, block: Block) -> &mut String {
        match block {
            Block::Persona => &mut self.persona,
            Block::Human => &mut self.human,
        }
    }
}

/// One change of a block.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    /// Adds a line.
    Append(String),
    /// Replaces the one place that reads `old`.
    Replace { old: String, new: String },
}

/// Asks for the blocks.
#[derive(Debug, Message)]
#[message(name = "memory.core.read", version = 1, reply = Arc<Blocks>)]
pub(crate) struct Read;

/// Changes a block.
#[derive(Debug, Message)]
#[message(name = "memory.core.edit", version = 1, reply = Arc<Blocks>)]
pub(crate) struct EditBlock {
    pub(crate) block: Block,
    pub(crate) edit: Edit,
    /// The key of the call; the same key edits once.
    pub(crate) key: Option<String>,
}

/// Empties both blocks.
#[derive(Debug, Message)]
#[message(name = "memory.core.forget", version = 1)]
pub(crate) struct Forget;

protocol!(
    /// What may be said to core memory.
    pub(crate) CoreProtocol: Read, EditBlock, Forget
);
