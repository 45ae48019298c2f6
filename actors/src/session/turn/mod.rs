//! One run of the loop: ask the model, run its tools, ask again, until there is an answer.
//!
//! A turn is a job child of its session. It is written as straight code because everything it must remember is in the
//! journal: when it dies, another one goes on from the last record. The waits are those of the durability design: the
//! turn's start, the intents before tools run, their results before the model is asked again, and the end before it
//! is visible.

mod budget;
mod delegate;
mod hooked;
mod prompt;
mod spans;
mod step;
mod tools;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use beluga_core::{
    AgentName, BoxFuture, CallContext, ChatMessage, Code, Effect, Error, ErrorRecord, GenerateOptions, Mark, PARTIAL,
    ResponseFormat, Result, Role, SyncLevel, ToolDefinition, TurnId, Usage,
};
use beluga_runtime::telemetry::HopGuard;
use beluga_runtime::telemetry::names::attribute;
use beluga_runtime::{JobCx, ReplyPort, time};

use super::actor::RESUMES_MAX;
use super::directory::{SessionKey, Shared};
use super::history::{History, OpenTurn};
use super::log::Log;
use super::message::{StartTurn, Started};
use super::origin::{Beginning, Origin};
use super::record::{Answered, FinishedCall, Intent, NUMBERS_PER_RANGE, Outcome, Record, Shown};
use crate::agent::{Action, AgentSpec, Observation, Plan, PlannerState};

pub use budget::TimeShares;

/// What is done about a `once` tool that was interrupted between its start and its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownOutcome {
    /// The model is told that the outcome is unknown, and goes on.
    #[default]
    TellModel,
    /// The turn ends with `unknown_outcome`.
    Fail,
}

/// The most bytes of a partial result that travel with an error; the rest is in the events.
const PARTIAL_MAX_BYTES: usize = 64 * 1024;

/// How long pure tools may take for their intents to be recorded together with their results.
const MERGE_WITHIN: Duration = Duration::from_millis(5);

/// The most bytes of an answer that is recorded together with the results of its tools.
const MERGED_MAX_BYTES: usize = 256 * 1024;

/// How a turn's job begins.
pub(crate) enum Begin {
    /// A new turn; `reply` is answered once it is durable.
    Fresh { message: StartTurn, reply: ReplyPort<Started> },
    /// The open turn of the journal.
    Resume { open: OpenTurn, attempt: u32 },
}

/// What a turn is given.
pub(crate) struct TurnSetup {
    pub(crate) log: Log,
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: SessionKey,
    pub(crate) turn: TurnId,
    pub(crate) agent: AgentName,
    pub(crate) context: CallContext,
    /// How the time is shared out; `None` for a turn whose caller set no deadline.
    pub(crate) shares: Option<TimeShares>,
}

/// A running turn.
pub(crate) struct Turn {
    log: Log,
    shared: Arc<Shared>,
    key: SessionKey,
    turn: TurnId,
    context: CallContext,
    shares: Option<TimeShares>,
    scope: JobCx,
    /// The agent that acts now; a transfer changes it.
    agent: AgentName,
    spec: Arc<AgentSpec>,
    input: Arc<ChatMessage>,
    /// What its events are measured from.
    beginning: Beginning,
    format: Option<ResponseFormat>,
    metadata: BTreeMap<String, String>,
    usage: Usage,
    steps: u32,
    hops: u32,
    /// The system prompt of the agent that acts now, with what memory brought.
    system: Option<Arc<ChatMessage>>,
    observations: Arc<[Observation]>,
    /// What was shown of a step that failed: a hook's answer goes on after it.
    half: Vec<Shown>,
    span: HopGuard,
}

/// Why a turn cannot go on.
enum Halt {
    /// The turn ends with this error, in the journal.
    Turn(Error),
    /// The journal failed; nothing can be recorded.
    Journal(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Halt::Turn(error)
    }
}

/// The answer of a turn that went well, and the record that ends it.
struct Finished {
    result: String,
    answered: Option<Answered>,
}

/// What the model answered, and the end of the turn if it is one.
struct Step {
    answered: Answered,
    finish: Option<String>,
}

