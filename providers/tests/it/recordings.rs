//! Recorded exchanges of vendors, replayed. They lie outside the project: the folder is named by `BELUGA_RECORDINGS`, and
//! without it nothing is replayed and a line says so.

use std::path::Path;

use crate::replay;
use crate::replay::answer::Cutting;

/// Replays one vendor's folder.
#[allow(clippy::disallowed_methods, reason = "a test finds its recordings by the environment")]
fn check(folder: &str) {
    let Ok(root) = std::env::var("BELUGA_RECORDINGS") else {
        println!("{folder}: skipped 1 folder of recordings, BELUGA_RECORDINGS is not set");
        return;
    };
    let root = Path::new(&root);
    let mut files = Vec::new();
    replay::find(&root.join(folder), &mut files);
    let mut report = replay::report::Report::default();
    for file in files {
        report.add(replay::replay_file(root, &file, Cutting::Quick));
    }
    let lines = report.lines();
    println!("{}", lines.join("\n"));
    assert!(report.differences.is_empty(), "{:?}", report.differences);
    assert!(report.passed > 0, "{folder}: no recordings found");
}

#[test]
fn recordings_of_openai_replay() {
    check("openai");
}

#[test]
fn recordings_of_anthropic_replay() {
    check("anthropic");
}

#[test]
fn recordings_of_groq_replay() {
    check("groq");
}

#[test]
fn recordings_of_deepseek_replay() {
    check("deepseek");
}

#[test]
fn recordings_of_bedrock_replay() {
    check("bedrock");
}

#[test]
fn recordings_of_gemini_replay() {
    check("gemini");
}

#[test]
fn recordings_of_perplexity_replay() {
    check("perplexity");
}

#[test]
fn recordings_of_xai_replay() {
    check("xai");
}

#[test]
fn recordings_of_compatible_servers_replay() {
    for folder in ["doubleword", "mistralrs", "venice"] {
        check(folder);
    }
}

#[test]
fn recordings_of_llamacpp_replay() {
    check("llamacpp");
}

#[test]
fn recordings_of_cohere_replay() {
    check("cohere");
}

#[test]
fn recordings_of_mistral_replay() {
    check("mistral");
}

#[test]
fn recordings_of_ollama_replay() {
    check("ollama");
}

#[test]
fn recordings_of_openrouter_replay() {
    check("openrouter");
}
