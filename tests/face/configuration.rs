//! The configuration as a node uses it: overrides and hot reload.

use beluga::config::{Config, Environment, Sources};
use serde_json::json;

use crate::support::{Place, wait_until};
use crate::vendor::Vendor;

#[test]
fn an_edit_is_applied_to_a_running_node_and_a_broken_one_is_not() {
    let (place, vendor) = (Place::new(), Vendor::start());
    let configuration = vendor.configuration();
    place.write("beluga.toml", &configuration);
    let node = place.node(&[]);
    let names = || -> Vec<String> {
        let agents = node.get("/api/v1/agents").json();
        agents["agents"].as_array().unwrap().iter().map(|agent| agent["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(), ["assistant"]);
    place.write("beluga.toml", format!("{configuration}[agents.billing]\nmodel = \"nothing\"\n"));
    place.write("draft", format!("{configuration}[agents.sales]\nmodel = \"main\"\nmemory = []\n"));
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(names(), ["assistant"], "the broken version changed nothing");
    std::fs::rename(place.path().join("draft"), place.path().join("beluga.toml")).unwrap();
    wait_until(|| (names() == ["assistant", "sales"]).then_some(())).expect("the edit is applied");
    let reply = node.post("/api/v1/agents/sales/invoke", &json!({"input": "say sold"}));
    assert_eq!(reply.json()["result"], "sold");
    place.write("beluga.toml", &configuration);
    wait_until(|| (names() == ["assistant"]).then_some(())).expect("the removed agent is gone");
    let (_, log) = node.stop();
    assert!(log.contains("the old one stays in force") && log.contains("agents.billing.model"), "{log}");
}

#[test]
fn embedders_and_rerankers_run_beside_the_models_and_follow_an_edit() {
    let (place, vendor) = (Place::new(), Vendor::start());
    let configuration = vendor.configuration();
    place.write("beluga.toml", format!("{configuration}[embedders.words]\nkind = \"local\"\n"));
    let node = place.node_with(&[], &[("COHERE_API_KEY", "k")]);
    let has = |name: &str| node.get("/api/v1/tree?root=providers").json().to_string().contains(name);
    assert!(has("providers/embedder.words\"") && !has("reranker.best"));
    let more =
        "[embedders.words]\nkind = \"local\"\noptions = { dimensions = 64 }\n[rerankers.best]\nkind = \"cohere\"\n";
    place.write("draft", format!("{configuration}{more}"));
    std::fs::rename(place.path().join("draft"), place.path().join("beluga.toml")).unwrap();
    wait_until(|| has("providers/reranker.best\"").then_some(())).expect("the new section runs");
    assert!(has("providers/embedder.words.2\""), "what changed is built anew; the old one may still be asked");
    node.stop();
}

#[test]
fn a_long_conversation_is_fitted_to_what_the_model_reads() {
    let (place, vendor) = (Place::new(), Vendor::start());
    let context = |fields: &str| format!("{}[agents.assistant.context]\n{fields}", vendor.configuration());
    let config = place.write("beluga.toml", context(""));
    let outcome = place.run(&["node", "--http", "127.0.0.1:0"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    for words in ["agents.assistant.context.tokens", "\"played\"", "[models.\"played\"]"] {
        assert!(outcome.stderr.contains(words), "{words} is missing in {}", outcome.stderr);
    }
    // The budget is the window without its last quarter: 300 of 400 tokens.
    std::fs::write(config, context("[models.played]\ncontext_tokens = 400\n")).unwrap();
    let node = place.node(&[]);
    let ask = |input: &str| node.invoke(&json!({"input": input, "session": "s"})).json()["result"].clone();
    let words = "word ".repeat(60);
    let counts: Vec<u64> = (0..6).map(|_| ask(&format!("count {words}")).as_str().unwrap().parse().unwrap()).collect();
    assert_eq!((counts[0], counts[1]), (1, 3), "at first everything is shown: {counts:?}");
    assert_eq!(counts[4], counts[5], "then as much as fits: {counts:?}");
    assert!((3..11).contains(&counts[5]), "{counts:?}");
    node.stop();
}

#[test]
fn a_turn_goes_on_with_the_model_it_began_with() {
    let (place, old, new) = (Place::new(), Vendor::start(), Vendor::start());
    place.write("beluga.toml", old.configuration());
    let node = place.node(&[]);
    let mut running = node.stream(&json!({"input": "slow 20", "session": "s"}));
    running.event().unwrap();
    place.write("beluga.toml", new.configuration());
    wait_until(|| {
        node.invoke(&json!({"input": "say new"}));
        (new.requests() > 0).then_some(())
    })
    .expect("the new model answers");
    assert_eq!(running.rest().last().unwrap().event, "done");
}

#[test]
fn the_environment_wins_over_the_file() {
    let place = Place::new();
    place.write("beluga.toml", "[http]\nbody_limit_bytes = 1024\n");
    let node = place.node_with(&[], &[("BELUGA__HTTP__BODY_LIMIT_BYTES", "4096")]);
    let body = json!({"input": format!("What is 1 + 1?{}", " ".repeat(2000))});
    assert_eq!(node.invoke(&body).status, 200);
    let body = json!({"input": " ".repeat(5000)});
    node.invoke(&body).problem(413, "invalid_input");
}

#[test]
fn the_examples_pass_every_check() {
    let keys = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "NODE_TOKEN"];
    let environment: Environment = keys.iter().map(|key| (*key, "secret")).collect();
    let mut checked = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/config")).unwrap() {
        let sources = Sources::new(environment.clone()).file(&entry.unwrap().path()).unwrap();
        Config::load(&sources).unwrap();
        checked += 1;
    }
    assert!(checked >= 2);
}

#[test]
fn a_tenant_at_its_own_limit_does_not_starve_another() {
    let (place, vendor) = (Place::new(), Vendor::start());
    let limits = "[providers.main.limits]\ntenant_rpm = 1\n";
    place.write("beluga.toml", format!("{}{limits}", vendor.configuration()));
    let node = place.node(&[]);
    let ask = |tenant: &str, words: &str| {
        let body = json!({"input": format!("say {words}")});
        node.post_with("/api/v1/agents/assistant/invoke", &body, &[("X-Beluga-Tenant", tenant)])
    };
    assert_eq!(ask("acme", "one").json()["result"], "one");
    let body = br#"{"input": "say two"}"#;
    let headers = [("X-Beluga-Tenant", "acme"), ("Content-Type", "application/json")];
    let waiting = crate::support::connect(node.address, "POST", "/api/v1/agents/assistant/invoke", &headers, body);
    let in_flight = || node.get("/api/v1/tree").json().to_string().contains("\"in_flight\":1").then_some(());
    wait_until(in_flight).expect("the second question waits in the model");
    assert_eq!(ask("rival", "three").json()["result"], "three");
    assert_eq!(vendor.requests(), 2, "the first tenant's second question waits for its own minute");
    drop(waiting);
}
