//! What there is: agents, the tree, the metrics.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response};
use axum::response::IntoResponse;
use beluga_core::{AgentName, Error};
use serde::Serialize;

use super::face::Face;
use super::problem::Answer;

/// The agents of a node.
#[derive(Debug, Serialize)]
pub(super) struct AgentList {
    agents: Vec<AgentCard>,
}

#[derive(Debug, Serialize)]
struct AgentCard {
    name: AgentName,
    description: String,
    tools: Vec<String>,
}

/// `GET /api/v1/agents`
pub(super) async fn agents(State(face): State<Face>) -> Json<AgentList> {
    let cards = face.0.agents.list().into_iter().filter_map(|agent| {
        let spec = agent.spec().ok()?;
        Some(AgentCard { name: agent.name().clone(), description: spec.description.clone(), tools: spec.tool_names() })
    });
    Json(AgentList { agents: cards.collect() })
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
