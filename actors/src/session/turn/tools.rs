//! Running the tools of one answer: in parallel, bounded, each as a job child, each with an honest outcome.

use std::sync::Arc;
use std::time::Duration;

use beluga_core::{
    CallContext, Code, Effect, Error, Mark, Part, Result, StateAccess, SyncLevel, ToolCall, ToolContext, ToolOutcome,
    ToolOutput, ToolResult, parse_arguments,
};
use beluga_runtime::time;
use futures_util::{StreamExt, stream};

use super::{Halt, Turn, UnknownOutcome, millis};
use crate::agent::Observation;
use crate::session::history::OpenTurn;
use crate::session::record::{Answered, FinishedCall, Intent, Record};
use crate::tool::ToolRef;

impl Turn {
    /// Returns the effect class of a call; what cannot be run has no effect.
    pub(super) fn effect_of(&self, call: &ToolCall) -> Effect {
        if self.handoff(&call.name).is_some() {
            return Effect::Idempotent;
        }
        match (self.spec.tool(&call.name), call.parse_arguments()) {
            (Some(tool), Ok(arguments)) => tool.effect(&arguments),
            _ => Effect::Pure,
        }
    }

    /// Runs tools that a crash interrupted: a `once` tool is never run again.
    pub(super) async fn finish_interrupted(&mut self, pending: Answered) -> Result<(), Halt> {
        let unknown = pending.intents.iter().find(|intent| intent.effect == Effect::Once);
        if let (Some(intent), UnknownOutcome::Fail) = (unknown, self.shared.settings.unknown_outcome) {
            let results = pending.intents.iter().map(|intent| (interrupted(intent), Duration::ZERO)).collect();
            let name = intent.name.clone();
            self.record_results(None, results).await?;
            let error = Error::unknown_outcome("a tool was interrupted and may have had its effect");
            return Err(error.with("tool", name).into());
        }
        let (once, again): (Vec<_>, Vec<_>) =
            pending.intents.iter().cloned().partition(|intent| intent.effect == Effect::Once);
        let mut results = self.run_tools(&again).await;
        results.extend(once.iter().map(|intent| (interrupted(intent), Duration::ZERO)));
        let order = |result: &ToolResult| pending.intents.iter().position(|intent| intent.id == result.call_id);
        results.sort_by_key(|(result, _)| order(result));
        self.record_results(None, results).await
    }

    /// Runs calls in parallel, at most the agent's bound at a time; results come in the order of the calls.
    pub(super) async fn run_tools(&self, intents: &[Intent]) -> Vec<(ToolResult, Duration)> {
        let share = self.tools_context();
        if let [intent] = intents {
            return vec![self.time_tool(intent, &share).await];
        }
        Box::pin(self.run_parallel(intents, &share)).await
    }

    async fn run_parallel(&self, intents: &[Intent], share: &CallContext) -> Vec<(ToolResult, Duration)> {
        let calls: Vec<_> = intents.iter().map(|intent| self.time_tool(intent, share)).collect();
        stream::iter(calls).buffered(self.spec.parallel_tools.max(1)).collect().await
    }

    async fn time_tool(&self, intent: &Intent, share: &CallContext) -> (ToolResult, Duration) {
        let started = time::now();
        let result = self.run_tool(intent, share).await;
        (result, time::now().saturating_duration_since(started))
    }

    async fn run_tool(&self, intent: &Intent, share: &CallContext) -> ToolResult {
        // A transfer is decided after its siblings ran; here it only is acknowledged.
        let outcome = if let Some(handoff) = self.handoff(&intent.name) {
            Box::pin(self.hand_over(handoff, intent)).await
        } else {
            self.call_tool(intent, share).await
        };
        finished(intent, outcome)
    }

    async fn call_tool(&self, intent: &Intent, share: &CallContext) -> Result<ToolOutput> {
        let Some(tool) = self.spec.tool(&intent.name).cloned() else {
            let known: Vec<&str> = self.spec.definitions.iter().map(|tool| tool.name.as_str()).collect();
            return Err(Error::not_found(format!("there is no tool of this name; there are: {}", known.join(", "))));
        };
        let arguments = parse_arguments(&intent.arguments)
            .map_err(|error| Error::invalid_input(format!("the arguments are no JSON: {error}")))?;
        let key: Arc<str> = Arc::from(intent.key.as_str());
        let context = ToolContext {
            call: share.child().with_idempotency_key(Arc::clone(&key)),
            idempotency_key: key,
            session: self.key.id.clone(),
            turn: self.turn.clone(),
            agent: self.agent.clone(),
            state: StateAccess::new(Arc::clone(&self.shared.state), self.key.tenant.clone()),
        };
        let job_context = context.call.clone();
        let job = self.scope.job("tool_call", &intent.name, &job_context, move |_| run_call(tool, arguments, context));
        job.await
    }

