//! The house rules that a compiler does not know: which room may know what.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Crate folder and the Beluga crates it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("runtime/core", &[]),
    ("runtime/macros", &[]),
    ("runtime", &["beluga-core", "beluga-macros"]),
    ("actors", &["beluga-core", "beluga-macros", "beluga-runtime"]),
    ("providers", &["beluga-core"]),
    ("transports", &["beluga-core", "beluga-runtime", "beluga-actors"]),
];

fn root() -> &'static Path {
    Path::new(ROOT)
}

/// Every Rust source below a folder, tests left out, with its path relative to the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path: PathBuf = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "tests" {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let relative = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((relative, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The code lines of a source: comments and everything from `#[cfg(test)]` on left out.
fn code(source: &str) -> impl Iterator<Item = &str> {
    source
        .lines()
        .take_while(|line| !line.trim_start().starts_with("#[cfg(test)]") || !line.starts_with('#'))
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// Lines of code in `folders` that hold `word`, outside the places where it belongs.
fn intruders(folders: &[&str], word: &str, home: &[&str]) -> Vec<String> {
    folders
        .iter()
        .flat_map(|folder| sources(folder))
        .filter(|(path, _)| !home.iter().any(|home| path.starts_with(home)))
        .flat_map(|(path, source)| {
            let hits: Vec<String> = code(&source)
                .filter(|line| line.contains(word))
                .map(|line| format!("{path}: {}", line.trim()))
                .collect();
            hits
        })
        .collect()
}

const ALL: &[&str] = &["runtime/core/src", "runtime/src", "actors/src", "providers/src", "transports/src", "src"];

#[test]
fn crates_depend_only_along_the_arrows() {
    for (folder, allowed) in ARROWS {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let section = manifest.split("[dependencies]").nth(1).unwrap_or_default();
        let section = section.split("\n[").next().unwrap();
        for line in section.lines().filter(|line| line.starts_with("beluga-")) {
            let name = line.split(['.', ' ', '=']).next().unwrap();
            assert!(allowed.contains(&name), "{folder} must not know {name}");
        }
    }
}

#[test]
fn core_knows_no_runtime_and_no_vendor() {
    let manifest = fs::read_to_string(root().join("runtime/core/Cargo.toml")).unwrap();
    for word in ["tokio", "ractor", "reqwest", "rusqlite", "axum"] {
        assert!(!manifest.contains(word), "core depends on {word}");
    }
}

#[test]
fn each_library_stays_in_its_room() {
    for (word, home) in [
        ("ractor::", &["runtime/src/cell"][..]),
        ("rusqlite", &["providers/src/sqlite"][..]),
        ("reqwest", &["providers/src/http", "src/cli"][..]),
        ("axum", &["transports/src/http"][..]),
        ("async_nats", &["transports/src/nats"][..]),
        ("ratatui", &["src/cli/top"][..]),
        ("bincode", &["runtime/src/wire"][..]),
        ("ciborium", &["runtime/src/wire"][..]),
        ("async_nats", &["transports/src/nats"][..]),
    ] {
        let found = intruders(ALL, word, home);
        assert!(found.is_empty(), "{word} outside {home:?}:\n{}", found.join("\n"));
    }
}

#[test]
fn only_the_runtime_spawns_and_reads_the_clock() {
    for (word, home) in [
        ("tokio::spawn(", &["runtime/src/task.rs"][..]),
        ("spawn_blocking(", &["runtime/src/task.rs", "runtime/src/host.rs"][..]),
        // loom has threads of its own, which a model starts.
        ("thread::spawn(", &["runtime/src/task.rs", "runtime/src/models"][..]),
        ("Instant::now()", &["runtime/src/time.rs"][..]),
        ("SystemTime::now()", &["runtime/src/time.rs"][..]),
        ("tokio::time::sleep", &["runtime/src/time.rs"][..]),
    ] {
        let found = intruders(ALL, word, home);
        assert!(found.is_empty(), "{word} outside {home:?}:\n{}", found.join("\n"));
    }
}

#[test]
fn there_is_no_mutable_global_state() {
    // A thread remembers which actor's code it runs while it polls it, where its asks wait, where it notes its polls for the
    // watchdog of each system, and has at hand handles of the context it handled a message with last, and boxes for messages.
    let of_thread = &[
        "runtime/src/ground.rs",
        "runtime/src/waits.rs",
        "runtime/src/watchdog/beats.rs",
        "runtime/src/call/purse.rs",
        "runtime/src/shelf/mod.rs",
    ];
    for (word, home) in [("static mut ", &[][..]), ("thread_local!", &of_thread[..]), ("lazy_static!", &[][..])] {
        let found = intruders(ALL, word, home);
        assert!(found.is_empty(), "{word}:\n{}", found.join("\n"));
    }
}

#[test]
fn no_room_is_called_util() {
    for folder in ALL {
        for (path, _) in sources(folder) {
            for word in ["util", "common", "helper", "manager", "misc"] {
                let named = path.split(['/', '.']).any(|part| part == word || part == format!("{word}s"));
                assert!(!named, "{path}: give it the name of what it holds");
            }
        }
    }
}

#[test]
fn the_default_build_needs_nothing_but_a_c_compiler() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in
        ["aws-lc-sys", "aws-lc-rs", "openssl-sys", "native-tls", "cmake", "prost-build", "protobuf-src", "zstd-sys"]
    {
        assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name} is in the dependency graph");
    }
}

#[test]
fn panics_unwind_in_every_profile() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(!manifest.contains("panic = \"abort\""), "supervision turns panics into restarts");
}

#[test]
fn every_actor_room_has_the_same_files() {
    for room in [
        "agent",
        "model",
        "session",
        "tool",
        "memory/core",
        "memory/recall",
        "retrieval/embedder",
        "retrieval/reranker",
    ] {
        for file in ["mod.rs", "message.rs", "actor.rs", "handle.rs"] {
            let path = root().join("actors/src").join(room).join(file);
            assert!(path.exists(), "{} is missing", path.display());
        }
    }
}

#[test]
fn every_contract_has_a_conformance_module() {
    for contract in ["journal", "message_store", "state_store"] {
        let path = root().join("tests/conformance").join(format!("{contract}.rs"));
        assert!(path.exists(), "{} is missing", path.display());
    }
}

#[test]
fn every_numbered_example_is_in_the_readme_and_the_first_is_its_first_code() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut examples: Vec<String> = fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    examples.sort();
    assert!(!examples.is_empty());
    for example in &examples {
        assert!(readme.contains(&format!("examples/{example}")), "examples/{example} is not in the README");
        let source = fs::read_to_string(root().join("examples").join(example)).unwrap();
        assert!(source.lines().count() <= 80, "{example} is longer than 80 lines");
    }
    let first = fs::read_to_string(root().join("examples").join(&examples[0])).unwrap();
    let block = readme.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(block, first, "the README's first code is {}, byte for byte", examples[0]);
    let lines = first.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 15, "hello world has {lines} lines");
}

/// Length is a hint to look, not a failure.
#[test]
fn long_files_are_printed() {
    for folder in ALL {
        for (path, source) in sources(folder) {
            let lines = source.lines().count();
            if lines > 450 {
                println!("{path}: {lines} lines");
            }
        }
    }
}
