//! Every route of the HTTP face, and who may use it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;

use crate::support::{PATIENCE, Place, request};
use crate::vendor::Vendor;

#[test]
fn invoke_answers_result_session_turn_and_usage() {
    let place = Place::new();
    let node = place.node(&[]);
    let response = node.invoke(&json!({"input": "What is 17% of 2340?"}));
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    let reply = response.json();
    assert!(reply["result"].as_str().unwrap().contains("397.8"), "{reply}");
    assert!(reply["turn"].is_string() && reply["usage"]["output_tokens"].is_u64());
    let again = node.invoke(&json!({"input": "What is 1 + 1?", "session": reply["session"]})).json();
    assert_eq!(again["session"], reply["session"]);
    assert_eq!(node.stop().0, Some(0));
}

#[test]
fn a_conversation_is_read_in_pages_by_its_tenant_only() {
    let place = Place::new();
    let node = place.node(&[]);
    for sum in ["1 + 1", "2 + 2"] {
        let body = json!({"input": format!("What is {sum}?"), "session": "s-1", "metadata": {"ticket": sum}});
        assert_eq!(node.invoke(&body).status, 200);
    }
    let all = node.get("/api/v1/sessions/s-1").json();
    assert_eq!((all["session"].as_str(), all["turns"].as_array().unwrap().len()), (Some("s-1"), 2), "{all}");
    let turn = &all["turns"][0];
    assert_eq!((turn["status"].as_str(), turn["input"].as_str()), (Some("done"), Some("What is 1 + 1?")));
    assert_eq!((turn["output"].as_str(), turn["metadata"]["ticket"].as_str()), (Some("1 + 1 is 2."), Some("1 + 1")));
    assert!(turn["started_at_ms"].is_u64() && turn["ended_at_ms"].is_u64() && all["next"].is_null());
    let first = node.get("/api/v1/sessions/s-1?limit=1").json();
    assert_eq!(first["turns"], json!([all["turns"][0]]));
    let second = node.get(&format!("/api/v1/sessions/s-1?limit=1&from={}", first["next"])).json();
    assert_eq!((&second["turns"], &second["next"]), (&json!([all["turns"][1]]), &json!(null)));
    node.get("/api/v1/sessions/s-2").problem(404, "not_found");
    for query in ["limit=0", "limit=201", "limit=x", "from=-1", "page=2"] {
        node.get(&format!("/api/v1/sessions/s-1?{query}")).problem(400, "invalid_input");
    }
    let other = [("X-Beluga-Tenant", "acme")];
    request(node.address, "GET", "/api/v1/sessions/s-1", &other, b"").problem(404, "not_found");
    node.post("/api/v1/sessions/s-1", &json!({})).problem(405, "invalid_input");
}