    /// Records results, with the answer behind them if that is not recorded yet, remembers them as observations, and
    /// follows a transfer.
    pub(super) async fn record_results(
        &mut self,
        unrecorded: Option<Answered>,
        results: Vec<(ToolResult, Duration)>,
    ) -> Result<(), Halt> {
        let mut finished = Vec::with_capacity(results.len());
        let mut observations = Vec::with_capacity(results.len());
        let share = RESULTS_MAX_BYTES / results.len().max(1);
        let mut relays =
            self.log.read(|history| history.open.as_ref().map_or_else(Vec::new, OpenTurn::relays)).into_iter();
        for (mut result, latency) in results {
            cut(&mut result, share);
            let relay = match relays.next().flatten() {
                Some(relay) => Some(relay.back(self.number().await?)),
                None => None,
            };
            // A call that was not run again took no time anybody knows.
            let ran = result.outcome != ToolOutcome::Unknown || !latency.is_zero();
            let took_ms = if ran { millis(latency) } else { None };
            finished.push(FinishedCall { number: self.number().await?, result: result.clone(), took_ms, relay });
            observations.push(Observation { result, latency });
        }
        self.observations = observations.into();
        let transfer = self.transfer_of(&finished).cloned();
        let mut records = Vec::with_capacity(2);
        records.extend(unrecorded.map(Record::Answered));
        records.push(Record::ToolsFinished { results: finished });
        if let Some(handoff) = &transfer {
            records.push(self.handoff_record(handoff).await?);
        }
        self.append(records, SyncLevel::Commit, Mark::Keep).await?;
        if self.context.is_cancelled() {
            return Err(Error::cancelled("the turn was cancelled").into());
        }
        match transfer {
            Some(handoff) => self.follow(&handoff).await,
            None => Ok(()),
        }
    }
}

/// The most bytes of text all results of one answer may have together; each gets an equal share.
const RESULTS_MAX_BYTES: usize = 2 * 1024 * 1024;

/// Cuts the text of a result to its share, and says so.
fn cut(result: &mut ToolResult, share: usize) {
    let mut left = share;
    for part in &mut result.parts {
        let Part::Text { text, .. } = part else { continue };
        if text.len() > left {
            let kept = text.floor_char_boundary(left);
            text.truncate(kept);
            text.push_str(" [cut: the tool's answer was too long]");
        }
        left = left.saturating_sub(text.len());
    }
}

async fn run_call(tool: ToolRef, arguments: serde_json::Value, context: ToolContext) -> Result<ToolOutput> {
    tool.call(arguments, context).await
}

/// The result of a call that a crash interrupted and that must not run again.
fn interrupted(intent: &Intent) -> ToolResult {
    ToolResult {
        call_id: intent.id.clone(),
        name: intent.name.clone(),
        parts: vec![Part::text(
            "unknown_outcome: the call was interrupted; it may or may not have had its effect, and was not repeated",
        )],
        outcome: ToolOutcome::Unknown,
        notes: None,
    }
}

/// The result of a call whose turn ends before it ran, or before it was recorded.
pub(super) fn abandoned(intent: &Intent, error: &Error) -> ToolResult {
    match intent.effect {
        Effect::Once => interrupted(intent),
        Effect::Pure | Effect::Idempotent => finished(intent, Err(error.duplicate())),
    }
}

/// Makes a result for the model of whatever a call ended with.
fn finished(intent: &Intent, outcome: Result<ToolOutput>) -> ToolResult {
    let (parts, outcome) = match outcome {
        Ok(output) => (output.parts, if output.is_error { ToolOutcome::Error } else { ToolOutcome::Ok }),
        Err(error) => {
            let may_have_run =
                matches!(error.code(), Code::UnknownOutcome | Code::Timeout | Code::Cancelled | Code::Internal);
            let outcome =
                if may_have_run && intent.effect == Effect::Once { ToolOutcome::Unknown } else { ToolOutcome::Error };
            (vec![Part::text(format!("{}: {}", error.code(), error.message()))], outcome)
        }
    };
    ToolResult { outcome, ..ToolResult::new(intent.id.clone(), intent.name.clone(), parts) }
}
