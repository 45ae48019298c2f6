//! Who an agent is: role, goal and backstory, and how the system prompt is made of them.

use serde::{Deserialize, Serialize};

/// Who an agent is, in three sentences and some traits.
///
/// ```
/// use beluga_actors::agent::Persona;
///
/// let persona = Persona { role: "a librarian".into(), goal: "find the right book".into(), ..Persona::default() };
/// assert_eq!(persona.prompt(), "You are a librarian.\nYour goal: find the right book.");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Persona {
    /// What the agent is: "a librarian".
    pub role: String,
    /// What it is after.
    pub goal: String,
    /// Where it comes from.
    pub backstory: String,
    /// How it behaves, a word or two each.
    pub traits: Vec<String>,
}

impl Persona {
    /// Returns the persona as the head of a system prompt; empty fields are left out.
    #[must_use]
    pub fn prompt(&self) -> String {
        let mut lines = Vec::new();
        if !self.role.is_empty() {
            lines.push(format!("You are {}.", self.role.trim_end_matches('.')));
        }
        if !self.goal.is_empty() {
            lines.push(format!("Your goal: {}.", self.goal.trim_end_matches('.')));
        }
        if !self.backstory.is_empty() {
            lines.push(self.backstory.clone());
        }
        if !self.traits.is_empty() {
            lines.push(format!("You are {}.", self.traits.join(", ")));
        }
        lines.join("\n")
    }
}
