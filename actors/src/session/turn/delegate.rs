//! Handoffs of a turn: a message to the other agent, in transfer or in return mode.

use std::sync::Arc;

use beluga_core::{Error, HandoffMode, Result, SessionId, ToolCall, ToolOutcome, ToolOutput};

use super::{Halt, Turn};
use crate::agent::{AgentRef, HANDOFFS_MAX, Handoff, HandoffNotice};
use crate::session::Invoke;
use crate::session::directory::short_hash;
use crate::session::record::{FinishedCall, Intent, Record, Relay};

impl Turn {
    /// Returns the handoff behind a tool name, if it is enabled for this call.
    pub(super) fn handoff(&self, tool: &str) -> Option<&Handoff> {
        self.handoff_named(tool).filter(|handoff| handoff.is_enabled(&self.context))
    }

    fn handoff_named(&self, tool: &str) -> Option<&Handoff> {
        let to = tool.strip_prefix(crate::agent::TRANSFER_PREFIX)?;
        self.spec.handoffs.iter().find(|handoff| handoff.to.as_str() == to)
    }

    /// Returns whom a call asks, if it is a handoff that comes back.
    pub(super) async fn relay_to(&self, call: &ToolCall) -> Result<Option<Relay>, Halt> {
        let Some(handoff) = self.handoff(&call.name) else { return Ok(None) };
        if handoff.mode == HandoffMode::Transfer || self.hops >= HANDOFFS_MAX {
            return Ok(None);
        }
        let number = self.number().await?;
        Ok(Some(Relay { number, from: self.agent.clone(), to: handoff.to.clone() }))
    }

    /// Answers the call of a handoff's tool. In return mode the other agent runs a turn of its own.
    pub(super) async fn hand_over(&self, handoff: &Handoff, intent: &Intent) -> Result<ToolOutput> {
        if self.hops >= HANDOFFS_MAX {
            return Err(Error::overloaded(format!("a turn makes at most {HANDOFFS_MAX} handoffs")));
        }
        let agent = AgentRef::find(&self.shared, &handoff.to)?;
        agent.accept(self.notice(handoff), &self.context).await?;
        match handoff.mode {
            HandoffMode::Transfer => Ok(ToolOutput::text(format!("The agent \"{}\" takes over.", handoff.to))),
            HandoffMode::Return => {
                handoff.notify(&self.notice(handoff));
                self.delegate(&agent, handoff, intent).await
            }
        }
    }

    fn notice(&self, handoff: &Handoff) -> HandoffNotice {
        HandoffNotice { from: self.agent.clone(), to: handoff.to.clone(), mode: handoff.mode, hops: self.hops + 1 }
    }

    /// The other agent answers in a session of its own, named by this call: a repeated call meets the same turn.
    async fn delegate(&self, agent: &AgentRef, handoff: &Handoff, intent: &Intent) -> Result<ToolOutput> {
        let tenant = self.key.tenant.as_str();
        let session = SessionId::parse(format!("h-{}", short_hash(&[tenant, handoff.to.as_str(), &intent.key])))?;
        let mut invoke = Invoke::new((*self.input).clone())
            .with_session(session)
            .with_idempotency_key(intent.key.as_str())
            .with_context(self.model_context(&self.context))
            .cancel_on_drop(true);
        invoke.history = self.past_for(handoff);
        invoke.hops = self.hops + 1;
        invoke.unhurried = self.shares.is_none();
        let reply = agent.invoke(invoke).await?;
        Ok(ToolOutput::text(reply.result))
    }

    /// Returns what the other agent sees of the conversation before the turn's input.
    fn past_for(&self, handoff: &Handoff) -> Vec<Arc<beluga_core::ChatMessage>> {
        let transcript = self.log.messages();
        // The last message is the call itself; it has no result yet and stays out.
        let before = transcript.get(..transcript.len().saturating_sub(1)).unwrap_or_default();
        strip_input(handoff.filtered(before), &self.input)
    }

    /// Returns the transfer among finished calls; the first one counts. One that was accepted happens, even if it is
    /// no longer offered: the model was told so.
    pub(super) fn transfer_of(&self, finished: &[FinishedCall]) -> Option<&Handoff> {
        finished
            .iter()
            .filter(|call| call.result.outcome == ToolOutcome::Ok)
            .filter_map(|call| self.handoff_named(&call.result.name))
            .find(|handoff| handoff.mode == HandoffMode::Transfer)
    }

    pub(super) async fn handoff_record(&self, handoff: &Handoff) -> Result<Record, Halt> {
        Ok(Record::HandedOff {
            number: self.number().await?,
            from: self.agent.clone(),
            to: handoff.to.clone(),
            mode: handoff.mode,
            transcript: handoff
                .has_filter()
                .then(|| self.past_for(handoff).iter().map(|message| (**message).clone()).collect()),
        })
    }

    /// The other agent goes on with the turn: its instructions, tools and memory count from now on.
    pub(super) async fn follow(&mut self, handoff: &Handoff) -> Result<(), Halt> {
        handoff.notify(&self.notice(handoff));
        self.hops += 1;
        self.spec = self.shared.agents.spec(&handoff.to)?;
        self.agent = handoff.to.clone();
        self.context = self.context.clone().with_agent(handoff.to.clone());
        self.observations = Arc::default();
        self.system = self.load_system().await;
        Ok(())
    }
}

/// The delegate gets the input as its own turn's input, so the transcript ends before it.
fn strip_input(
    mut transcript: Vec<Arc<beluga_core::ChatMessage>>,
    input: &Arc<beluga_core::ChatMessage>,
) -> Vec<Arc<beluga_core::ChatMessage>> {
    if let Some(position) = transcript.iter().rposition(|message| Arc::ptr_eq(message, input)) {
        transcript.truncate(position);
    }
    transcript
}
