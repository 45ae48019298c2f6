//! The public contract as documents: a JSON Schema for each request and reply, and AsyncAPI for the whole.

#![allow(clippy::indexing_slicing, reason = "adding a key to a JSON object that was just written cannot fail")]

use std::collections::HashMap;

use beluga_actors::session::{METADATA_KEY_MAX_BYTES, METADATA_MAX, METADATA_VALUE_MAX_BYTES};
use beluga_core::{Code, ID_MAX_BYTES};
use serde_json::{Map, Value, json};

use super::counts::Endpoint;
use super::header::{self, CREDIT_MAX};
use super::subject::{ROOT, Verb};
use crate::request::IDEMPOTENCY_KEY_MAX_BYTES;

/// What stands in the metadata of an endpoint.
pub(super) fn metadata(endpoint: Endpoint) -> HashMap<String, String> {
    HashMap::from([
        ("description".to_owned(), describe(endpoint).to_owned()),
        ("request_schema".to_owned(), request(endpoint).to_string()),
        ("reply_schema".to_owned(), reply(endpoint).to_string()),
    ])
}

fn describe(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::AgentCall => "runs a turn and answers its result",
        Endpoint::AgentTell => "starts a turn; with a reply subject, acknowledges it once it is recorded",
        Endpoint::AgentStream => {
            "runs a turn and answers its events, the opening first, Beluga-Eos on the last message"
        }
        Endpoint::SessionCall => "cancels the running turn of a session",
        Endpoint::SessionStream => "answers a session's events after a number, and with follow those to come",
    }
}

/// Returns the JSON Schema of a request.
fn request(endpoint: Endpoint) -> Value {
    let object = |properties: Value, required: &[&str]| json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    match endpoint {
        Endpoint::AgentCall | Endpoint::AgentTell => object(turn(), &["input"]),
        Endpoint::AgentStream => {
            let mut fields = turn();
            let about = "whether the turn is cancelled when nobody listens any more";
            fields["cancel_on_disconnect"] = json!({"type": ["boolean", "null"], "description": about});
            object(fields, &["input"])
        }
        Endpoint::SessionCall => object(json!({"cancel": {"const": true}}), &["cancel"]),
        Endpoint::SessionStream => object(
            json!({
                "after": {"type": ["integer", "null"], "minimum": 0, "description": "the last event seen"},
                "follow": {"type": ["boolean", "null"], "description": "whether later turns follow; true by default"},
            }),
            &[],
        ),
    }
}

fn turn() -> Value {
    let id = json!({"type": ["string", "null"], "pattern": format!("^[A-Za-z0-9_-]{{1,{ID_MAX_BYTES}}}$"),
        "description": "the session to go on with; a new one if absent"});
    json!({
        "input": {"type": "string", "minLength": 1, "description": "what is asked"},
        "session": id,
        "metadata": {
            "type": ["object", "null"],
            "maxProperties": METADATA_MAX,
            "propertyNames": {"minLength": 1, "maxLength": METADATA_KEY_MAX_BYTES},
            "additionalProperties": {"type": "string", "maxLength": METADATA_VALUE_MAX_BYTES},
            "description": "labels kept with the turn, never shown to the model",
        },
    })
}

/// Returns the JSON Schema of a reply; of a stream, that of each message but the last.
fn reply(endpoint: Endpoint) -> Value {
    let text = json!({"type": "string"});
    match endpoint {
        Endpoint::AgentCall => json!({
            "type": "object",
            "properties": {"result": text, "session": text, "turn": text, "usage": usage()},
            "required": ["result", "session", "turn", "usage"],
        }),
        Endpoint::AgentTell => json!({
            "type": "object", "properties": {"session": text, "turn": text}, "required": ["session", "turn"],
        }),
        Endpoint::SessionCall => json!({
            "type": "object",
            "properties": {"session": text, "turn": {"type": ["string", "null"]}, "cancelled": {"type": "boolean"}},
            "required": ["session", "turn", "cancelled"],
        }),
        Endpoint::AgentStream | Endpoint::SessionStream => json!({"oneOf": [opening(), event()]}),
    }
}

fn opening() -> Value {
    let text = json!({"type": "string"});
    json!({
        "type": "object",
        "properties": {
            "type": {"const": "open"}, "session": text, "turn": {"type": ["string", "null"]},
            "control": {"type": "string", "description": "where the reader says {\"credit\": n} or {\"cancel\": true}"},
        },
        "required": ["type", "session", "turn", "control"],
    })
}

fn event() -> Value {
    let names =
        ["text", "thinking", "tool_call", "tool_result", "handoff", "approval", "usage", "retry", "done", "error"];
    json!({
        "type": "object",
        "properties": {
            "number": {"type": "integer", "description": "the cursor: rises within a session, has gaps, is never reused"},
            "turn": {"type": "string"}, "agent": {"type": "string"},
            "at_ms": {"type": "integer", "description": "milliseconds since 1970 UTC"},
            "type": {"enum": names},
        },
        "required": ["number", "turn", "agent", "at_ms", "type"],
    })
}