#[test]
fn a_connection_that_begins_in_pieces_is_served_in_its_protocol() {
    let place = Place::new();
    let node = place.node(&["--log", "off"]);
    let connect = || {
        let stream = TcpStream::connect(node.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };

    // What may become the preface of HTTP/2 and does not.
    let mut stream = connect();
    for piece in ["P", "R", "OPFIND /livez HTTP/1.0\r\n", "Host: localhost\r\n\r\n"] {
        stream.write_all(piece.as_bytes()).unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 4"), "{answer}");

    // The preface and empty settings; the answer begins with settings, a frame of type 4.
    let mut stream = connect();
    for piece in [&b"PRI * HT"[..], b"TP/2.0\r\n\r\nSM\r\n\r\n", &[0, 0, 0, 4, 0, 0, 0, 0, 0]] {
        stream.write_all(piece).unwrap();
    }
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "{frame:?}");

    // One that says nothing does not hold the node up.
    let silent = connect();
    assert_eq!(node.stop().0, Some(0));
    drop(silent);
}

#[test]
fn every_answer_names_its_request() {
    let place = Place::new();
    let node = place.node(&["--log", "off"]);
    let given = [("X-Request-Id", "order/17")];
    let path = "/api/v1/agents/assistant/invoke";
    let reply = node.post_with(path, &json!({"input": "What is 1 + 1?", "session": "s-1"}), &given);
    assert_eq!((reply.status, reply.header("x-request-id")), (200, Some("order/17")));
    let turn = node.get("/api/v1/sessions/s-1").json()["turns"][0].clone();
    assert_eq!(turn["request_id"], "order/17", "{turn}");
    assert_eq!(turn["trace_id"].as_str().unwrap().len(), 32, "{turn}");
    let failed = node.post_with(path, &json!({}), &given);
    failed.problem(400, "invalid_input");
    assert_eq!(
        (failed.json()["request_id"].as_str(), failed.header("x-request-id")),
        (Some("order/17"), Some("order/17"))
    );
    for (method, path) in [("GET", "/nowhere"), ("POST", "/api/v1/tree"), ("GET", "/healthz"), ("GET", "/metrics")] {
        let answer = request(node.address, method, path, &given, b"");
        assert_eq!(answer.header("x-request-id"), Some("order/17"), "{path}");
    }
    let rebound = request(node.address, "GET", "/api/v1/agents", &[("Host", "evil.example"), given[0]], b"");
    rebound.problem(403, "permission_denied");
    assert_eq!(rebound.json()["request_id"], "order/17");
    let large = "x".repeat(40_000);
    let large = request(node.address, "GET", "/healthz", &[("X-Large", &large), given[0]], b"");
    assert_eq!((large.status, large.json()["request_id"].as_str()), (431, Some("order/17")));
    let long = "x".repeat(129);
    for refused in ["two words", "a\"b", "", &long] {
        let answer = request(node.address, "GET", "/nowhere", &[("X-Request-Id", refused)], b"");
        let made = answer.header("x-request-id").unwrap();
        assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        assert_eq!(answer.json()["request_id"], made);
    }
    let made = || node.get("/healthz").header("x-request-id").unwrap().to_owned();
    assert_ne!(made(), made());
}

#[test]
fn agents_tree_health_and_metrics_answer() {
    let place = Place::new();
    let node = place.node(&[]);
    let agents = node.get("/api/v1/agents").json();
    assert_eq!(agents["agents"][0]["name"], "assistant");
    let tools = agents["agents"][0]["tools"].as_array().unwrap();
    assert!(tools.iter().any(|tool| tool == "calculator"), "{tools:?}");
    let card = &agents["agents"][0]["card"];
    assert_eq!((&card["id"], &card["model"]["provider"]), (&json!("assistant"), &json!("beluga.offline")));
    let calculator = card["tools"].as_array().unwrap().iter().find(|tool| tool["name"] == "calculator").unwrap();
    assert_eq!(calculator["input_schema"]["type"], "object");
    node.invoke(&json!({"input": "What is 1 + 1?"}));
    let tree = node.get("/api/v1/tree").json().to_string();
    for kind in ["providers", "tools", "agents", "memory"] {
        assert!(tree.contains(kind), "{kind} is missing in {tree}");
    }
    let live = node.get("/healthz");
    assert_eq!((live.status, live.json()["status"].as_str()), (200, Some("ok")));
    assert_eq!(live.json()["checks"].as_object().unwrap().keys().collect::<Vec<_>>(), ["actors"], "vital parts only");
    let ready = node.get("/readyz");
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("ready")), "{}", ready.text());
    for part in ["journal", "actors", "providers", "http"] {
        let check = &ready.json()["checks"][part];
        assert!(check["state"] == "healthy" && check["at_ms"].as_u64().unwrap() > 0, "{part}: {}", ready.text());
    }
    let metrics = node.get("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"));
    let counted =
        "beluga_http_requests_total{route=\"/api/v1/agents/{agent}/invoke\",method=\"POST\",status=\"200\"} 1";
    assert!(metrics.text().contains(counted), "{}", metrics.text());
}

#[test]
fn a_vendor_that_is_down_degrades_the_node_and_sends_nobody_away() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", vendor.configuration());
    let breaker = [("BELUGA__PROVIDERS__MAIN__BREAKER__MAX_FAILURES", "1")];
    let node = place.node_with(&[], &breaker);
    assert_eq!(node.invoke(&json!({"input": "refuse 500"})).status, 502);
    let ready = node.get("/readyz");
    let check = &ready.json()["checks"]["providers"];
    assert_eq!((ready.status, ready.json()["status"].as_str()), (200, Some("degraded")), "{}", ready.text());
    assert_eq!(
        (check["state"].as_str(), check["message"].as_str()),
        (Some("degraded"), Some("the breaker of providers/main is open"))
    );
    assert_eq!(node.get("/healthz").status, 200);
}