impl Turn {
    /// Runs a turn to its end.
    ///
    /// # Errors
    /// Only what the journal answers: the turn's own failures are recorded as its end.
    pub(crate) fn run(
        setup: TurnSetup,
        begin: Begin,
        scope: JobCx,
    ) -> impl Future<Output = Result<()>> + Send + 'static {
        // Boxed and apart, so that a turn that waits for its model does not hold what it began with.
        let beginning: BoxFuture<'static, Result<Option<Box<Self>>>> = match begin {
            Begin::Fresh { message, reply } => Box::pin(Self::begin(setup, message, reply, scope)),
            Begin::Resume { open, attempt } => Box::pin(Self::resume(setup, open, attempt, scope)),
        };
        async move {
            match beginning.await? {
                Some(turn) => turn.finish().await,
                None => Ok(()),
            }
        }
    }

    /// Makes a new turn durable and answers its caller. `None` if there is nothing to run.
    async fn begin(
        setup: TurnSetup,
        message: StartTurn,
        reply: ReplyPort<Started>,
        scope: JobCx,
    ) -> Result<Option<Box<Self>>> {
        let spec = match setup.shared.agents.spec(&setup.agent) {
            Ok(spec) => spec,
            Err(error) => {
                reply.send(Err(error));
                return Ok(None);
            }
        };
        let StartTurn { input, key, format, metadata, history, hops, .. } = message;
        let (from, until) = setup.log.reserve_range();
        let records = opening(
            &setup.log,
            &history,
            Record::TurnStarted {
                input: input.clone(),
                key,
                format: format.clone(),
                origin: Box::new(Origin::of(&setup.context)),
                metadata: metadata.clone(),
                from,
                until,
                hops,
            },
        );
        if let Err(error) = setup.log.append(&setup.turn, &setup.agent, records, SyncLevel::Disk, Mark::Open).await {
            // Nothing was started; the caller may try again.
            let broken = !matches!(error.code(), Code::Overloaded | Code::InvalidInput);
            let copy = error.duplicate();
            reply.send(Err(error));
            return if broken { Err(copy) } else { Ok(None) };
        }
        let hub = Arc::clone(setup.log.hub());
        reply.send(Ok(Started { turn: setup.turn.clone(), before: from.saturating_sub(1), hub }));
        // The conversation's own message, so that a handoff finds it there.
        let recorded = setup.log.read(|history| history.open.as_ref().map(|open| Arc::clone(&open.input)));
        let mut turn = Self::new(setup, spec, recorded.unwrap_or_else(|| Arc::new(input)), scope);
        turn.format = format;
        turn.hops = hops;
        turn.metadata = metadata;
        match turn.tell_start() {
            Ok(()) => Ok(Some(turn)),
            Err(error) => turn.fail(error).await.map(|()| None),
        }
    }

    /// Goes on with an open turn. `None` if it was ended instead.
    async fn resume(setup: TurnSetup, open: OpenTurn, attempt: u32, scope: JobCx) -> Result<Option<Box<Self>>> {
        let spec = match resumable(&setup, &open, attempt) {
            Ok(spec) => spec,
            Err(error) => return abandon(&setup, open, &error).await.map(|()| None),
        };
        let mut turn = Self::new(setup, spec, Arc::clone(&open.input), scope);
        turn.format = open.format;
        turn.metadata = open.metadata;
        turn.usage = open.usage;
        turn.steps = open.steps;
        turn.hops = open.hops;
        turn.record_resume(attempt).await?;
        turn.shared.tally.resumed();
        Ok(Some(turn))
    }

    fn new(setup: TurnSetup, spec: Arc<AgentSpec>, input: Arc<ChatMessage>, scope: JobCx) -> Box<Self> {
        let (context, span) = spans::open(&setup, &spec);
        let beginning = setup.log.read(History::beginning);
        Box::new(Self {
            log: setup.log,
            shared: setup.shared,
            key: setup.key,
            turn: setup.turn,
            context,
            shares: setup.shares,
            span,
            scope,
            agent: setup.agent,
            spec,
            input,
            beginning,
            format: None,
            metadata: BTreeMap::new(),
            usage: Usage::default(),
            steps: 0,
            hops: 0,
            system: None,
            observations: Arc::default(),
            half: Vec::new(),
        })
    }

    async fn record_resume(&self, attempt: u32) -> Result<()> {
        let (from, until) = self.log.reserve_range();
        let discard_from = self.log.read(|history| history.recorded) + 1;
        let number = from;
        let until = until.max(number + NUMBERS_PER_RANGE - 1);
        let record = Record::Resumed { attempt, number, discard_from, until };
        self.log.append(&self.turn, &self.agent, vec![record], SyncLevel::Commit, Mark::Keep).await?;
        self.log.used(number);
        Ok(())
    }

    /// Works, then records the end.
    async fn finish(mut self: Box<Self>) -> Result<()> {
        let worked = self.work().await;
        Box::pin(self.conclude(worked)).await
    }

    async fn conclude(&self, worked: Result<Finished, Halt>) -> Result<()> {
        match worked {
            Ok(finished) => {
                self.tell_end(&finished.result);
                match self.end(Ok(finished)).await {
                    Err(error) if error.code() == Code::InvalidInput => Box::pin(self.end(Err(error))).await,
                    ended => ended,
                }
            }
            Err(Halt::Turn(error)) => Box::pin(self.fail(error)).await,
            Err(Halt::Journal(error)) => {
                self.span.fail(&error);
                Err(error)
            }
        }
    }

    /// What it does between two questions to the model is boxed: most of the time it waits for an answer.
    async fn work(&mut self) -> Result<Finished, Halt> {
        self.system = self.load_system().await;
        if let Some(pending) = self.log.open_turn().and_then(|open| open.pending) {
            Box::pin(self.finish_interrupted(pending)).await?;
        }
        loop {
            self.context.check(time::now())?;
            if self.steps >= self.spec.max_iterations {
                return Err(self.out_of_iterations().into());
            }
            let Step { answered, finish } = self.plan().await?;
            self.steps += 1;
            self.usage += answered.message.usage.unwrap_or_default();
            if let Some(result) = finish {
                return Ok(Finished { result, answered: Some(answered) });
            }
            Box::pin(self.act(answered)).await?;
        }
    }

    /// Asks the planner, which asks the model; what it says is shown as it comes.
    async fn plan(&mut self) -> Result<Step, Halt> {
        let (context, span) = self.plan_span();
        let asked = time::now();
        let (planned, (shown, journal_failure)) = {
            let port = step::Port::new(&*self, context.clone());
            let mut state = self.state(context);
            let planned = match self.fit(&mut state).await {
                Ok(()) if self.observations.is_empty() => self.spec.planner.plan(&state, &port).await,
                Ok(()) => self.spec.planner.replan(&state, &port).await,
                Err(error) => Err(error),
            };
            (planned, port.finish())
        };
        let took = time::now().saturating_duration_since(asked);
        span.settle(&planned);
        drop(span);
        if let Some(error) = journal_failure {
            return Err(Halt::Journal(error));
        }
        match planned {
            Ok(plan) => Box::pin(self.number_actions(plan, shown, took)).await,
            Err(error) => {
                let halt = self.with_partial(error, &shown);
                self.half = shown;
                Err(halt)
            }
        }
    }

    /// Makes a step of a plan: every call of a tool gets its number and its key.
    async fn number_actions(&self, plan: Plan, shown: Vec<Shown>, took: Duration) -> Result<Step, Halt> {
        let Plan { answer, actions } = plan;
        let usage_number = self.number().await?;
        let (mut intents, mut finish) = (Vec::new(), None);
        for action in actions {
            match action {
                Action::Finish(result) => {
                    finish.get_or_insert(result);
                }
                Action::Tool(call) => intents.push(Intent {
                    number: self.number().await?,
                    relay: self.relay_to(&call).await?,
                    effect: self.effect_of(&call),
                    key: format!("{}/{}/{}.{}", self.key.id, self.turn, self.steps, intents.len()),
                    id: call.id,
                    name: call.name,
                    arguments: call.arguments,
                }),
            }
        }
        let mut message = answer.message;
        message.usage = Some(answer.usage);
        // Without calls nothing is allocated.
        let intents = if intents.is_empty() { Arc::default() } else { intents.into() };
        let (message, took_ms) = (Arc::new(message), millis(took));
        Ok(Step { answered: Answered { message, shown, intents, usage_number, took_ms }, finish })
    }

    fn state(&self, context: CallContext) -> PlannerState {
        PlannerState {
            input: Arc::clone(&self.input),
            system: self.system.clone(),
            messages: self.log.messages(),
            tools: self.offered_tools(),
            observations: Arc::clone(&self.observations),
            iteration: self.steps,
            options: self.options(),
            metadata: self.metadata.clone(),
            context,
        }
    }

    /// The agent's options, in the form the caller wants.
    fn options(&self) -> GenerateOptions {
        let mut options = self.spec.options.clone();
        if self.format.is_some() {
            options.format.clone_from(&self.format);
        }
        options
    }

    /// The agent's tools and the handoffs that are enabled for this call.
    fn offered_tools(&self) -> Arc<[ToolDefinition]> {
        let handoffs: Vec<ToolDefinition> = self
            .spec
            .handoffs
            .iter()
            .filter(|handoff| handoff.is_enabled(&self.context))
            .map(crate::agent::Handoff::definition)
            .collect();
        if handoffs.is_empty() {
            return Arc::clone(&self.spec.definitions);
        }
        self.spec.definitions.iter().cloned().chain(handoffs).collect()
    }

    /// Records the intents, runs the tools, records their results.
    ///
    /// Pure tools may run again, so they start before their intents are recorded; if they end at once, intents and
    /// results are one group.
    async fn act(&mut self, answered: Answered) -> Result<(), Halt> {
        let intents = Arc::clone(&answered.intents);
        if intents.iter().any(|intent| intent.effect != Effect::Pure) {
            let once = intents.iter().any(|intent| intent.effect == Effect::Once);
            let sync = if once { SyncLevel::Disk } else { SyncLevel::Commit };
            self.append(vec![Record::Answered(answered)], sync, Mark::Keep).await?;
            let results = self.run_tools(&intents).await;
            return self.record_results(None, results).await;
        }
        let (unrecorded, results) = {
            let mut running = pin!(self.run_tools(&intents));
            let head_start = if answered.text_bytes() <= MERGED_MAX_BYTES { MERGE_WITHIN } else { Duration::ZERO };
            if let Ok(results) = time::timeout(head_start, running.as_mut()).await {
                (Some(answered), results)
            } else {
                let record = self.append(vec![Record::Answered(answered)], SyncLevel::Commit, Mark::Keep);
                let (recorded, results) = futures_util::join!(record, running);
                recorded?;
                (None, results)
            }
        };
        self.record_results(unrecorded, results).await
    }

    async fn append(&self, records: Vec<Record>, sync: SyncLevel, mark: Mark) -> Result<(), Halt> {
        self.log.append(&self.turn, &self.agent, records, sync, mark).await.map_err(|error| match error.code() {
            // A clean refusal of what is too large: the turn ends, the journal is fine.
            Code::InvalidInput => Halt::Turn(error),
            _ => Halt::Journal(error),
        })
    }

    async fn number(&self) -> Result<u64, Halt> {
        self.log.number(&self.turn, &self.agent).await.map_err(Halt::Journal)
    }

    async fn end(&self, finished: Result<Finished>) -> Result<()> {
        let mut records = Vec::with_capacity(2);
        let outcome = match finished {
            Ok(Finished { result, answered }) => {
                records.extend(answered.map(Record::Answered));
                Outcome::Done { result }
            }
            Err(error) => {
                self.span.fail(&error);
                if let Some(open) = self.log.open_turn() {
                    let turn = (&self.turn, &self.agent);
                    records.extend(Box::pin(results_of_abandoned(&self.log, turn, open.pending, &error)).await?);
                }
                Outcome::Failed { error: ErrorRecord::from(&error) }
            }
        };
        self.record_end(records, outcome).await
    }

    async fn record_end(&self, mut records: Vec<Record>, outcome: Outcome) -> Result<()> {
        self.span.record(attribute::USAGE_INPUT_TOKENS, self.usage.input_tokens);
        self.span.record(attribute::USAGE_OUTPUT_TOKENS, self.usage.output_tokens);
        let number = self.log.number(&self.turn, &self.agent).await?;
        let counter = self.shared.tally.of(&outcome);
        records.push(Record::TurnEnded { number, outcome, usage: self.usage });
        self.log.append(&self.turn, &self.agent, records, SyncLevel::Disk, Mark::Close).await?;
        counter.fetch_add(1, Ordering::Relaxed);
        self.span.end();
        Ok(())
    }

    fn out_of_iterations(&self) -> Error {
        let partial = self.log.read(|history| {
            history.messages.iter().rev().find(|message| !message.text().is_empty()).map(|message| message.text())
        });
        let error = Error::new(Code::BudgetExhausted, "the turn used up its iterations")
            .with("max_iterations", self.spec.max_iterations)
            .with("agent", &self.agent);
        match partial {
            Some(partial) => error.with(PARTIAL, partial),
            None => error,
        }
    }

    /// Returns what the turn said last in the steps before this one: its partial result.
    fn said_before(&self) -> String {
        let said = self.log.read(|history| {
            let of_turn = history.messages.iter().rev().take_while(|message| !Arc::ptr_eq(message, &self.input));
            of_turn
                .filter(|message| message.role == Role::Assistant)
                .map(|message| message.text())
                .find(|text| !text.is_empty())
        });
        let mut said = said.unwrap_or_default();
        said.truncate(said.floor_char_boundary(PARTIAL_MAX_BYTES));
        said
    }

    fn with_partial(&self, error: Error, shown: &[Shown]) -> Halt {
        let mut text: String = shown.iter().filter(|shown| !shown.thinking).map(|shown| shown.text.as_str()).collect();
        text.truncate(text.floor_char_boundary(PARTIAL_MAX_BYTES));
        if text.is_empty() && error.code() == Code::BudgetExhausted {
            text = self.said_before();
        }
        let error = if text.is_empty() { error } else { error.with(PARTIAL, text) };
        Halt::Turn(error.with("agent", &self.agent))
    }
}

