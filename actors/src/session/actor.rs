//! How a session reacts: one turn at a time, resumed after a crash, cancelled durably.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use beluga_core::{AgentName, Budget, CallContext, CancelToken, Code, Error, Mark, Result, Spend, SyncLevel, TurnId};
use beluga_runtime::telemetry::request_id;
use beluga_runtime::{Actor, Cx, DeferredHandler, Handler, ReplyPort, StatusSource, StopReason};
use futures_util::FutureExt as _;
use serde_json::json;

use super::directory::{SessionKey, Shared, stream_key};
use super::hub::Hub;
use super::log::Log;
use super::message::{Attach, CancelTurn, JobEnd, SessionProtocol, StartTurn, Started, TurnFinished};
use super::record::Record;
use super::turn::{Begin, TimeShares, Turn, TurnSetup};

/// The most turns that wait behind the running one; one more is `overloaded`.
pub const QUEUE_MAX: usize = 16;

/// How often a turn is resumed after a crash before it ends as `turn_poisoned`.
pub const RESUMES_MAX: u32 = 3;

/// How long a caller is told to wait when the queue of a session is full.
const QUEUE_RETRY: Duration = Duration::from_secs(1);

/// The actor of one session.
pub(crate) struct SessionActor {
    key: SessionKey,
    shared: Arc<Shared>,
    hub: Arc<Hub>,
    log: Option<Log>,
    running: Option<Running>,
    /// What the session may spend; made when its first turn runs.
    budget: Option<Arc<dyn Budget>>,
    /// Boxed: most sessions never have one.
    waiting: VecDeque<Box<Waiting>>,
    /// How many turns wait, for introspection.
    waits: Arc<AtomicUsize>,
}

struct Running {
    turn: TurnId,
    cancel: CancelToken,
}

struct Waiting {
    message: StartTurn,
    reply: ReplyPort<Started>,
    context: CallContext,
}

impl SessionActor {
    pub(crate) fn new(key: SessionKey, shared: Arc<Shared>, hub: Arc<Hub>) -> Self {
        Self {
            key,
            shared,
            hub,
            log: None,
            running: None,
            budget: None,
            waiting: VecDeque::new(),
            waits: Arc::default(),
        }
    }

    fn log(&self) -> Result<&Log> {
        self.log.as_ref().ok_or_else(|| Error::internal("the session is not loaded"))
    }

    /// Answers a key that was used before; `Ok(None)` if the turn is to be started.
    fn attached(&self, message: &StartTurn) -> Result<Option<Started>> {
        let Some(mark) = &message.key else { return Ok(None) };
        let log = self.log()?;
        let now_ms = log.now_ms();
        let Some(entry) = log.read(|history| history.key(&mark.key, now_ms).cloned()) else { return Ok(None) };
        if entry.mark.digest != mark.digest {
            return Err(Error::invalid_input("the idempotency key was used with another body")
                .with_op("session.start_turn")
                .with_status(422)
                .with("field", "Idempotency-Key"));
        }
        Ok(Some(Started { turn: entry.turn, before: entry.before, hub: Arc::clone(&self.hub) }))
    }

    fn check_agent(&self, message: &StartTurn) -> Result<()> {
        let owner = self.log()?.read(|history| history.agent.clone());
        match owner {
            Some(owner) if owner != message.agent => {
                Err(Error::conflict(format!("the session belongs to the agent \"{owner}\""))
                    .with("session", &self.key.id))
            }
            _ => Ok(()),
        }
    }

    fn start_next(&mut self, cx: &mut Cx<Self>) {
        self.begin_next(cx);
        self.waits.store(self.waiting.len(), Ordering::Relaxed);
    }

    fn begin_next(&mut self, cx: &mut Cx<Self>) {
        while self.running.is_none() {
            let Some(waiting) = self.waiting.pop_front() else { return };
            let Waiting { message, reply, context } = *waiting;
            if message.cancel.is_cancelled() || reply.is_closed() {
                reply.send(Err(Error::cancelled("the caller left before the turn began")));
                continue;
            }
            if let Err(error) = self.begin(message, reply, &context, cx) {
                tracing::warn!(session = %self.key.id, %error, "a waiting turn could not begin");
            }
        }
    }

    fn begin(
        &mut self,
        message: StartTurn,
        reply: ReplyPort<Started>,
        context: &CallContext,
        cx: &mut Cx<Self>,
    ) -> Result<()> {
        match self.check_agent(&message).and_then(|()| self.attached(&message)) {
            Ok(None) => {}
            Ok(Some(started)) => {
                reply.send(Ok(started));
                return Ok(());
            }
            Err(error) => {
                reply.send(Err(error));
                return Ok(());
            }
        }
        let number = self.log()?.read(|history| history.turns) + 1;
        let turn = TurnId::parse(format!("t{number}"))?;
        let agent = message.agent.clone();
        let context = turn_context(context, &self.key, &self.shared).with_cancel(message.cancel.clone());
        let shares = self.shared.settings.time_shares.filter(|_| message.has_deadline);
        self.run(turn, agent, Begin::Fresh { message, reply }, (context, shares), cx)
    }