#[test]
fn metrics_count_what_the_node_does() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", vendor.configuration());
    let breaker = [("BELUGA__PROVIDERS__MAIN__BREAKER__MAX_FAILURES", "2")];
    let node = place.node_with(&[], &breaker);
    for input in ["say one", "say two", "refuse 500"] {
        node.invoke(&json!({"input": input, "session": "s"}));
    }
    let metrics = || node.get("/metrics").text();
    let text = metrics();
    for line in [
        "beluga_turns_total{outcome=\"done\"} 2",
        "beluga_turns_total{outcome=\"failed\"} 1",
        "beluga_turns_total{outcome=\"cancelled\"} 0",
        "beluga_model_calls_total{provider=\"main\",outcome=\"ok\"} 2",
        "beluga_model_calls_total{provider=\"main\",outcome=\"error\"} 1",
        "beluga_tool_calls_total{tool=\"calculator\",outcome=\"ok\"} 0",
        "beluga_breaker_state{actor=\"providers/main\",kind=\"model\"} 0",
        "beluga_actors{kind=\"session\"} 1",
        "beluga_actors{kind=\"model\"} 1",
        "beluga_actor_restarts_total{kind=\"session\"} 0",
        "beluga_mailbox_messages{kind=\"session\",lane=\"normal\"} 0",
        "beluga_sessions_active 1",
        "beluga_journal_queue_writes 0",
        "beluga_journal_healthy 1",
    ] {
        assert!(text.lines().any(|have| have == line), "{line:?} is missing in\n{text}");
    }
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}"));
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    assert!(value("beluga_model_tokens_total{provider=\"main\",type=\"output\"}") > 0);
    assert!(value("beluga_journal_groups_total") >= 6);
    // Every family is declared once, before its samples, and no line is anything else.
    let families: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let names: std::collections::BTreeSet<&str> = families.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names.len(), families.len(), "{families:?}");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
    }
    node.invoke(&json!({"input": "refuse 500"}));
    assert!(metrics().contains("beluga_breaker_state{actor=\"providers/main\",kind=\"model\"} 2"));
}

#[test]
fn a_tenant_has_the_limits_of_its_tier() {
    let (place, vendor) = (Place::new(), Vendor::start());
    let tenants =
        "[tiers.free]\nrpm = 1\n[tiers.gold]\n[tenants.small]\ntier = \"free\"\n[tenants.big]\ntier = \"gold\"\n";
    place.write("beluga.toml", format!("{}\n{tenants}", vendor.configuration()));
    let retry = [("BELUGA__PROVIDERS__MAIN__RETRY__ATTEMPTS", "1"), ("BELUGA__HTTP__INVOKE_TIMEOUT", "2s")];
    let node = place.node_with(&[], &retry);
    let path = "/api/v1/agents/assistant/invoke";
    let ask = |tenant: &str| node.post_with(path, &json!({"input": "say hi"}), &[("X-Beluga-Tenant", tenant)]);
    assert_eq!((ask("small").status, ask("big").status, ask("other").status), (200, 200, 200));
    assert_eq!((ask("big").status, ask("other").status), (200, 200));
    let refused = ask("small");
    assert_ne!(refused.status, 200, "{}", refused.text());
    assert_eq!(vendor.requests(), 5);
    place.write("wrong.toml", "[tiers.gold]\n[tenants.big]\ntier = \"gould\"\n");
    let told = place.run(&["--config", "wrong.toml", "node"]);
    assert!(told.stderr.contains("tenants.big.tier") && told.stderr.contains("gold"), "{told:?}");
}

#[test]
fn what_is_no_route_or_method_is_a_problem() {
    let place = Place::new();
    let node = place.node(&[]);
    for path in
        ["/", "/api", "/api/v1/agents/", "/api/v1/agents/a/b/c", "/api/v2/agents", "//healthz", "/api/v1/../tree"]
    {
        node.get(path).problem(404, "not_found");
    }
    let wrong = node.get("/api/v1/agents/assistant/invoke");
    wrong.problem(405, "invalid_input");
    assert_eq!(wrong.header("allow"), Some("POST"));
    let wrong = node.post("/api/v1/tree", &json!({}));
    wrong.problem(405, "invalid_input");
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
}

#[test]
fn an_idempotency_key_runs_a_turn_once() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", vendor.configuration());
    let node = place.node(&[]);
    let path = "/api/v1/agents/assistant/invoke";
    let key = [("Idempotency-Key", "order-17")];
    let first = node.post_with(path, &json!({"input": "say once"}), &key);
    let second = node.post_with(path, &json!({"input": "say once"}), &key);
    assert_eq!(first.json(), second.json());
    assert_eq!(vendor.requests(), 1);
    let other = node.post_with(path, &json!({"input": "say other"}), &key);
    assert_eq!(other.status, 422, "{}", other.text());
    node.post_with(path, &json!({"input": "say x"}), &[("Idempotency-Key", "")]).problem(400, "invalid_input");
}

#[test]
fn a_vendor_s_refusal_reaches_the_client_with_its_code() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", vendor.configuration());
    let node = place.node(&[]);
    let limited = node.invoke(&json!({"input": "refuse 429"}));
    limited.problem(429, "rate_limit");
    node.invoke(&json!({"input": "refuse 500"})).problem(502, "provider_unavailable");
}

