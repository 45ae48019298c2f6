//! Requests with many replies: the events of a turn, or of a session.
//!
//! The first message opens the stream: `{type: "open", session, turn, control}`. Each further one is one event, numbered
//! by [`SEQUENCE`]. The last one carries [`END`]. To the control subject, which is also the reply subject of every
//! message, the reader may say `{"credit": 32}` or `{"cancel": true}`.
//!
//! A reader that is gone is noticed by the server's word that nobody listens to its inbox. One that is merely slow is the
//! server's to judge: with credit the face is never more than that ahead; without, it pushes [`PUSH_MESSAGES`] messages or
//! [`PUSH_BYTES`] at most before the server has taken them.

use std::pin::Pin;
use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode, Subscriber};
use beluga_actors::session::EventStream;
use beluga_core::{CancelToken, Error, Numbered, Result, SessionId};
use beluga_runtime::time;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::json;

use super::face::{Face, Request};
use super::header::{self, CREDIT_MAX, END, EVENT, SEQUENCE};
use super::subject::{Subject, Verb};
use crate::request::{flag, number, object, refuse_others};

/// How many messages are pushed to a reader without credit before the server has to have taken them.
pub const PUSH_MESSAGES: usize = 256;

/// How many bytes are pushed to a reader without credit before the server has to have taken them.
pub const PUSH_BYTES: usize = 1024 * 1024;

/// How long a stream waits for credit, or for the server, before it is given up.
pub const CREDIT_TIMEOUT: Duration = Duration::from_secs(30);

/// What the face says to itself through the server, to know that everything before has been taken.
const ECHO: &str = "Beluga-Echo";

/// `….agent.<name>.stream`: runs a turn and answers its events.
pub(super) async fn agent(request: Request) -> Result<()> {
    let Some(reply) = request.message.reply.clone() else { return Err(nobody_listens()) };
    let opened = async {
        let (agent, turn) = request.turn(true)?;
        let credit = request.headers().credit()?;
        let context = request.headers().deadline(request.context.clone(), None)?;
        let cancels = turn.cancel_on_disconnect;
        Ok((agent.stream(turn.into_invoke(context)).await?, credit, cancels))
    };
    run(&request, reply, opened.await).await
}

/// `….session.<id>.stream`: answers a session's events after a number, and with `follow` those of later turns.
pub(super) async fn session(request: Request) -> Result<()> {
    let Some(reply) = request.message.reply.clone() else { return Err(nobody_listens()) };
    let opened = async {
        let session = SessionId::parse(&request.subject.id)?;
        let mut fields = object(&request.message.payload)?;
        let (after, follow) = (number(&mut fields, "after")?, flag(&mut fields, "follow")?);
        refuse_others(&fields, "after, follow")?;
        let credit = request.headers().credit()?;
        let sessions = request.face.0.agents.sessions();
        let events = sessions.events(&request.subject.tenant, &session, after, follow.unwrap_or(true)).await?;
        Ok((events, credit, false))
    };
    run(&request, reply, opened.await).await
}

fn nobody_listens() -> Error {
    Error::invalid_input("a stream needs a reply subject").with("field", "reply")
}

/// Sends a stream that was opened, or the error.
async fn run(
    request: &Request,
    reply: async_nats::Subject,
    opened: Result<(EventStream, Option<u64>, bool)>,
) -> Result<()> {
    let face = &request.face;
    let writer = async {
        let (events, credit, cancels) = opened?;
        let control = request.subject.beside("reader", format!("{:032x}", face.0.random.next_u128()), Verb::Tell);
        Writer::open(face.clone(), control, reply.clone(), events, credit, cancels).await
    };
    match writer.await {
        Ok(writer) => writer.run().await,
        Err(error) => {
            let mut headers = HeaderMap::new();
            header::put_error(&mut headers, &error);
            headers.insert(END, "error");
            let body = serde_json::to_vec(&error.problem()).unwrap_or_default();
            face.send(&reply, headers, body.into()).await?;
            Err(error)
        }
    }
}

