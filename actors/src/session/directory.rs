//! Where sessions are found: one activation per tenant and session id, on demand.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock, Weak};
use std::time::Duration;

use beluga_core::{
    AgentName, BoxFuture, CallContext, CancelToken, Error, Exchange, Host, Journal, MemoryOwner, MessageStore, Result,
    SessionId, StateStore, StreamKey, TenantId, TurnId,
};
use beluga_runtime::cluster::Leaving;
use beluga_runtime::{Activation, Activator, Family, FamilyOptions, Ref, Spec, System, task, time};
use parking_lot::Mutex;

use super::actor::{SESSION, SessionActor};
use super::conversation::{self, Conversation, Page, SessionRef};
use super::followed::{FOLLOW_MAX, FOLLOW_WAIT, FollowedEvents, is_of_the_node};
use super::handle::Invoke;
use super::history::History;
use super::homes::{Homes, Opened, failed};
use super::hub::Hub;
use super::local::LocalEvents;
use super::log::{Log, wall_ms};
use super::message::{Attach, CancelTurn, SessionProtocol, StartTurn, Started};
use super::record::KeyMark;
use super::stream::{EventStream, Until};
use super::tally::{TurnTally, TurnTotals};
use crate::agent::AgentTable;
use crate::budget::Budgets;
use crate::session::turn::{TimeShares, UnknownOutcome};

/// How many open sessions one look at the journal brings at start.
const RESUME_BATCH: usize = 100_000;

/// Where a node keeps what must survive it.
#[derive(Debug, Clone)]
pub struct Stores {
    /// The journal of sessions.
    pub journal: Arc<dyn Journal>,
    /// The messages recall memory searches.
    pub messages: Arc<dyn MessageStore>,
    /// Core memory, and the values tools keep.
    pub state: Arc<dyn StateStore>,
}

/// The limits and policies of sessions.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a session stays in memory without a message. Default: 2 minutes.
    pub idle_after: Duration,
    /// The most sessions in memory; the least recently used idle one leaves first. Default: 100,000.
    pub max_active: usize,
    /// The most time a turn may take. Default: 10 minutes.
    pub turn_timeout: Duration,
    /// What is done about a `once` tool whose outcome is unknown. Default: the model is told.
    pub unknown_outcome: UnknownOutcome,
    /// How a turn whose caller set a deadline shares its time out; `None` lets each part take all that remains. Default:
    /// 60 % for the model, 30 % of the rest for tools, the rest for memory.
    pub time_shares: Option<TimeShares>,
    /// What turns, sessions and tenants may spend. The models must have the same budgets in their policies. Default: no
    /// budgets.
    pub budgets: Option<Budgets>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle_after: Duration::from_secs(120),
            max_active: 100_000,
            turn_timeout: Duration::from_secs(600),
            unknown_outcome: UnknownOutcome::TellModel,
            time_shares: Some(TimeShares::default()),
            budgets: None,
        }
    }
}

/// Names a session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    pub(crate) tenant: TenantId,
    pub(crate) id: SessionId,
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.tenant, self.id)
    }
}

/// What every session of a node shares.
pub(crate) struct Shared {
    pub(crate) system: System,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) state: Arc<dyn StateStore>,
    /// The fence of a node on its own.
    fence: u64,
    /// The cluster the sessions live in, if it is one.
    homes: OnceLock<Homes>,
    pub(crate) settings: Settings,
    pub(crate) agents: AgentTable,
    pub(crate) tally: TurnTally,
    family: Family<SessionProtocol>,
    hubs: Mutex<HashMap<SessionKey, Weak<Hub>>>,
}

impl Shared {
    pub(crate) fn new(system: System, host: Arc<dyn Host>, stores: &Stores, settings: Settings) -> Result<Arc<Self>> {
        let options = FamilyOptions { idle_after: settings.idle_after, max_active: settings.max_active };
        let family = system.family(SESSION, options);
        let fence = wall_ms(host.as_ref());
        Ok(Arc::new(Self {
            system,
            host,
            journal: Arc::clone(&stores.journal),
            state: Arc::clone(&stores.state),
            fence,
            homes: OnceLock::new(),
            settings,
            agents: AgentTable::default(),
            tally: TurnTally::default(),
            family,
            hubs: Mutex::default(),
        }))
    }

