//! What there is: agents, the tree, the system in numbers, the metrics.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response};
use axum::response::IntoResponse;
use beluga_actors::agent::Card;
use beluga_core::{AgentName, Error};
use beluga_runtime::{Address, AskInFlight, BreakerState, System, TreeBounds, Troubles};
use serde::{Deserialize, Serialize};

use super::face::Face;
use super::problem::{Answer, Failure};

/// The most nodes of the tree in one answer.
pub const TREE_NODES_MAX: usize = 10_000;

/// The most asks in flight, and the most circles of them, in one answer.
pub(super) const ASKS_MAX: usize = 256;

/// The agents of a node.
#[derive(Debug, Serialize)]
pub(super) struct AgentList {
    agents: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct Listed {
    name: AgentName,
    description: String,
    /// The names of the tools; what they take is on the card.
    tools: Vec<String>,
    card: Card,
}

/// `GET /api/v1/agents`
pub(super) async fn agents(State(face): State<Face>) -> Json<AgentList> {
    let listed = face.0.agents.list().into_iter().filter_map(|agent| {
        let spec = agent.spec().ok()?;
        Some(Listed {
            name: agent.name().clone(),
            description: spec.description.clone(),
            tools: spec.tool_names(),
            card: spec.card(),
        })
    });
    Json(AgentList { agents: listed.collect() })
}

/// Which part of the tree is read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TreeQuery {
    /// The path or the number of the first actor; the root's if it is left out.
    root: Option<String>,
    /// The most levels below it.
    depth: Option<usize>,
    /// The most actors and jobs.
    nodes: Option<usize>,
}

/// `GET /api/v1/tree`
pub(super) async fn tree(
    State(face): State<Face>,
    query: Result<Query<TreeQuery>, QueryRejection>,
) -> Answer<Response<Body>> {
    let Query(query) = query.map_err(|_| wrong_query())?;
    let system = face.0.agents.system();
    let first = match &query.root {
        None => system.root_address()?,
        Some(name) => find(system, name)?,
    };
    let nodes = query.nodes.unwrap_or(TREE_NODES_MAX).clamp(1, TREE_NODES_MAX);
    Ok(Json(first.snapshot(TreeBounds { depth: query.depth.unwrap_or(usize::MAX), nodes })).into_response())
}

/// Finds an actor by its number or its path.
fn find(system: &System, name: &str) -> Answer<Address> {
    let found = match name.parse() {
        Ok(id) => system.find_by_id(id),
        Err(_) => system.find(name),
    };
    found.ok_or_else(|| {
        let name: String = name.chars().take(256).flat_map(char::escape_default).collect();
        Error::not_found("there is no such actor").with("actor", name).into()
    })
}

fn wrong_query() -> Failure {
    let error = format!("the query may hold root, a path or number, depth, and nodes, 1 to {TREE_NODES_MAX}");
    Failure(Error::invalid_input(error).with("field", "root, depth, nodes"))
}

/// The system in numbers.
#[derive(Debug, Serialize)]
pub(super) struct Numbers {
    name: String,
    uptime_ms: u64,
    /// Live actors.
    actors: usize,
    /// Running jobs.
    jobs: usize,
    /// Messages that wait, of all actors.
    waiting: usize,
    /// Actors whose messages are held back.
    paused: usize,
    /// Actors that refuse callers because they failed too often; 64 are counted.
    gated: usize,
    /// Breakers that refuse calls.
    open_breakers: usize,
    /// How often an actor was built anew since the system began.
    restarts: u64,
    /// How many messages were not handled since the system began.
    dead_letters: u64,
    /// Asks that wait for their answers.
    asks_in_flight: usize,
    /// The oldest of them, at most 256.
    asks: Vec<AskInFlight>,
    /// Stuck handlers, blocked threads, circles of asks: `stuck`, `blocked`, `deadlocks`, `left_out`, `by_kind`.
    #[serde(flatten)]
    troubles: Troubles,
}

/// `GET /api/v1/system`
pub(super) async fn numbers(State(face): State<Face>) -> Answer<Json<Numbers>> {
    let system = face.0.agents.system();
    let census = system.census()?;
    let mut asks = system.asks();
    let asks_in_flight = asks.len();
    asks.truncate(ASKS_MAX);
    let kinds = census.actors.values();
    let lanes = kinds.clone().map(|kind| kind.lanes);
    let open = |state: BreakerState| state == BreakerState::Open;
    Ok(Json(Numbers {
        name: system.name().to_owned(),
        uptime_ms: u64::try_from(system.uptime().as_millis()).unwrap_or(u64::MAX),
        actors: kinds.clone().map(|kind| kind.live).sum(),
        jobs: census.jobs.values().sum(),
        waiting: lanes.map(|lanes| lanes.control + lanes.interrupt + lanes.normal + lanes.bulk).sum(),
        paused: census.paused,
        gated: census.gated.len(),
        open_breakers: census.breakers.iter().filter(|(_, _, breaker)| open(breaker.state)).count(),
        restarts: kinds.map(|kind| kind.restarts).sum(),
        dead_letters: census.dead_letters,
        asks_in_flight,
        asks,
        troubles: system.troubles(),
    }))
}

/// `GET /metrics`
pub(super) async fn metrics(State(face): State<Face>) -> Answer<Response<Body>> {
    let render = face.0.metrics.as_ref().ok_or_else(|| Error::unsupported("no metrics are recorded"))?;
    let mut response = Response::new(Body::from(render()));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
