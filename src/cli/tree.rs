//! `beluga tree`: what runs in a node.

use beluga::config::Environment;
use serde_json::Value;

use super::Failure;
use super::args::Common;
use super::place;

/// Runs the command.
pub(super) async fn run(common: &Common, environment: &Environment, json: bool) -> Result<(), Failure> {
    let node = place::need_node(common, environment).await?;
    let tree = node.get("api/v1/tree").await.map_err(place::no_answer)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&tree).unwrap_or_default());
    } else {
        let mut lines = String::new();
        draw(&tree, "", "", &mut lines);
        print!("{lines}");
    }
    Ok(())
}

/// Draws a node and all below it, each on a line.
fn draw(node: &Value, first: &str, rest: &str, lines: &mut String) {
    lines.push_str(first);
    lines.push_str(&describe(node));
    lines.push('\n');
    let children = node.get("children").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    for (place, child) in children.iter().enumerate() {
        let last = place + 1 == children.len();
        let (branch, bar) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw(child, &format!("{rest}{branch}"), &format!("{rest}{bar}"), lines);
    }
}

fn describe(node: &Value) -> String {
    let text = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| node.get(key).and_then(Value::as_u64).unwrap_or_default();
    let name = text("name").rsplit('/').next().unwrap_or_default();
    let mut line = format!("{name} ({}) {}", text("kind"), text("state"));
    let waiting: u64 = node
        .get("lanes")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(_, depth)| depth.as_u64())
        .sum();
    for (count, noun) in [(waiting, "waiting"), (number("restarts"), "restarts"), (number("job_panics"), "panics")] {
        if count > 0 {
            line.push_str(&format!(", {count} {noun}"));
        }
    }
    if node.get("paused").and_then(Value::as_bool).unwrap_or_default() {
        line.push_str(", paused");
    }
    if let Some(state) = node.pointer("/breaker/state").and_then(Value::as_str) {
        line.push_str(&format!(", breaker {state}"));
    }
    if let Some(age) = node.get("handler_age_ms").and_then(Value::as_u64) {
        line.push_str(&format!(", busy for {age} ms"));
    }
    if number("truncated") > 0 {
        line.push_str(&format!(", {} below it not shown", number("truncated")));
    }
    line
}
