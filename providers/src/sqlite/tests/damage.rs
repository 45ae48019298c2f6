//! Files that are not ours, not healthy, or not free: each has its own clear error and stays as it was.

use beluga_core::Code;

use super::super::HealthState;
use super::*;

fn refused(place: &Place, code: Code, words: &str) -> Error {
    let before = std::fs::read(place.path()).ok();
    let error = place.try_open(SqliteOptions::new()).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.message().contains(words), "{error}");
    assert!(error.get("path").is_some_and(|path| path.contains(place.directory.path().to_str().unwrap())), "{error}");
    assert_eq!(std::fs::read(place.path()).ok(), before, "the file was changed");
    error
}

#[tokio::test]
async fn a_file_in_use_is_refused_with_the_process_that_has_it() {
    let place = Place::new();
    let first = place.open(SqliteOptions::new());
    let error = refused(&place, Code::Config, "another process has the database open");
    assert_eq!(error.get("process"), Some(std::process::id().to_string().as_str()));
    first.close().await.unwrap();
    place.open(SqliteOptions::new()).close().await.unwrap();
}

#[tokio::test]
async fn text_is_no_database() {
    let place = Place::new();
    std::fs::write(place.path(), "Dear diary, ".repeat(1000)).unwrap();
    refused(&place, Code::Config, "not an SQLite database");
}

#[tokio::test]
async fn the_database_of_another_program_is_refused() {
    let place = Place::new();
    place.raw().execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    refused(&place, Code::Config, "another program");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let place = Place::new();
    place.open(SqliteOptions::new()).close().await.unwrap();
    place.raw().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = refused(&place, Code::Config, "newer Beluga");
    assert_eq!((error.get("schema"), error.get("known")), (Some("99"), Some("1")));
}

#[tokio::test]
async fn a_read_only_file_a_directory_and_a_missing_directory_are_refused() {
    let place = Place::new();
    place.open(SqliteOptions::new()).close().await.unwrap();
    let mut permissions = std::fs::metadata(place.path()).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(place.path(), permissions).unwrap();
    refused(&place, Code::Config, "read-only");

    let directory = Place::new();
    std::fs::create_dir(directory.path()).unwrap();
    refused(&directory, Code::Config, "is a directory");

    let missing = open(&directory.directory.path().join("no/where.db"), SqliteOptions::new()).unwrap_err();
    assert_eq!(missing.code(), Code::Config);
    assert!(missing.message().contains("does not exist"), "{missing}");
}

#[tokio::test]
async fn a_damaged_first_page_is_internal() {
    let place = Place::new();
    place.open(SqliteOptions::new()).close().await.unwrap();
    let mut bytes = std::fs::read(place.path()).unwrap();
    bytes[100..4096].fill(0xa5);
    std::fs::write(place.path(), bytes).unwrap();
    refused(&place, Code::Internal, "damaged");
}

/// Fills two streams and returns the bytes of the closed file.
async fn written(place: &Place) -> Vec<u8> {
    let store = place.open(SqliteOptions::new());
    for n in 0..40_u64 {
        let payload = format!("<group {} of a>{}", n + 1, "a".repeat(500));
        store.journal().append(append("a", n, payload)).await.unwrap();
    }
    store.journal().append(append("b", 0, "b1")).await.unwrap();
    store.close().await.unwrap();
    std::fs::read(place.path()).unwrap()
}

/// Where a text stands in the file; the last place, for a page that was split keeps stale bytes at its old place.
fn position(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).rposition(|window| window == text.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_changed_group_is_a_decode_error_with_stream_and_version() {
    let place = Place::new();
    let mut bytes = written(&place).await;
    let at = position(&bytes, "<group 7 of a>");
    bytes[at + 20] ^= 1;
    std::fs::write(place.path(), bytes).unwrap();
    let store = place.open(SqliteOptions::new());
    let error = store.journal().read(stream("a"), 1, 100).await.unwrap_err();
    assert_eq!((error.code(), error.get("version")), (Code::Decode, Some("7")), "{error}");
    assert_eq!(error.get("stream"), Some("default/session/a"));
    assert_eq!(store.journal().read(stream("a"), 8, 100).await.unwrap().len(), 33);
    assert_eq!(texts(&store.journal(), "b").await, ["b1"]);
}

#[tokio::test]
async fn a_missing_group_is_a_decode_error() {
    let place = Place::new();
    written(&place).await;
    place.raw().execute("DELETE FROM groups WHERE version = 3", []).unwrap();
    let store = place.open(SqliteOptions::new());
    let error = store.journal().read(stream("a"), 1, 100).await.unwrap_err();
    assert_eq!((error.code(), error.get("version")), (Code::Decode, Some("3")), "{error}");
}

#[tokio::test]
async fn a_damaged_page_fails_what_needs_it_and_nothing_else() {
    let place = Place::new();
    let mut bytes = written(&place).await;
    let at = position(&bytes, "<group 7 of a>") / 4096 * 4096;
    bytes[at..at + 4096].fill(0xa5);
    std::fs::write(place.path(), bytes).unwrap();
    let store = place.open(SqliteOptions::new());
    let error = store.journal().read(stream("a"), 1, 100).await.unwrap_err();
    assert_eq!(error.code(), Code::Decode, "{error}");
    assert!(error.get("version").is_some());
    assert_eq!(store.journal().read(stream("a"), 30, 100).await.unwrap().len(), 11);
    assert_eq!(texts(&store.journal(), "b").await, ["b1"]);
    assert!(store.health().is_healthy(), "reading does not end the writer");
}

#[tokio::test]
async fn a_damaged_page_met_by_the_writer_ends_it_and_reads_go_on() {
    let place = Place::new();
    let mut bytes = written(&place).await;
    let root: usize = usize::try_from(place.count("SELECT rootpage FROM sqlite_schema WHERE name = 'marks'")).unwrap();
    bytes[(root - 1) * 4096..root * 4096].fill(0xa5);
    std::fs::write(place.path(), bytes).unwrap();
    let error = place.try_open(SqliteOptions::new()).unwrap_err();
    assert_eq!(error.code(), Code::Internal, "marks are read at the open: {error}");

    let place = Place::new();
    let mut bytes = written(&place).await;
    let root: usize = usize::try_from(place.count("SELECT rootpage FROM sqlite_schema WHERE name = 'state'")).unwrap();
    bytes[(root - 1) * 4096..root * 4096].fill(0xa5);
    std::fs::write(place.path(), bytes).unwrap();
    let store = place.open(SqliteOptions::new());
    let key = beluga_core::StateKey {
        tenant: TenantId::default(),
        scope: beluga_core::StateScope::Global,
        name: "n".to_owned(),
    };
    let error = store.state().set(key, serde_json::Value::from(1)).await.unwrap_err();
    assert_eq!(error.code(), Code::Internal, "{error}");
    assert!(error.message().contains(".recover"), "{error}");
    assert_eq!(store.close().await.unwrap_err().code(), Code::Unavailable);
    assert!(matches!(store.health().state, HealthState::Failed(reason) if reason.contains("damaged")));
}

#[tokio::test]
async fn another_program_that_locks_the_file_is_waited_for() {
    let place = Place::new();
    let store = place.open(SqliteOptions::new());
    let other = place.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let journal = store.journal();
    let mut waiting = journal.append(append("a", 0, "a1"));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(waiting.await.unwrap(), 1);
}