    /// Runs a turn as a job child. Its context is of its own: a caller that leaves does not end it.
    fn run(
        &mut self,
        turn: TurnId,
        agent: AgentName,
        begin: Begin,
        (context, shares): (CallContext, Option<TimeShares>),
        cx: &mut Cx<Self>,
    ) -> Result<()> {
        let log = self.log()?.clone();
        self.running = Some(Running { turn: turn.clone(), cancel: context.cancel_token().clone() });
        self.hub.note_call(&turn, &context, shares);
        let context = self.budgeted(context, &agent, &turn, &begin);
        // A cancelled turn must still record its end, so its job does not end with its context.
        let job_context = context.clone().with_cancel(CancelToken::new());
        let setup = TurnSetup {
            log,
            shared: Arc::clone(&self.shared),
            key: self.key.clone(),
            turn: turn.clone(),
            agent,
            context,
            shares,
        };
        let (name, myself, incarnation) = (turn.clone(), cx.myself(), cx.incarnation());
        let run = move |scope| {
            Turn::run(setup, begin, scope).map(|ended| Ok(ended.map_or_else(JobEnd::Journal, |()| JobEnd::Recorded)))
        };
        cx.job_then("turn", name.as_str(), &job_context, run, move |end| async move {
            let end = end.unwrap_or_else(JobEnd::Crashed);
            // A session that is gone meanwhile has nobody to tell: its successor reads the journal.
            drop(myself.tell(TurnFinished { incarnation, turn, end }).await);
        });
        Ok(())
    }

    /// Says on whose behalf the turn is made, and what it may spend: within what the agent that asked may, or within the
    /// session.
    ///
    /// A tenant beyond the bound of budgets has none here, and is refused before its first question to a model.
    fn budgeted(&mut self, context: CallContext, agent: &AgentName, turn: &TurnId, begin: &Begin) -> CallContext {
        let context = context.with_agent(agent.clone());
        let Some(budgets) = &self.shared.settings.budgets else { return context };
        let (Ok(spec), Some(log)) = (self.shared.agents.spec(agent), &self.log) else { return context };
        let info = spec.model.info();
        if context.budget().is_none() && self.budget.is_none() {
            let (answers, usage) = log.read(|history| history.used);
            let before = budgets.spend_of(&info, answers, &usage);
            self.budget = budgets.session(&context, &self.key.id, before).ok();
        }
        let Some(above) = context.budget().or(self.budget.as_ref()) else { return context };
        let before = match begin {
            Begin::Fresh { .. } => Spend::ZERO,
            Begin::Resume { open, .. } => budgets.spend_of(&info, open.steps.into(), &open.usage),
        };
        let run = budgets.run(Arc::clone(above), turn, spec.budget, before);
        context.with_budget(run)
    }

    /// Goes on with the turn the journal shows as open, under its caller's limits if this process knows them.
    fn resume(&mut self, cx: &mut Cx<Self>) -> Result<()> {
        let Some(open) = self.log()?.open_turn() else { return Ok(()) };
        let agent = self.log()?.read(|history| history.agent.clone());
        let Some(agent) = agent else { return Ok(()) };
        let attempt = open.attempt + 1;
        let call = self.hub.call_of(&open.turn);
        let call = call.unwrap_or_else(|| {
            (turn_context(&open.origin.apply(after_turn(None, &self.key)), &self.key, &self.shared), None)
        });
        let request_id = request_id(&call.0);
        tracing::info!(session = %self.key.id, turn = %open.turn, attempt, request_id, "a turn is resumed");
        self.run(open.turn.clone(), agent, Begin::Resume { open, attempt }, call, cx)
    }
}

impl Drop for SessionActor {
    /// Turns that wait were certainly not begun; their callers may send them again.
    fn drop(&mut self) {
        for waiting in self.waiting.drain(..) {
            waiting.reply.send(Err(Error::not_sent("the session restarted before the turn began")));
        }
    }
}

/// Returns the context of a turn: what the caller set, but a cancellation of its own.
fn turn_context(caller: &CallContext, key: &SessionKey, shared: &Shared) -> CallContext {
    let now = shared.host.now();
    let context = CallContext::new()
        .with_caller_of(caller)
        .with_tenant(key.tenant.clone())
        .with_trace(caller.trace())
        .with_timeout(now, shared.settings.turn_timeout);
    match caller.deadline() {
        Some(deadline) => context.with_deadline(deadline),
        None => context,
    }
}

/// Returns the context of what is done after a turn: for the same caller and in the same trace, without its time.
fn after_turn(turn: Option<CallContext>, key: &SessionKey) -> CallContext {
    let context = CallContext::new();
    match turn {
        Some(turn) => context.with_caller_of(&turn).with_trace(turn.trace()),
        None => context.with_tenant(key.tenant.clone()),
    }
}

