//! How a tool reacts: it checks, bounds and runs calls, each as a job child.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use beluga_core::{BoxFuture, Code, Effect, Error, Result, Tool, ToolContext, ToolDefinition, ToolOutput};
use beluga_runtime::service::{Layer, layered};
use beluga_runtime::telemetry::names::{attribute, operation};
use beluga_runtime::telemetry::{HopKind, Identity};
use beluga_runtime::{
    Actor, BreakerConfig, Cx, DeferredHandler, Permit, PoolSettings, ReplyPort, Silent, StatusSource, SystemRandom,
    hop, task, time,
};
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::hooks::ToolHooks;
use super::message::{CallTool, ToolProtocol};
use super::typed::Arguments;

/// The limits and hooks of one tool.
#[derive(Debug, Clone)]
pub struct ToolSettings {
    /// The most time of a call whose tool names none. Default: 60 s.
    pub timeout: Duration,
    /// The most calls in flight; one more is `overloaded`. Default: 4,096.
    pub max_in_flight: usize,
    /// When to stop calling a tool that fails. Default: none; the model is told of failures in any case.
    pub breaker: Option<BreakerConfig>,
    /// Lets a number of workers run the calls, one at a time each, while the rest waits in a bounded queue: for what
    /// must not be called as often as a model likes. The key of a call is its session. A call may wait for a worker for
    /// as long as it may run. Default: none; calls never wait for each other.
    pub pool: Option<PoolSettings>,
    /// Observers, called in order, inside the layers.
    pub hooks: Vec<Arc<dyn ToolHooks>>,
    /// The application's middleware, outermost first. What it wraps checks the arguments, calls the hooks and runs the
    /// tool; the time limit covers all of it. Default: none.
    pub layers: Vec<ToolLayer>,
}

/// An application's own middleware round a tool: a function from tool to tool.
pub type ToolLayer = Layer<Arc<dyn Tool>>;

impl Default for ToolSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            max_in_flight: 4096,
            breaker: None,
            pool: None,
            hooks: Vec::new(),
            layers: Vec::new(),
        }
    }
}

/// The supervisor of all tools of a node.
pub(crate) struct ToolsActor;

impl Actor for ToolsActor {
    type Protocol = Silent;
    const KIND: &'static str = "tools";
}

/// What a tool's actor shares with its successors and its jobs.
pub(crate) struct ToolState {
    /// The tool as it is offered: its core with the layers round it.
    pub(crate) tool: Arc<dyn Tool>,
    pub(crate) settings: ToolSettings,
    core: Core,
    random: SystemRandom,
    in_flight: AtomicUsize,
    calls: AtomicU64,
    successes: AtomicU64,
    failures: AtomicU64,
}

/// What the calls of one tool came to since it was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolTotals {
    /// The name of its actor: the tool's, after its agent's if it belongs to one.
    pub name: String,
    /// Calls that did what was asked.
    pub succeeded: u64,
    /// Calls that failed, or whose tool said so.
    pub failed: u64,
}

impl ToolState {
    pub(crate) fn totals(&self, name: &str) -> ToolTotals {
        ToolTotals {
            name: name.to_owned(),
            succeeded: self.successes.load(Ordering::Relaxed),
            failed: self.failures.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn new(tool: Arc<dyn Tool>, settings: ToolSettings, random: SystemRandom) -> Result<Self> {
        let arguments = Arguments::compile(&tool.definition().input_schema)
            .map_err(|error| error.with("tool", &tool.definition().name))?;
        let inner = Inner { tool, arguments, hooks: settings.hooks.clone() };
        let core = Core(Arc::new(inner));
        let tool = if settings.layers.is_empty() {
            Arc::clone(&core.0.tool)
        } else {
            layered(Arc::new(core.clone()) as Arc<dyn Tool>, &settings.layers)
        };
        Ok(Self {
            tool,
            settings,
            core,
            random,
            in_flight: AtomicUsize::new(0),
            calls: AtomicU64::new(0),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        })
    }

    async fn run(&self, arguments: Value, mut context: ToolContext) -> Result<ToolOutput> {
        let definition = self.tool.definition();
        let identity = Identity::child_of(&context.call, &self.random);
        let (call, span) = hop!(
            context.call.clone(),
            identity,
            HopKind::Internal,
            format!("{} {}", operation::EXECUTE_TOOL, definition.name),
            { attribute::OPERATION_NAME } = operation::EXECUTE_TOOL,
            { attribute::TOOL_NAME } = definition.name.as_str(),
            { attribute::TOOL_TYPE } = "function",
            { attribute::TOOL_CALL_ID } = &*context.idempotency_key,
            { attribute::AGENT_NAME } = context.agent.as_str(),
            { attribute::CONVERSATION_ID } = context.session.as_str()
        );
        context.call = call;
        let span = span.guard(&context.call).panics_as(Code::ToolFailed);
        let outcome = self.execute(arguments, &context).await;
        span.settle(&outcome);
        outcome
    }

    /// Runs the call under its time limit. What the limit or a cancellation ends passes the hooks here, since the core
    /// is gone by then.
    async fn execute(&self, arguments: Value, context: &ToolContext) -> Result<ToolOutput> {
        let limit = self.tool.definition().timeout.unwrap_or(self.settings.timeout);
        let call = async {
            if self.settings.layers.is_empty() {
                self.core.0.run(arguments, context).await
            } else {
                self.tool.call(arguments, context.clone()).await
            }
        };
        let ended = match time::timeout(limit, time::within(&context.call, call)).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(error)) => error,
            Err(_) => Error::timeout(format!("the tool took longer than {} ms", limit.as_millis())),
        };
        self.core.0.failed(ended, context)
    }
}