/// One stream on its way to its reader.
struct Writer {
    face: Face,
    reply: async_nats::Subject,
    control: Subject,
    words: Subscriber,
    events: Pin<Box<EventStream>>,
    sequence: u64,
    window: Window,
    /// Whether the turn ends with its reader.
    cancels: bool,
}

/// How far ahead of its reader the stream may be.
enum Window {
    /// As many messages as the reader asked for.
    Credit(u64),
    /// What was pushed since the server took everything.
    Pushed { messages: usize, bytes: usize, awaits_echo: bool },
}

/// What a stream's reader, or the server for it, says.
enum Word {
    Credit(u64),
    Cancel,
    Echo,
    /// Nobody listens to the inbox any more.
    Gone,
    Nothing,
}

/// Why nothing more is sent.
enum Stop {
    /// The stream said its last word.
    Ended,
    /// The reader has gone.
    Gone,
    Failed(Error),
}

impl Writer {
    async fn open(
        face: Face,
        control: Subject,
        reply: async_nats::Subject,
        events: EventStream,
        credit: Option<u64>,
        cancels: bool,
    ) -> Result<Self> {
        let words = face.0.connection.client().subscribe(control.to_string()).await;
        let words = words.map_err(|error| Error::unavailable("the nats connection is closed").with_source(error))?;
        let window = credit.map_or(Window::Pushed { messages: 0, bytes: 0, awaits_echo: false }, Window::Credit);
        Ok(Self { face, reply, control, words, events: Box::pin(events), sequence: 0, window, cancels })
    }

    async fn run(mut self) -> Result<()> {
        let closing = self.face.0.closing.clone();
        let stop = match self.greet().await {
            Ok(()) => self.pump(&closing).await,
            Err(error) => Stop::Failed(error),
        };
        match stop {
            Stop::Ended => Ok(()),
            Stop::Gone => {
                if self.cancels {
                    self.cancel().await?;
                }
                Ok(())
            }
            Stop::Failed(error) => {
                self.end("error", Some(&error)).await?;
                Err(error)
            }
        }
    }

    /// Tells the reader which session and turn it reads, and where to say something.
    async fn greet(&mut self) -> Result<()> {
        let opening = json!({
            "type": "open",
            "session": self.events.session(),
            "turn": self.events.turn(),
            "control": self.control.to_string(),
        });
        let mut headers = HeaderMap::new();
        headers.insert(EVENT, "open");
        self.send(headers, opening.to_string().into()).await
    }

    async fn pump(&mut self, closing: &CancelToken) -> Stop {
        let mut outcome = "ok";
        loop {
            let may_send = self.may_send();
            tokio::select! {
                biased;
                word = self.words.next() => match self.hear(word) {
                    Word::Credit(more) => self.give(more),
                    Word::Echo => self.window = Window::Pushed { messages: 0, bytes: 0, awaits_echo: false },
                    Word::Cancel => if let Err(error) = self.cancel().await { return Stop::Failed(error) },
                    Word::Gone => return Stop::Gone,
                    Word::Nothing => {}
                },
                () = closing.cancelled() => return Stop::Failed(Error::unavailable("the node is going away")),
                event = self.events.next(), if may_send => match event {
                    None => return self.end(outcome, None).await.map_or_else(Stop::Failed, |()| Stop::Ended),
                    Some(Err(error)) => return Stop::Failed(error),
                    Some(Ok(event)) => {
                        if event.event.is_terminal() {
                            outcome = outcome_of(&event);
                        }
                        if let Err(error) = self.event(&event).await {
                            return Stop::Failed(error);
                        }
                    }
                },
                () = time::sleep(CREDIT_TIMEOUT), if !may_send => {
                    return Stop::Failed(Error::timeout("the reader took nothing").with("limit_ms", CREDIT_TIMEOUT.as_millis()));
                }
            }
        }
    }

    /// Returns whether the window is open; if the server has yet to take what was pushed, it is asked to say so.
    fn may_send(&self) -> bool {
        match &self.window {
            Window::Credit(left) => *left > 0,
            Window::Pushed { awaits_echo, .. } => !awaits_echo,
        }
    }