    /// Returns the live end of a session's events; the same one for every incarnation and reader.
    fn hub(&self, key: &SessionKey) -> Arc<Hub> {
        let mut hubs = self.hubs.lock();
        if let Some(hub) = hubs.get(key).and_then(Weak::upgrade) {
            return hub;
        }
        // The map is swept when it could double, so dead entries never outnumber live ones for long.
        if hubs.len() == hubs.capacity() {
            hubs.retain(|_, hub| hub.strong_count() > 0);
        }
        let hub = Arc::new(Hub::default());
        hubs.insert(key.clone(), Arc::downgrade(&hub));
        hub
    }

    /// Returns a ref to a session, activated on demand under the agent it belongs to, or under `newcomer` if it is new.
    fn session(self: &Arc<Self>, key: &SessionKey, newcomer: Option<AgentName>) -> Ref<SessionProtocol> {
        let activator = SessionActivator { shared: Arc::clone(self), key: key.clone(), newcomer };
        self.family.resolve(key.to_string(), Arc::new(activator))
    }

    /// Gives a finished turn to the agent's memory, off the turn's path.
    pub(crate) fn remember(
        self: &Arc<Self>,
        key: &SessionKey,
        log: &Log,
        context: CallContext,
        last: (TurnId, Arc<beluga_core::ChatMessage>, Arc<beluga_core::ChatMessage>, u64),
    ) {
        let Some(agent) = log.read(|history| history.agent.clone()) else { return };
        let Ok(spec) = self.agents.spec(&agent) else { return };
        if spec.memory.is_empty() {
            return;
        }
        let (turn, input, output, at_ms) = last;
        let owner = MemoryOwner { tenant: key.tenant.clone(), agent };
        let exchange = Exchange { owner, session: key.id.clone(), turn, input, output, at_ms, context };
        task::spawn("session.remember", async move {
            for memory in &spec.memory {
                if let Err(error) = memory.save(exchange.clone()).await {
                    tracing::warn!(session = %exchange.session, %error, "a memory tier did not save");
                }
            }
        });
    }

    /// Starts a turn on whichever node has the session.
    pub(crate) async fn start(self: &Arc<Self>, agent: &AgentName, invoke: Invoke) -> Result<EventStream> {
        match self.homes.get() {
            // Boxed, so that turns of a node on its own do not keep room for it.
            Some(homes) => Box::pin(self.start_anywhere(homes, agent, invoke)).await,
            None => self.start_here(agent, invoke).await,
        }
    }