/// The innermost of a tool's layers, as a tool.
#[derive(Debug, Clone)]
struct Core(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tool: Arc<dyn Tool>,
    arguments: Arguments,
    hooks: Vec<Arc<dyn ToolHooks>>,
}

impl Inner {
    async fn run(&self, arguments: Value, context: &ToolContext) -> Result<ToolOutput> {
        match self.check_and_call(arguments, context).await {
            Ok(output) => Ok(output),
            Err(error) => self.failed(error, context),
        }
    }

    async fn check_and_call(&self, mut arguments: Value, context: &ToolContext) -> Result<ToolOutput> {
        let definition = self.tool.definition();
        self.arguments.validate(&arguments)?;
        for hooks in &self.hooks {
            hooks.before_execute(&definition.name, &mut arguments, context)?;
        }
        let mut output = self.tool.call(arguments, context.clone()).await?;
        for hooks in &self.hooks {
            hooks.after_execute(&definition.name, &mut output, context)?;
        }
        Ok(output)
    }

    /// Each of the hooks sees what the one before it made of the error; the first answer ends it.
    fn failed(&self, mut error: Error, context: &ToolContext) -> Result<ToolOutput> {
        for hooks in &self.hooks {
            match hooks.on_error(&self.tool.definition().name, error, context) {
                Ok(output) => return Ok(output),
                Err(seen) => error = seen,
            }
        }
        Err(error)
    }
}

impl Tool for Core {
    fn definition(&self) -> &ToolDefinition {
        self.0.tool.definition()
    }

    fn effect(&self, arguments: &Value) -> Effect {
        self.0.tool.effect(arguments)
    }

    fn call(&self, arguments: Value, cx: ToolContext) -> BoxFuture<'static, Result<ToolOutput>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.run(arguments, &cx).await })
    }
}

/// The actor of one tool, or one of its workers.
pub(crate) struct ToolActor(Arc<ToolState>);

impl ToolActor {
    pub(crate) fn new(state: Arc<ToolState>) -> Self {
        Self(state)
    }
}

impl Actor for ToolActor {
    type Protocol = ToolProtocol;
    const KIND: &'static str = "tool";

    fn status(&self) -> Option<StatusSource> {
        let state = Arc::clone(&self.0);
        Some(StatusSource::new(move || {
            json!({
                "tool": state.tool.definition().name, "effect": state.tool.definition().effect,
                "in_flight": state.in_flight.load(Ordering::Relaxed), "calls": state.calls.load(Ordering::Relaxed),
                "failures": state.failures.load(Ordering::Relaxed),
            })
        }))
    }
}

/// Counts a call as in flight while it lives.
struct InFlight(Arc<ToolState>);

impl InFlight {
    fn enter(state: &Arc<ToolState>) -> Result<Self> {
        let running = state.in_flight.fetch_add(1, Ordering::AcqRel);
        let guard = Self(Arc::clone(state));
        if running >= state.settings.max_in_flight {
            return Err(Error::overloaded("too many calls of the tool are in flight")
                .with("max_in_flight", state.settings.max_in_flight));
        }
        Ok(guard)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

impl DeferredHandler<CallTool> for ToolActor {
    async fn handle(&mut self, call: CallTool, reply: ReplyPort<ToolOutput>, cx: &mut Cx<Self>) {
        let CallTool { arguments, mut context } = call;
        // The ask's own context: the call ends with its asker, not only with the turn.
        context.call = cx.context().clone();
        let permit = match cx.breaker().map(|breaker| breaker.try_acquire()).transpose() {
            Ok(permit) => permit,
            Err(error) => return reply.send(Err(error)),
        };
        let guard = match InFlight::enter(&self.0) {
            Ok(guard) => guard,
            Err(error) => return reply.send(Err(error)),
        };
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        let end = End { state: Arc::clone(&self.0), permit, reply };
        if self.0.settings.pool.is_some() {
            // The worker is busy until the call has ended; a panic is the call's and not the worker's.
            let running = AssertUnwindSafe(self.0.run(arguments, context)).catch_unwind();
            let outcome = running.await.unwrap_or_else(|panic| Err(panicked(&task::panic_text(panic.as_ref()))));
            drop(guard);
            return end.settle(outcome);
        }
        let key = Arc::clone(&context.idempotency_key);
        let call_context = context.call.clone();
        let running = Arc::clone(&self.0);
        let run = move |_| async move {
            let _guard = guard;
            running.run(arguments, context).await
        };
        cx.job_then("execution", &*key, &call_context, run, move |outcome| {
            end.settle(outcome.map_err(told));
            std::future::ready(())
        });
    }
}

/// What a call does when it has ended.
struct End {
    state: Arc<ToolState>,
    permit: Option<Permit>,
    reply: ReplyPort<ToolOutput>,
}

impl End {
    fn settle(self, outcome: Result<ToolOutput>) {
        match (&outcome, self.permit) {
            (Ok(_), Some(permit)) => permit.success(),
            (Err(error), Some(permit)) => permit.settle(error),
            (_, None) => {}
        }
        let succeeded = outcome.as_ref().is_ok_and(|output| !output.is_error);
        let counter = if succeeded { &self.state.successes } else { &self.state.failures };
        counter.fetch_add(1, Ordering::Relaxed);
        self.reply.send(outcome);
    }
}

/// A panic is a failed call, told with its text.
fn told(error: Error) -> Error {
    match error.get("panic") {
        Some(text) => panicked(text),
        None => error,
    }
}

fn panicked(text: &str) -> Error {
    Error::tool_failed(format!("panicked: {text}")).with_op("tool.call")
}
