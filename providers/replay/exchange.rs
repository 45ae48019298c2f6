//! Recorded exchanges, from the two formats they come in.

use std::borrow::Cow;

use serde_json::Value as Json;
use serde_yaml_ng::Value;

/// One request and its answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    /// The host, where the recording names one.
    pub(crate) host: Option<String>,
    /// The path of the address, still escaped, without the query; empty in this project's own fixtures, whose folder is
    /// the vendor's.
    pub(crate) path: String,
    /// Empty if only the answer is there.
    pub(crate) request: Vec<u8>,
    /// 0 if only the request is there.
    pub(crate) status: u16,
    /// The headers of the answer.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Reads the exchanges of a file; `None` if it is no recording.
pub(crate) fn read(text: &str) -> Option<Vec<Exchange>> {
    let mut found = Vec::new();
    let text = &with_marks_kept(text);
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        let document: Value = serde::Deserialize::deserialize(document).ok()?;
        if let Some(interactions) = document.get("interactions") {
            found.extend(interactions.as_sequence()?.iter().filter_map(of_interaction));
        } else {
            found.push(of_when_then(&document)?);
        }
    }
    (!found.is_empty()).then_some(found)
}

/// How YAML marks bytes written in base64.
const MARKS: [&str; 2] = ["!!binary", "!<tag:yaml.org,2002:binary>"];

/// Rewrites the standard mark of bytes, which the parser takes and forgets, as one of an application's own, which it hands
/// on: where it stands before the value of a body.
fn with_marks_kept(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let value = line.trim_start().strip_prefix("string: ").or_else(|| line.trim_start().strip_prefix("body: "));
        let rest = value.and_then(|value| MARKS.iter().find_map(|mark| value.strip_prefix(mark)));
        match value.zip(rest) {
            Some((value, rest)) => kept.extend([&line[..line.len() - value.len()], "!binary", rest]),
            None => kept.push_str(line),
        }
    }
    kept
}

/// Reads one of this project's own answers: a status line, headers, an empty line, the body.
pub(crate) fn read_http(text: &str) -> Option<Exchange> {
    let (head, body) = text.split_once("\n\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.strip_prefix("HTTP/")?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers: Vec<(String, String)> = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let method = "POST".to_owned();
    // A binary stream is written as lines a reader can read.
    let body = if is_event_stream(&headers) { super::frames::encode(body) } else { body.as_bytes().to_vec() };
    Some(Exchange { method, status, headers, body, ..Exchange::default() })
}

/// Reads one of this project's own requests: the body alone; `None` for what is refused.
pub(crate) fn read_request(text: &str) -> Option<Exchange> {
    let body: Json = serde_json::from_str(text).ok()?;
    let method = "POST".to_owned();
    body.get("refused").is_none().then(|| Exchange { method, request: text.as_bytes().to_vec(), ..Exchange::default() })
}

/// This project's corpus: `when` and `then`.
fn of_when_then(document: &Value) -> Option<Exchange> {
    let (when, then) = (document.get("when")?, document.get("then")?);
    let headers: Vec<(String, String)> = list(then.get("header")).iter().filter_map(name_and_value).collect();
    let body = text(then.get("body")?);
    // A body that is no text is written in base64.
    let body = if is_event_stream(&headers) { base64(&body)? } else { body.into_owned().into_bytes() };
    Some(Exchange {
        method: text(when.get("method")?).into_owned(),
        host: None,
        path: text(when.get("path")?).into_owned(),
        request: when.get("body").map(|body| text(body).into_owned().into_bytes()).unwrap_or_default(),
        status: u16::try_from(then.get("status")?.as_u64()?).ok()?,
        headers,
        body,
    })
}

fn is_event_stream(headers: &[(String, String)]) -> bool {
    headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("content-type") && value.starts_with("application/vnd.amazon.eventstream")
    })
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_sequence).map(Vec::as_slice).unwrap_or_default()
}

fn name_and_value(header: &Value) -> Option<(String, String)> {
    Some((text(header.get("name")?).into_owned(), text(header.get("value")?).into_owned()))
}

/// VCR's: `request` and `response`, bodies as text, as bytes, or as documents already parsed.
fn of_interaction(interaction: &Value) -> Option<Exchange> {
    let (request, response) = (interaction.get("request")?, interaction.get("response")?);
    let address = text(request.get("uri").or_else(|| request.get("url"))?);
    let rest = address.split_once("://").map_or(address.as_ref(), |(_, rest)| rest);
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let status = response.get("status")?;
    let status = status.get("code").unwrap_or(status).as_u64()?;
    let mut headers = Vec::new();
    for (name, values) in response.get("headers").and_then(Value::as_mapping).into_iter().flatten() {
        let values = values.as_sequence().map_or(std::slice::from_ref(values), Vec::as_slice);
        headers.extend(values.iter().map(|value| (text(name).into_owned(), text(value).into_owned())));
    }
    let mut body_of_answer = body(response);
    // A binary stream may have lost the mark that it is written in base64.
    if is_event_stream(&headers) && body_of_answer.first().is_some_and(|first| *first != 0) {
        body_of_answer = base64(&String::from_utf8_lossy(&body_of_answer)).unwrap_or(body_of_answer);
    }
    Some(Exchange {
        method: request.get("method").map(|method| text(method).into_owned()).unwrap_or_default(),
        host: Some(host.to_owned()),
        path: path.split(['?', '#']).next().unwrap_or_default().to_owned(),
        request: body(request),
        status: u16::try_from(status).ok()?,
        headers,
        body: body_of_answer,
    })
}

fn body(message: &Value) -> Vec<u8> {
    if let Some(parsed) = message.get("parsed_body").filter(|parsed| !parsed.is_null()) {
        let json: Option<Json> = serde_yaml_ng::from_value(parsed.clone()).ok();
        return json.map(|json| json.to_string().into_bytes()).unwrap_or_default();
    }
    let Some(body) = message.get("body") else { return Vec::new() };
    if let Some(encoded) = body.get("base64_string") {
        return base64(&text(encoded)).unwrap_or_default();
    }
    let body = body.get("string").unwrap_or(body);
    match body {
        Value::Tagged(tagged) if tagged.tag == "binary" => base64(&text(&tagged.value)).unwrap_or_default(),
        body => text(body).into_owned().into_bytes(),
    }
}

/// Returns a scalar as text.
fn text(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        Value::Number(number) => Cow::Owned(number.to_string()),
        Value::Bool(bool) => Cow::Owned(bool.to_string()),
        Value::Tagged(tagged) => text(&tagged.value),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) => Cow::Borrowed(""),
    }
}

/// Decodes standard base64; white space is skipped.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut bits) = (0_u32, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        group = group << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(group >> bits & 0xFF).ok()?);
        }
    }
    Some(bytes)
}
