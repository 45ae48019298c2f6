//! What an operator sees of a running node and changes in it, and who is none.

use serde_json::{Value, json};

use crate::support::{NodeProcess, Place, Response, request, wait_until};

/// Returns the number of an actor, by its path.
fn id(node: &NodeProcess, name: &str) -> u64 {
    let shown = node.get(&format!("/api/v1/tree?root={name}&depth=0"));
    shown.json()["id"].as_u64().unwrap_or_else(|| panic!("{name}: {}", shown.text()))
}

fn change(node: &NodeProcess, id: u64, what: &str) -> Response {
    node.post(&format!("/api/v1/actors/{id}/{what}"), &json!({}))
}

fn actor(node: &NodeProcess, id: u64) -> Value {
    node.get(&format!("/api/v1/actors/{id}")).json()
}

#[test]
fn a_paused_tool_holds_its_turn_and_a_resumed_one_lets_it_end() {
    let place = Place::new();
    let node = place.node(&[]);
    let tool = id(&node, "tools/calculator");
    let paused = change(&node, tool, "pause");
    assert_eq!((paused.status, &paused.json()["paused"]), (200, &json!(true)), "{}", paused.text());
    let mut turn = node.stream(&json!({"input": "What is 17% of 2340?"}));
    turn.until("tool_call");
    let waiting = wait_until(|| (actor(&node, tool)["lanes"]["normal"] == 1).then_some(()));
    assert!(waiting.is_some(), "{}", actor(&node, tool));
    assert!(node.get("/metrics").text().contains("beluga_actors_paused 1\n"));
    let asked = &actor(&node, tool)["asks"];
    assert_eq!((asked["from"].as_array().unwrap().len(), asked["to"].as_array().unwrap().len()), (0, 1), "{asked}");
    assert_eq!(asked["to"][0]["to"], "tools/calculator");
    let numbers = node.get("/api/v1/system").json();
    assert!(numbers["asks"].as_array().unwrap().iter().any(|ask| ask["to"] == "tools/calculator"), "{numbers}");
    assert_eq!(numbers["deadlocks"], json!([]));
    assert!(node.get("/metrics").text().contains("beluga_deadlocks 0\n"));
    assert_eq!((&numbers["paused"], &numbers["waiting"]), (&json!(1), &json!(1)), "{numbers}");
    let restarted = change(&node, tool, "restart").json();
    let kept = (&restarted["paused"], &restarted["lanes"]["normal"], &restarted["restarts"], &restarted["incarnation"]);
    assert_eq!(kept, (&json!(true), &json!(1), &json!(1), &json!(2)), "{restarted}");
    let resumed = change(&node, tool, "resume");
    assert_eq!((resumed.status, &resumed.json()["paused"]), (200, &json!(false)));
    assert_eq!(turn.rest().last().unwrap().event, "done");
}

#[test]
fn an_actor_is_restarted_killed_and_stopped() {
    let place = Place::new();
    let node = place.node(&[]);
    let ask = || node.invoke(&json!({"input": "What is 1 + 1?", "session": "s"}));
    assert_eq!(ask().status, 200);
    let session = id(&node, "agents/assistant/default.s");
    for (what, restarts) in [("restart", 1), ("kill", 2)] {
        let after = change(&node, session, what);
        let shown = after.json();
        assert_eq!(
            (after.status, &shown["restarts"], &shown["id"]),
            (200, &json!(restarts), &json!(session)),
            "{shown}"
        );
        assert_eq!(shown["state"], "running", "{shown}");
        assert_eq!(ask().status, 200, "the session goes on after {what}");
    }
    let stopped = change(&node, session, "stop");
    assert_eq!((stopped.status, &stopped.json()["state"]), (200, &json!("gone")));
    change(&node, session, "resume").problem(404, "not_found");
    assert_eq!(ask().json()["turn"], "t4", "the next message activates it again");
    assert_ne!(id(&node, "agents/assistant/default.s"), session);
    assert_eq!(node.get("/api/v1/system").json()["restarts"], 2);
}

#[test]
fn an_actor_shows_its_bounds_and_its_dead_letters_without_their_content() {
    let place = Place::new();
    let node = place.node(&[]);
    let tool = id(&node, "tools/calculator");
    assert_eq!(change(&node, tool, "pause").status, 200);
    let mut turn = node.stream(&json!({"input": "What is 17% of 2340?", "session": "s"}));
    turn.until("tool_call");
    assert!(wait_until(|| (actor(&node, tool)["lanes"]["normal"] == 1).then_some(())).is_some());
    assert_eq!(node.post("/api/v1/sessions/s/cancel", &json!({})).json()["cancelled"], true);
    assert_eq!(turn.rest().last().unwrap().event, "error");
    assert_eq!(change(&node, tool, "resume").status, 200);
    let shown = wait_until(|| Some(actor(&node, tool)).filter(|shown| shown["dead_letters"][0].is_object()));
    let shown = shown.unwrap_or_else(|| panic!("{}", actor(&node, tool)));
    assert_eq!(shown["dead_letters"][0]["reason"], "expired", "{shown}");
    assert!(shown["dead_letters"][0].get("payload").is_none());
    assert_eq!((&shown["name"], &shown["supervisor_id"]), (&json!("tools/calculator"), &json!(id(&node, "tools"))));
    assert!(shown["limits"]["normal"]["capacity"].as_u64().unwrap() > 0);
    assert_eq!(shown["policy"]["restart"], "permanent");
    assert!(actor(&node, id(&node, "tools"))["child_ids"].as_array().unwrap().contains(&json!(tool)));
}

