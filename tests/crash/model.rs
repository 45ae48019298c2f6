//! The model: an OpenAI-compatible server that answers by a script and remembers what it was asked.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::server::{self, Gate, Request};
use crate::support::wait_until;

/// One request to the model.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// Which request it is, from 1, over all processes.
    pub(crate) number: usize,
    /// The messages as they were sent.
    pub(crate) messages: Vec<Value>,
}

impl Ask {
    /// Returns the last thing a user said.
    pub(crate) fn question(&self) -> &str {
        let last = self.messages.iter().rev().find(|message| message["role"] == "user").unwrap();
        match &last["content"] {
            Value::String(text) => text,
            parts => parts[0]["text"].as_str().unwrap(),
        }
    }

    /// Counts the answers with tool calls since.
    pub(crate) fn rounds(&self) -> usize {
        let since = self.messages.iter().rev().take_while(|message| message["role"] != "user");
        since.filter(|message| message["tool_calls"].is_array()).count()
    }

    /// Returns whether the model is told that an outcome is unknown.
    pub(crate) fn is_told_unknown(&self) -> bool {
        self.messages.iter().any(|message| message["role"] == "tool" && message.to_string().contains("unknown_outcome"))
    }
}

/// What the model says.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pieces: Vec<String>,
    calls: Vec<(String, Value)>,
    hold: Option<(usize, Gate)>,
}

impl Answer {
    /// Says some pieces of text.
    pub(crate) fn pieces<T: Into<String>>(pieces: impl IntoIterator<Item = T>) -> Self {
        Self { pieces: pieces.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Calls a tool at the end.
    pub(crate) fn call(mut self, name: &str, arguments: Value) -> Self {
        self.calls.push((name.to_owned(), arguments));
        self
    }

    /// Waits at a gate after some pieces.
    pub(crate) fn hold(mut self, after_pieces: usize, gate: &Gate) -> Self {
        self.hold = Some((after_pieces, gate.clone()));
        self
    }
}

/// A running model.
pub(crate) struct Model {
    pub(crate) address: SocketAddr,
    asks: Arc<Mutex<Vec<Ask>>>,
}

impl Model {
    pub(crate) fn start(script: impl Fn(&Ask) -> Answer + Send + Sync + 'static) -> Self {
        let asks = Arc::<Mutex<Vec<Ask>>>::default();
        let shared = Arc::clone(&asks);
        let address = server::start(move |request, stream| serve(request, stream, &shared, &script));
        Self { address, asks }
    }

    /// Returns everything that was asked.
    pub(crate) fn asks(&self) -> Vec<Ask> {
        self.asks.lock().unwrap().clone()
    }

    /// Counts what was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asks.lock().unwrap().len()
    }

    /// Waits until it has been asked that often.
    pub(crate) fn wait_asked(&self, times: usize) {
        wait_until(|| (self.asked() >= times).then_some(()))
            .unwrap_or_else(|| panic!("the model was asked {} times, not {times}", self.asked()));
    }
}

fn serve(
    request: &Request,
    stream: &TcpStream,
    asks: &Mutex<Vec<Ask>>,
    script: &impl Fn(&Ask) -> Answer,
) -> std::io::Result<()> {
    let body: Value = serde_json::from_slice(&request.body)?;
    let messages = body["messages"].as_array().unwrap().clone();
    let ask = {
        let mut asks = asks.lock().unwrap();
        let ask = Ask { number: asks.len() + 1, messages };
        asks.push(ask.clone());
        ask
    };
    send(stream, &ask, &script(&ask))
}

fn send(mut stream: &TcpStream, ask: &Ask, answer: &Answer) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let hold = |sent: usize| {
        if let Some((_, gate)) = answer.hold.as_ref().filter(|(after, _)| *after == sent) {
            gate.wait();
        }
    };
    hold(0);
    for (index, piece) in answer.pieces.iter().enumerate() {
        choice(stream, json!({"content": piece}), None)?;
        hold(index + 1);
    }
    for (index, (name, arguments)) in answer.calls.iter().enumerate() {
        // The same call has the same id in every run, so that histories can be compared.
        let id = format!("call-{}-{index}", ask.rounds());
        let function = json!({"name": name, "arguments": arguments.to_string()});
        let call = json!({"index": index, "id": id, "type": "function", "function": function});
        choice(stream, json!({"tool_calls": [call]}), None)?;
    }
    choice(stream, json!({}), Some(if answer.calls.is_empty() { "stop" } else { "tool_calls" }))?;
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8});
    data(stream, &json!({"id": "a", "choices": [], "usage": usage}).to_string())?;
    data(stream, "[DONE]")?;
    stream.write_all(b"0\r\n\r\n")
}

#[allow(clippy::needless_pass_by_value, reason = "it is made for the call")]
fn choice(stream: &TcpStream, delta: Value, finish: Option<&str>) -> std::io::Result<()> {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    data(stream, &json!({"id": "a", "choices": [choice]}).to_string())
}

fn data(mut stream: &TcpStream, text: &str) -> std::io::Result<()> {
    let event = format!("data: {text}\n\n");
    stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
}