    fn give(&mut self, more: u64) {
        if let Window::Credit(left) = &mut self.window {
            *left = left.saturating_add(more).min(CREDIT_MAX);
        }
    }

    async fn event(&mut self, event: &Numbered) -> Result<()> {
        let body = serde_json::to_vec(event)
            .map_err(|error| Error::internal("an event is no JSON").with("number", event.number).with_source(error))?;
        let limit = self.face.0.connection.payload_max();
        if body.len() > limit {
            return Err(Error::unsupported("an event is larger than the nats server takes; read it over HTTP")
                .with("number", event.number)
                .with("bytes", body.len())
                .with("limit_bytes", limit));
        }
        let mut headers = HeaderMap::new();
        headers.insert(EVENT, event.event.name());
        let size = body.len();
        self.send(headers, body.into()).await?;
        match &mut self.window {
            Window::Credit(left) => *left = left.saturating_sub(1),
            Window::Pushed { messages, bytes, awaits_echo } => {
                *messages += 1;
                *bytes += size;
                if *messages >= PUSH_MESSAGES || *bytes >= PUSH_BYTES {
                    *awaits_echo = true;
                    let mut headers = HeaderMap::new();
                    headers.insert(ECHO, "1");
                    let to = async_nats::Subject::from(self.control.to_string());
                    self.face.send(&to, headers, Bytes::new()).await?;
                }
            }
        }
        Ok(())
    }

    /// Says the last word.
    async fn end(&mut self, outcome: &'static str, error: Option<&Error>) -> Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert(END, outcome);
        let mut body = Vec::new();
        if let Some(error) = error {
            header::put_error(&mut headers, error);
            body = serde_json::to_vec(&error.problem()).unwrap_or_default();
        }
        self.send(headers, body.into()).await
    }

    async fn send(&mut self, mut headers: HeaderMap, body: Bytes) -> Result<()> {
        headers.insert(SEQUENCE, self.sequence.to_string().as_str());
        self.sequence += 1;
        // With a reply subject the server answers for an inbox nobody listens to.
        let client = self.face.0.connection.client();
        let sent =
            client.publish_with_reply_and_headers(self.reply.clone(), self.control.to_string(), headers, body).await;
        sent.map_err(|error| Error::unavailable("the nats connection is closed").with_source(error))
    }

    /// Cancels the turn that is read, as its session knows it.
    async fn cancel(&mut self) -> Result<()> {
        let sessions = self.face.0.agents.sessions();
        sessions.cancel(&self.control.tenant, self.events.session()).await.map(drop)
    }

    fn hear(&self, word: Option<Message>) -> Word {
        // The subscription ends with the connection only, and then nothing can be sent either.
        let Some(word) = word else { return Word::Gone };
        if word.status == Some(StatusCode::NO_RESPONDERS) {
            return Word::Gone;
        }
        if word.headers.as_ref().is_some_and(|headers| headers.get(ECHO).is_some()) {
            return Word::Echo;
        }
        match parse(&word.payload) {
            Ok(word) => word,
            Err(error) => {
                tracing::debug!(%error, control = %self.control, "a reader's word is not understood");
                Word::Nothing
            }
        }
    }
}

fn parse(body: &[u8]) -> Result<Word> {
    let mut fields = object(body)?;
    let (credit, cancel) = (number(&mut fields, "credit")?, flag(&mut fields, "cancel")?);
    refuse_others(&fields, "credit, cancel")?;
    Ok(match (cancel, credit) {
        (Some(true), _) => Word::Cancel,
        (_, Some(more)) => Word::Credit(more),
        _ => Word::Nothing,
    })
}

fn outcome_of(event: &Numbered) -> &'static str {
    match &event.event {
        beluga_core::Event::Error { error } if error.code == beluga_core::Code::Cancelled => "cancelled",
        beluga_core::Event::Error { .. } => "error",
        _ => "ok",
    }
}
