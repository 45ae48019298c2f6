//! Where sessions live in a cluster: each on the node that has its shard.

use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use beluga_core::{AgentName, BoxFuture, BoxStream, CallContext, Error, Numbered, Result, SessionId, TenantId, TurnId};
use beluga_runtime::cluster::{Cluster, Leaving, Shard, Standing};
use beluga_runtime::task::{self, AbortOnDrop};
use beluga_runtime::{Ref, StreamCall, StreamMessage, time};
use futures_util::{StreamExt, stream};

use super::actor::SESSION;
use super::directory::{SessionKey, Sessions, Shared};
use super::gateway::{Cancel, Gateway, GatewayProtocol, Read, Run, Step, misplaced};
use super::handle::Invoke;
use super::stream::Until;

/// How many events a node may be ahead of its reader on another one.
const WINDOW: usize = 64;

/// How long sessions that leave a node may go on with their turns; then they are stopped, and the next node resumes them.
const TURNS_GRACE: Duration = Duration::from_secs(3);

/// Between two looks whether this node may serve what it was given.
const CONSENT_LOOK: Duration = Duration::from_millis(20);

/// The cluster of a node's sessions.
pub(crate) struct Homes {
    cluster: Cluster,
    _follower: AbortOnDrop<()>,
}

/// The events of a session, from wherever it is.
pub(crate) type Events = BoxStream<'static, Result<Numbered>>;

impl Homes {
    /// Returns the fence of a session this node has; `None` if another one has it.
    pub(crate) fn fence(&self, key: &SessionKey) -> Option<u64> {
        let fence = self.cluster.serves(&key.tenant, SESSION, key.id.as_str())?;
        // The generation is a time, and versions rise more slowly than time: a later generation is above any version.
        Some(fence.generation.saturating_add(fence.revision))
    }

    /// Returns whether this node left its cluster: it asks the others no more.
    pub(crate) fn has_left(&self) -> bool {
        self.cluster.standing() == Standing::Left
    }

    /// Names this life of this node.
    pub(crate) fn node(&self) -> String {
        self.cluster.me().to_string()
    }

    fn gateway(&self, tenant: &TenantId, session: &SessionId) -> Ref<GatewayProtocol> {
        self.cluster.key(SESSION, tenant, session.as_str())
    }

    /// Starts a turn on the node that has the session.
    pub(crate) async fn start(&self, agent: &AgentName, session: SessionId, invoke: Invoke) -> Result<Opened> {
        let Invoke { input, idempotency_key: key, context, format, metadata, history, hops, unhurried, .. } = invoke;
        let gateway = self.gateway(context.tenant(), &session);
        let agent = agent.clone();
        let run = Run { agent, session, input, key, format, metadata, history, hops, unhurried };
        open(gateway.stream(run).with_context(&context)).await
    }

    /// Reads events on the node that has the session.
    pub(crate) async fn read(
        &self,
        key: &SessionKey,
        turn: Option<TurnId>,
        after: u64,
        until: Option<Until>,
        context: &CallContext,
    ) -> Result<Opened> {
        let gateway = self.gateway(&key.tenant, &key.id);
        let read = Read { session: key.id.clone(), turn, after, until };
        let context = context.clone().with_tenant(key.tenant.clone());
        open(gateway.stream(read).with_context(&context)).await
    }

    /// Cancels a turn on the node that has the session.
    pub(crate) async fn cancel(&self, key: &SessionKey, turn: Option<TurnId>) -> Result<Option<TurnId>> {
        let context = CallContext::new().with_tenant(key.tenant.clone());
        let cancel = Cancel { session: key.id.clone(), turn };
        // Cancelling twice is cancelling once.
        let context = context.with_idempotency_key("cancel");
        self.gateway(&key.tenant, &key.id).ask(cancel).with_context(&context).await
    }
}

/// Events that were opened: of which turn, and after which number they come.
pub(crate) type Opened = (Option<TurnId>, u64, Events);

async fn open<M: StreamMessage<Item = Step>>(call: StreamCall<M>) -> Result<Opened> {
    let mut steps = call.window(WINDOW).open();
    let (turn, after) = match steps.next().await {
        Some(Ok(Step::Opened { turn, after })) => (turn, after),
        Some(Ok(Step::Event(_))) => return Err(misplaced()),
        Some(Err(error)) => return Err(error),
        None => return Err(Error::unknown_outcome("the node that has the session ended without a word")),
    };
    let event = |step: Result<Step>| match step? {
        Step::Event(event) => Ok(*event),
        Step::Opened { .. } => Err(misplaced()),
    };
    Ok((turn, after, steps.map(event).boxed()))
}

impl Sessions {
    /// Lets a cluster say which node has which session, once, before any is asked for: a turn then runs on the node that has its
    /// session's shard, whoever asks, and goes on on the next one when that dies. The journal must be one that all nodes write
    /// to, and all nodes must have the same agents.
    ///
    /// Unfinished turns are resumed as this node gets their shards; [`resume`](Self::resume) is for nodes on their own.
    ///
    /// # Errors
    /// `conflict` if it was called before.
    pub async fn join(&self, cluster: &Cluster) -> Result<()> {
        let shared = &self.0;
        let gateway = shared.system.spawn("session-gateway", {
            let shared = Arc::clone(shared);
            move || Gateway(Arc::clone(&shared))
        });
        let gateway = gateway.await?;
        let leaver = Arc::downgrade(shared);
        let leave = move |leaving: Leaving| -> BoxFuture<'static, ()> {
            let leaver = leaver.clone();
            Box::pin(async move {
                if let Some(shared) = leaver.upgrade() {
                    shared.leave(&leaving, TURNS_GRACE).await;
                }
            })
        };
        cluster.serve(SESSION, move |_, _| Ok(gateway.clone()), leave)?;
        let follower = task::spawn("session-homes", follow(Arc::downgrade(shared), cluster.clone()));
        let homes = Homes { cluster: cluster.clone(), _follower: follower.abort_on_drop() };
        shared.move_in(homes)
    }
}

/// Resumes the unfinished turns of shards as this node gets them.
async fn follow(shared: Weak<Shared>, cluster: Cluster) {
    let (mut version, mut had) = (0, HashSet::new());
    loop {
        let standing;
        (version, standing) = cluster.after(version).await;
        if standing == Standing::Left {
            return;
        }
        let has = owned(&cluster);
        if has.difference(&had).next().is_some() {
            while !cluster.is_ready() && owned(&cluster) == has {
                time::sleep(CONSENT_LOOK).await;
            }
            let Some(shared) = shared.upgrade() else { return };
            match shared.resume().await {
                Ok(0) => {}
                Ok(resumed) => tracing::info!(resumed, "unfinished turns came with their shards"),
                Err(error) => {
                    tracing::warn!(%error, "the journal does not say which turns are unfinished");
                    // Once more, soon.
                    (version, had) = (0, HashSet::new());
                    time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            }
        }
        had = has;
    }
}

fn owned(cluster: &Cluster) -> HashSet<Shard> {
    let (view, me) = (cluster.view(), cluster.me());
    let Some(view) = view else { return HashSet::new() };
    let number = view.find(&me).map(|member| member.number);
    number.map(|number| view.owned(number).map(|(shard, _)| shard).collect()).unwrap_or_default()
}

/// Makes the stream of what cannot be read.
pub(crate) fn failed(error: Error) -> Events {
    stream::iter([Err(error)]).boxed()
}