#[test]
fn a_tree_can_be_bounded_and_says_what_it_leaves_out() {
    let place = Place::new();
    let node = place.node(&[]);
    let tree = |query: &str| node.get(&format!("/api/v1/tree{query}")).json();
    let whole = tree("");
    assert!(whole.get("truncated").is_none() && whole["children"].as_array().unwrap().len() > 3);
    let first = tree("?depth=0");
    assert_eq!(
        (&first["truncated"], &first["name"]),
        (&json!(whole["children"].as_array().unwrap().len()), &json!("beluga"))
    );
    let tools = tree("?root=tools&nodes=3");
    let shown = tools["children"].as_array().unwrap().len();
    assert_eq!((shown, tools["truncated"].as_u64().unwrap() > 0), (2, true), "{tools}");
    let by_number = tree(&format!("?root={}", id(&node, "tools")));
    assert_eq!(by_number["name"], "tools");
    node.get("/api/v1/tree?root=nobody").problem(404, "not_found");
    for query in ["?depth=-1", "?depth=x", "?nodes=", "?deep=1"] {
        let told = node.get(&format!("/api/v1/tree{query}")).problem(400, "invalid_input");
        assert!(told.contains("depth"), "{told}");
    }
}

#[test]
fn what_cannot_be_changed_says_why() {
    let place = Place::new();
    let node = place.node(&[]);
    for what in ["pause", "resume", "restart", "stop", "kill"] {
        change(&node, 1_000_000, what).problem(404, "not_found");
        for vital in ["beluga", "faces", "faces/http"] {
            let number = if vital == "beluga" {
                node.get("/api/v1/tree").json()["id"].as_u64().unwrap()
            } else {
                id(&node, vital)
            };
            assert!(change(&node, number, what).problem(409, "conflict").contains(vital));
        }
        let path = format!("/api/v1/actors/tools/{what}");
        node.post(&path, &json!({})).problem(400, "invalid_input");
        let wrong = node.get(&format!("/api/v1/actors/1/{what}"));
        wrong.problem(405, "invalid_input");
        assert_eq!(wrong.header("allow"), Some("POST"));
    }
    node.get("/api/v1/actors/1000000").problem(404, "not_found");
    node.get("/api/v1/actors/x").problem(400, "invalid_input");
    node.post("/api/v1/actors/1/dance", &json!({})).problem(404, "not_found");
    assert_eq!(node.get("/readyz").status, 200);
}

/// Sends a change of the tools' supervisor with these headers; they are to replace the ordinary ones.
fn attempt(node: &NodeProcess, headers: &[(&str, &str)]) -> Response {
    let path = format!("/api/v1/actors/{}/resume", id(node, "tools"));
    request(node.address, "POST", &path, headers, b"{}")
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn a_tenant_a_web_page_and_a_proxy_are_no_operators() {
    let place = Place::new();
    let node = place.node(&[]);
    assert_eq!(attempt(&node, &[JSON]).status, 200);
    attempt(&node, &[JSON, ("X-Beluga-Tenant", "acme")]).problem(403, "permission_denied");
    attempt(&node, &[JSON, ("X-Beluga-Tenant", "default")]).problem(403, "permission_denied");
    attempt(&node, &[JSON, ("X-Forwarded-For", "192.0.2.1")]).problem(403, "permission_denied");
    attempt(&node, &[("Content-Type", "text/plain")]).problem(415, "invalid_input");
    attempt(&node, &[]).problem(415, "invalid_input");
    let looks = |path: &str| request(node.address, "GET", path, &[("X-Beluga-Tenant", "acme")], b"");
    looks("/api/v1/system").problem(403, "permission_denied");
    looks("/api/v1/actors/1").problem(403, "permission_denied");
}

#[test]
fn a_node_that_trusts_everybody_is_operated_under_its_own_name_only() {
    let place = Place::new();
    let node = place.node_at("0.0.0.0:0", &["--insecure-http"]);
    let evil = ("Host", "evil.example");
    assert_eq!(request(node.address, "GET", "/api/v1/agents", &[evil], b"").status, 200);
    attempt(&node, &[JSON, evil]).problem(403, "permission_denied");
    assert_eq!(attempt(&node, &[JSON]).status, 200);
}

#[test]
fn the_token_makes_an_operator() {
    let place = Place::new();
    place.write("beluga.toml", "[http]\ntoken_env = \"NODE_TOKEN\"\n");
    let node = place.node_with(&[], &[("NODE_TOKEN", "s3cret-token")]);
    let token = ("Authorization", "Bearer s3cret-token");
    let post = |headers: &[(&str, &str)]| request(node.address, "POST", "/api/v1/actors/2/resume", headers, b"{}");
    post(&[JSON]).problem(401, "auth_error");
    request(node.address, "GET", "/api/v1/system", &[], b"").problem(401, "auth_error");
    assert_eq!(post(&[JSON, token]).status, 200);
    assert_eq!(post(&[JSON, token, ("X-Forwarded-For", "192.0.2.1"), ("Host", "node.example")]).status, 200);
    post(&[JSON, token, ("X-Beluga-Tenant", "acme")]).problem(403, "permission_denied");
}
