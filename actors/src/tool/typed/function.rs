//! A tool made of a closure, for tools that own state such as a client or a clock.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{BoxFuture, Effect, Result, Tool, ToolContext, ToolDefinition, ToolOutput};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::support;

type Run = dyn Fn(Value, ToolContext) -> BoxFuture<'static, Result<ToolOutput>> + Send + Sync;

/// A tool around a closure with typed arguments. Cheap to clone; clones share the closure.
///
/// ```
/// use beluga_actors::tool::typed::FunctionTool;
/// use beluga_core::{Effect, Result, Tool, ToolContext};
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Step {
///     /// How far to count.
///     by: u32,
/// }
///
/// let total = Arc::new(AtomicU32::new(0));
/// let counter = FunctionTool::new("count", "Counts.", {
///     let total = Arc::clone(&total);
///     move |step: Step, _cx: ToolContext| {
///         let now = total.fetch_add(step.by, Ordering::Relaxed) + step.by;
///         async move { Result::Ok(now) }
///     }
/// });
/// assert_eq!(counter.definition().effect, Effect::Once, "an undeclared effect must not happen twice");
/// assert_eq!(counter.with_effect(Effect::Pure).definition().effect, Effect::Pure);
/// ```
#[derive(Clone)]
pub struct FunctionTool {
    definition: Arc<ToolDefinition>,
    run: Arc<Run>,
}

impl FunctionTool {
    /// Makes a tool; its effect is `once` and its time limit the runtime's until said otherwise.
    ///
    /// The closure is called once per tool call, on the caller's task, and should only make the future.
    #[must_use]
    pub fn new<A, F, O, T>(name: impl Into<String>, description: impl Into<String>, run: F) -> Self
    where
        A: DeserializeOwned + JsonSchema,
        F: Fn(A, ToolContext) -> O + Send + Sync + 'static,
        O: Future<Output = Result<T>> + Send + 'static,
        T: Serialize + Send + 'static,
    {
        let definition = support::definition::<A>(&name.into(), &description.into(), Effect::Once, None);
        let run = move |arguments: Value, cx: ToolContext| -> BoxFuture<'static, Result<ToolOutput>> {
            match support::parse::<A>(arguments) {
                Ok(arguments) => {
                    let answer = run(arguments, cx);
                    Box::pin(async move { support::output(answer.await?) })
                }
                Err(error) => Box::pin(std::future::ready(Err(error))),
            }
        };
        Self { definition: Arc::new(definition), run: Arc::new(run) }
    }

    /// Declares what a repeated call does.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        Arc::make_mut(&mut self.definition).effect = effect;
        self
    }

    /// Limits the time of one call.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        Arc::make_mut(&mut self.definition).timeout = Some(timeout);
        self
    }

    /// Replaces the schema, for arguments taken as a `serde_json::Value`.
    #[must_use]
    pub fn with_schema(mut self, input_schema: Value) -> Self {
        Arc::make_mut(&mut self.definition).input_schema = input_schema;
        self
    }
}

impl Tool for FunctionTool {
    fn definition(&self) -> &ToolDefinition {
        &self.definition
    }

    fn call(&self, arguments: Value, cx: ToolContext) -> BoxFuture<'static, Result<ToolOutput>> {
        (self.run)(arguments, cx)
    }
}

impl fmt::Debug for FunctionTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionTool").field("name", &self.definition.name).finish_non_exhaustive()
    }
}
