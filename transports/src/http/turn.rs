//! Runs turns: as one answer, or as a stream of events.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, Response};
use beluga_actors::agent::AgentRef;
use beluga_actors::session::Reply;
use beluga_core::{AgentName, CallContext, CancelToken, Error, Result};
use beluga_runtime::{task, time};

use super::body::read_turn;
use super::face::Face;
use super::problem::{Answer, Failure};
use super::sse;

/// `POST /api/v1/agents/{agent}/invoke`
pub(super) async fn invoke(
    State(face): State<Face>,
    Extension(context): Extension<CallContext>,
    agent: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Json<Reply>> {
    let agent = find(&face, agent)?;
    face.0.rates.invoke.admit(&context).await?;
    let request = read_turn(&headers, body, face.0.settings.body_limit_bytes, false).await?;
    refuse_while_draining(&face)?;
    let context = context.with_timeout(time::now(), face.0.settings.invoke_timeout);
    if request.idempotency_key.is_some() {
        // A caller with a key is expected to ask again: the turn goes on without this request.
        let turn = task::spawn("http.invoke", async move { agent.invoke(request.into_invoke(context)).await });
        return Ok(Json(turn.await??));
    }
    let guard = CancelOnDrop(Some(context.cancel_token().clone()));
    let reply = agent.invoke(request.into_invoke(context)).await;
    guard.disarm();
    Ok(Json(reply?))
}

/// `POST /api/v1/agents/{agent}/stream`
pub(super) async fn stream(
    State(face): State<Face>,
    Extension(context): Extension<CallContext>,
    agent: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Answer<Response<Body>> {
    let agent = find(&face, agent)?;
    face.0.rates.stream.admit(&context).await?;
    let request = read_turn(&headers, body, face.0.settings.body_limit_bytes, true).await?;
    refuse_while_draining(&face)?;
    let events = agent.stream(request.into_invoke(context)).await?;
    Ok(sse::respond(events, face.0.settings.keep_alive, &face.0.closing))
}

fn find(face: &Face, agent: Result<Path<String>, PathRejection>) -> Answer<AgentRef> {
    let Path(name) = agent.map_err(|_| Failure(Error::invalid_input("the agent's name is no UTF-8")))?;
    Ok(face.0.agents.get(&AgentName::parse(name)?)?)
}

fn refuse_while_draining(face: &Face) -> Result<()> {
    if face.0.draining.is_cancelled() {
        return Err(Error::unavailable("the node is going away"));
    }
    Ok(())
}

/// Cancels a call when the request is dropped, which is what happens when its client hangs up.
struct CancelOnDrop(Option<CancelToken>);

impl CancelOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(token) = &self.0 {
            token.cancel();
        }
    }
}
