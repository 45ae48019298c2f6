//! AWS's event stream by other means than the decoder's: written from lines a reader can read, and cut by its lengths.

use serde_json::Value;

/// Encodes an event a line, `name {json}`; a name that begins with `!` is an exception's.
pub(crate) fn encode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (name, payload) = line.split_once(' ').unwrap_or((line, ""));
        let headers = match name.strip_prefix('!') {
            Some(name) => [(":exception-type", name), (":message-type", "exception")],
            None => [(":event-type", name), (":message-type", "event")],
        };
        bytes.extend(frame(&headers, payload.as_bytes()));
    }
    bytes
}

fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, text) in headers {
        head.extend(u8::try_from(name.len()).unwrap_or_default().to_be_bytes());
        head.extend(name.as_bytes());
        head.push(7);
        head.extend(u16::try_from(text.len()).unwrap_or_default().to_be_bytes());
        head.extend(text.as_bytes());
    }
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or_default().to_be_bytes();
    let mut bytes = [length(16 + head.len() + payload.len()), length(head.len())].concat();
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend(head);
    bytes.extend(payload);
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

/// Returns the payloads that are JSON.
pub(crate) fn documents(mut body: &[u8]) -> Vec<Value> {
    let mut found = Vec::new();
    let number =
        |at: Option<&[u8]>| u32::from_be_bytes(at.and_then(|at| at.try_into().ok()).unwrap_or_default()) as usize;
    while let Some((message, rest)) =
        body.split_at_checked(number(body.get(..4))).filter(|(message, _)| message.len() >= 16)
    {
        let payload = message.get(12 + number(message.get(4..8))..message.len() - 4);
        found.extend(payload.and_then(|payload| serde_json::from_slice::<Value>(payload).ok()));
        body = rest;
    }
    found
}
