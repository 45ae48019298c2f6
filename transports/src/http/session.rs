//! Reads and cancels sessions.

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, Response};
use beluga_actors::session::{Conversation, PAGE_MAX_TURNS, Page};
use beluga_core::{CallContext, Error, SessionId, TurnId};
use serde::{Deserialize, Serialize};

use super::face::Face;
use super::problem::{Answer, Failure, header};
use super::sse;

/// The query of a reader.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadQuery {
    /// Whether the stream stays open after the last event.
    follow: Option<bool>,
}

/// Which page of a conversation is read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// The `next` of the page before.
    from: Option<u64>,
    /// The most turns.
    limit: Option<usize>,
}

/// `GET /api/v1/sessions/{id}`
pub(super) async fn conversation(
    State(face): State<Face>,
    Extension(context): Extension<CallContext>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<PageQuery>, QueryRejection>,
) -> Answer<Json<Conversation>> {
    face.0.rates.read.admit(&context).await?;
    let session = parse(id)?;
    let Query(query) = query.map_err(|_| wrong_page())?;
    let page = Page { from: query.from, limit: query.limit.unwrap_or(Page::default().limit) };
    Ok(Json(face.0.agents.sessions().conversation(context.tenant(), &session, page).await?))
}

/// `GET /api/v1/sessions/{id}/events`
pub(super) async fn events(
    State(face): State<Face>,
    Extension(context): Extension<CallContext>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<ReadQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Answer<Response<Body>> {
    face.0.rates.read.admit(&context).await?;
    let session = parse(id)?;
    let Query(query) = query.map_err(|_| wrong_query())?;
    let follow = query.follow.unwrap_or(true);
    let after = match header(&headers, "last-event-id")? {
        None | Some("") => None,
        Some(text) => Some(text.parse::<u64>().map_err(|_| {
            Failure(
                Error::invalid_input("Last-Event-ID must be the number of an event").with("header", "last-event-id"),
            )
        })?),
    };
    let events = face.0.agents.sessions().events(context.tenant(), &session, after, follow).await?;
    Ok(sse::respond(events, face.0.settings.keep_alive, &face.0.draining))
}

/// What a cancellation answers.
#[derive(Debug, Serialize)]
pub(super) struct Cancelled {
    session: SessionId,
    /// The turn that was cancelled; null if none ran.
    turn: Option<TurnId>,
    cancelled: bool,
}

/// `POST /api/v1/sessions/{id}/cancel`
pub(super) async fn cancel(
    State(face): State<Face>,
    Extension(context): Extension<CallContext>,
    id: Result<Path<String>, PathRejection>,
) -> Answer<Json<Cancelled>> {
    let session = parse(id)?;
    let turn = face.0.agents.sessions().cancel(context.tenant(), &session).await?;
    Ok(Json(Cancelled { session, cancelled: turn.is_some(), turn }))
}

fn parse(id: Result<Path<String>, PathRejection>) -> Answer<SessionId> {
    let Path(id) = id.map_err(|_| Failure(Error::invalid_input("the session's id is no UTF-8")))?;
    Ok(SessionId::parse(id)?)
}

fn wrong_page() -> Failure {
    let error = format!("the query may hold from, a number, and limit, 1 to {PAGE_MAX_TURNS}");
    Failure(Error::invalid_input(error).with("field", "from, limit"))
}

fn wrong_query() -> Failure {
    Failure(Error::invalid_input("the query may hold follow=true or follow=false").with("field", "follow"))
}
