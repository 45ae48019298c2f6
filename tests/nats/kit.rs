//! A node in this process behind a nats-server, and a client.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subscriber};
use beluga::actors::agent::{Agent, AgentBuilder, Agents};
use beluga::actors::session::{Settings, Stores};
use beluga::actors::testkit::{Answer, ScriptedModel};
use beluga::providers::memory::{MemoryJournal, MemoryMessages, MemoryState};
use beluga::runtime::{System, SystemRandom};
use beluga::transports::nats::{ConnectSettings, Connection, Face, FaceSettings, Listener};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;

use crate::server::{PATIENCE, Server};

/// A node whose agent `assistant` of every tenant says what its script says.
pub struct Node {
    pub system: System,
    pub agents: Agents,
    pub model: ScriptedModel,
    pub face: Face,
    pub listener: Listener,
}

impl Node {
    pub async fn start(server: &Server, answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::with(ConnectSettings::new(server.url()), FaceSettings::default(), answers, |agent| agent).await
    }

    pub async fn with(
        connect: ConnectSettings,
        settings: FaceSettings,
        answers: impl IntoIterator<Item = Answer>,
        build: impl FnOnce(AgentBuilder) -> AgentBuilder,
    ) -> Self {
        let system = System::builder("test").seed(7).build().unwrap();
        let stores = Stores {
            journal: Arc::new(MemoryJournal::new()),
            messages: Arc::new(MemoryMessages::new()),
            state: Arc::new(MemoryState::new()),
        };
        let agents = Agents::start(&system, &stores, Settings::default()).await.unwrap();
        let model = ScriptedModel::new(answers);
        build(Agent::builder("assistant").model(model.clone())).spawn(&agents).await.unwrap();
        let random = SystemRandom::seeded(9);
        let connection = Connection::open(&connect, &random).await.unwrap();
        let face = Face::new(connection, agents.clone(), settings, random);
        let listener = Listener::start(&system, "nats", face.clone()).await.unwrap();
        Self { system, agents, model, face, listener }
    }

    pub async fn stop(self) {
        self.listener.stop().await;
        self.face.close().await;
        drop(self.agents);
        self.system.shutdown(Duration::from_secs(5)).await.unwrap();
    }
}

/// Connects a client and waits until the node behind the server answers it.
pub async fn client(server: &Server) -> Client {
    let client = async_nats::connect(server.url()).await.unwrap();
    until_served(&client).await;
    client
}

/// Waits until some node has subscribed.
pub async fn until_served(client: &Client) {
    patiently("a node serves", async {
        while client.request("$SRV.PING.beluga", Bytes::new()).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Waits for what must come.
pub async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// Asks once.
pub async fn call(client: &Client, subject: &str, body: &str) -> Message {
    patiently(subject, client.request(subject.to_owned(), body.to_owned().into())).await.unwrap()
}

pub fn json(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap_or_else(|error| panic!("{error} in {message:?}"))
}

pub fn header<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    message.headers.as_ref()?.get(name).map(|value| value.as_str())
}

/// A stream as its reader sees it.
pub struct Reading {
    client: Client,
    inbox: Subscriber,
    pub control: String,
    pub session: String,
    next: u64,
}

/// One message of a stream.
#[derive(Debug)]
pub struct Item {
    pub event: Option<String>,
    pub end: Option<String>,
    pub body: Value,
}

impl Reading {
    /// Opens a stream.
    pub async fn open(client: &Client, subject: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(inbox.clone()).await.unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        let payload = Bytes::from(body.to_owned());
        client.publish_with_reply_and_headers(subject.to_owned(), inbox, map, payload).await.unwrap();
        let (control, session) = (String::new(), String::new());
        let mut reading = Self { client: client.clone(), inbox: subscriber, control, session, next: 0 };
        let opening = reading.next().await;
        assert_eq!(opening.event.as_deref(), Some("open"), "{opening:?}");
        reading.control = opening.body["control"].as_str().unwrap().to_owned();
        reading.session = opening.body["session"].as_str().unwrap().to_owned();
        reading
    }

    /// Returns the next message; its number must be the next one.
    pub async fn next(&mut self) -> Item {
        let message = patiently("the next message of a stream", self.inbox.next()).await.unwrap();
        assert_eq!(header(&message, "Beluga-Seq"), Some(self.next.to_string().as_str()), "a gap: {message:?}");
        self.next += 1;
        let body = if message.payload.is_empty() { Value::Null } else { json(&message) };
        let own = |name| header(&message, name).map(str::to_owned);
        Item { event: own("Beluga-Event"), end: own("Beluga-Eos"), body }
    }

    /// Reads to the end and returns the events by name, and the outcome.
    pub async fn rest(&mut self) -> (Vec<(String, Value)>, String, Value) {
        let mut events = Vec::new();
        loop {
            let item = self.next().await;
            match (item.event, item.end) {
                (_, Some(end)) => return (events, end, item.body),
                (Some(event), None) => events.push((event, item.body)),
                other => panic!("neither event nor end: {other:?}"),
            }
        }
    }

    /// Says something to whoever writes the stream.
    pub async fn say(&self, word: &str) {
        self.client.publish(self.control.clone(), word.to_owned().into()).await.unwrap();
    }

    /// Returns whether nothing comes for a moment, and nothing is on its way: the server has been asked twice.
    pub async fn is_quiet(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(300), self.inbox.next()).await.is_err()
    }

    /// Leaves without a word.
    pub async fn leave(mut self) {
        self.inbox.unsubscribe().await.unwrap();
        self.client.flush().await.unwrap();
    }
}