fn usage() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "integer"}, "description": "tokens of the turn"})
}

/// Returns the JSON Schema of an error's body: problem details (RFC 9457) with a code.
fn problem() -> Value {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    json!({
        "type": "object",
        "properties": {
            "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
            "detail": {"type": "string"}, "code": {"enum": codes}, "retryable": {"type": "boolean"},
            "retry_after_ms": {"type": "integer"}, "partial": {"type": "string"}, "request_id": {"type": "string"},
        },
        "required": ["type", "title", "status", "detail", "code", "retryable"],
    })
}

fn request_headers(verb: Verb) -> Value {
    let mut headers = json!({
        header::DEADLINE: {"type": "string", "pattern": "^[0-9]+$", "description": "how long the caller waits, in milliseconds"},
        header::IDEMPOTENCY_KEY: {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX_BYTES},
        header::REQUEST_ID: {"type": "string"},
        header::TRACEPARENT: {"type": "string", "description": "W3C Trace Context"},
        header::CODEC: {"const": "json"},
    });
    if verb == Verb::Stream {
        let about = format!("how many messages the reader takes at first, 1 to {CREDIT_MAX}; absent: the node pushes");
        headers[header::CREDIT] = json!({"type": "string", "pattern": "^[0-9]+$", "description": about});
    }
    json!({"type": "object", "properties": headers})
}

fn reply_headers(verb: Verb) -> Value {
    let mut headers = json!({
        header::ERROR: {"type": "string", "description": "code: message; only on errors"},
        header::ERROR_CODE: {"type": "string", "description": "the HTTP status of the error; only on errors"},
    });
    if verb == Verb::Stream {
        headers[header::SEQUENCE] = json!({"type": "string", "description": "0, 1, 2, …: a gap is a lost message"});
        headers[header::EVENT] = json!({"type": "string", "description": "the type of the event"});
        headers[header::END] = json!({"enum": ["ok", "error", "cancelled"], "description": "on the last message only"});
    }
    json!({"type": "object", "properties": headers})
}

/// Returns the public contract as an AsyncAPI 3.0 document (asyncapi.com, read 2026-11).
///
/// ```
/// let document = beluga_transports::nats::asyncapi();
/// assert_eq!(document["asyncapi"], "3.0.0");
/// assert_eq!(document["channels"]["agent-call"]["address"], "beluga.v1.{tenant}.agent.{id}.call");
/// assert!(document["channels"]["agent-call-user"]["address"].as_str().unwrap().contains(".x.{user}."));
/// ```
#[must_use]
pub fn asyncapi() -> Value {
    let (mut channels, mut operations) = (Map::new(), Map::new());
    for endpoint in Endpoint::ALL {
        let (kind, verb) = (endpoint.kind(), endpoint.verb());
        for (end, user) in [("", ""), ("-user", "x.{user}.")] {
            let name = format!("{}{end}", endpoint.name());
            let address = format!("{ROOT}.{{tenant}}.{user}{kind}.{{id}}.{}", verb.as_str());
            channels.insert(name.clone(), channel(endpoint, &address, !user.is_empty()));
            operations.insert(name.clone(), operation(endpoint, &name));
        }
    }
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Beluga agents over NATS",
            "version": "1.0.0",
            "description": "Requests and replies are JSON. The tenant, and the user where there is one, are taken from the subject: the server's permissions decide who may publish there.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
    })
}

fn channel(endpoint: Endpoint, address: &str, has_user: bool) -> Value {
    let verb = endpoint.verb();
    let mut parameters = json!({
        "tenant": {"description": "whose agent it is"},
        "id": {"description": if endpoint.kind() == "agent" { "the agent's name" } else { "the session's id" }},
    });
    if has_user {
        parameters["user"] = json!({"description": "who asks, as the server's permissions vouch for"});
    }
    json!({
        "address": address,
        "parameters": parameters,
        "messages": {
            "request": {"headers": request_headers(verb), "payload": request(endpoint)},
            "reply": {"headers": reply_headers(verb), "payload": reply(endpoint)},
            "error": {"headers": reply_headers(verb), "payload": problem()},
        },
    })
}

fn operation(endpoint: Endpoint, name: &str) -> Value {
    let channel = json!({"$ref": format!("#/channels/{name}")});
    let message = |which: &str| json!({"$ref": format!("#/channels/{name}/messages/{which}")});
    json!({
        "action": "receive",
        "summary": describe(endpoint),
        "channel": channel,
        "messages": [message("request")],
        "reply": {
            "address": {"location": "$message.header#/reply-to", "description": "the request's reply subject"},
            "channel": channel,
            "messages": [message("reply"), message("error")],
        },
    })
}
