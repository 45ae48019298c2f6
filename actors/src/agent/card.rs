//! The card of an agent: what it is and can do, for people and for other programs.

use beluga_core::{AgentName, HandoffMode, ModelInfo};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::spec::AgentSpec;

/// What an agent is and can do. Holds nothing of its instructions, its memory or its sessions.
///
/// It is a picture of the definition in force when it was made. A handoff is on it whether or not it is enabled for a
/// certain call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The agent's name, which identifies it within its node.
    pub id: AgentName,
    /// What it is for.
    pub description: String,
    /// The role of its persona: "a librarian"; empty if it has none.
    pub role: String,
    /// The model it thinks with.
    pub model: ModelInfo,
    /// The tools it may use, in the order they are offered.
    pub tools: Vec<ToolCard>,
    /// Whom it may hand over to.
    pub handoffs: Vec<HandoffCard>,
}

/// A tool on a [`Card`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCard {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// The JSON Schema of its arguments.
    pub input_schema: Value,
}

/// A handoff on a [`Card`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoffCard {
    /// Who takes over.
    pub to: AgentName,
    /// Whether it comes back.
    pub mode: HandoffMode,
    /// When to hand over.
    pub description: String,
}

impl AgentSpec {
    /// Returns the card of the definition.
    #[must_use]
    pub fn card(&self) -> Card {
        let tools = self.definitions.iter().map(|tool| ToolCard {
            name: tool.name.clone(),
            description: tool.description.clone(),
            input_schema: tool.input_schema.clone(),
        });
        let handoffs = self.handoffs.iter().map(|handoff| HandoffCard {
            to: handoff.to.clone(),
            mode: handoff.mode,
            description: handoff.description.clone(),
        });
        Card {
            id: self.name.clone(),
            description: self.description.clone(),
            role: self.persona.role.clone(),
            model: self.model.info(),
            tools: tools.collect(),
            handoffs: handoffs.collect(),
        }
    }
}
