//! The project's own exchanges of embeddings and rankings: their normal forms are the expected ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use axum::http::{HeaderMap, HeaderName, StatusCode};
use beluga_core::Result;
use beluga_providers::embed::EMBED_PROFILES;
use beluga_providers::rerank::RERANK_PROFILES;
use serde::Serialize;
use serde_json::{Value, json};

use crate::replay::exchange::{self, Exchange};
use crate::replay::vendor::{self, Call};
use crate::replay::{self, answer::Cutting};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Returns the normal form of an exchange: the request, and the answer or the error.
fn normal<Q: Serialize, A: Serialize>(
    exchange: &Exchange,
    request: Result<Q>,
    decode: impl Fn(&[u8]) -> Result<A>,
) -> Value {
    let request = match request {
        Ok(request) => json!(request),
        Err(error) => json!({"refused": error.to_string()}),
    };
    let status = StatusCode::from_u16(exchange.status).unwrap();
    if status.is_success() {
        return json!({"request": request, "answer": decode(&exchange.body).unwrap()});
    }
    let headers: HeaderMap = exchange
        .headers
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    let error = vendor_refusal(status, &headers, &exchange.body);
    json!({"request": request, "error": error.problem(), "retry": error.retry()})
}

fn vendor_refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> beluga_core::Error {
    beluga_providers::vendor::refusal(status, headers, SystemTime::UNIX_EPOCH, body, None)
}

fn check(path: &Path) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let exchanges = exchange::read(&text).unwrap_or_else(|| panic!("{} is no recording", path.display()));
    let normals: Vec<Value> = exchanges
        .iter()
        .map(|exchange| match vendor::call(exchange, path).unwrap() {
            Call::Embedding(profile) => {
                let request = profile.decode_request(&exchange.path, &exchange.request);
                normal(exchange, request, |body| profile.decode(body))
            }
            Call::Rerank(profile) => {
                normal(exchange, profile.decode_request(&exchange.request), |body| profile.decode(body))
            }
            other => panic!("{}: {other:?}", path.display()),
        })
        .collect();
    let have = Value::Array(normals);
    let expected = path.with_extension("expected.json");
    let want: Value = serde_json::from_str(&fs::read_to_string(&expected).unwrap_or_default()).unwrap_or_default();
    let difference = replay::request::difference(&want, &have, &mut String::new());
    let shown = serde_json::to_string_pretty(&have).unwrap();
    assert!(difference.is_none(), "{}: {}\nhave {shown}", expected.display(), difference.unwrap_or_default());
}

#[test]
fn embeddings_of_every_vendor_have_the_expected_normal_form() {
    for profile in EMBED_PROFILES {
        check(&fixtures().join(profile.name).join("embed.yaml"));
    }
}

#[test]
fn rankings_of_every_vendor_have_the_expected_normal_form() {
    for profile in RERANK_PROFILES {
        check(&fixtures().join(profile.name).join("rerank.yaml"));
    }
}

#[test]
fn every_exchange_replays_without_loss() {
    let mut files = Vec::new();
    replay::find(&fixtures(), &mut files);
    let mut report = replay::report::Report::default();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "yaml")) {
        report.add(replay::replay_file(&fixtures(), file, Cutting::Quick));
    }
    println!("{}", report.lines().join("\n"));
    assert!(report.differences.is_empty(), "{:?}", report.differences);
    assert!(report.skipped.is_empty() && report.vectors > 15 && report.ranked > 10);
}

#[test]
fn a_body_of_bytes_is_read_whichever_way_a_recorder_marked_it() {
    // "aMOp/w==" is h, é and a byte that is no text.
    let bytes = [b'h', 0xC3, 0xA9, 0xFF];
    let bodies = [
        "\n      string: !!binary |\n        aMOp\n        /w==",
        "\n      string: !<tag:yaml.org,2002:binary> \"aMOp/w==\"",
        " !!binary |\n      aMOp/w==",
        "\n      base64_string: aMOp/w==",
    ];
    for body in bodies {
        let text = format!(
            "interactions:\n- request: {{method: POST, uri: 'https://api.openai.com/v1/embeddings', body: '{{}}'}}\n  \
             response:\n    status: {{code: 200}}\n    body:{body}\n"
        );
        let exchanges = exchange::read(&text).unwrap_or_else(|| panic!("no recording: {text}"));
        assert_eq!(exchanges[0].body, bytes, "{text}");
    }
}
