//! What a node answered, as the view needs it. Fields that are absent are tolerated: nodes of other versions are
//! watched too.

use std::time::{Duration, Instant};

use serde_json::Value;

/// The documents of one look at a node.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// `/api/v1/tree`
    pub(super) tree: Value,
    /// `/api/v1/system`; null where there is none.
    pub(super) system: Value,
    /// `/api/v1/actors/{id}` of the actor that is inspected; null for none.
    pub(super) actor: Value,
}

/// A node at one moment.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// When it was taken, by the clock of this process.
    pub(super) at: Instant,
    pub(super) numbers: Numbers,
    /// The tree, parents first.
    pub(super) nodes: Vec<Node>,
    /// How many actors and jobs the node left out.
    pub(super) left_out: u64,
    /// The asks in flight, the oldest first.
    pub(super) asks: Vec<Ask>,
    /// What somebody should look at, the worst first.
    pub(super) troubles: Vec<String>,
    /// The actor that is inspected; null for none.
    pub(super) actor: Value,
}

/// The node in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) name: String,
    pub(super) uptime: Option<Duration>,
    pub(super) actors: u64,
    pub(super) jobs: u64,
    pub(super) waiting: u64,
    pub(super) paused: u64,
    pub(super) gated: u64,
    pub(super) open_breakers: u64,
    pub(super) restarts: u64,
    pub(super) dead_letters: Option<u64>,
    pub(super) asks_in_flight: Option<u64>,
}

/// One actor or job of the tree.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// The number of the actor; 0 for a job.
    pub(super) id: u64,
    /// The path.
    pub(super) name: String,
    pub(super) depth: usize,
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) paused: bool,
    /// Control, interrupt, normal, bulk.
    pub(super) lanes: [u64; 4],
    pub(super) handled: u64,
    pub(super) restarts: u64,
    pub(super) panics: u64,
    pub(super) oldest_ms: Option<u64>,
    pub(super) handler_ms: Option<u64>,
    pub(super) message: Option<String>,
    pub(super) breaker: Option<String>,
    pub(super) status: Value,
    pub(super) has_children: bool,
    pub(super) truncated: u64,
}

impl Node {
    pub(super) fn is_job(&self) -> bool {
        self.id == 0
    }

    pub(super) fn waiting(&self) -> u64 {
        self.lanes.iter().sum()
    }

    /// Returns what it is doing, in one word.
    pub(super) fn shown_state(&self) -> &str {
        if self.paused && self.state == "running" { "paused" } else { &self.state }
    }

    /// Returns the last part of the path.
    pub(super) fn label(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }
}

/// An ask in flight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    /// The path of who asks; empty for code outside of actors.
    pub(super) from: String,
    pub(super) to: String,
    pub(super) message: String,
    pub(super) age_ms: u64,
    pub(super) remaining_ms: Option<u64>,
    pub(super) in_handler: bool,
}

impl Snapshot {
    /// Reads the documents of one look.
    pub(super) fn read(documents: Documents, at: Instant) -> Self {
        let Documents { tree, system, actor } = documents;
        let mut nodes = Vec::new();
        flatten(&tree, 0, &mut nodes);
        let asks = list(&system, "asks").iter().map(ask).collect();
        let troubles = troubles(&system, &nodes);
        let left_out = nodes.iter().map(|node| node.truncated).sum();
        Self { at, numbers: numbers(&system, &nodes), nodes, left_out, asks, troubles, actor }
    }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key).and_then(Value::as_u64)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn flatten(value: &Value, depth: usize, nodes: &mut Vec<Node>) {
    let children = list(value, "children");
    let lane = |name: &str| value.get("lanes").and_then(|lanes| number(lanes, name)).unwrap_or_default();
    nodes.push(Node {
        id: number(value, "id").unwrap_or_default(),
        name: text(value, "name"),
        depth,
        kind: text(value, "kind"),
        state: text(value, "state"),
        paused: value.get("paused").and_then(Value::as_bool).unwrap_or_default(),
        lanes: [lane("control"), lane("interrupt"), lane("normal"), lane("bulk")],
        handled: number(value, "handled").unwrap_or_default(),
        restarts: number(value, "restarts").unwrap_or_default(),
        panics: number(value, "panics").unwrap_or_default() + number(value, "job_panics").unwrap_or_default(),
        oldest_ms: number(value, "oldest_message_age_ms"),
        handler_ms: number(value, "handler_age_ms"),
        message: value.get("message").and_then(Value::as_str).map(str::to_owned),
        breaker: value.pointer("/breaker/state").and_then(Value::as_str).map(str::to_owned),
        status: value.get("status").cloned().unwrap_or_default(),
        has_children: !children.is_empty(),
        truncated: number(value, "truncated").unwrap_or_default(),
    });
    children.iter().for_each(|child| flatten(child, depth + 1, nodes));
}

/// Takes the node's numbers, or counts what is shown where it has none.
fn numbers(system: &Value, nodes: &[Node]) -> Numbers {
    let count = |wanted: &dyn Fn(&Node) -> bool| nodes.iter().filter(|node| wanted(node)).count() as u64;
    let given = |key: &str, counted: u64| number(system, key).unwrap_or(counted);
    let name = text(system, "name");
    Numbers {
        name: if name.is_empty() { nodes.first().map(|root| root.name.clone()).unwrap_or_default() } else { name },
        uptime: number(system, "uptime_ms").map(Duration::from_millis),
        actors: given("actors", count(&|node| !node.is_job())),
        jobs: given("jobs", count(&Node::is_job)),
        waiting: given("waiting", nodes.iter().map(Node::waiting).sum()),
        paused: given("paused", count(&|node| node.paused)),
        gated: given("gated", count(&|node| node.state == "gated")),
        open_breakers: given("open_breakers", count(&|node| node.breaker.as_deref() == Some("open"))),
        restarts: given("restarts", nodes.iter().map(|node| node.restarts).sum()),
        dead_letters: number(system, "dead_letters"),
        asks_in_flight: number(system, "asks_in_flight"),
    }
}

