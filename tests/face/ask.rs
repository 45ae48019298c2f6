//! `ask`, `chat`, `tree`, `schema`: the commands without and with a node.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Place, outcome};
use crate::vendor::Vendor;

const QUESTION: &str = "What is 17% of 2340, and which weekday is 90 days after 2026-11-20?";

#[test]
fn ask_answers_offline_through_two_tools() {
    let place = Place::new();
    let answer = place.run(&["ask", QUESTION]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert!(answer.stdout.contains("397.8"), "{answer:?}");
    assert!(answer.stdout.contains("Thursday"), "{answer:?}");
    assert!(answer.stdout.contains("2027-02-18"), "{answer:?}");
    assert_eq!(answer.stderr, "");
}

#[test]
fn ask_prints_the_reply_as_json_and_goes_on_with_its_session() {
    let place = Place::new();
    let first = place.run(&["ask", "--json", "--session", "s-1", "What is 2 + 3?"]).json();
    assert_eq!(first["session"], "s-1");
    assert!(first["result"].as_str().unwrap().contains('5'), "{first}");
    assert!(first["usage"]["input_tokens"].is_u64() && first["turn"].is_string());
    let second = place.run(&["ask", "--json", "--session", "s-1", "What is 4 * 5?"]).json();
    assert_eq!(second["session"], "s-1");
    assert_ne!(second["turn"], first["turn"]);
}

#[test]
fn ask_reads_the_question_from_standard_input() {
    let place = Place::new();
    let mut command = place.command(&["ask", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"What is 6 * 7?").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("42"));
}

#[test]
fn a_failed_turn_exits_with_one_and_tells_the_problem() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", vendor.configuration());
    let told = place.run(&["ask", "refuse 401"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""), "{told:?}");
    assert!(told.stderr.contains("auth_error"), "{told:?}");
    let problem = place.run(&["ask", "--json", "refuse 401"]);
    assert_eq!((problem.code, problem.json()["code"].as_str()), (Some(1), Some("auth_error")), "{problem:?}");
}

#[test]
fn a_compatible_server_in_the_environment_answers_without_a_key() {
    let (place, vendor) = (Place::new(), Vendor::start());
    let mut command = place.command(&["ask", "say from the server"]);
    command.env("OPENAI_BASE_URL", vendor.url());
    let answer = outcome(command);
    assert_eq!((answer.code, answer.stdout.trim()), (Some(0), "from the server"), "{answer:?}");
}

#[test]
fn ask_prints_every_piece_of_a_fast_answer() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", vendor.configuration());
    let here = place.run(&["ask", "flood 1024"]);
    assert_eq!((here.code, here.stdout.trim_end().len()), (Some(0), 1024 * 1024), "{}", here.stderr);
    let _node = place.node(&[]);
    let there = place.run(&["ask", "flood 1024"]);
    assert_eq!((there.code, there.stdout.trim_end().len()), (Some(0), 1024 * 1024), "{}", there.stderr);
    assert!(here.stdout == there.stdout);
}

#[test]
fn wrong_usage_exits_with_two() {
    let place = Place::new();
    for arguments in
        [&["ask"][..], &["ask", ""], &["frobnicate"], &["schema", "nothing"], &["--config", "gone.toml", "ask", "x"]]
    {
        assert_eq!(place.run(arguments).code, Some(2), "{arguments:?}");
    }
    let unknown = place.run(&["ask", "--agent", "nobody", "x"]);
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert!(unknown.stderr.contains("assistant"), "the agents there are stand in {unknown:?}");
    assert_eq!(place.run(&["ask", "--session", "../etc", "x"]).code, Some(1));
    let help = place.run(&["--help"]);
    assert!(help.code == Some(0) && help.stdout.contains("Examples:") && help.stdout.contains("Exit codes"));
}

#[test]
fn tree_without_a_node_says_so() {
    let place = Place::new();
    let told = place.run(&["tree"]);
    assert_eq!(told.code, Some(2));
    assert!(told.stderr.contains("no node runs"), "{told:?}");
    assert!(!place.path().join("beluga-data").exists(), "looking makes nothing");
}

#[test]
fn commands_use_the_node_that_owns_the_data_directory() {
    let place = Place::new();
    let node = place.node(&[]);
    let answer = place.run(&["ask", "--json", "--session", "shared", "What is 2 + 2?"]).json();
    assert!(answer["result"].as_str().unwrap().contains('4'), "{answer}");
    let events = node.events("shared", "?follow=false", None).rest();
    assert_eq!(events.last().unwrap().event, "done");
    let tree = place.run(&["tree", "--json"]).json();
    assert!(tree["children"].as_array().is_some_and(|children| !children.is_empty()), "{tree}");
    let drawn = place.run(&["tree"]).stdout;
    assert!(drawn.contains("├─") && drawn.contains("providers"), "{drawn}");
    let elsewhere = Place::new();
    let far = elsewhere.run(&["--url", &node.url, "ask", "What is 3 + 4?"]);
    assert!(far.stdout.contains('7'), "{far:?}");
    assert!(!elsewhere.path().join("beluga-data").exists());
}

#[test]
fn a_second_node_is_refused_and_a_dead_one_is_followed() {
    let place = Place::new();
    let node = place.node(&[]);
    let refused = place.run(&["node", "--http", "127.0.0.1:0"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains(&format!("pid: {}", node.pid())), "{refused:?}");
    node.signal("KILL");
    assert_eq!(node.end().0, None);
    let after = place.run(&["ask", "What is 1 + 1?"]);
    assert_eq!(after.code, Some(0), "{after:?}");
    assert_eq!(place.node(&[]).stop().0, Some(0));
}

#[test]
fn asks_side_by_side_wait_for_each_other() {
    let place = Place::new();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asks: Vec<_> = (0..4)
            .map(|n| {
                let place = &place;
                scope.spawn(move || place.run(&["ask", &format!("What is {n} + 100?")]))
            })
            .collect();
        asks.into_iter().map(|ask| ask.join().unwrap()).collect()
    });
    for (n, answer) in answers.iter().enumerate() {
        assert!(answer.code == Some(0) && answer.stdout.contains(&format!("{}", 100 + n)), "{answer:?}");
    }
}

#[test]
fn chat_talks_line_by_line() {
    let place = Place::new();
    let mut command = place.command(&["chat"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"What is 2 * 8?\n\n/nonsense\nWhat is 3 * 9?\n/exit\nWhat is 1 + 1?\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    assert!(out.contains("16") && out.contains("27"), "{out}");
    assert!(err.contains("Unknown command"), "{err}");
}

#[test]
fn the_schema_of_the_configuration_is_json_schema() {
    let printed = Place::new().run(&["schema", "config"]);
    let schema: Value = printed.json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(schema["properties"]["agents"]["additionalProperties"]["properties"]["model"].is_object());
}

#[test]
fn an_interrupted_ask_is_cancelled_and_not_taken_up_again() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", vendor.configuration());
    let mut command = place.command(&["ask", "--session", "s", "hang"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    crate::support::wait_until(|| (vendor.requests() == 1).then_some(())).unwrap();
    let kill = std::process::Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    assert_eq!(crate::support::wait(&mut child).code(), Some(1));
    let next = outcome(place.command(&["ask", "--session", "s", "say fine"]));
    assert_eq!((next.code, next.stdout.trim()), (Some(0), "fine"), "{next:?}");
    assert_eq!((vendor.requests(), vendor.hung_up()), (2, 1));
}
