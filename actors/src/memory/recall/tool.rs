//! The tool by which an agent searches what was said.

use beluga_core::{
    BoxFuture, Effect, Error, Memory, MemoryOwner, MemoryQuery, Result, Tool, ToolContext, ToolDefinition, ToolOutput,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::handle::RecallMemory;

/// How many results are found where the model names no number.
const RESULTS_DEFAULT: usize = 5;

/// The most results one search brings.
const RESULTS_MAX: usize = 20;

#[derive(Debug)]
pub(crate) struct RecallSearch {
    memory: RecallMemory,
    definition: ToolDefinition,
}

#[derive(Deserialize)]
struct Arguments {
    query: String,
    limit: Option<usize>,
}

impl RecallSearch {
    pub(crate) fn new(memory: RecallMemory) -> Self {
        let definition = ToolDefinition {
            name: "recall_search".to_owned(),
            description: "Searches everything that was said in earlier conversations, by words.".to_owned(),
            input_schema: json!({
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "The words to look for."},
                    "limit": {"type": "integer", "minimum": 1, "maximum": RESULTS_MAX, "default": RESULTS_DEFAULT},
                },
                "required": ["query"],
                "additionalProperties": false,
            }),
            effect: Effect::Pure,
            timeout: None,
            notes: None,
        };
        Self { memory, definition }
    }
}

impl Tool for RecallSearch {
    fn definition(&self) -> &ToolDefinition {
        &self.definition
    }

    fn call(&self, arguments: Value, cx: ToolContext) -> BoxFuture<'static, Result<ToolOutput>> {
        let memory = self.memory.clone();
        Box::pin(async move {
            let Arguments { query, limit } =
                serde_json::from_value(arguments).map_err(|error| Error::invalid_input(error.to_string()))?;
            let query = MemoryQuery {
                owner: MemoryOwner { tenant: cx.call.tenant().clone(), agent: cx.agent.clone() },
                text: query,
                limit: limit.unwrap_or(RESULTS_DEFAULT).min(RESULTS_MAX),
                session: None,
                context: cx.call,
            };
            let found = memory.search(query).await?;
            if found.is_empty() {
                return Ok(ToolOutput::text("Nothing was found."));
            }
            let lines: Vec<Value> = found
                .iter()
                .map(|hit| json!({"session": hit.session, "turn": hit.turn, "role": hit.role, "text": hit.text}))
                .collect();
            ToolOutput::json(&lines)
        })
    }
}
