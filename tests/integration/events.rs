//! Readers: cursors, replays, slow ones.

use std::time::Duration;

use beluga_actors::session::{CURSOR, Invoke};
use beluga_actors::testkit::{Answer, ScriptedModel};
use beluga_core::{Code, Effect, TenantId};
use futures_util::{FutureExt, StreamExt};
use serde_json::json;

use crate::kit::{Node, Witness, collect, names, session, shout, text};

fn script() -> [Answer; 2] {
    [
        Answer::pieces(["let ", "me ", "see"]).and_call("shout", json!({"word": "x"})),
        Answer::pieces(["it ", "is ", "X"]),
    ]
}

#[tokio::test(start_paused = true)]
async fn every_cursor_gets_exactly_the_rest() {
    let (node, model) = (Node::start().await, ScriptedModel::new(script()));
    let agent = node.agent(&model, |agent| agent.tool(shout("shout", Effect::Pure, &Witness::default()))).await;
    let live = collect(agent.stream(Invoke::text("go").with_session(session("s"))).await.unwrap()).await;
    let (sessions, tenant) = (node.agents.sessions(), TenantId::default());
    for position in 0..live.len() {
        let cursor = live[position].number;
        let rest = collect(sessions.events(&tenant, &session("s"), Some(cursor), false).await.unwrap()).await;
        assert_eq!(text(&rest), text(&live[position + 1..]), "cursor {cursor}");
        assert!(rest.iter().all(|event| event.number > cursor));
    }
    let all = collect(sessions.events(&tenant, &session("s"), None, false).await.unwrap()).await;
    assert_eq!(names(&all), ["text", "usage", "tool_call", "tool_result", "text", "usage", "done"]);
    assert_eq!(text(&all), "let me seeit is X");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_follower_sees_later_turns_too() {
    let (node, model) = (Node::start().await, ScriptedModel::new([Answer::text("a"), Answer::text("b")]));
    let agent = node.agent(&model, |agent| agent).await;
    agent.ask("1").session(session("s")).await.unwrap();
    let mut follow = node.agents.sessions().events(&TenantId::default(), &session("s"), None, true).await.unwrap();
    for expected in ["text", "usage", "done"] {
        assert_eq!(follow.next().await.unwrap().unwrap().event.name(), expected);
    }
    assert!(follow.next().now_or_never().is_none(), "it stays open");
    agent.ask("2").session(session("s")).await.unwrap();
    let second: Vec<_> = follow.take(3).map(|event| event.unwrap()).collect().await;
    assert_eq!(text(&second), "b");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_falls_behind_is_cut_off_and_resumes_without_a_gap() {
    let pieces: Vec<String> = (0..5_000).map(|n| format!("{n} ")).collect();
    let expected = pieces.concat();
    let (node, model) = (Node::start().await, ScriptedModel::new([Answer::pieces(pieces)]));
    let agent = node.agent(&model, |agent| agent).await;
    let mut slow = agent.stream(Invoke::text("go").with_session(session("s"))).await.unwrap();
    let mut seen = vec![slow.next().await.unwrap().unwrap(), slow.next().await.unwrap().unwrap()];
    let tenant = TenantId::default();
    // Sleeping, it reads nothing while the turn is at work on another task.
    let error = loop {
        tokio::task::yield_now().await;
        match slow.next().now_or_never() {
            Some(Some(Err(error))) => break error,
            Some(Some(Ok(event))) => seen.push(event),
            Some(None) => panic!("it was never cut off"),
            None => {}
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        if seen.last().unwrap().event.is_terminal() {
            break beluga_core::Error::overloaded("read from the journal").with(CURSOR, seen.last().unwrap().number);
        }
    };
    assert_eq!(error.code(), Code::Overloaded);
    let cursor: u64 = error.get(CURSOR).unwrap().parse().unwrap();
    assert_eq!(cursor, seen.last().unwrap().number);
    let rest = node.agents.sessions().events(&tenant, &session("s"), Some(cursor), true).await.unwrap();
    let mut rest = Box::pin(rest.map(|event| event.unwrap()));
    while !seen.last().unwrap().event.is_terminal() {
        seen.push(rest.next().await.unwrap());
    }
    assert_eq!(text(&seen), expected);
    drop(rest);
    node.stop().await;
}
