//! Where an application may observe or alter tool calls.

use std::fmt;

use beluga_core::{Error, Result, ToolContext, ToolOutput};
use serde_json::Value;

/// Observes or alters the calls of a tool. Every method does nothing by default. Runs in the call's own task.
pub trait ToolHooks: fmt::Debug + Send + Sync + 'static {
    /// Sees valid arguments before the tool does, and may change them or refuse.
    ///
    /// # Errors
    /// Ends the call with this error.
    fn before_execute(&self, tool: &str, arguments: &mut Value, context: &ToolContext) -> Result<()> {
        let _ = (tool, arguments, context);
        Ok(())
    }

    /// Sees the answer before the model does, and may change it.
    ///
    /// # Errors
    /// Replaces the answer with this error.
    fn after_execute(&self, tool: &str, output: &mut ToolOutput, context: &ToolContext) -> Result<()> {
        let _ = (tool, output, context);
        Ok(())
    }

    /// Sees an error, and may replace it, or swallow it by an answer.
    ///
    /// # Errors
    /// The error the caller sees.
    fn on_error(&self, tool: &str, error: Error, context: &ToolContext) -> Result<ToolOutput> {
        let _ = (tool, context);
        Err(error)
    }
}
