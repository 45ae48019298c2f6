//! The typed references users hold: one agent, or all agents of a node.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{
    AgentName, BoxFuture, CallContext, Code, Error, Event, PARTIAL, Problem, Result, Retry, SessionId, Tool,
};
use beluga_runtime::{Ref, RuntimeHost, Silent, Spec, System, time};
use futures_util::StreamExt;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::actor::{AgentActor, AgentsActor};
use super::card::Card;
use super::handoff::HandoffNotice;
use super::message::{AcceptHandoff, AgentProtocol};
use super::output::AskOutput;
use super::spec::AgentSpec;
use crate::budget::Budgets;
use crate::session::{EventStream, Invoke, Reply, SessionRef, Sessions, Settings, Shared, Stores};
use crate::tool::{ToolRef, ToolSettings, Tools};

/// How long after its deadline a turn may take to say so.
const DEADLINE_GRACE: Duration = Duration::from_secs(1);

/// A reference to one agent. Stays valid over restarts; cheap to clone.
#[derive(Clone)]
pub struct AgentRef {
    name: AgentName,
    shared: Arc<Shared>,
    actor: Ref<AgentProtocol>,
}

impl AgentRef {
    pub(crate) fn find(shared: &Arc<Shared>, name: &AgentName) -> Result<Self> {
        let actor = shared.agents.actor(name)?;
        Ok(Self { name: name.clone(), shared: Arc::clone(shared), actor })
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &AgentName {
        &self.name
    }

    /// Returns the definition in force.
    ///
    /// # Errors
    /// `not_found` if the agent was removed.
    pub fn spec(&self) -> Result<Arc<AgentSpec>> {
        self.shared.agents.spec(&self.name)
    }

    /// Returns what the agent is and can do, by the definition in force.
    ///
    /// # Errors
    /// `not_found` if the agent was removed.
    pub fn card(&self) -> Result<Card> {
        self.spec().map(|spec| spec.card())
    }

    /// Asks a question: `agent.ask("…").await?` gives the whole answer.
    pub fn ask(&self, text: impl Into<String>) -> Ask {
        Ask { agent: self.clone(), invoke: Invoke::text(text), within: None }
    }

    /// Returns a session to look at: `agent.session(id).conversation().await?` gives its turns.
    #[must_use]
    pub fn session(&self, id: SessionId) -> SessionRef {
        Sessions(Arc::clone(&self.shared)).of(id)
    }

    /// Runs a turn and returns its answer. Dropping the future cancels the turn.
    ///
    /// # Errors
    /// What ended the turn; `conflict` for a session of another agent; `overloaded` if too many turns wait.
    pub async fn invoke(&self, invoke: Invoke) -> Result<Reply> {
        let deadline = invoke.context.deadline();
        let stream = self.stream(invoke.cancel_on_drop(true)).await?;
        // The turn ends itself at its deadline. This bound is for a session that is down at that time.
        match deadline {
            Some(deadline) => {
                let limit = deadline.saturating_duration_since(time::now()) + DEADLINE_GRACE;
                time::timeout(limit, collect(stream.patient())).await?
            }
            None => collect(stream.patient()).await,
        }
    }

    /// Starts a turn and returns its events once it is durable. The turn goes on without its reader, unless the request
    /// says `cancel_on_drop`.
    ///
    /// # Errors
    /// `conflict` for a session of another agent; `overloaded` if too many turns wait; what the journal answers.
    pub async fn stream(&self, invoke: Invoke) -> Result<EventStream> {
        self.shared.start(&self.name, invoke).await
    }

    /// Offers a conversation to the agent.
    pub(crate) async fn accept(&self, notice: HandoffNotice, context: &CallContext) -> Result<()> {
        self.actor.ask(AcceptHandoff(notice)).with_context(context).await
    }
}

impl fmt::Debug for AgentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AgentRef").field(&self.name).finish()
    }
}

/// A question to an agent; await it.
#[must_use = "a question does nothing unless awaited"]
#[derive(Debug)]
pub struct Ask {
    pub(super) agent: AgentRef,
    pub(super) invoke: Invoke,
    within: Option<Duration>,
}

impl Ask {
    /// Goes on with a session.
    pub fn session(mut self, session: SessionId) -> Self {
        self.invoke = self.invoke.with_session(session);
        self
    }

    /// Bounds the time of the turn.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = Some(limit);
        self
    }

    /// Asks for an answer that is a `T`: `agent.ask("…").output::<City>().await?`.
    ///
    /// The schema of `T`, which must be a struct, goes to the model; the answer is checked against it and parsed. An
    /// answer that does not fit is sent back with what is wrong, at most [`OUTPUT_RETRIES`](super::OUTPUT_RETRIES) times.
    pub fn output<T: DeserializeOwned + JsonSchema + Send + 'static>(self) -> AskOutput<T> {
        AskOutput::new(self)
    }

    /// Begins the time of the turn.
    pub(super) fn timed(mut self) -> Self {
        if let Some(limit) = self.within.take() {
            self.invoke.context = self.invoke.context.clone().with_timeout(time::now(), limit);
        }
        self
    }
}

