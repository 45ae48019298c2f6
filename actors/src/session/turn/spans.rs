//! The spans of a turn and of its planner's decisions.

use beluga_core::CallContext;
use beluga_runtime::hop;
use beluga_runtime::telemetry::names::{attribute, operation};
use beluga_runtime::telemetry::{HopGuard, HopKind, Identity};

use super::{Turn, TurnSetup};
use crate::agent::AgentSpec;

/// Opens the span of the turn; what the turn calls has it as its parent.
pub(super) fn open(setup: &TurnSetup, spec: &AgentSpec) -> (CallContext, HopGuard) {
    let identity = Identity::child_of(&setup.context, setup.shared.system.random());
    let (context, span) = hop!(
        setup.context.clone(),
        identity,
        HopKind::Internal,
        format!("{} {}", operation::INVOKE_AGENT, setup.agent),
        { attribute::OPERATION_NAME } = operation::INVOKE_AGENT,
        { attribute::AGENT_NAME } = setup.agent.as_str(),
        { attribute::LOCAL_AGENT_ID } = setup.agent.as_str(),
        { attribute::AGENT_PLANNER } = spec.planner.name(),
        { attribute::CONVERSATION_ID } = setup.key.id.as_str(),
        { attribute::TURN_ID } = setup.turn.as_str(),
        { attribute::USAGE_INPUT_TOKENS } = tracing::field::Empty,
        { attribute::USAGE_OUTPUT_TOKENS } = tracing::field::Empty
    );
    let span = span.guard(&context);
    (context, span)
}

impl Turn {
    /// Opens the span of a decision; the model's calls have it as their parent.
    pub(super) fn plan_span(&self) -> (CallContext, HopGuard) {
        let identity = Identity::child_of(&self.context, self.shared.system.random());
        let planner = self.spec.planner.name();
        let (context, span) = hop!(
            self.context.clone(),
            identity,
            HopKind::Internal,
            format!("{} {planner}", operation::PLAN),
            { attribute::OPERATION_NAME } = operation::PLAN,
            { attribute::AGENT_NAME } = self.agent.as_str(),
            { attribute::AGENT_PLANNER } = planner,
            { attribute::CONVERSATION_ID } = self.key.id.as_str(),
            { attribute::TURN_ID } = self.turn.as_str()
        );
        let span = span.guard(&context);
        (context, span)
    }
}
