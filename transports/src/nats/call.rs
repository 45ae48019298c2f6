//! Requests with one reply, or none.

use async_nats::HeaderMap;
use beluga_actors::agent::AgentRef;
use beluga_core::{AgentName, Error, Result, SessionId};
use serde_json::json;

use super::face::Request;
use super::header::RequestHeaders;
use crate::request::{TurnRequest, flag, object, refuse_others};

/// `….agent.<name>.call`: runs a turn and answers `{result, session, turn, usage}`.
///
/// A caller that leaves is not seen, so the turn goes on until its deadline; `….session.<id>.call` cancels it.
pub(super) async fn call(request: Request) -> Result<()> {
    let answer = async {
        let (agent, turn) = request.turn(false)?;
        let limit = request.face.0.settings.call_timeout;
        let context = request.headers().deadline(request.context.clone(), Some(limit))?;
        let reply = agent.invoke(turn.into_invoke(context)).await?;
        serde_json::to_vec(&reply).map_err(|error| Error::internal("the answer is no JSON").with_source(error))
    };
    let answer = answer.await;
    request.answer(answer).await
}

/// `….agent.<name>.tell`: starts a turn. Who gives a reply subject is told `{session, turn}` once it is recorded.
pub(super) async fn tell(request: Request) -> Result<()> {
    let started = async {
        let (agent, turn) = request.turn(false)?;
        let context = request.headers().deadline(request.context.clone(), None)?;
        let events = agent.stream(turn.into_invoke(context)).await?;
        Ok(json!({ "session": events.session(), "turn": events.turn() }).to_string().into_bytes())
    };
    let started = started.await;
    request.answer(started).await
}

/// `….session.<id>.call`: `{"cancel": true}` cancels the running turn and answers `{session, turn, cancelled}`.
pub(super) async fn session(request: Request) -> Result<()> {
    let answer = async {
        let session = SessionId::parse(&request.subject.id)?;
        let mut fields = object(&request.message.payload)?;
        let cancel = flag(&mut fields, "cancel")?;
        refuse_others(&fields, "cancel")?;
        if cancel != Some(true) {
            return Err(Error::invalid_input("a session takes {\"cancel\": true}").with("field", "cancel"));
        }
        let turn = request.face.0.agents.sessions().cancel(&request.subject.tenant, &session).await?;
        Ok(json!({ "session": session, "turn": turn, "cancelled": turn.is_some() }).to_string().into_bytes())
    };
    let answer = answer.await;
    request.answer(answer).await
}

impl Request {
    pub(super) fn headers(&self) -> RequestHeaders<'_> {
        RequestHeaders(self.message.headers.as_ref())
    }

    /// Reads which agent is asked, and what.
    pub(super) fn turn(&self, streams: bool) -> Result<(AgentRef, TurnRequest)> {
        let agent = self.face.0.agents.get(&AgentName::parse(&self.subject.id)?)?;
        let turn = TurnRequest::parse(&self.message.payload, self.headers().idempotency_key()?, streams)?;
        Ok((agent, turn))
    }

    /// Sends the answer or the error to whoever waits for one, and gives the error back to whoever counts.
    async fn answer(&self, answer: Result<Vec<u8>>) -> Result<()> {
        let reply = self.message.reply.as_ref();
        match (answer, reply) {
            (Ok(body), Some(reply)) => self.face.answer(reply, HeaderMap::new(), body.into()).await,
            (Ok(_), None) => Ok(()),
            (Err(error), _) => {
                self.face.refuse(reply, &error).await;
                Err(error)
            }
        }
    }
}