fn ask(value: &Value) -> Ask {
    Ask {
        from: text(value, "from"),
        to: text(value, "to"),
        message: text(value, "message"),
        age_ms: number(value, "age_ms").unwrap_or_default(),
        remaining_ms: number(value, "remaining_ms"),
        in_handler: value.get("in_handler").and_then(Value::as_bool).unwrap_or_default(),
    }
}

/// Says what is wrong, a line each: circles, handlers that hang, actors that refuse, breakers that are open.
fn troubles(system: &Value, nodes: &[Node]) -> Vec<String> {
    let mut lines: Vec<String> = list(system, "deadlocks").iter().map(circle).collect();
    for stuck in list(system, "stuck") {
        let age = super::text::span(number(stuck, "age_ms").unwrap_or_default());
        lines.push(format!("stuck     {} on {} for {age}", text(stuck, "actor"), text(stuck, "message")));
    }
    for blocked in list(system, "blocked") {
        let age = super::text::span(number(blocked, "age_ms").unwrap_or_default());
        lines.push(format!("blocked   {} by {} for {age}", text(blocked, "thread"), text(blocked, "actor")));
    }
    for node in nodes.iter().filter(|node| node.state == "gated") {
        lines.push(format!("gated     {} refuses callers: its restarts are used up", node.name));
    }
    for node in nodes.iter().filter(|node| node.breaker.as_deref() == Some("open")) {
        lines.push(format!("breaker   {} is open", node.name));
    }
    lines
}

/// Writes a circle down: `a → b → a`, with what each asks.
fn circle(value: &Value) -> String {
    let asks: Vec<Ask> = list(value, "asks").iter().map(ask).collect();
    let age = asks.iter().map(|ask| ask.age_ms).min().unwrap_or_default();
    let hops: String = asks.iter().map(|ask| format!("{} –{}→ ", ask.from, ask.message)).collect();
    let last = asks.last().map(|ask| ask.to.as_str()).unwrap_or_default();
    format!("deadlock  {hops}{last} for {}", super::text::span(age))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{at, documents};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tree_is_flattened_parents_first() {
        let snapshot = Snapshot::read(documents(), at(0));
        let shown: Vec<_> = snapshot.nodes.iter().map(|node| (node.depth, node.name.as_str(), node.label())).collect();
        let expected = [
            (0, "beluga", "beluga"),
            (1, "tools", "tools"),
            (2, "tools/clock", "clock"),
            (2, "tools/http", "http"),
            (3, "tools/http/execution", "execution"),
            (1, "agents", "agents"),
        ];
        assert_eq!(shown, expected);
        let http = &snapshot.nodes[3];
        assert_eq!((http.lanes, http.waiting(), http.shown_state()), ([1, 0, 3, 0], 4, "paused"));
        assert_eq!((http.breaker.as_deref(), http.message.as_deref()), (Some("open"), Some("tool.execute")));
        assert!(snapshot.nodes[4].is_job());
        assert_eq!((snapshot.left_out, snapshot.numbers.uptime), (7, Some(Duration::from_secs(61))));
    }

    #[test]
    fn troubles_name_circles_stuck_handlers_blocked_threads_gates_and_breakers() {
        let mut documents = documents();
        documents.system["deadlocks"] = json!([{"asks": [
            {"from": "a", "to": "b", "message": "m.x", "age_ms": 9000, "in_handler": true},
            {"from": "b", "to": "a", "message": "m.y", "age_ms": 2500, "in_handler": true},
        ]}]);
        documents.system["stuck"] = json!([{"actor": "c", "message": "m.z", "age_ms": 61_000}]);
        documents.system["blocked"] = json!([{"thread": "worker#2", "actor": "d", "age_ms": 4_000}]);
        documents.tree["children"][1]["state"] = json!("gated");
        let snapshot = Snapshot::read(documents, at(0));
        let expected = [
            "deadlock  a –m.x→ b –m.y→ a for 2.5s",
            "stuck     c on m.z for 1m01s",
            "blocked   worker#2 by d for 4.0s",
            "gated     agents refuses callers: its restarts are used up",
            "breaker   tools/http is open",
        ];
        assert_eq!(snapshot.troubles, expected);
    }

    #[test]
    fn a_node_that_tells_less_is_counted_by_its_tree() {
        let documents = Documents { system: Value::Null, ..documents() };
        let snapshot = Snapshot::read(documents, at(0));
        let numbers = snapshot.numbers;
        assert_eq!((numbers.name.as_str(), numbers.actors, numbers.jobs), ("beluga", 5, 1));
        assert_eq!((numbers.waiting, numbers.paused, numbers.open_breakers, numbers.restarts), (4, 1, 1, 2));
        assert_eq!((numbers.uptime, numbers.dead_letters), (None, None));
        let nothing = Snapshot::read(Documents::default(), at(0));
        assert_eq!((nothing.nodes.len(), nothing.numbers.name.as_str()), (1, ""));
    }
}
