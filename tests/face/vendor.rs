//! A vendor of models in this process, OpenAI-compatible: what it answers stands in the question.
//!
//! The last user message decides: `say X` answers X; `slow N` N words, one every 100 ms; `flood N` N pieces of 1 KiB at
//! once, `stall N` too and waits before the end; `hang` nothing, until the client hangs up; `refuse CODE` that status;
//! `count` how many messages it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

/// What the vendor has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Requests that came.
    pub(crate) requests: AtomicUsize,
    /// Requests whose client hung up before the answer's end.
    pub(crate) hung_up: AtomicUsize,
    /// Answers whose pieces were all taken.
    pub(crate) flooded: AtomicUsize,
}

/// A running vendor; its thread ends with the test.
pub(crate) struct Vendor {
    address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
}

impl Vendor {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &seen));
            }
        });
        Self { address, seen }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns a configuration with this vendor behind the agent `assistant`.
    pub(crate) fn configuration(&self) -> String {
        format!(
            "[providers.main]\nkind = \"openai-compatible\"\nmodel = \"played\"\nbase_url = \"{}\"\n\
             retry = {{ attempts = 1 }}\n[agents.assistant]\nmemory = []\n",
            self.url()
        )
    }

    pub(crate) fn hung_up(&self) -> usize {
        self.seen.hung_up.load(Ordering::SeqCst)
    }

    pub(crate) fn flooded(&self) -> usize {
        self.seen.flooded.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }
}

fn serve(stream: &TcpStream, seen: &Seen) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while let Some((question, messages)) = read_question(&mut reader) {
        seen.requests.fetch_add(1, Ordering::SeqCst);
        let question = if question.starts_with("count") { format!("say {messages}") } else { question };
        if answer(stream, &mut reader, &question, seen).is_err() {
            seen.hung_up.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
}

/// Reads a request and returns its last user message and how many messages it has.
fn read_question(reader: &mut BufReader<TcpStream>) -> Option<(String, usize)> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).ok()?;
    let messages = body["messages"].as_array()?;
    let last = messages.iter().rev().find(|message| message["role"] == "user")?;
    let question = match &last["content"] {
        Value::String(text) => text.clone(),
        parts => parts[0]["text"].as_str()?.to_owned(),
    };
    Some((question, messages.len()))
}

fn answer(
    mut stream: &TcpStream,
    reader: &mut BufReader<TcpStream>,
    question: &str,
    seen: &Seen,
) -> std::io::Result<()> {
    let (verb, rest) = question.split_once(' ').unwrap_or((question, ""));
    let count: usize = rest.parse().unwrap_or(1);
    if verb == "refuse" {
        let body = r#"{"error":{"message":"refused"}}"#;
        return write!(
            stream,
            "HTTP/1.1 {rest} Refused\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    }
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    match verb {
        "hang" => {
            // Nothing is ever answered; reading returns when the client hangs up.
            let gone = reader.fill_buf().map_or(true, <[u8]>::is_empty);
            return if gone { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(()) };
        }
        "slow" => {
            for word in 0..count {
                piece(stream, &format!("word{word} "))?;
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        "flood" | "stall" => {
            for number in 0..count {
                piece(stream, &format!("{number:08}{}", "x".repeat(1016)))?;
            }
            seen.flooded.fetch_add(1, Ordering::SeqCst);
            if verb == "stall" {
                std::thread::sleep(Duration::from_secs(3));
            }
        }
        _ => piece(stream, rest)?,
    }
    data(stream, &json!({"id": "a", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}).to_string())?;
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8});
    data(stream, &json!({"id": "a", "choices": [], "usage": usage}).to_string())?;
    data(stream, "[DONE]")?;
    stream.write_all(b"0\r\n\r\n")
}

fn piece(stream: &TcpStream, text: &str) -> std::io::Result<()> {
    data(stream, &json!({"id": "a", "choices": [{"index": 0, "delta": {"content": text}}]}).to_string())
}

fn data(mut stream: &TcpStream, text: &str) -> std::io::Result<()> {
    let event = format!("data: {text}\n\n");
    write!(stream, "{:x}\r\n{event}\r\n", event.len())
}
