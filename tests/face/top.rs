//! `beluga top` where there is no terminal; what it draws on one is tested beside it.

use serde_json::json;

use crate::support::{Place, outcome};

#[test]
fn without_a_terminal_one_snapshot_is_printed() {
    let place = Place::new();
    let node = place.node(&[]);
    assert_eq!(node.invoke(&json!({"input": "What is 1 + 1?", "session": "s"})).status, 200);
    let tools = node.get("/api/v1/tree?root=tools&depth=0").json();
    assert_eq!(node.post(&format!("/api/v1/actors/{}/pause", tools["id"]), &json!({})).status, 200);
    for arguments in [&["top"][..], &["top", "--once", "--url", &node.url], &["top", "--interval", "200ms"]] {
        let printed = place.run(arguments);
        assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""), "{printed:?}");
        let lines: Vec<&str> = printed.stdout.lines().collect();
        assert!(lines[0].starts_with("beluga up ") && lines[0].contains(", 1 paused, "), "{printed:?}");
        assert!(lines[1].starts_with("NAME "), "{printed:?}");
        let has =
            |name: &str, word: &str| lines.iter().any(|line| line.trim().starts_with(name) && line.contains(word));
        assert!(has("default.s", "session") && has("tools", "paused") && has("default", "closed"), "{printed:?}");
        assert!(!printed.stdout.contains('\u{1b}'));
    }
}

#[test]
fn a_node_that_is_not_there_or_refuses_is_said_so() {
    let place = Place::new();
    let none = place.run(&["top"]);
    assert_eq!(none.code, Some(2), "{none:?}");
    assert!(none.stderr.contains("no node runs") && none.stderr.contains("--url"), "{none:?}");
    let away = place.run(&["top", "--url", "http://127.0.0.1:1"]);
    assert!(away.code == Some(2) && away.stderr.contains("no node answers"), "{away:?}");
    for interval in ["5", "10ms", "2h", "soon"] {
        assert_eq!(place.run(&["top", "--interval", interval]).code, Some(2));
    }
    place.write("beluga.toml", "[http]\ntoken_env = \"NODE_TOKEN\"\n");
    let node = place.node_with(&[], &[("NODE_TOKEN", "s3cret-token")]);
    let refused = place.run(&["top", "--url", &node.url]);
    assert!(refused.code == Some(1) && refused.stderr.contains("auth_error"), "{refused:?}");
    let mut told = place.command(&["top", "--url", &node.url]);
    told.env("BELUGA_TOKEN", "s3cret-token");
    assert_eq!(outcome(told).code, Some(0));
}
