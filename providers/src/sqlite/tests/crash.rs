//! The process dies in the middle: a child is killed at every point of its writing, and its file is read.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::super::AppendPoint;
use super::*;

const PATH: &str = "BELUGA_CRASH_PATH";
const POINT: &str = "BELUGA_CRASH_POINT";
const STREAMS: [&str; 2] = ["a", "b"];
const APPENDS: u64 = 6;

fn script(n: u64) -> Append {
    let id = STREAMS[usize::try_from(n % 2).unwrap()];
    let mark = if n < 2 { Mark::Open } else { Mark::Keep };
    let sync = if n.is_multiple_of(3) { SyncLevel::Disk } else { SyncLevel::Commit };
    Append { mark, sync, ..append(id, n / 2, format!("{id}{}", n / 2 + 1)) }
}

/// Not a test: the process that dies. It appends as the script says, tells what was acknowledged, and at its point
/// tells so and waits to be killed.
#[tokio::test]
#[ignore = "the child of the crash tests, started by them"]
async fn child() {
    let Ok(path) = std::env::var(PATH) else { return };
    let point = std::env::var(POINT).unwrap();
    let fault = move |at: AppendPoint, n: u64| {
        if format!("{at:?}{n}") == point {
            say("reached");
            loop {
                std::thread::park();
            }
        }
    };
    let store = open(Path::new(&path), SqliteOptions::new().fault(Arc::new(fault))).unwrap();
    for n in 0..APPENDS {
        let version = store.journal().append(script(n)).await.unwrap();
        say(&format!("acknowledged {n} {version}"));
    }
    say("reached");
    std::future::pending::<()>().await;
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{line}").unwrap();
    out.flush().unwrap();
}

/// Runs the child until its point and kills it with signal 9; returns how many appends it saw acknowledged.
fn killed_at(place: &Place, point: &str) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::tests::crash::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(PATH, place.path())
        .env(POINT, point)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = 0;
    let mut reached = false;
    for line in lines.map(Result::unwrap) {
        // The harness writes its own words before the first line.
        let Some((_, line)) = line.split_once('@') else { continue };
        if line == "reached" {
            reached = true;
            break;
        }
        assert_eq!(line, format!("acknowledged {acknowledged} {}", acknowledged / 2 + 1));
        acknowledged += 1;
    }
    assert!(reached, "the child ended before {point}");
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    acknowledged
}

async fn check(place: &Place, committed: u64) {
    let store = place.open(SqliteOptions::new());
    let journal = store.journal();
    let kept = (texts(&journal, "a").await, texts(&journal, "b").await);
    let expected = |id: &str, count: u64| (1..=count).map(|n| format!("{id}{n}")).collect::<Vec<_>>();
    assert_eq!(kept, (expected("a", committed.div_ceil(2)), expected("b", committed / 2)));
    let open: Vec<String> =
        journal.open("session", 9).await.unwrap().into_iter().map(|key| key.id.to_string()).collect();
    assert_eq!(open, STREAMS[..usize::try_from(committed.min(2)).unwrap()]);
    // The file goes on where it stands.
    let next = script(committed);
    assert_eq!(journal.append(next).await.unwrap(), committed / 2 + 1);
    store.close().await.unwrap();
}

#[tokio::test]
async fn killed_before_a_commit_the_group_is_absent_and_all_before_it_are_there() {
    for n in 1..=APPENDS {
        let place = Place::new();
        assert_eq!(killed_at(&place, &format!("Before{n}")), n - 1);
        check(&place, n - 1).await;
    }
}

#[tokio::test]
async fn killed_after_a_commit_the_group_is_there_although_nobody_heard_of_it() {
    for n in 1..=APPENDS {
        let place = Place::new();
        assert_eq!(killed_at(&place, &format!("After{n}")), n - 1);
        check(&place, n).await;
    }
}

#[tokio::test]
async fn killed_while_idle_everything_acknowledged_is_there() {
    let place = Place::new();
    assert_eq!(killed_at(&place, "never"), APPENDS);
    check(&place, APPENDS).await;
}

#[tokio::test]
async fn a_panic_of_the_writer_answers_everybody_and_makes_the_store_unhealthy() {
    let place = Place::new();
    let fault = |at: AppendPoint, n: u64| assert!((at, n) != (AppendPoint::Before, 2), "the test's own panic");
    let store = place.open(SqliteOptions::new().fault(Arc::new(fault)));
    let journal = store.journal();
    journal.append(append("a", 0, "a1")).await.unwrap();
    assert!(store.health().is_healthy());
    let pending: Vec<_> = (0..3).map(|_| journal.append(append("a", 1, "a2"))).collect();
    for answer in futures_util::future::join_all(pending).await {
        assert_eq!(answer.unwrap_err().code(), beluga_core::Code::Unavailable);
    }
    let error = store.close().await.unwrap_err();
    assert_eq!(error.code(), beluga_core::Code::Unavailable);
    assert!(error.get("reason").unwrap().contains("the test's own panic"), "{error}");
    assert!(!store.health().is_healthy());
    assert_eq!(journal.append(append("a", 1, "a2")).await.unwrap_err().code(), beluga_core::Code::Unavailable);
    let again = place.open(SqliteOptions::new());
    assert_eq!(texts(&again.journal(), "a").await, ["a1"]);
}
