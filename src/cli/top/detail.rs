//! One actor in lines of text.

use serde_json::Value;

use super::snapshot::Node;
use super::text::{cut, lanes, rate, span};
use super::view::Seen;

/// The most letters of one value.
const VALUE_MAX_CHARS: usize = 400;

/// The most asks and dead letters that are listed.
const LISTED_MAX: usize = 8;

/// Returns what is known of the selected actor or job: what the tree tells, and what the node told of it alone.
pub(super) fn lines(node: &Node, seen: &Seen) -> Vec<String> {
    let actor = &seen.snapshot.actor;
    let own = actor.get("id").and_then(Value::as_u64) == Some(node.id);
    let mut lines = basics(node, seen);
    if own {
        lines.extend(supervision(actor));
        lines.extend(limits(actor));
        lines.extend(asks(actor));
        lines.extend(letters(actor));
    }
    lines.extend(status(&node.status));
    lines
}

fn basics(node: &Node, seen: &Seen) -> Vec<String> {
    let id = if node.is_job() { "job".to_owned() } else { format!("#{}", node.id) };
    let mut lines = vec![cut(&node.name, VALUE_MAX_CHARS), format!("{id}  {}  {}", node.kind, node.shown_state())];
    let speed = seen.rate_of(node).map(|value| format!(", {} per second", rate(value))).unwrap_or_default();
    if !node.is_job() {
        lines.push(format!("handled   {}{speed}", node.handled));
        lines.push(format!("failed    {} restarts, {} panics", node.restarts, node.panics));
    }
    if node.waiting() > 0 {
        let oldest = node.oldest_ms.map(|age| format!(", the oldest for {}", span(age))).unwrap_or_default();
        lines.push(format!("waiting   {}{oldest}", lanes(node.lanes)));
    }
    if let Some(age) = node.handler_ms {
        let what = node.message.as_deref().map(|message| format!(" on {message}")).unwrap_or_default();
        lines.push(format!("busy      for {}{what}", span(age)));
    }
    if let Some(breaker) = &node.breaker {
        lines.push(format!("breaker   {breaker}"));
    }
    lines
}

fn supervision(actor: &Value) -> Vec<String> {
    let number = |key: &str| actor.get(key).and_then(Value::as_u64).unwrap_or_default();
    let policy = actor.get("policy");
    let text = |key: &str| policy.and_then(|policy| policy.get(key)?.as_str()).unwrap_or("?");
    let millis = |key: &str| policy.and_then(|policy| policy.get(key)?.as_u64());
    let children = actor.get("child_ids").and_then(Value::as_array).map_or(0, Vec::len);
    let end = millis("gate_ms").map_or_else(|| "escalate".to_owned(), |gate| format!("gate of {}", span(gate)));
    vec![
        format!("life      incarnation {}, {children} children", number("incarnation")),
        format!("policy    {}, children {}", text("restart"), text("strategy")),
        format!(
            "restarts  {} in {}, then {end}",
            millis("max_restarts").unwrap_or_default(),
            millis("window_ms").map(span).unwrap_or_default()
        ),
    ]
}

fn limits(actor: &Value) -> Vec<String> {
    let lane = |name: &str| {
        let lane = actor.get("limits")?.get(name)?;
        Some(format!("{} {}", lane.get("capacity")?.as_u64()?, lane.get("overflow")?.as_str()?))
    };
    let lanes: Vec<String> = ["control", "interrupt", "normal", "bulk"]
        .into_iter()
        .filter_map(|name| Some(format!("{name} {}", lane(name)?)))
        .collect();
    if lanes.is_empty() { Vec::new() } else { vec![format!("bounds    {}", lanes.join(", "))] }
}

fn asks(actor: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (way, other, title) in [("from", "to", "asks"), ("to", "from", "asked by")] {
        let asks = actor.pointer(&format!("/asks/{way}")).and_then(Value::as_array);
        for ask in asks.into_iter().flatten().take(LISTED_MAX) {
            let text = |key: &str| ask.get(key).and_then(Value::as_str).unwrap_or("outside");
            let age = ask.get("age_ms").and_then(Value::as_u64).unwrap_or_default();
            lines.push(format!("{title:<9} {} {} for {}", text(other), text("message"), span(age)));
        }
    }
    lines
}

fn letters(actor: &Value) -> Vec<String> {
    let letters = actor.get("dead_letters").and_then(Value::as_array);
    let latest = letters.into_iter().flatten().rev().take(LISTED_MAX);
    let line = |letter: &Value| {
        let text = |key: &str| letter.get(key).and_then(Value::as_str);
        let panic = text("panic").map(|panic| format!(": {}", cut(panic, VALUE_MAX_CHARS))).unwrap_or_default();
        format!("lost      {} {}{panic}", text("message").unwrap_or("?"), text("reason").unwrap_or("?"))
    };
    latest.map(line).collect()
}

/// What the actor tells of itself, a field each.
fn status(status: &Value) -> Vec<String> {
    let fields = status.as_object().into_iter().flatten();
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    fields.map(|(key, value)| cut(&format!("{key:<9} {}", shown(value)), VALUE_MAX_CHARS)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::seen;
    use super::*;
    use serde_json::json;

    #[test]
    fn an_actor_is_told_in_lines_and_its_detail_only_when_it_is_its_own() {
        let mut seen = seen();
        seen.snapshot.actor = json!({
            "id": 4, "incarnation": 3, "child_ids": [7, 8],
            "policy": {"restart": "transient", "strategy": "one_for_all", "max_restarts": 5, "window_ms": 60_000,
                "gate_ms": 30_000},
            "limits": {"normal": {"capacity": 16, "overflow": "reject"}},
            "asks": {"from": [], "to": [{"from": null, "to": "tools/http", "message": "tool.execute", "age_ms": 1500}]},
            "dead_letters": [{"message": "tool.execute", "reason": "panicked", "panic": "boom\u{1b}"}],
        });
        let http = lines(&seen.snapshot.nodes[3], &seen);
        let expected = [
            "tools/http",
            "#4  tool  paused",
            "handled   5, 0 per second",
            "failed    2 restarts, 0 panics",
            "waiting   1/0/3/0, the oldest for 1.2s",
            "busy      for 1m01s on tool.execute",
            "breaker   open",
            "life      incarnation 3, 2 children",
            "policy    transient, children one_for_all",
            "restarts  5 in 1m00s, then gate of 30.0s",
            "bounds    normal 16 reject",
            "asked by  outside tool.execute for 1.5s",
            "lost      tool.execute panicked: boom ",
        ];
        assert_eq!(http, expected);
        let clock = lines(&seen.snapshot.nodes[2], &seen);
        assert_eq!(
            clock,
            [
                "tools/clock",
                "#3  tool  running",
                "handled   18, 4.0 per second",
                "failed    0 restarts, 0 panics",
                "calls     10"
            ]
        );
        let job = lines(&seen.snapshot.nodes[4], &seen);
        assert_eq!(job, ["tools/http/execution", "job  execution  running", "busy      for 2.5s"]);
    }
}
