//! A node for the tests of the view.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use beluga_runtime::time;
use serde_json::json;

use super::rates::Rates;
use super::snapshot::{Documents, Snapshot};
use super::view::Seen;

static BEGIN: LazyLock<Instant> = LazyLock::new(time::now);

/// A moment, in milliseconds after the first one.
pub(super) fn at(millis: u64) -> Instant {
    *BEGIN + Duration::from_millis(millis)
}

/// What a small node answers.
pub(super) fn documents() -> Documents {
    let lanes = |control: u64, normal: u64| json!({"control": control, "interrupt": 0, "normal": normal, "bulk": 0});
    let tree = json!({
        "id": 1, "name": "beluga", "kind": "system", "state": "running", "lanes": lanes(0, 0), "children": [
            {"id": 2, "name": "tools", "kind": "tools", "state": "running", "lanes": lanes(0, 0), "children": [
                {"id": 3, "name": "tools/clock", "kind": "tool", "state": "running", "lanes": lanes(0, 0), "handled": 10,
                    "status": {"calls": 10}},
                {"id": 4, "name": "tools/http", "kind": "tool", "state": "running", "paused": true,
                    "lanes": lanes(1, 3), "handled": 5, "restarts": 2, "oldest_message_age_ms": 1200,
                    "handler_age_ms": 61_000, "message": "tool.execute", "breaker": {"state": "open"}, "children": [
                        {"id": 0, "name": "tools/http/execution", "kind": "execution", "state": "running",
                            "lanes": lanes(0, 0), "handler_age_ms": 2500},
                    ]},
            ]},
            {"id": 9, "name": "agents", "kind": "agents", "state": "running", "lanes": lanes(0, 0), "truncated": 7},
        ]
    });
    let system = json!({
        "name": "beluga", "uptime_ms": 61_000, "actors": 12, "jobs": 1, "waiting": 4, "paused": 1, "gated": 0,
        "open_breakers": 1, "restarts": 2, "dead_letters": 4, "asks_in_flight": 2, "asks": [
            {"from": null, "to": "agents", "message": "agent.ask", "age_ms": 3000, "remaining_ms": 27_000, "in_handler": false},
            {"from": "agents", "to": "tools/http", "message": "tool.execute", "age_ms": 1200, "remaining_ms": null,
                "in_handler": true},
        ]
    });
    Documents { tree, system, actor: serde_json::Value::Null }
}

/// Two looks at it, two seconds apart; the clock handled eight messages meanwhile.
pub(super) fn seen() -> Seen {
    let before = Snapshot::read(documents(), at(0));
    let mut documents = documents();
    documents.tree["children"][0]["children"][0]["handled"] = json!(18);
    let now = Snapshot::read(documents, at(2_000));
    let rates = Rates::between(&before, &now);
    Seen { snapshot: now, rates }
}