    async fn start_anywhere(
        self: &Arc<Self>,
        homes: &Homes,
        agent: &AgentName,
        mut invoke: Invoke,
    ) -> Result<EventStream> {
        invoke.check_metadata()?;
        let key = SessionKey { tenant: invoke.context.tenant().clone(), id: self.session_id(agent, &invoke)? };
        // A start that is sent again must not start a second turn.
        if invoke.idempotency_key.is_none() {
            let drawn = [self.host.random(), self.host.random()].map(|drawn| drawn.to_string());
            let hash = short_hash(&[&homes.node(), &drawn[0], &drawn[1]]);
            invoke.idempotency_key = Some(format!("n-{hash}"));
        }
        invoke.session = Some(key.id.clone());
        let (context, is_cancelled) = (invoke.context.clone(), invoke.cancel_on_drop);
        let since = time::now();
        loop {
            let started = match homes.fence(&key) {
                Some(_) => self.start_here(agent, invoke.clone()).await.map(opened),
                None => homes.start(agent, key.id.clone(), invoke.clone()).await,
            };
            match started {
                Ok((turn, after, events)) => {
                    let events = FollowedEvents::new(self, key, turn, after, Some(Until::TurnEnd), context, events);
                    return Ok(EventStream::followed(events.cancelled_on_drop(is_cancelled)));
                }
                Err(error) if is_of_the_node(&error) && !homes.has_left() && time::now() - since < FOLLOW_MAX => {
                    context.check(time::now())?;
                    time::sleep(FOLLOW_WAIT).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts a turn on this node.
    pub(crate) async fn start_here(self: &Arc<Self>, agent: &AgentName, invoke: Invoke) -> Result<EventStream> {
        invoke.check_metadata()?;
        let key = SessionKey { tenant: invoke.context.tenant().clone(), id: self.session_id(agent, &invoke)? };
        let mark = invoke.idempotency_key.as_ref().map(|text| KeyMark { key: text.clone(), digest: digest(&invoke) });
        let reader = self.hub(&key).subscribe();
        let session = self.session(&key, Some(agent.clone()));
        // A turn whose caller may leave is cancelled by the caller's token, waiting or running.
        let cancel = if invoke.cancel_on_drop { invoke.context.cancel_token().child() } else { CancelToken::new() };
        let mut guard = CancelOnDrop(invoke.cancel_on_drop.then(|| cancel.clone()));
        let Invoke { input, format, metadata, history, hops, unhurried, .. } = invoke;
        let message = StartTurn {
            agent: agent.clone(),
            input,
            key: mark,
            format,
            metadata,
            history,
            hops,
            has_deadline: !unhurried && invoke.context.deadline().is_some(),
            cancel,
        };
        let ask = session.ask(message).with_context(&invoke.context).within(self.settings.turn_timeout);
        let Started { turn, before, hub } = ask.await?;
        let reader = if Arc::ptr_eq(reader.hub(), &hub) { reader } else { hub.subscribe() };
        let stream = self.events_of(&key, Some(turn), before, Until::TurnEnd, reader);
        Ok(match guard.0.take() {
            Some(cancel) => stream.cancel_on_drop(cancel),
            None => stream,
        })
    }

    fn events_of(
        &self,
        key: &SessionKey,
        turn: Option<TurnId>,
        after: u64,
        until: Until,
        reader: super::hub::Reader,
    ) -> EventStream {
        let journal = Arc::clone(&self.journal);
        LocalEvents::new(key.id.clone(), turn, after, until, reader, journal, stream_key(key)).into()
    }

    /// Lets a cluster say where sessions live.
    pub(crate) fn move_in(&self, homes: Homes) -> Result<()> {
        self.homes.set(homes).map_err(|_| Error::conflict("the sessions live in a cluster already"))
    }

    /// Returns whether another node may still be asked.
    pub(crate) fn may_follow(&self) -> bool {
        self.homes.get().is_some_and(|homes| !homes.has_left())
    }

    /// Returns the fence under which a session of this node writes.
    ///
    /// # Errors
    /// `unavailable` if another node has it.
    pub(crate) fn fence(&self, key: &SessionKey) -> Result<u64> {
        let Some(homes) = self.homes.get() else { return Ok(self.fence) };
        homes.fence(key).ok_or_else(|| Error::unavailable("another node has the session").with("session", &key.id))
    }

    /// Returns a session of this node that exists.
    pub(crate) fn session_here(self: &Arc<Self>, key: &SessionKey) -> Ref<SessionProtocol> {
        self.session(key, None)
    }

    /// Reads the events of a session of this node; as far as there are any now, if it is not said until when.
    pub(crate) async fn events_here(
        self: &Arc<Self>,
        key: &SessionKey,
        turn: Option<TurnId>,
        after: u64,
        until: Option<Until>,
    ) -> Result<EventStream> {
        let hub = self.session_here(key).ask(Attach).await?;
        let until = until.unwrap_or_else(|| Until::Number(hub.last()));
        let reader = hub.subscribe();
        Ok(self.events_of(key, turn, after, until, reader))
    }

    /// Reads the events of a session on whichever node has it.
    pub(crate) async fn events_anywhere(
        self: &Arc<Self>,
        key: &SessionKey,
        turn: Option<TurnId>,
        after: u64,
        until: Option<Until>,
        context: &CallContext,
    ) -> Result<Opened> {
        match self.homes.get() {
            Some(homes) if homes.fence(key).is_none() => homes.read(key, turn, after, until, context).await,
            _ => self.events_here(key, turn, after, until).await.map(opened),
        }
    }

    /// Cancels the running turn of a session on whichever node has it.
    pub(crate) async fn cancel_anywhere(
        self: &Arc<Self>,
        key: &SessionKey,
        turn: Option<TurnId>,
    ) -> Result<Option<TurnId>> {
        match self.homes.get() {
            Some(homes) if homes.fence(key).is_none() => homes.cancel(key, turn).await,
            _ => self.session_here(key).ask(CancelTurn { turn }).await,
        }
    }

    /// Lets the sessions of shards that go to another node leave memory: idle ones at once, those with turns within the grace, and
    /// then in the middle of them.
    pub(crate) async fn leave(&self, leaving: &Leaving, grace: Duration) {
        let keys: Vec<SessionKey> = {
            let hubs = self.hubs.lock();
            hubs.keys().filter(|key| leaving.has(&key.tenant, key.id.as_str())).cloned().collect()
        };
        let names: std::collections::HashSet<String> = keys.iter().map(ToString::to_string).collect();
        if time::timeout(grace, self.family.clear(|name| names.contains(name))).await.is_err() {
            for session in names.iter().filter_map(|name| self.family.active_ref(name)) {
                session.stop();
            }
            self.family.clear(|name| names.contains(name)).await;
        }
        // Readers go on elsewhere; whoever comes back to the session here gets a fresh end.
        for key in keys {
            let hub = self.hubs.lock().remove(&key).and_then(|hub| hub.upgrade());
            if let Some(hub) = hub {
                hub.close(&Error::unavailable("the session went to another node"));
            }
        }
    }

    /// Activates every session of this node with an unfinished turn and returns how many.
    pub(crate) async fn resume(self: &Arc<Self>) -> Result<usize> {
        let open = self.journal.open(SESSION, RESUME_BATCH).await?;
        let mut resumed = 0;
        for stream in open {
            let key = SessionKey { tenant: stream.tenant, id: SessionId::parse(&stream.id)? };
            if self.fence(&key).is_err() {
                continue;
            }
            match self.session(&key, None).ask(Attach).await {
                Ok(_) => resumed += 1,
                Err(error) => tracing::warn!(session = %key.id, %error, "an open turn could not be resumed"),
            }
        }
        Ok(resumed)
    }

    /// Without a session id the key names one, so that a repeated request meets its first.
    fn session_id(&self, agent: &AgentName, invoke: &Invoke) -> Result<SessionId> {
        if let Some(session) = &invoke.session {
            return Ok(session.clone());
        }
        match &invoke.idempotency_key {
            Some(key) => {
                let tenant = invoke.context.tenant();
                SessionId::parse(format!("k-{}", short_hash(&[tenant.as_str(), agent.as_str(), key])))
            }
            None => SessionId::parse(format!("s-{:016x}{:016x}", self.host.random(), self.host.random())),
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Names a session's stream in the journal.
pub(crate) fn stream_key(key: &SessionKey) -> StreamKey {
    static KIND: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(SESSION));
    StreamKey { tenant: key.tenant.clone(), kind: Arc::clone(&KIND), id: key.id.clone().into() }
}

/// Returns 32 hexadecimal digits of the SHA-256 of the parts, each ended by a zero byte.
pub(crate) fn short_hash(parts: &[&str]) -> String {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn digest(invoke: &Invoke) -> String {
    let input = serde_json::to_string(&invoke.input).unwrap_or_default();
    let format = invoke.format.as_ref().map(|format| serde_json::to_string(format).unwrap_or_default());
    let mut parts = vec![input.as_str()];
    parts.extend(format.as_deref());
    parts.extend(invoke.metadata.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]));
    short_hash(&parts)
}

/// Cancels a turn whose caller leaves before it holds the turn's stream.
struct CancelOnDrop(Option<CancelToken>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = self.0.take() {
            cancel.cancel();
        }
    }
}

/// Makes what was opened here look like what was opened elsewhere.
fn opened(events: EventStream) -> Opened {
    (events.turn().cloned(), events.cursor(), Box::pin(events))
}

struct SessionActivator {
    shared: Arc<Shared>,
    key: SessionKey,
    newcomer: Option<AgentName>,
}

impl Activator<SessionProtocol> for SessionActivator {
    fn activate(&self, _key: &str) -> BoxFuture<'_, Result<Activation<SessionProtocol>>> {
        Box::pin(async move {
            let first = self.shared.journal.read(stream_key(&self.key), 1, 1).await?;
            let mut history = History::default();
            history.extend(&first)?;
            let agent = match (history.agent, &self.newcomer) {
                (Some(owner), _) => owner,
                (None, Some(newcomer)) => newcomer.clone(),
                (None, None) => return Err(Error::not_found("no such session").with("session", &self.key.id)),
            };
            let supervisor = self.shared.agents.address(&agent)?;
            let (shared, key, hub) = (Arc::clone(&self.shared), self.key.clone(), self.shared.hub(&self.key));
            let spec = Spec::new(self.key.to_string(), move || {
                SessionActor::new(key.clone(), Arc::clone(&shared), Arc::clone(&hub))
            })
            .kept();
            Ok(Activation { supervisor, spec })
        })
    }
}

/// The sessions of a node.
#[derive(Debug, Clone)]
pub struct Sessions(pub(crate) Arc<Shared>);

impl Sessions {
    /// Returns the events of a session after a number, or all of them; activates a session that is not in memory.
    ///
    /// With `follow` the stream stays open and goes on with later turns; without, it ends at the last event there is.
    ///
    /// # Errors
    /// `not_found` if there is no such session.
    pub async fn events(
        &self,
        tenant: &TenantId,
        session: &SessionId,
        after: Option<u64>,
        follow: bool,
    ) -> Result<EventStream> {
        let key = SessionKey { tenant: tenant.clone(), id: session.clone() };
        let (after, shared) = (after.unwrap_or(0), &self.0);
        let until = follow.then_some(Until::Never);
        if shared.homes.get().is_none() {
            return shared.events_here(&key, None, after, until).await;
        }
        let context = CallContext::new().with_tenant(tenant.clone());
        let opened = Box::pin(shared.events_anywhere(&key, None, after, until, &context));
        let events = match opened.await {
            Ok((_, _, events)) => events,
            // It is looked for at its next node.
            Err(error) if is_of_the_node(&error) => failed(error),
            Err(error) => return Err(error),
        };
        Ok(EventStream::followed(FollowedEvents::new(shared, key, None, after, until, context, events)))
    }

    /// Returns a session to look at; of the default tenant unless [`of_tenant`](SessionRef::of_tenant) says otherwise.
    #[must_use]
    pub fn of(&self, session: SessionId) -> SessionRef {
        SessionRef { sessions: self.clone(), tenant: TenantId::default(), id: session }
    }

    /// Returns a page of a session's turns, oldest first, as the journal has them: a session that is not in memory is
    /// not activated.
    ///
    /// # Errors
    /// `not_found` if the tenant has no such session; `invalid_input` for a limit out of range; what the journal
    /// answers.
    pub async fn conversation(&self, tenant: &TenantId, session: &SessionId, page: Page) -> Result<Conversation> {
        let key = stream_key(&SessionKey { tenant: tenant.clone(), id: session.clone() });
        conversation::read(&self.0.journal, key, session, page).await
    }

    /// Cancels the running turn of a session and returns it; `None` if none runs.
    ///
    /// # Errors
    /// `not_found` if there is no such session; what the journal answers.
    pub async fn cancel(&self, tenant: &TenantId, session: &SessionId) -> Result<Option<TurnId>> {
        let key = SessionKey { tenant: tenant.clone(), id: session.clone() };
        self.0.cancel_anywhere(&key, None).await
    }

    /// Activates every session with an unfinished turn and returns how many. Called once at start, after the agents
    /// are there.
    ///
    /// # Errors
    /// What the journal answers. A session that cannot be activated is logged and left for its next caller.
    pub async fn resume(&self) -> Result<usize> {
        self.0.resume().await
    }

    /// Returns how many turns ended since the node began, and how.
    #[must_use]
    pub fn turns(&self) -> TurnTotals {
        self.0.tally.totals()
    }

    /// Returns how many sessions are in memory.
    #[must_use]
    pub fn active(&self) -> usize {
        self.0.family.len()
    }
}