impl IntoFuture for Ask {
    type Output = Result<Reply>;
    type IntoFuture = BoxFuture<'static, Result<Reply>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let ask = self.timed();
            ask.agent.invoke(ask.invoke).await
        })
    }
}

/// Reads a turn to its end.
async fn collect(mut stream: EventStream) -> Result<Reply> {
    while let Some(event) = stream.next().await {
        let event = event?;
        match event.event {
            Event::Done { result, usage } => {
                return Ok(Reply { result, session: stream.session().clone(), turn: event.turn, usage });
            }
            Event::Error { error } => return Err(from_problem(error).with("session", stream.session())),
            _ => {}
        }
    }
    Err(Error::unknown_outcome("the turn's events ended before the turn").with("session", stream.session()))
}

pub(super) fn from_problem(problem: Problem) -> Error {
    let retry = match (problem.retryable, problem.retry_after_ms) {
        (true, Some(wait_ms)) => Retry::After(Duration::from_millis(wait_ms)),
        (true, None) => Retry::Now,
        (false, _) => Retry::Never,
    };
    let error = Error::new(problem.code, problem.detail).with_retry(retry);
    match problem.partial {
        Some(partial) if matches!(problem.code, Code::BudgetExhausted | Code::Cancelled) => {
            error.with(PARTIAL, partial)
        }
        _ => error,
    }
}

/// The agents of a node, with their sessions and tools.
#[derive(Clone)]
pub struct Agents {
    shared: Arc<Shared>,
    root: Ref<Silent>,
    tools: Tools,
}

impl Agents {
    /// Starts the supervisors of agents and tools in a system.
    ///
    /// # Errors
    /// `conflict` if the system has agents already.
    pub async fn start(system: &System, stores: &Stores, settings: Settings) -> Result<Self> {
        let host = Arc::new(RuntimeHost::new(system.random().clone()));
        let root = system.spawn("agents", || AgentsActor).await?;
        let tools = Tools::start(system).await?;
        let shared = Shared::new(system.clone(), host, stores, settings)?;
        Ok(Self { shared, root, tools })
    }

    /// Spawns an agent.
    ///
    /// # Errors
    /// `conflict` if the name is taken.
    pub async fn spawn(&self, spec: AgentSpec) -> Result<AgentRef> {
        let (name, shared) = (spec.name.clone(), Arc::clone(&self.shared));
        let factory = {
            let (name, shared) = (name.clone(), Arc::clone(&shared));
            move || AgentActor::new(name.clone(), Arc::clone(&shared))
        };
        let actor = Spec::new(name.to_string(), factory).kept();
        let actor = self.shared.system.spawn_under(&self.root.address()?, actor).await?;
        self.shared.agents.add(Arc::new(spec), actor.clone())?;
        Ok(AgentRef { name, shared, actor })
    }

    /// Replaces the definition of an agent. Turns that run go on with the old one.
    ///
    /// # Errors
    /// `not_found` if there is no agent of this name.
    pub fn replace(&self, spec: AgentSpec) -> Result<()> {
        self.shared.agents.replace(Arc::new(spec))
    }

    /// Removes an agent and stops its actor with its sessions; what they said stays in the journal.
    ///
    /// # Errors
    /// `not_found` if there is no agent of this name.
    pub fn remove(&self, name: &AgentName) -> Result<()> {
        let actor = self.shared.agents.remove(name);
        actor.map(|actor| actor.stop()).ok_or_else(|| Error::not_found(format!("no agent \"{name}\"")))
    }

    /// Returns an agent.
    ///
    /// # Errors
    /// `not_found` lists the agents there are.
    pub fn get(&self, name: &AgentName) -> Result<AgentRef> {
        AgentRef::find(&self.shared, name)
    }

    /// Returns all agents, sorted by name.
    #[must_use]
    pub fn list(&self) -> Vec<AgentRef> {
        self.shared.agents.names().iter().filter_map(|name| self.get(name).ok()).collect()
    }

    /// Returns the sessions.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions(Arc::clone(&self.shared))
    }

    /// Returns the tools every agent may share.
    #[must_use]
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Returns the budgets, if there are any.
    #[must_use]
    pub fn budgets(&self) -> Option<&Budgets> {
        self.shared.settings.budgets.as_ref()
    }

    /// Returns the system.
    #[must_use]
    pub fn system(&self) -> &System {
        &self.shared.system
    }

    /// Makes a tool of one agent an actor, named after both.
    pub(crate) async fn own_tool(
        &self,
        agent: &AgentName,
        tool: Arc<dyn Tool>,
        settings: ToolSettings,
    ) -> Result<ToolRef> {
        let name = format!("{agent}.{}", tool.definition().name);
        self.tools.spawn_as(name, tool, settings).await
    }
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agents").field("names", &self.shared.agents.names()).finish_non_exhaustive()
    }
}
