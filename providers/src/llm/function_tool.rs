//! A tool as OpenAI's chat writes it, and others after it.

use beluga_core::ToolDefinition;
use serde_json::{Value, json};

use super::profile::Profile;

/// Writes a tool; `None` for one that runs at another vendor.
pub(super) fn function_tool(profile: &Profile, tool: &ToolDefinition) -> Option<Value> {
    let is_foreign = tool.notes.as_ref().is_some_and(|notes| notes.kind.is_some() && notes.family != profile.name);
    (!is_foreign).then(|| {
        json!({"type": "function", "function": {
            "name": tool.name, "description": tool.description, "parameters": tool.input_schema,
        }})
    })
}
