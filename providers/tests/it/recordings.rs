//! Recorded answers of vendors, replayed through the decoders. They lie outside the project: the folder is named by
//! `BELUGA_RECORDINGS`, and without it nothing is replayed and the count says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use beluga_core::{FinishReason, ModelChunk};
use beluga_providers::llm::{ANTHROPIC, DEEPSEEK, GROQ, OLLAMA, OPENAI, OPENAI_COMPATIBLE, Profile};
use serde::Deserialize;
use serde_json::Value;

use crate::replay::{Answer, Outcome};

#[derive(Deserialize)]
struct Exchange {
    when: Request,
    then: Response,
}

#[derive(Deserialize)]
struct Request {
    path: String,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    #[serde(default)]
    header: Vec<Header>,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    name: String,
    value: String,
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            found.push(path);
        }
    }
}

fn answer(response: Response) -> Answer {
    let mut headers = HeaderMap::new();
    for header in response.header {
        let name = HeaderName::from_bytes(header.name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(&header.value).unwrap());
    }
    let status = StatusCode::from_u16(response.status).unwrap();
    Answer { status, headers, body: response.body.unwrap_or_default().into_bytes() }
}

/// What an answer says, read by other means than the decoder's: text, thinking and the names of the tools called.
#[derive(Debug, Default, PartialEq)]
struct Said {
    text: String,
    thinking: String,
    tools: Vec<String>,
}

impl Said {
    /// Reads every string an answer of either dialect may carry, from each JSON document of the body.
    fn in_body(body: &str) -> Self {
        let mut said = Self::default();
        let documents: Vec<Value> = match serde_json::from_str(body) {
            Ok(whole) => vec![whole],
            Err(_) => body.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect(),
        };
        for document in &documents {
            let choice = &document["choices"][0];
            for delta in [&choice["delta"], &choice["message"]] {
                said.text.push_str(delta["content"].as_str().unwrap_or_default());
                said.text.push_str(delta["refusal"].as_str().unwrap_or_default());
                let thinking = delta["reasoning_content"].as_str().or(delta["reasoning"].as_str());
                said.thinking.push_str(thinking.unwrap_or_default());
                let calls = delta["tool_calls"].as_array().into_iter().flatten();
                said.tools.extend(calls.filter_map(|call| call["function"]["name"].as_str()).map(str::to_owned));
            }
            let blocks = document["content"].as_array().into_iter().flatten();
            for block in blocks.chain([&document["content_block"], &document["delta"]]) {
                said.text.push_str(block["text"].as_str().unwrap_or_default());
                said.thinking.push_str(block["thinking"].as_str().unwrap_or_default());
                if block["type"] == "tool_use" {
                    said.tools.push(block["name"].as_str().unwrap().to_owned());
                }
            }
        }
        said
    }

    fn in_chunks(chunks: &[ModelChunk]) -> Self {
        let mut said = Self::default();
        for chunk in chunks {
            match chunk {
                ModelChunk::Text { text } | ModelChunk::Refusal { text } => said.text.push_str(text),
                ModelChunk::ThinkingDelta { text } => said.thinking.push_str(text),
                ModelChunk::ToolCall(call) => said.tools.push(call.name.clone()),
                _ => {}
            }
        }
        said
    }
}

fn check(outcome: &Outcome, answer: &Answer, name: &str) {
    if !answer.status.is_success() {
        assert!(outcome.chunks.is_empty() && outcome.error.is_some(), "{name}: {outcome:?}");
        return;
    }
    assert!(outcome.error.is_none(), "{name}: {outcome:?}");
    let Some(ModelChunk::Finished { reason, raw_usage }) = outcome.chunks.last() else { panic!("{name}: {outcome:?}") };
    let body = std::str::from_utf8(&answer.body).unwrap();
    assert_eq!(raw_usage.is_some(), body.contains("_tokens\":"), "{name}: usage is kept where it was told");
    assert!(!matches!(reason, FinishReason::Other(_)), "{name}: {reason:?}");
    let mut want = Said::in_body(body);
    let mut have = Said::in_chunks(&outcome.chunks);
    if *reason == FinishReason::Length {
        // The calls that the limit cut are left out.
        assert!(want.tools.starts_with(&have.tools), "{name}");
        (want.tools, have.tools) = (Vec::new(), Vec::new());
    }
    assert_eq!(have, want, "{name}");
    for chunk in &outcome.chunks {
        if let ModelChunk::ToolCall(call) = chunk {
            assert!(!call.id.is_empty(), "{name}");
            assert!(call.parse_arguments().is_ok(), "{name}: {}", call.arguments);
        }
    }
}

/// Replays one vendor's folder; `path_end` tells the exchanges of the vendor's dialect from others.
#[allow(clippy::disallowed_methods, reason = "a test finds its recordings by the environment")]
fn replay(folder: &str, profile: &Profile, path_end: &str) {
    let Ok(root) = std::env::var("BELUGA_RECORDINGS") else {
        println!("{folder}: skipped 1 folder of recordings, BELUGA_RECORDINGS is not set");
        return;
    };
    let mut paths = Vec::new();
    files(&Path::new(&root).join(folder), &mut paths);
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    let mut replayed = 0;
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        for (at, document) in serde_yaml_ng::Deserializer::from_str(&text).enumerate() {
            let exchange = Exchange::deserialize(document).unwrap();
            if !exchange.when.path.ends_with(path_end) {
                *skipped.entry(exchange.when.path).or_default() += 1;
                continue;
            }
            let name = format!("{} #{at}", path.display());
            let answer = answer(exchange.then);
            check(&answer.replay(profile, &name), &answer, &name);
            replayed += 1;
        }
    }
    println!(
        "{folder}: replayed {replayed}, skipped {} of other dialects {skipped:?}",
        skipped.values().sum::<usize>()
    );
    assert!(replayed > 0 || !skipped.is_empty(), "{folder}: no recordings found");
}

const CHAT: &str = "/chat/completions";

#[test]
fn recordings_of_openai_replay() {
    replay("openai", &OPENAI, CHAT);
}

#[test]
fn recordings_of_anthropic_replay() {
    replay("anthropic", &ANTHROPIC, "/messages");
}

#[test]
fn recordings_of_groq_replay() {
    replay("groq", &GROQ, CHAT);
}

#[test]
fn recordings_of_deepseek_replay() {
    replay("deepseek", &DEEPSEEK, CHAT);
}

#[test]
fn recordings_of_ollama_replay() {
    replay("ollama", &OLLAMA, CHAT);
}

#[test]
fn recordings_of_compatible_servers_replay() {
    for folder in ["doubleword", "mistralrs", "venice"] {
        replay(folder, &OPENAI_COMPATIBLE, CHAT);
    }
}

#[test]
fn recordings_of_llamacpp_replay() {
    replay("llamacpp", &OPENAI_COMPATIBLE, CHAT);
}
