//! A tool that remembers its calls.

use std::sync::Arc;

use beluga_core::{BoxFuture, Effect, Result, Tool, ToolContext, ToolDefinition, ToolOutput};
use parking_lot::Mutex;
use serde_json::Value;

/// A tool around another that counts calls and keeps their arguments and idempotency keys. Clones share the count.
///
/// A call counts when it is made, before its future is polled.
///
/// ```
/// use beluga_actors::testkit::CountingTool;
/// use beluga_actors::tool::builtin::calculator;
/// use beluga_core::{AgentName, CallContext, SessionId, Tool, ToolContext, TurnId};
///
/// # futures_util::FutureExt::now_or_never(async {
/// let tool = CountingTool::new(calculator);
/// let (session, turn) = (SessionId::parse("s").unwrap(), TurnId::parse("t").unwrap());
/// let cx = ToolContext::new(CallContext::new(), "s/t/1", session, turn, AgentName::parse("assistant").unwrap());
/// tool.call(serde_json::json!({"expression": "2 + 3"}), cx).await.unwrap();
/// assert_eq!(tool.count(), 1);
/// assert_eq!(tool.calls()[0].arguments["expression"], "2 + 3");
/// assert_eq!(&*tool.calls()[0].idempotency_key, "s/t/1");
/// # }).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct CountingTool<T> {
    tool: T,
    calls: Arc<Mutex<Vec<CountedCall>>>,
}

/// One call a [`CountingTool`] saw.
#[derive(Debug, Clone, PartialEq)]
pub struct CountedCall {
    /// The arguments.
    pub arguments: Value,
    /// The key of the call, the same over its retries and resumes.
    pub idempotency_key: Arc<str>,
}

impl<T: Tool> CountingTool<T> {
    /// Counts the calls of `tool`.
    #[must_use]
    pub fn new(tool: T) -> Self {
        Self { tool, calls: Arc::default() }
    }

    /// Returns how many calls were made.
    #[must_use]
    pub fn count(&self) -> usize {
        self.calls.lock().len()
    }

    /// Returns the calls, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<CountedCall> {
        self.calls.lock().clone()
    }
}

impl<T: Tool> Tool for CountingTool<T> {
    fn definition(&self) -> &ToolDefinition {
        self.tool.definition()
    }

    fn effect(&self, arguments: &Value) -> Effect {
        self.tool.effect(arguments)
    }

    fn call(&self, arguments: Value, cx: ToolContext) -> BoxFuture<'static, Result<ToolOutput>> {
        let call = CountedCall { arguments: arguments.clone(), idempotency_key: Arc::clone(&cx.idempotency_key) };
        self.calls.lock().push(call);
        self.tool.call(arguments, cx)
    }
}
