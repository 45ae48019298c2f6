//! What a node spent, over HTTP and on the command line; budgets and routers of its configuration.

use serde_json::{Value, json};

use crate::support::{Place, request, wait_until};
use crate::vendor::Vendor;

/// A configuration with a vendor behind `assistant` whose model has a price.
fn priced(vendor: &Vendor, more: &str) -> String {
    format!("{more}\n[prices.played]\ninput = 2.5\noutput = 10\n{}", vendor.configuration())
}

fn rows(report: &Value) -> Vec<(&str, &str, &str, u64)> {
    let text = |row: &'_ Value, key: &str| row[key].as_str().map(str::len).unwrap_or_default();
    let rows = report["usage"].as_array().unwrap();
    assert!(rows.iter().all(|row| text(row, "provider") > 0));
    rows.iter()
        .map(|row| {
            let name = |key: &str| row[key].as_str().unwrap();
            (name("tenant"), name("agent"), name("model"), row["requests"].as_u64().unwrap())
        })
        .collect()
}

#[test]
fn usage_is_told_by_tenant_agent_and_model_and_to_a_tenant_its_own_only() {
    let (place, vendor) = (Place::new(), Vendor::start());
    place.write("beluga.toml", priced(&vendor, "[budgets.tenant]\ncost_usd = 1\nevery = \"1d\""));
    let node = place.node(&[]);
    assert_eq!(node.get("/api/v1/usage").json()["usage"], json!([]));
    assert_eq!(node.invoke(&json!({"input": "say hello"})).status, 200);
    let acme = [("X-Beluga-Tenant", "acme")];
    let body = json!({"input": "say hello"});
    assert_eq!(node.post_with("/api/v1/agents/assistant/invoke", &body, &acme).status, 200);
    let all = node.get("/api/v1/usage").json();
    assert_eq!(rows(&all), [("acme", "assistant", "played", 1), ("default", "assistant", "played", 1)], "{all}");
    let row = &all["usage"][0];
    let tokens = |key: &str| row[key].as_u64().unwrap();
    // The vendor tells no tokens for a plain answer here or does; either way cost follows from what is counted.
    let numerator = tokens("input_tokens") * 2_500_000 + tokens("output_tokens") * 10_000_000;
    assert_eq!(tokens("cost_micro_usd"), numerator.div_ceil(1_000_000), "{row}");
    assert!(tokens("cost_micro_usd") > 0 && tokens("reserved_tokens") == 0, "{row}");
    assert_eq!(all["total"]["requests"], 2);
    let budgets: Vec<&str> = all["budgets"].as_array().unwrap().iter().map(|b| b["name"].as_str().unwrap()).collect();
    assert_eq!(budgets, ["acme", "default", "node"]);
    assert_eq!(all["budgets"][0]["limits"], json!({"cost_micro_usd": 1_000_000}), "{all}");
    assert!(all["budgets"][0]["resets_in_ms"].as_u64().unwrap() <= 86_400_000);

    let own = request(node.address, "GET", "/api/v1/usage", &acme, b"").json();
    assert_eq!(rows(&own), [("acme", "assistant", "played", 1)]);
    assert_eq!(own["budgets"].as_array().unwrap().len(), 1, "not the node's");
    request(node.address, "GET", "/api/v1/usage?tenant=default", &acme, b"").problem(403, "permission_denied");
    assert_eq!(rows(&node.get("/api/v1/usage?tenant=default").json()).len(), 1);
    assert_eq!(rows(&node.get("/api/v1/usage?agent=other").json()).len(), 0);
    node.get("/api/v1/usage?tenants=x").problem(400, "invalid_input");
    let metrics = node.get("/metrics").text();
    assert!(metrics.contains("beluga_model_cost_micro_usd_total{vendor="), "{metrics}");

    let shown = place.run(&["usage", "--url", &node.url]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert!(
        lines[0].starts_with("TENANT") && lines[1].starts_with("acme") && lines[1].contains("/played"),
        "{shown:?}"
    );
    assert!(shown.stdout.contains("total") && shown.stdout.contains("tenant acme: cost $"), "{shown:?}");
    let one = place.run(&["usage", "--url", &node.url, "--tenant", "acme", "--json"]).json();
    assert_eq!(rows(&one), [("acme", "assistant", "played", 1)]);
}

#[test]
fn a_turn_beyond_its_budget_is_refused_and_an_edit_of_the_budget_counts_at_once() {
    let (place, vendor) = (Place::new(), Vendor::start());
    let file = |requests: u32| priced(&vendor, &format!("[budgets.node]\nrequests = {requests}"));
    place.write("beluga.toml", file(1));
    let node = place.node(&[]);
    let ask = || node.invoke(&json!({"input": "say hello"}));
    assert_eq!(ask().status, 200);
    let refused = ask().problem(422, "budget_exhausted");
    assert!(refused.contains("the node has no room"), "{refused}");
    assert_eq!(vendor.requests(), 1);
    place.write("beluga.toml", file(2));
    assert!(wait_until(|| (ask().status == 200).then_some(())).is_some(), "the edit is in force");
    ask().problem(422, "budget_exhausted");
}

#[test]
fn a_router_of_the_configuration_falls_back_and_its_cache_answers_what_comes_again() {
    let (place, first, second) = (Place::new(), Vendor::start(), Vendor::start());
    let provider = |name: &str, vendor: &Vendor| {
        format!(
            "[providers.{name}]\nkind = \"openai-compatible\"\nmodel = \"played\"\nbase_url = \"{}\"\n\
             retry = {{ attempts = 1 }}\n",
            vendor.url()
        )
    };
    place.write(
        "beluga.toml",
        format!(
            "{}{}[routers.both]\nroutes = [\"first\", \"second\"]\nstrategy = \"round_robin\"\ncache = {{}}\n\
             [agents.assistant]\nmodel = \"both\"\nmemory = []\ntools = []\n",
            provider("first", &first),
            provider("second", &second)
        ),
    );
    let node = place.node(&[]);
    let ask = |text: &str| node.invoke(&json!({ "input": text }));
    for text in ["say a", "say b", "say a", "say b"] {
        assert_eq!(ask(text).status, 200);
    }
    assert_eq!((first.requests(), second.requests()), (1, 1), "each in its turn, then the cache");
    ask("refuse 503").problem(502, "provider_unavailable");
    assert_eq!((first.requests(), second.requests()), (2, 2), "both were asked");
    let report = node.get("/api/v1/usage").json();
    assert_eq!(rows(&report), [("default", "assistant", "played", 4)], "{report}");
    assert!(report["total"]["unpriced_requests"].as_u64().unwrap() > 0, "an unknown price is said to be unknown");
    let tree = node.get("/api/v1/tree").text();
    assert!(tree.contains("providers/both"), "{tree}");
}
