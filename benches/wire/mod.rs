//! Both ends of a node on loopback: a vendor of models behind it, and readers of server-sent events before it.
#![allow(dead_code)] // Each bench uses its part.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// How many connections may wait to be accepted: all sessions of a load come at once.
const BACKLOG: u32 = 4096;

/// The most bytes of an answer that are written though the node has not taken them; accepted connections inherit it.
const SEND_BUFFER_BYTES: u32 = 16 * 1024;

/// The vendor at work on one answer.
pub(crate) type Answering = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Answers one question of the node.
pub(crate) type Script = dyn Fn(Question, Answer) -> Answering + Send + Sync;

/// What the node asks: a chat completion request.
pub(crate) struct Question(pub(crate) Value);

impl Question {
    /// Returns the text of the last user message.
    pub(crate) fn text(&self) -> &str {
        let asked = self.messages().iter().rev().find(|message| message["role"] == "user");
        let content = asked.map(|message| &message["content"]);
        content.and_then(|content| content.as_str().or_else(|| content[0]["text"].as_str())).unwrap_or_default()
    }

    /// Returns whether a tool has answered since.
    pub(crate) fn has_result(&self) -> bool {
        self.messages().last().is_some_and(|message| message["role"] == "tool")
    }

    fn messages(&self) -> &[Value] {
        self.0["messages"].as_array().map(Vec::as_slice).unwrap_or_default()
    }
}

/// The answer as it is written: an OpenAI-compatible stream.
pub(crate) struct Answer(TcpStream);

impl Answer {
    /// Writes one piece of text, as one write.
    pub(crate) async fn piece(&mut self, text: &str) -> io::Result<()> {
        self.data(&json!({"id": "a", "choices": [{"index": 0, "delta": {"content": text}}]}).to_string()).await
    }

    /// Writes pieces of text as events of their own in one write.
    pub(crate) async fn pieces(&mut self, texts: &[&str]) -> io::Result<()> {
        let event = |text: &&str| {
            let piece = json!({"id": "a", "choices": [{"index": 0, "delta": {"content": text}}]});
            format!("data: {piece}\n\n")
        };
        self.0.write_all(texts.iter().map(event).collect::<String>().as_bytes()).await
    }

    /// Asks for a tool and ends.
    pub(crate) async fn call(mut self, name: &str, arguments: &str) -> io::Result<()> {
        let call =
            json!({"index": 0, "id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}});
        self.data(&json!({"id": "a", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}).to_string()).await?;
        self.end("tool_calls").await
    }

    /// Ends the answer.
    pub(crate) async fn end(mut self, reason: &str) -> io::Result<()> {
        let last = json!({"id": "a", "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
        self.data(&last.to_string()).await?;
        let usage = json!({"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8});
        self.data(&json!({"id": "a", "choices": [], "usage": usage}).to_string()).await?;
        self.data("[DONE]").await?;
        self.0.shutdown().await
    }

    async fn data(&mut self, text: &str) -> io::Result<()> {
        self.0.write_all(format!("data: {text}\n\n").as_bytes()).await
    }
}

/// Starts a vendor; it ends with its runtime.
pub(crate) async fn vendor(script: Arc<Script>) -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(SEND_BUFFER_BYTES).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener: TcpListener = socket.listen(BACKLOG).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let script = Arc::clone(&script);
            tokio::spawn(async move {
                // A node that hangs up has its reasons.
                let _ = serve(stream, &script).await;
            });
        }
    });
    address
}

async fn serve(stream: TcpStream, script: &Arc<Script>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).await?;
    let mut stream = reader.into_inner();
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n").await?;
    script(Question(serde_json::from_slice(&body).unwrap()), Answer(stream)).await
}

/// Returns a configuration with this vendor behind the agent `assistant`, which has every built-in tool.
pub(crate) fn configuration(vendor: SocketAddr) -> String {
    format!(
        "[providers.main]\nkind = \"openai-compatible\"\nmodel = \"played\"\nbase_url = \"http://{vendor}/v1\"\n\
         limits = {{ max_pending = 100000 }}\n[agents.assistant]\ntools = [\"calculator\"]\n"
    )
}

/// One event as its reader got it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

/// A reader of server-sent events: HTTP/1.0, so that the body is the stream.
pub(crate) struct Reader {
    stream: BufReader<TcpStream>,
    /// Comments other than keep-alives: why the node ended the stream, and where to go on.
    pub(crate) comments: Vec<String>,
}

impl Reader {
    /// Starts a turn in a session and reads its events.
    pub(crate) async fn turn(node: SocketAddr, session: &str, input: &str) -> io::Result<Self> {
        Self::open(TcpSocket::new_v4()?, node, &turn(session, input)).await
    }

    /// As [`turn`](Self::turn), for a reader whose system keeps little for it.
    pub(crate) async fn narrow_turn(node: SocketAddr, session: &str, input: &str) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        Self::open(socket, node, &turn(session, input)).await
    }

    /// Reads a session's events after a cursor: those there are, or with `follow` also those to come.
    pub(crate) async fn session(
        node: SocketAddr,
        session: &str,
        cursor: Option<u64>,
        follow: bool,
    ) -> io::Result<Self> {
        let cursor = cursor.map(|cursor| format!("Last-Event-ID: {cursor}\r\n")).unwrap_or_default();
        let path = format!("/api/v1/sessions/{session}/events?follow={follow}");
        let head = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{cursor}\r\n");
        Self::open(TcpSocket::new_v4()?, node, &head).await
    }

    async fn open(socket: TcpSocket, node: SocketAddr, head: &str) -> io::Result<Self> {
        let mut stream = socket.connect(node).await?;
        stream.set_nodelay(true)?;
        stream.write_all(head.as_bytes()).await?;
        let mut stream = BufReader::new(stream);
        let mut status = String::new();
        stream.read_line(&mut status).await?;
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 2 {
            line.clear();
        }
        if !status.contains(" 200 ") {
            let mut body = String::new();
            stream.read_to_string(&mut body).await?;
            return Err(io::Error::other(format!("{} {body}", status.trim())));
        }
        Ok(Self { stream, comments: Vec::new() })
    }

    /// Returns the next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Event>> {
        let mut event = Event { number: 0, name: String::new(), data: String::new() };
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            let line = line.trim_end();
            match line.split_once(": ") {
                Some(("id", number)) => event.number = number.parse().map_err(io::Error::other)?,
                Some(("event", name)) => event.name = name.to_owned(),
                Some(("data", data)) => event.data = data.to_owned(),
                Some(("", comment)) if comment != "ok" => self.comments.push(comment.to_owned()),
                _ if line.is_empty() && !event.data.is_empty() => return Ok(Some(event)),
                _ => {}
            }
        }
    }

    /// Reads to the end of the stream.
    pub(crate) async fn rest(&mut self) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }
}

/// Returns the request that starts a turn.
fn turn(session: &str, input: &str) -> String {
    let body = json!({"input": input, "session": session}).to_string();
    let head = "POST /api/v1/agents/assistant/stream HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json";
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Returns the text of events, put together.
pub(crate) fn text(events: &[Event]) -> String {
    let texts = events.iter().filter(|event| event.name == "text");
    texts.map(|event| event.json()["text"].as_str().unwrap().to_owned()).collect()
}