impl Actor for SessionActor {
    type Protocol = SessionProtocol;
    const KIND: &'static str = "session";

    async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
        let stream = stream_key(&self.key);
        let log = Log::load(
            Arc::clone(&self.shared.journal),
            Arc::clone(&self.shared.host),
            stream,
            self.shared.fence(&self.key)?,
            Arc::clone(&self.hub),
        )
        .await?;
        if let Some(last) = log.read(|history| history.last.clone()) {
            self.shared.remember(&self.key, &log, after_turn(None, &self.key), last);
        }
        self.log = Some(log);
        self.resume(cx)
    }

    async fn stopping(&mut self, _cx: &mut Cx<Self>, reason: StopReason) {
        if matches!(reason, StopReason::Shutdown | StopReason::Requested) {
            self.hub.close(&Error::unavailable("the node is going down; read on from the cursor after it is back"));
        }
    }

    fn status(&self) -> Option<StatusSource> {
        let (log, key, waits) = (self.log.clone()?, self.key.clone(), Arc::clone(&self.waits));
        Some(StatusSource::new(move || {
            log.read(|history| {
                json!({
                    "tenant": key.tenant, "session": key.id, "agent": history.agent, "turns": history.turns,
                    "messages": history.messages.len(),
                    "running": history.open.as_ref().map(|open| open.turn.as_str()),
                    "waiting": waits.load(Ordering::Relaxed),
                })
            })
        }))
    }
}

/// The kind of a session's stream in the journal.
pub(crate) const SESSION: &str = "session";

impl DeferredHandler<StartTurn> for SessionActor {
    async fn handle(&mut self, message: StartTurn, reply: ReplyPort<Started>, cx: &mut Cx<Self>) {
        match self.check_agent(&message).and_then(|()| self.attached(&message)) {
            Ok(None) => {}
            Ok(Some(started)) => return reply.send(Ok(started)),
            Err(error) => return reply.send(Err(error)),
        }
        if self.running.is_some() && self.waiting.len() >= QUEUE_MAX {
            return reply.send(Err(Error::overloaded(format!("{QUEUE_MAX} turns of this session wait already"))
                .with_status(429)
                .with_retry(beluga_core::Retry::After(QUEUE_RETRY))
                .with("session", &self.key.id)));
        }
        let context = cx.context().clone();
        self.waiting.push_back(Box::new(Waiting { message, reply, context }));
        self.start_next(cx);
    }
}

impl Handler<CancelTurn> for SessionActor {
    async fn handle(&mut self, CancelTurn { turn }: CancelTurn, _cx: &mut Cx<Self>) -> Result<Option<TurnId>> {
        let Some(running) = &self.running else { return Ok(None) };
        if turn.as_ref().is_some_and(|turn| *turn != running.turn) {
            return Ok(None);
        }
        let log = self.log()?;
        let agent = log.read(|history| history.open.is_some().then(|| history.agent.clone()).flatten());
        if let Some(agent) = agent {
            log.append(&running.turn, &agent, vec![Record::Cancelled], SyncLevel::Commit, Mark::Keep).await?;
        }
        running.cancel.cancel();
        Ok(Some(running.turn.clone()))
    }
}

impl Handler<Attach> for SessionActor {
    async fn handle(&mut self, _: Attach, cx: &mut Cx<Self>) -> Result<Arc<Hub>> {
        if self.log()?.read(|history| history.version) == 0 && self.running.is_none() {
            cx.stop();
            return Err(Error::not_found("no such session").with("session", &self.key.id));
        }
        Ok(Arc::clone(&self.hub))
    }
}

impl Handler<TurnFinished> for SessionActor {
    async fn handle(&mut self, message: TurnFinished, cx: &mut Cx<Self>) -> Result<()> {
        let TurnFinished { incarnation, turn, end } = message;
        if incarnation != cx.incarnation() || self.running.take_if(|running| running.turn == turn).is_none() {
            return Ok(());
        }
        match end {
            JobEnd::Recorded => {
                let context = after_turn(self.hub.call_of(&turn).map(|(call, _)| call), &self.key);
                self.hub.forget_call();
                if let Some(last) = self.log()?.read(|history| history.last.clone())
                    && last.0 == turn
                {
                    self.shared.remember(&self.key, self.log()?, context, last);
                }
                self.start_next(cx);
            }
            JobEnd::Crashed(error) => {
                let call = self.hub.call_of(&turn);
                let request_id = call.as_ref().and_then(|(context, _)| request_id(context));
                tracing::warn!(session = %self.key.id, %turn, request_id, %error, "a turn crashed");
                self.resume(cx)?;
                self.start_next(cx);
            }
            JobEnd::Journal(error) => {
                if error.code() == Code::Overloaded {
                    self.hub.close(&error);
                }
                cx.fail(error);
            }
        }
        Ok(())
    }
}
