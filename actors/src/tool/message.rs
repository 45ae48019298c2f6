//! What may be said to a tool.

use beluga_core::{ToolContext, ToolOutput};
use beluga_runtime::{Message, protocol};
use serde_json::Value;

/// Runs the tool with arguments, which are validated first.
#[derive(Debug, Message)]
#[message(name = "tool.call", version = 1, reply = ToolOutput)]
pub(crate) struct CallTool {
    /// The arguments as the model wrote them, parsed.
    pub(crate) arguments: Value,
    /// Whose call it is.
    pub(crate) context: ToolContext,
}

protocol!(
    /// What may be said to a tool.
    pub(crate) ToolProtocol: CallTool
);