/// Returns whole milliseconds, as records keep them.
fn millis(duration: Duration) -> Option<u64> {
    u64::try_from(duration.as_millis()).ok()
}

/// The records that begin a turn, and the session if it is its first.
fn opening(log: &Log, history: &[Arc<ChatMessage>], started: Record) -> Vec<Record> {
    let mut records = Vec::new();
    if log.read(|history| history.version) == 0 {
        records.push(Record::Opened { history: history.iter().map(|message| (**message).clone()).collect() });
    }
    records.push(started);
    records
}

/// Returns the agent to go on with.
///
/// # Errors
/// Why the turn must end instead: it was cancelled, resumed too often, or its agent is no longer there.
fn resumable(setup: &TurnSetup, open: &OpenTurn, attempt: u32) -> Result<Arc<AgentSpec>> {
    if open.cancelled {
        return Err(Error::cancelled("the turn was cancelled"));
    }
    if attempt > RESUMES_MAX + 1 {
        return Err(Error::new(Code::TurnPoisoned, "the turn was resumed as often as allowed without success")
            .with("resumes", RESUMES_MAX));
    }
    setup.shared.agents.spec(&setup.agent)
}

/// Ends an open turn without running it: calls in flight get a result, so that the history stays whole.
async fn abandon(setup: &TurnSetup, open: OpenTurn, error: &Error) -> Result<()> {
    let (log, turn, agent) = (&setup.log, &setup.turn, &setup.agent);
    let mut records: Vec<Record> = Vec::new();
    records.extend(results_of_abandoned(log, (turn, agent), open.pending, error).await?);
    let number = log.number(turn, agent).await?;
    let outcome = Outcome::Failed { error: ErrorRecord::from(error) };
    let counter = setup.shared.tally.of(&outcome);
    records.push(Record::TurnEnded { number, outcome, usage: open.usage });
    log.append(turn, agent, records, SyncLevel::Disk, Mark::Close).await?;
    counter.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// Gives every call in flight a result, so that no call stays in the history without one.
async fn results_of_abandoned(
    log: &Log,
    (turn, agent): (&TurnId, &AgentName),
    pending: Option<Answered>,
    error: &Error,
) -> Result<Option<Record>> {
    let Some(pending) = pending else { return Ok(None) };
    let mut results = Vec::with_capacity(pending.intents.len());
    for intent in &*pending.intents {
        let relay = match &intent.relay {
            Some(relay) => Some(relay.back(log.number(turn, agent).await?)),
            None => None,
        };
        let number = log.number(turn, agent).await?;
        results.push(FinishedCall { number, result: tools::abandoned(intent, error), took_ms: None, relay });
    }
    Ok(Some(Record::ToolsFinished { results }))
}
