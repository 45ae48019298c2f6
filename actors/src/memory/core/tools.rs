//! The tools by which an agent edits its own core memory.

use std::sync::Arc;

use beluga_core::{BoxFuture, Effect, Error, MemoryOwner, Result, Tool, ToolContext, ToolDefinition, ToolOutput};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::handle::CoreMemory;
use super::message::{Block, Edit};

/// Makes both tools.
pub(crate) fn all(memory: &CoreMemory) -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(Append { memory: memory.clone(), definition: append_definition() }),
        Arc::new(Replace { memory: memory.clone(), definition: replace_definition() }),
    ]
}

#[derive(Debug)]
struct Append {
    memory: CoreMemory,
    definition: ToolDefinition,
}

#[derive(Deserialize)]
struct AppendArguments {
    block: Block,
    content: String,
}

#[derive(Debug)]
struct Replace {
    memory: CoreMemory,
    definition: ToolDefinition,
}

#[derive(Deserialize)]
struct ReplaceArguments {
    block: Block,
    old: String,
    new: String,
}

fn append_definition() -> ToolDefinition {
    definition(
        "core_memory_append",
        "Adds a line to core memory, which is always in your prompt. Use it for lasting facts.",
        &json!({"content": {"type": "string", "description": "The line to add."}}),
        &["block", "content"],
    )
}

fn replace_definition() -> ToolDefinition {
    definition(
        "core_memory_replace",
        "Replaces text in core memory. The old text must stand in the block exactly once.",
        &json!({
            "old": {"type": "string", "description": "The text to replace."},
            "new": {"type": "string", "description": "The text to put there; empty to delete."},
        }),
        &["block", "old", "new"],
    )
}

fn definition(name: &str, description: &str, fields: &Value, required: &[&str]) -> ToolDefinition {
    let mut properties = json!({
        "block": {"type": "string", "enum": ["persona", "human"], "description": "Facts about you, or about the human."},
    });
    if let (Some(properties), Some(fields)) = (properties.as_object_mut(), fields.as_object()) {
        properties.extend(fields.clone());
    }
    ToolDefinition {
        name: name.to_owned(),
        description: description.to_owned(),
        input_schema: json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        }),
        effect: Effect::Idempotent,
        timeout: None,
        notes: None,
    }
}

fn owner(context: &ToolContext) -> MemoryOwner {
    MemoryOwner { tenant: context.call.tenant().clone(), agent: context.agent.clone() }
}

fn parse<T: DeserializeOwned>(arguments: Value) -> Result<T> {
    serde_json::from_value(arguments).map_err(|error| Error::invalid_input(error.to_string()))
}

impl Tool for Append {
    fn definition(&self) -> &ToolDefinition {
        &self.definition
    }

    fn call(&self, arguments: Value, cx: ToolContext) -> BoxFuture<'static, Result<ToolOutput>> {
        let memory = self.memory.clone();
        Box::pin(async move {
            let AppendArguments { block, content } = parse(arguments)?;
            let key = Some(cx.idempotency_key.to_string());
            memory.edit(&owner(&cx), block, Edit::Append(content), key, cx.call).await?;
            Ok(ToolOutput::text("Remembered."))
        })
    }
}

impl Tool for Replace {
    fn definition(&self) -> &ToolDefinition {
        &self.definition
    }

    fn call(&self, arguments: Value, cx: ToolContext) -> BoxFuture<'static, Result<ToolOutput>> {
        let memory = self.memory.clone();
        Box::pin(async move {
            let ReplaceArguments { block, old, new } = parse(arguments)?;
            let key = Some(cx.idempotency_key.to_string());
            memory.edit(&owner(&cx), block, Edit::Replace { old, new }, key, cx.call).await?;
            Ok(ToolOutput::text("Replaced."))
        })
    }
}
