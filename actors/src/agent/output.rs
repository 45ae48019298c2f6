//! Answers with a type: the schema goes to the model, the answer is checked against it, a wrong one is sent back.

use std::fmt;
use std::future::IntoFuture;
use std::marker::PhantomData;

use beluga_core::{BoxFuture, BoxStream, ChatMessage, Error, Event, Result, SessionId};
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::handle::{AgentRef, Ask, from_problem};
use crate::model::structured::{Form, PartialJson, complaint, unfit};
use crate::session::{EventStream, Invoke};

/// How often an answer of the wrong form is sent back to the model.
pub const OUTPUT_RETRIES: u32 = 2;

/// A question whose answer is a `T`; await it. Made by [`Ask::output`].
///
/// All tries are turns of one session and share the time of the question.
///
/// # Errors
/// `config` if `T` is no struct, `decode` if no answer fitted (its message says what was wrong with the last one, without
/// its values; the answer itself stands under [`PARTIAL`](beluga_core::PARTIAL)), and what [`AgentRef::invoke`](super::AgentRef::invoke) answers.
#[must_use = "a question does nothing unless awaited"]
pub struct AskOutput<T> {
    ask: Ask,
    output: PhantomData<fn() -> T>,
}

impl<T> AskOutput<T> {
    pub(super) fn new(ask: Ask) -> Self {
        Self { ask, output: PhantomData }
    }
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> IntoFuture for AskOutput<T> {
    type Output = Result<T>;
    type IntoFuture = BoxFuture<'static, Result<T>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut tries = Tries::<T>::new(self.ask)?;
            loop {
                let reply = tries.agent.invoke(tries.invoke.clone()).await?;
                if let Some(output) = tries.read(&reply.result, reply.session)? {
                    return Ok(output);
                }
            }
        })
    }
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> AskOutput<T> {
    /// Shows what is known of the answer while it comes; an error is the last item. Dropping the stream cancels the turn.
    ///
    /// What is said before a tool is called is shown as well, if it is JSON; after it, and after an answer that was sent
    /// back, what is known begins anew.
    ///
    /// # Errors
    /// Those of the question itself.
    #[must_use]
    pub fn stream(self) -> BoxStream<'static, Result<OutputItem<T>>> {
        match Tries::<T>::new(self.ask) {
            Ok(tries) => Box::pin(stream::try_unfold(Some(Following { tries, turn: None }), |following| async {
                let Some(following) = following else { return Ok(None) };
                following.next().await.map(Some)
            })),
            Err(error) => Box::pin(stream::iter([Err(error)])),
        }
    }
}

/// What comes of an answer that is a `T`.
#[derive(Debug, Clone, PartialEq)]
pub enum OutputItem<T> {
    /// What is known so far; it is not checked.
    Partial(Value),
    /// The answer, checked; the last item.
    Done(T),
}

/// The question, and how often it was asked.
struct Tries<T> {
    agent: AgentRef,
    invoke: Invoke,
    form: Form,
    sent_back: u32,
    output: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Tries<T> {
    fn new(ask: Ask) -> Result<Self> {
        let form = Form::of::<T>()?;
        let Ask { agent, invoke, .. } = ask.timed();
        let format = form.format(&agent.spec()?.model.info().schema);
        Ok(Self { agent, invoke: invoke.with_format(format), form, sent_back: 0, output: PhantomData })
    }

    /// Reads an answer. `None` if it is sent back: the next turn says what is wrong.
    fn read(&mut self, answer: &str, session: SessionId) -> Result<Option<T>> {
        let error = match self.form.read(answer) {
            Ok(output) => return Ok(Some(output)),
            Err(error) => error,
        };
        if self.sent_back == OUTPUT_RETRIES {
            return Err(unfit(&error, answer, self.sent_back + 1).with("session", session));
        }
        self.sent_back += 1;
        self.invoke.input = ChatMessage::user(complaint(&error));
        self.invoke.idempotency_key = self.invoke.idempotency_key.take().map(|key| format!("{key}/{}", self.sent_back));
        self.invoke.session = Some(session);
        Ok(None)
    }
}

/// A question whose turns are followed.
struct Following<T> {
    tries: Tries<T>,
    turn: Option<FollowedTurn>,
}

struct FollowedTurn {
    events: EventStream,
    partial: PartialJson,
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Following<T> {
    /// Returns the next item, and what follows it.
    async fn next(mut self) -> Result<(OutputItem<T>, Option<Self>)> {
        loop {
            let mut turn = match self.turn.take() {
                Some(turn) => turn,
                None => {
                    let invoke = self.tries.invoke.clone().cancel_on_drop(true);
                    let events = self.tries.agent.stream(invoke).await?.patient();
                    FollowedTurn { events, partial: PartialJson::in_prose() }
                }
            };
            match turn.next().await? {
                Followed::Known(value) => {
                    self.turn = Some(turn);
                    return Ok((OutputItem::Partial(value), Some(self)));
                }
                Followed::Ended(answer) => {
                    if let Some(output) = self.tries.read(&answer, turn.events.session().clone())? {
                        return Ok((OutputItem::Done(output), None));
                    }
                }
            }
        }
    }
}

enum Followed {
    Known(Value),
    Ended(String),
}

impl FollowedTurn {
    async fn next(&mut self) -> Result<Followed> {
        while let Some(event) = self.events.next().await {
            match event?.event {
                Event::Text { text } => {
                    if let Some(value) = self.partial.learn(&text) {
                        return Ok(Followed::Known(value));
                    }
                }
                Event::ToolCall { .. } => self.partial = PartialJson::in_prose(),
                Event::Done { result, .. } => return Ok(Followed::Ended(result)),
                Event::Error { error } => return Err(from_problem(error).with("session", self.events.session())),
                _ => {}
            }
        }
        Err(Error::unknown_outcome("the turn's events ended before the turn").with("session", self.events.session()))
    }
}

impl<T> fmt::Debug for AskOutput<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AskOutput").field(&self.ask).finish()
    }
}
