//! Finds requests to web addresses, and takes them out of the text before the rest is read.

use std::ops::Range;

use super::token::{Token, tokens};

/// A request to a web address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) url: String,
    pub(super) body: Option<String>,
}

/// Verbs and the method they mean.
const VERBS: [(&str, &str); 16] = [
    ("get", "GET"),
    ("fetch", "GET"),
    ("open", "GET"),
    ("read", "GET"),
    ("load", "GET"),
    ("visit", "GET"),
    ("download", "GET"),
    ("request", "GET"),
    ("call", "GET"),
    ("head", "HEAD"),
    ("post", "POST"),
    ("send", "POST"),
    ("submit", "POST"),
    ("put", "PUT"),
    ("patch", "PATCH"),
    ("delete", "DELETE"),
];

/// Returns the requests in a text, and the text without them. An address without a verb is none.
pub(super) fn take(text: &str) -> (Vec<Request>, String) {
    let mut requests = Vec::new();
    let mut rest = String::with_capacity(text.len());
    let mut start = 0;
    while let Some(url) = next_url(text, start) {
        let before = text.get(start..url.start).unwrap_or_default();
        let Some((verb, method)) = verb(before) else {
            rest.push_str(before);
            start = url.end;
            continue;
        };
        let behind = text.get(url.end..).unwrap_or_default();
        let carries = matches!(method, "POST" | "PUT" | "PATCH");
        let (body, taken) = match body_between(before, &verb).filter(|_| carries) {
            Some(body) => (Some(body), 0),
            None => body_behind(behind),
        };
        rest.push_str(before.get(..verb.start).unwrap_or_default());
        rest.push_str(". ");
        requests.push(Request { method, url: text.get(url.clone()).unwrap_or_default().to_owned(), body });
        start = url.end + taken;
    }
    rest.push_str(text.get(start..).unwrap_or_default());
    (requests, rest)
}

fn next_url(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = text.get(start..)?;
    let mut schemes = rest.match_indices("http").map(|(at, _)| at + start);
    let starts = |at: &usize| {
        let address = text.get(*at..).unwrap_or_default();
        address.starts_with("http://") || address.starts_with("https://")
    };
    let at = schemes.find(starts)?;
    let url = text.get(at..)?;
    let length = url.find(|character: char| character.is_whitespace() || matches!(character, '"' | '<' | '>' | '`'));
    let url = url.get(..length.unwrap_or(url.len()))?;
    // What ends a sentence does not end an address.
    let url = url.trim_end_matches(['.', ',', ';', '!', '?', ')', '\'']);
    Some(at..at + url.len())
}

/// Returns the last verb before an address, and its method.
fn verb(before: &str) -> Option<(Range<usize>, &'static str)> {
    let found = |token: &Token| {
        let (_, method) = VERBS.iter().find(|(verb, _)| token.word() == Some(verb))?;
        Some((token.range.clone(), *method))
    };
    // The first verb of the last sentence: in "post my request to" the request is no verb.
    let sentence = before.rfind(['.', '!', '?', '\n']).map_or(0, |at| at + 1);
    tokens(before).iter().filter(|token| token.range.start >= sentence).find_map(found)
}

/// Reads `post BODY to URL`.
fn body_between(before: &str, verb: &Range<usize>) -> Option<String> {
    let between = before.get(verb.end..)?.trim();
    let body = between.strip_suffix(" to")?.trim();
    let filler = ["a", "an", "the", "it", "this", "request", "a request", "a post request", "request to"];
    if body.is_empty() || filler.contains(&body.to_lowercase().as_str()) {
        return None;
    }
    Some(unquoted(body).to_owned())
}

/// Reads `URL with (the) body BODY`; returns how much of the text it took.
fn body_behind(behind: &str) -> (Option<String>, usize) {
    let mut rest = behind;
    let mut led = false;
    loop {
        let trimmed = rest.trim_start();
        let word_end = trimmed.find(|character: char| !character.is_alphabetic()).unwrap_or(trimmed.len());
        let word = trimmed.get(..word_end).unwrap_or_default().to_lowercase();
        match word.as_str() {
            "with" | "body" | "data" | "payload" | "content" => led = true,
            "the" | "json" | "a" if led => {}
            _ => break,
        }
        rest = trimmed.get(word_end..).unwrap_or_default();
    }
    if !led {
        return (None, 0);
    }
    let body = rest.trim_start_matches([' ', ':', '=']);
    let length = body_length(body);
    let taken = behind.len() - body.len() + length;
    let body = unquoted(body.get(..length).unwrap_or_default().trim());
    ((!body.is_empty()).then(|| body.to_owned()), taken)
}

/// Returns how long a body is: its JSON value, its quotes, or the rest of the line.
fn body_length(body: &str) -> usize {
    let mut values = serde_json::Deserializer::from_str(body).into_iter::<serde_json::Value>();
    if body.starts_with(['{', '[', '"']) && matches!(values.next(), Some(Ok(_))) {
        return values.byte_offset();
    }
    let quote = body.chars().next().filter(|first| matches!(first, '\'' | '`'));
    if let Some(end) = quote.and_then(|quote| body.get(1..)?.find(quote)) {
        return end + 2;
    }
    body.find('\n').unwrap_or(body.len())
}

fn unquoted(text: &str) -> &str {
    for (open, close) in [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”')] {
        if let Some(inner) = text.strip_prefix(open).and_then(|rest| rest.strip_suffix(close)) {
            return inner;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &'static str, url: &str, body: Option<&str>) -> Request {
        Request { method, url: url.to_owned(), body: body.map(str::to_owned) }
    }

    #[test]
    fn verbs_addresses_and_bodies_are_found() {
        let url = "http://127.0.0.1:8080/a?b=1";
        for (text, method, body) in [
            (format!("Get {url}."), "GET", None),
            (format!("please fetch the page at {url}"), "GET", None),
            (format!("POST {{\"a\": [1, 2]}} to {url}"), "POST", Some("{\"a\": [1, 2]}")),
            (format!("post to {url} with the body {{\"a\": 1}} and tell me"), "POST", Some("{\"a\": 1}")),
            (format!("send 'hello there' to {url}"), "POST", Some("hello there")),
            (format!("PUT {url} with body: x = y"), "PUT", Some("x = y")),
            (format!("delete {url}!"), "DELETE", None),
        ] {
            assert_eq!(take(&text).0, vec![request(method, url, body)], "{text}");
        }
    }

    #[test]
    fn what_is_left_is_read_as_before() {
        let (requests, rest) = take("What is 2 + 2? Get http://a.b/c, and http://d.e is nice. Bye");
        assert_eq!(requests, vec![request("GET", "http://a.b/c", None)]);
        assert!(rest.starts_with("What is 2 + 2? .") && rest.ends_with("is nice. Bye"), "{rest}");
        assert_eq!(take("https://a.b is an address").0, vec![]);
    }
}
