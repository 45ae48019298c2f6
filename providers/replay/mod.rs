//! The replayer: recorded exchanges of vendors, held against the dialects.
//!
//! For each exchange with a model: the answer is decoded whole, byte by byte and cut in two, always with the same result;
//! every leaf of its body is in the normal form, in raw usage, in extra fields, or on the dialect's list of what says
//! nothing; the answer is the same in its other form, streamed or whole; and the request, decoded and written back from
//! the normal form alone, is the request that was sent. Embeddings and rankings are replayed the same way, with vectors and
//! scores compared number by number. Shared by the example of the same name and by the tests.

pub(crate) mod agree;
pub(crate) mod answer;
pub(crate) mod clouds;
pub(crate) mod documents;
pub(crate) mod embedding;
pub(crate) mod exchange;
pub(crate) mod frames;
pub(crate) mod leaves;
pub(crate) mod natives;
pub(crate) mod ranking;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod responses;
pub(crate) mod vendor;

use std::fs;
use std::path::{Path, PathBuf};

use beluga_providers::llm::Profile;

use answer::{Account, Answer, Cutting};
use documents::Documents;
use exchange::Exchange;
use report::Report;
use request::RequestOutcome;
use vendor::Call;

/// Replays every recording below a folder.
pub(crate) fn replay(root: &Path, cutting: Cutting) -> Report {
    let mut files = Vec::new();
    find(root, &mut files);
    let mut report = Report::default();
    for file in files {
        report.add(replay_file(root, &file, cutting));
    }
    report
}

/// Collects the files that may be recordings, in order.
pub(crate) fn find(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            find(&path, found);
        } else {
            let name = path.to_string_lossy();
            if [".yaml", ".yml", ".http", ".request.json"].iter().any(|end| name.ends_with(end)) {
                found.push(path);
            }
        }
    }
}

/// Replays one file; a file that is no recording counts for nothing.
pub(crate) fn replay_file(root: &Path, file: &Path, cutting: Cutting) -> Report {
    let mut report = Report::default();
    let Some(exchanges) = fs::read_to_string(file).ok().and_then(|text| read(file, &text)) else { return report };
    // The folder that is replayed may itself be a vendor's.
    let shown = file.strip_prefix(root).unwrap_or(file);
    for (at, exchange) in exchanges.iter().enumerate() {
        let result = match vendor::call(exchange, file) {
            Ok(Call::Other) => {
                *report.skipped.entry(format!("{} {}", exchange.method, exchange.path)).or_default() += 1;
                continue;
            }
            Ok(Call::Model(profile)) => replay_call(&profile, exchange, cutting, &mut report),
            Ok(Call::Embedding(profile)) => embedding::replay(&profile, exchange, &mut report),
            Ok(Call::Rerank(profile)) => ranking::replay(&profile, exchange, &mut report),
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => report.passed += 1,
            Err(difference) => {
                report.failed += 1;
                if report.differences.is_empty() {
                    report.differences.push((shown.display().to_string(), format!("#{at}: {difference}")));
                }
            }
        }
    }
    report
}

fn read(file: &Path, text: &str) -> Option<Vec<Exchange>> {
    let name = file.to_string_lossy();
    if name.ends_with(".http") {
        return exchange::read_http(text).map(|exchange| vec![exchange]);
    }
    if name.ends_with(".request.json") {
        return exchange::read_request(text).map(|exchange| vec![exchange]);
    }
    exchange::read(text)
}

fn replay_call(profile: &Profile, exchange: &Exchange, cutting: Cutting, report: &mut Report) -> Result<(), String> {
    if !exchange.request.is_empty() {
        replay_request(profile, exchange, report)?;
    }
    if exchange.status == 0 { Ok(()) } else { replay_answer(profile, exchange, cutting, report) }
}

fn replay_request(profile: &Profile, exchange: &Exchange, report: &mut Report) -> Result<(), String> {
    let dialect = profile.dialect.facts().name;
    match request::round_trip(profile, exchange)? {
        RequestOutcome::Same(passed) => {
            *report.requests.entry(dialect).or_default() += 1;
            for name in passed {
                *report.passed_through.entry((dialect, name)).or_default() += 1;
            }
        }
        RequestOutcome::Refused => report.refused += 1,
        RequestOutcome::NotDecoded => {}
    }
    Ok(())
}

fn replay_answer(profile: &Profile, exchange: &Exchange, cutting: Cutting, report: &mut Report) -> Result<(), String> {
    let dialect = profile.dialect.facts().name;
    let answer = Answer::of(exchange)?;
    let outcome = answer.replay(profile, cutting)?;
    let documents = Documents::of(profile.dialect.facts().framing, &answer.body);
    if let Some(error) = &outcome.error {
        let all = documents.as_ref().map(Documents::all).unwrap_or_default();
        if answer.status.is_success() && !all.iter().any(tells_error) {
            // A stream that was recorded to no end has none, and what is plain text was never an answer.
            let kind = answer.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
            let is_prose = kind.is_some_and(|kind| kind.starts_with("text/plain") || kind.starts_with("text/html"));
            if all.is_empty() && !is_prose || all.iter().any(tells_end) {
                return Err(format!("a successful answer became an error: {error}"));
            }
        }
        report.errors += 1;
        return Ok(());
    }
    let documents = documents.ok_or("an answer without JSON was decoded")?;
    let whole = outcome.answer().map_err(|error| error.to_string())?;
    let Account { held, ignored, superseded } = answer::account(profile, &documents, &whole)?;
    report.held += held;
    report.superseded += superseded;
    for (entry, count) in ignored {
        *report.ignored.entry((dialect, entry)).or_default() += count;
    }
    if let Some(agreed) = agree::check(profile, &answer, &documents, &outcome) {
        agreed?;
        report.agreed += 1;
    }
    Ok(())
}

/// Returns whether a document says that something went wrong.
fn tells_error(document: &serde_json::Value) -> bool {
    let named = |name: &str| document.get(name).is_some_and(|value| !value.is_null());
    let is_named = |name: &str| document.get(name).is_some_and(|kind| kind == "error");
    // Cohere's last event tells of a failure where it tells why the answer ends.
    let ends_with_error = document.pointer("/delta/finish_reason").is_some_and(|reason| reason == "ERROR");
    ends_with_error || named("error") || named("__type") || is_named("type") || is_named("object")
}

/// Returns whether a document says that the answer is complete.
fn tells_end(document: &serde_json::Value) -> bool {
    const REASONS: [&str; 4] = ["finish_reason", "stop_reason", "finishReason", "stopReason"];
    let kind = document.get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
    let is_last = ["message_stop", "response.completed", "message-end"].contains(&kind)
        || document.get("done").is_some_and(|done| done == true);
    is_last || leaves::leaves(document).iter().any(|leaf| REASONS.contains(&leaf.name()))
}