#[test]
fn the_tenant_header_separates_sessions_on_loopback() {
    let place = Place::new();
    let node = place.node(&[]);
    let path = "/api/v1/agents/assistant/invoke";
    let acme = [("X-Beluga-Tenant", "acme")];
    let reply = node.post_with(path, &json!({"input": "What is 1 + 1?", "session": "s"}), &acme);
    assert_eq!(reply.status, 200);
    node.get("/api/v1/sessions/s/events?follow=false").problem(404, "not_found");
    let own = request(node.address, "GET", "/api/v1/sessions/s/events?follow=false", &acme, b"");
    assert_eq!(own.status, 200);
    node.post_with(path, &json!({"input": "x"}), &[("X-Beluga-Tenant", "../x")]).problem(400, "invalid_input");
}

#[test]
fn a_token_guards_every_route_but_health() {
    let place = Place::new();
    place.write("beluga.toml", "[http]\ntoken_env = \"NODE_TOKEN\"\n");
    let node = place.node_with(&[], &[("NODE_TOKEN", "s3cret-token")]);
    let with = |token: &str| request(node.address, "GET", "/api/v1/agents", &[("Authorization", token)], b"");
    node.get("/api/v1/agents").problem(401, "auth_error");
    assert_eq!(node.get("/metrics").header("www-authenticate"), Some("Bearer"));
    with("Bearer wrong").problem(401, "auth_error");
    with("Basic s3cret-token").problem(401, "auth_error");
    assert_eq!(with("Bearer s3cret-token").status, 200);
    assert_eq!((node.get("/healthz").status, node.get("/readyz").status), (200, 200));
    let mut ask = place.command(&["ask", "What is 1 + 1?"]);
    ask.env("NODE_TOKEN", "s3cret-token");
    assert_eq!(crate::support::outcome(ask).code, Some(0), "ask finds the token where the configuration says");
    assert!(!node.stop().1.contains("s3cret-token"));
}

#[test]
fn listening_beyond_this_machine_needs_a_token_or_a_clear_word() {
    let place = Place::new();
    let refused = place.run(&["node", "--http", "0.0.0.0:0"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--insecure-http"), "{refused:?}");
    let node = place.node_at("0.0.0.0:0", &["--insecure-http"]);
    assert!(node.url.starts_with("http://127.0.0.1:"), "{}", node.url);
    assert_eq!(node.get("/healthz").status, 200);
}

#[test]
fn a_foreign_name_does_not_reach_a_node_on_loopback() {
    let place = Place::new();
    let node = place.node(&[]);
    let named = |host: &str| request(node.address, "GET", "/api/v1/agents", &[("Host", host)], b"");
    named("evil.example").problem(403, "permission_denied");
    assert_eq!(named("localhost:1").status, 200);
    drop(node);
    place.write("beluga.toml", "[http]\nallowed_hosts = [\"agents.example\"]\n");
    let node = place.node(&[]);
    assert_eq!(request(node.address, "GET", "/api/v1/agents", &[("Host", "agents.example")], b"").status, 200);
}

#[test]
fn a_trace_of_the_caller_is_taken_up() {
    let place = Place::new();
    let node = place.node(&["--log", "warn"]);
    let trace = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    let response = node.post_with("/api/v1/agents/assistant/invoke", &json!({"input": "What is 1 + 1?"}), &trace);
    assert_eq!(response.status, 200);
    let broken = [("traceparent", "nonsense")];
    let response = node.post_with("/api/v1/agents/assistant/invoke", &json!({"input": "What is 1 + 1?"}), &broken);
    assert_eq!(response.status, 200);
}

#[test]
fn an_endpoint_at_its_limit_refuses_one_tenant_and_nothing_else() {
    let place = Place::new();
    place.write("beluga.toml", "[http.rates]\ninvoke = 2\nread = 1\n");
    let node = place.node(&[]);
    let body = json!({"input": "What is 1 + 1?", "session": "s"});
    let ask = |tenant: &str, endpoint: &str| {
        node.post_with(&format!("/api/v1/agents/assistant/{endpoint}"), &body, &[("X-Beluga-Tenant", tenant)])
    };
    assert_eq!([ask("acme", "invoke").status, ask("acme", "invoke").status], [200, 200]);
    let refused = ask("acme", "invoke");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    refused.problem(429, "rate_limit");
    assert_eq!(ask("rival", "invoke").status, 200, "another tenant has its own");
    assert_eq!(ask("acme", "stream").status, 200, "another endpoint too, and this one has no limit");
    let read = || request(node.address, "GET", "/api/v1/sessions/s", &[("X-Beluga-Tenant", "acme")], b"");
    assert_eq!(read().status, 200);
    read().problem(429, "rate_limit");
    let cancel = request(node.address, "POST", "/api/v1/sessions/s/cancel", &[("X-Beluga-Tenant", "acme")], b"");
    assert_eq!(cancel.status, 200, "a turn can be cancelled at any rate");
}
