//! The project's own fixtures: answers decoded in every cut, requests encoded for every vendor.

use std::fs;
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use beluga_core::ModelRequest;
use beluga_providers::llm::{PROFILES, Profile};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::replay::answer::{Answer, Cutting};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn files(name: &str, end: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder(name))
        .unwrap_or_else(|error| panic!("fixtures/{name}: {error}"))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect();
    found.sort();
    found
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn answer(path: &Path) -> Answer {
    let text = fs::read_to_string(path).unwrap();
    let (head, body) = text.split_once("\n\n").unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    // A binary stream is written as lines a reader can read.
    let is_binary = headers.get("content-type").is_some_and(|kind| kind == "application/vnd.amazon.eventstream");
    let body = if is_binary { crate::replay::frames::encode(body) } else { body.as_bytes().to_vec() };
    Answer { status: StatusCode::from_bytes(status.as_bytes()).unwrap(), headers, body }
}

/// Shows a difference as text of one line per field.
fn compare(have: &Value, path: &Path) {
    let want = json(path);
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    assert!(*have == want, "{}\nhave {}\nwant {}", path.display(), pretty(have), pretty(&want));
}

fn check_answers(profile: &Profile) {
    let paths = files(profile.name, ".http");
    assert!(paths.len() >= 4, "{} has only {} answers", profile.name, paths.len());
    for path in paths {
        let name = path.display().to_string();
        let outcome =
            answer(&path).replay(profile, Cutting::Thorough).unwrap_or_else(|error| panic!("{name}: {error}"));
        let error = outcome.error.map(|error| json!({"error": error.problem(), "retry": error.retry()}));
        let have = json!({"chunks": outcome.chunks, "failure": error});
        compare(&have, &path.with_extension("expected.json"));
    }
}

#[test]
fn answers_of_every_vendor_decode_as_expected_in_every_cut() {
    for profile in PROFILES {
        check_answers(profile);
    }
}

#[test]
fn requests_are_encoded_as_every_vendor_wants_them() {
    for path in files("requests", ".json") {
        let request: ModelRequest = serde_json::from_value(json(&path)).unwrap();
        for profile in PROFILES {
            let have = match profile.encode("model-1", &request, true, None) {
                Ok(body) => serde_json::from_slice(&body).unwrap(),
                Err(error) => json!({"refused": error.to_string()}),
            };
            let name = path.file_stem().unwrap().to_str().unwrap();
            compare(&have, &folder(profile.name).join(format!("{name}.request.json")));
        }
    }
}

proptest! {
    /// Whatever a line or a proxy does to an answer, it ends as an answer or as an error, the same in every cut.
    #[test]
    fn damaged_answers_never_panic_and_never_depend_on_the_cut(
        file in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0_u8..4, any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let all: Vec<(&Profile, PathBuf)> =
            PROFILES.iter().flat_map(|profile| files(profile.name, ".http").into_iter().map(move |path| (*profile, path))).collect();
        let (profile, path) = file.get(&all);
        let mut answer = answer(path);
        for (at, kind, byte) in damage {
            let at = at.index(answer.body.len().max(1)).min(answer.body.len());
            match kind {
                0 => answer.body.truncate(at),
                1 => answer.body.insert(at, byte),
                2 => drop(answer.body.splice(at..at, b"\n\n".iter().copied())),
                _ => {
                    if let Some(there) = answer.body.get_mut(at) {
                        *there = byte;
                    }
                }
            }
        }
        let whole = answer.decode(profile, [answer.body.as_slice()]);
        let (head, tail) = answer.body.split_at(cut.index(answer.body.len() + 1));
        prop_assert_eq!(&answer.decode(profile, [head, tail]), &whole);
        let finished = whole.chunks.iter().filter(|chunk| matches!(chunk, beluga_core::ModelChunk::Finished { .. })).count();
        prop_assert_eq!(finished, usize::from(whole.error.is_none()));
    }
}
