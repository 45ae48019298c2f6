//! One actor for its operator: what it is, and what can be done with it. Who may is asked before, by
//! [`access::operator`](super::access::operator).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use beluga_core::{CallContext, Error, MessageId};
use beluga_runtime::telemetry::request_id;
use beluga_runtime::{ActorView, Address, AskInFlight, DeadLetter, DeadReason, Lane, System, time};
use serde::Serialize;

use super::cluster;
use super::face::Face;
use super::introspect::{ASKS_MAX, numbers};
use super::problem::{Answer, Failure};
use crate::faces::FACES;

/// How long the effect of a change is waited for.
const EFFECT_WAIT: Duration = Duration::from_secs(2);

/// How long a killed actor is given to come back before it is shown as it is.
const RETURN_WAIT: Duration = Duration::from_millis(100);

/// The most dead letters that are shown of one actor; the latest ones.
const LETTERS_MAX: usize = 32;

/// What can be done with an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Pause,
    Resume,
    Restart,
    Stop,
    Kill,
}

impl Change {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Pause, "pause"),
        (Self::Resume, "resume"),
        (Self::Restart, "restart"),
        (Self::Stop, "stop"),
        (Self::Kill, "kill"),
    ];
}

/// The routes for operators.
pub(super) fn routes() -> Router<Face> {
    let looks = Router::new()
        .route("/api/v1/system", get(numbers))
        .route("/api/v1/actors/{id}", get(show))
        .route("/api/v1/cluster/drain", post(cluster::drain));
    Change::ALL.into_iter().fold(looks, |routes, (change, name)| {
        let handler = move |State(face): State<Face>, Extension(context): Extension<CallContext>, id| async move {
            alter(&face, &context, id, (change, name)).await
        };
        routes.route(&format!("/api/v1/actors/{{id}}/{name}"), post(handler))
    })
}

/// One actor with what concerns it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    actor: ActorView,
    /// Its latest messages that were not handled, oldest first.
    dead_letters: Vec<Letter>,
    asks: Asks,
}

/// The asks in flight that an actor is part of, the oldest first; at most 256 of each.
#[derive(Debug, Serialize)]
struct Asks {
    from: Vec<AskInFlight>,
    to: Vec<AskInFlight>,
}

/// A dead letter without its payload, which is nobody's but its sender's.
#[derive(Debug, Serialize)]
struct Letter {
    reason: DeadReason,
    message: &'static str,
    id: Option<MessageId>,
    sender: Option<Arc<str>>,
    lane: Lane,
    age_ms: u64,
    tenant: String,
    trace: Option<String>,
    panic: Option<Arc<str>>,
}

/// `GET /api/v1/actors/{id}`
async fn show(State(face): State<Face>, id: Result<Path<String>, PathRejection>) -> Answer<Json<Shown>> {
    let system = face.0.agents.system();
    Ok(Json(shown(system, &find(system, id)?)))
}

/// `POST /api/v1/actors/{id}/…`: 200 with the actor after the change, 202 if it is still under way.
async fn alter(
    face: &Face,
    context: &CallContext,
    id: Result<Path<String>, PathRejection>,
    (change, name): (Change, &'static str),
) -> Answer<(StatusCode, Json<Shown>)> {
    let system = face.0.agents.system();
    let address = find(system, id)?;
    refuse_the_vital(system, &address)?;
    let status = if apply(&address, change).await? { StatusCode::OK } else { StatusCode::ACCEPTED };
    let request_id = request_id(context);
    tracing::info!(
        actor = address.name(),
        id = address.id(),
        change = name,
        request_id,
        "an operator changed an actor"
    );
    Ok((status, Json(shown(system, &address))))
}

/// The root is the node itself, and a face that was lost could not be asked to come back.
fn refuse_the_vital(system: &System, address: &Address) -> Answer<()> {
    let is_face = address.name().split('/').next() == Some(FACES);
    let why = match system.root_address()? {
        root if root == *address => "the root is the node; stop that",
        _ if is_face => "a face does not change itself; stop the node",
        _ => return Ok(()),
    };
    Err(Error::conflict(why).with("actor", address.name()).into())
}

/// Changes an actor and waits for the effect. False if it has not come yet.
async fn apply(address: &Address, change: Change) -> Answer<bool> {
    let incarnation = address.incarnation();
    let accepted = match change {
        Change::Pause => address.pause(),
        Change::Resume => address.resume(),
        Change::Restart => address.restart(),
        Change::Kill => address.kill(),
        Change::Stop => {
            address.stop();
            true
        }
    };
    if !accepted {
        let why = match change {
            Change::Kill => "no incarnation of the actor lives at the moment",
            _ => "the actor is ending, has not started yet, or is never built anew",
        };
        return Err(Error::conflict(why).with("actor", address.name()).into());
    }
    let effect = async {
        match change {
            Change::Pause | Change::Resume => {}
            Change::Stop => address.gone().await,
            Change::Kill => {
                address.ended(incarnation).await;
                // It may be gone, or have to wait for its next incarnation; most come back at once.
                drop(time::timeout(RETURN_WAIT, address.running()).await);
            }
            Change::Restart => {
                address.ended(incarnation).await;
                address.running().await;
            }
        }
    };
    Ok(time::timeout(EFFECT_WAIT, effect).await.is_ok())
}

fn find(system: &System, id: Result<Path<String>, PathRejection>) -> Answer<Address> {
    let number = id.ok().and_then(|Path(id)| id.parse().ok());
    let wrong = || Failure(Error::invalid_input("the actor is named by its id, a number").with("field", "id"));
    let number: u64 = number.ok_or_else(wrong)?;
    let none = || Failure(Error::not_found("there is no such actor, or it is gone").with("id", number));
    system.find_by_id(number).ok_or_else(none)
}

fn shown(system: &System, address: &Address) -> Shown {
    let letters = system.dead_letters().recent().into_iter().filter(|letter| *letter.actor == *address.name());
    let mut letters: Vec<Letter> = letters.rev().take(LETTERS_MAX).map(Letter::from).collect();
    letters.reverse();
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for ask in system.asks() {
        if ask.from.as_deref() == Some(address.name()) && from.len() < ASKS_MAX {
            from.push(ask.clone());
        }
        if *ask.to == *address.name() && to.len() < ASKS_MAX {
            to.push(ask);
        }
    }
    Shown { actor: address.inspect(), dead_letters: letters, asks: Asks { from, to } }
}

impl From<DeadLetter> for Letter {
    fn from(letter: DeadLetter) -> Self {
        let DeadLetter { reason, message, id, sender, lane, age, tenant, trace, panic, .. } = letter;
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Self { reason, message, id, sender, lane, age_ms, tenant, trace, panic }
    }
}
