//! What there is: agents, the tree, the metrics.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response};
use axum::response::IntoResponse;
use beluga_actors::agent::Card;
use beluga_core::{AgentName, Error};
use serde::Serialize;

use super::face::Face;
use super::problem::Answer;

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

/// `GET /api/v1/tree`
pub(super) async fn tree(State(face): State<Face>) -> Answer<Response<Body>> {
    Ok(Json(face.0.agents.system().snapshot()?).into_response())
}

/// `GET /metrics`
pub(super) async fn metrics(State(face): State<Face>) -> Answer<Response<Body>> {
    let render = face.0.metrics.as_ref().ok_or_else(|| Error::unsupported("no metrics are recorded"))?;
    let mut response = Response::new(Body::from(render()));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
