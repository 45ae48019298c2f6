//! Readers: cursors, replays, slow ones.

use std::time::Duration;

use beluga_actors::session::{CURSOR, Invoke};
use beluga_actors::testkit::{Answer, ScriptedModel};
use beluga_actors::tool::typed::FunctionTool;
use beluga_core::{CallContext, Code, Effect, Event, Numbered, Result, TenantId, ToolContext, TraceContext};
use beluga_runtime::time;
use futures_util::{FutureExt, StreamExt};
use serde_json::json;

use crate::kit::{Node, Witness, Word, collect, names, session, shout, text};

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

/// Checks that what is read from the journal after each cursor is what was seen live, to the last field.
async fn check_replay(node: &Node, live: &[Numbered]) {
    let (sessions, tenant) = (node.agents.sessions(), TenantId::default());
    for position in 0..live.len() {
        let cursor = position.checked_sub(1).map(|before| live[before].number);
        let replayed = collect(sessions.events(&tenant, &session("s"), cursor, false).await.unwrap()).await;
        for event in replayed {
            let seen = live.iter().find(|seen| seen.number == event.number).unwrap();
            let (at, meta) = ((seen.at_ms, event.at_ms), (seen.meta, event.meta));
            assert_eq!((at.0, meta.0), (at.1, meta.1), "{event:?} was {seen:?}");
            let pieces: Vec<&Numbered> = live
                .iter()
                .filter(|other| other.number > cursor.unwrap_or(0) && other.number < event.number)
                .filter(|other| other.at_ms == event.at_ms && other.event.name() == event.event.name())
                .collect();
            if pieces.is_empty() || !matches!(event.event, Event::Text { .. }) {
                assert_eq!(event, *seen);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_says_how_long_and_in_which_trace_also_when_it_is_read_again() {
    let script = [
        Answer::pieces(["let ", "me ", "see"]).and_call("slow", json!({"word": "x"})).after(Duration::from_millis(40)),
        Answer::pieces(["it ", "is ", "X"]).after(Duration::from_millis(30)),
    ];
    let slow = FunctionTool::new("slow", "Takes its time.", |Word { word }: Word, _cx: ToolContext| async move {
        tokio::time::sleep(Duration::from_millis(200)).await;
        // The calendar is not paused: it has to move on by itself for the events after this call.
        let before = time::wall();
        while time::wall().duration_since(before).unwrap_or_default() < Duration::from_millis(3) {}
        Result::Ok(word)
    });
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent.tool(slow.with_effect(Effect::Pure))).await;
    let trace = TraceContext { trace_id: 0xabc, span_id: 1, flags: 0 };
    let invoke = Invoke::text("go").with_session(session("s")).with_context(CallContext::new().with_trace(trace));
    let live = collect(agent.stream(invoke).await.unwrap()).await;
    assert!(live.iter().all(|event| event.meta.trace_id == trace.id()), "{live:?}");
    assert!(live.windows(2).all(|pair| pair[0].at_ms <= pair[1].at_ms), "{live:?}");
    let of = |name: &str| {
        let named = live.iter().filter(|event| event.event.name() == name);
        named.map(|event| event.meta.latency_ms.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((of("usage"), of("tool_result")), (vec![40, 30], vec![200]), "what they tell of");
    let began = agent.session(session("s")).conversation().await.unwrap().turns[0].started_at_ms;
    for event in live.iter().filter(|event| !matches!(event.event.name(), "usage" | "tool_result")) {
        assert_eq!(event.meta.latency_ms, Some(event.at_ms - began), "since the turn began: {event:?}");
    }
    let text = of("text");
    assert!(text[3] >= text[0] + 3 && text[0] == text[2] && text[3] == text[5], "one time for a stretch: {text:?}");
    check_replay(&node, &live).await;

    // A second turn, without a trace, is measured from its own beginning.
    model.push(Answer::text("again"));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let second = collect(agent.stream(Invoke::text("more").with_session(session("s"))).await.unwrap()).await;
    assert!(second.iter().all(|event| event.meta.trace_id.is_none()));
    assert!(second.last().unwrap().meta.latency_ms.unwrap() < 1_000, "{second:?}");
    let all: Vec<Numbered> = live.into_iter().chain(second).collect();
    check_replay(&node, &all).await;
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
