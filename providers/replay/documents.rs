//! The JSON documents of a body, cut by other means than the decoders'.

use beluga_providers::llm::Framing;
use serde_json::Value;

use super::frames;

/// The documents of a body.
#[derive(Debug)]
pub(crate) enum Documents {
    Whole(Value),
    Stream(Vec<Value>),
}

impl Documents {
    /// Cuts a body; `None` if it holds no JSON.
    pub(crate) fn of(framing: Framing, body: &[u8]) -> Option<Self> {
        if let Ok(whole) = serde_json::from_slice(body) {
            return Some(Documents::Whole(whole));
        }
        let events: Vec<Value> = match framing {
            Framing::Sse => events_of_sse(&String::from_utf8_lossy(body)),
            Framing::Lines => {
                String::from_utf8_lossy(body).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
            }
            Framing::EventStream => frames::documents(body),
            _ => Vec::new(),
        };
        (!events.is_empty()).then_some(Documents::Stream(events))
    }

    /// Returns the documents.
    pub(crate) fn all(&self) -> &[Value] {
        match self {
            Documents::Whole(whole) => std::slice::from_ref(whole),
            Documents::Stream(events) => events,
        }
    }
}

fn events_of_sse(text: &str) -> Vec<Value> {
    let lines = text.replace("\r\n", "\n").replace('\r', "\n");
    let data = |block: &str| {
        let lines: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("data:")).collect();
        lines.join("\n")
    };
    lines.split("\n\n").filter_map(|block| serde_json::from_str(data(block).trim()).ok()).collect()
}
