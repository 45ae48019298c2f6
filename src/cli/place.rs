//! Where a command runs: at a node that is there already, or in this process.

use std::time::Duration;

use beluga::config::{Config, DEFAULT_AGENT, Environment};
use beluga::node::{Claim, DataDir, Node, Owner};
use beluga_actors::session::{CURSOR, EventStream, Invoke, Sessions};
use beluga_core::{AgentName, BoxStream, Code, Error, Numbered, Result, SessionId, TenantId, TurnId};
use futures_util::StreamExt as _;

use super::Failure;
use super::args::Common;
use super::client::Client;

/// How long a command waits for a process that owns the data directory and cannot be reached.
const PATIENCE: Duration = Duration::from_secs(15);

/// The environment variable of a node's bearer token.
const TOKEN: &str = "BELUGA_TOKEN";

/// Where a command runs.
pub(super) enum Place {
    /// At a node.
    Remote(Client),
    /// Here.
    Local(Box<Node>),
}

/// A turn that was started.
pub(super) struct Turn {
    /// Its session.
    pub(super) session: SessionId,
    /// Its events, to the last one.
    pub(super) events: BoxStream<'static, Result<Numbered>>,
}

/// Returns the node a command is to use, if there is one: `--url`, else the owner of the data directory.
pub(super) async fn find_node(common: &Common, environment: &Environment) -> Result<Option<Client>> {
    if let Some(url) = &common.url {
        return client(common, environment, url).map(Some);
    }
    match DataDir::owner(&common.data) {
        Some(Owner { url: Some(url), .. }) => client(common, environment, &url).map(Some),
        _ => Ok(None),
    }
}

/// Returns the node a command cannot do without.
pub(super) async fn need_node(common: &Common, environment: &Environment) -> Result<Client, Failure> {
    find_node(common, environment).await?.ok_or_else(|| {
        let data = common.data.display();
        Failure::Usage(format!("no node runs on {data}; start one with `beluga node`, or name one with --url"))
    })
}

/// Tells a node that does not answer from one that refuses.
pub(super) fn no_answer(error: Error) -> Failure {
    match error.code() {
        Code::NotSent => Failure::Usage(format!("no node answers: {error}")),
        _ => error.into(),
    }
}

/// Finds a node, or starts one in this process.
pub(super) async fn open(common: &Common, environment: &Environment) -> Result<Place, Failure> {
    if let Some(node) = find_node(common, environment).await? {
        return Ok(Place::Remote(node));
    }
    let config = super::load(common, environment)?;
    match DataDir::claim_within(&common.data, PATIENCE).await? {
        Claim::Ours(directory) => {
            let node = Node::start(config, environment, directory, "beluga").await?;
            Ok(Place::Local(Box::new(node)))
        }
        Claim::Theirs(Some(Owner { url: Some(url), .. })) => Ok(Place::Remote(client(common, environment, &url)?)),
        Claim::Theirs(owner) => Err(DataDir::taken(&common.data, owner.as_ref()).into()),
    }
}

/// Makes the client of a node; its token is in `BELUGA_TOKEN`, or in the variable the configuration names.
fn client(common: &Common, environment: &Environment, url: &str) -> Result<Client> {
    let configured = || {
        let config: Config = super::load(common, environment).ok()?;
        config.http.token_env
    };
    let token = match environment.get(TOKEN) {
        Some(token) => Some(token.to_owned()),
        None => configured().and_then(|variable| environment.get(&variable).map(str::to_owned)),
    };
    Client::new(url, token.as_deref())
}

/// Follows a turn to its end; where this reader was too slow it goes on at its cursor.
fn follow(sessions: Sessions, events: EventStream, turn: Option<TurnId>) -> BoxStream<'static, Result<Numbered>> {
    let reading = (sessions, events, turn, false);
    futures_util::stream::unfold(reading, |(sessions, mut events, turn, over)| async move {
        if over {
            return None;
        }
        loop {
            match events.next().await? {
                Ok(event) if turn.as_ref().is_some_and(|turn| *turn != event.turn) => {}
                Ok(event) => {
                    let over = event.event.is_terminal();
                    return Some((Ok(event), (sessions, events, turn, over)));
                }
                Err(error) => {
                    let cursor = error.get(CURSOR).and_then(|cursor| cursor.parse().ok());
                    let session = events.session().clone();
                    let resumed = match cursor {
                        Some(cursor) => sessions.events(&TenantId::default(), &session, Some(cursor), true).await,
                        None => Err(error),
                    };
                    match resumed {
                        Ok(resumed) => events = resumed,
                        Err(error) => return Some((Err(error), (sessions, events, turn, true))),
                    }
                }
            }
        }
    })
    .boxed()
}

impl Place {
    /// Returns the agent to talk to: the named one, else `assistant`, else the only one.
    ///
    /// # Errors
    /// `not_found` or `invalid_input` lists the agents there are.
    pub(super) async fn agent(&self, wanted: Option<&str>) -> Result<AgentName> {
        if let Some(name) = wanted {
            return AgentName::parse(name);
        }
        let names = self.agent_names().await?;
        let chosen = match names.as_slice() {
            [only] => Some(only),
            several => several.iter().find(|name| *name == DEFAULT_AGENT),
        };
        match chosen {
            Some(name) => AgentName::parse(name),
            None => Err(Error::config(format!("several agents: choose one with --agent: {}", names.join(", ")))),
        }
    }

    async fn agent_names(&self) -> Result<Vec<String>> {
        match self {
            Place::Local(node) => Ok(node.agents().list().iter().map(|agent| agent.name().to_string()).collect()),
            Place::Remote(client) => {
                let document = client.get("api/v1/agents").await?;
                let agents = document.get("agents").and_then(serde_json::Value::as_array);
                let names = agents.into_iter().flatten().filter_map(|agent| agent.get("name")?.as_str());
                Ok(names.map(str::to_owned).collect())
            }
        }
    }

    /// Starts a turn.
    ///
    /// # Errors
    /// What the agent or the node answers.
    pub(super) async fn start(&self, agent: &AgentName, text: &str, session: Option<&SessionId>) -> Result<Turn> {
        match self {
            Place::Local(node) => {
                let mut invoke = Invoke::text(text);
                invoke.session = session.cloned();
                let events = node.agents().get(agent)?.stream(invoke).await?;
                let session = events.session().clone();
                let turn = events.turn().cloned();
                Ok(Turn { session, events: follow(node.agents().sessions(), events, turn) })
            }
            Place::Remote(client) => client.stream(agent.as_str(), text, session).await,
        }
    }

    /// Cancels the running turn of a session.
    ///
    /// # Errors
    /// What the session or the node answers.
    pub(super) async fn cancel(&self, session: &SessionId) -> Result<()> {
        match self {
            Place::Local(node) => node.agents().sessions().cancel(&TenantId::default(), session).await.map(drop),
            Place::Remote(client) => client.cancel(session).await,
        }
    }

    /// Ends what runs in this process, in order.
    pub(super) async fn close(self) {
        if let Place::Local(node) = self
            && let Err(error) = node.shutdown().await
        {
            tracing::warn!(%error, "the end was not clean");
        }
    }
}
