//! Three nodes, three processes, one journal on JetStream: any of them is asked, one is killed, one is stopped.

use serde_json::json;

use crate::server::Server;
use crate::support::{NodeProcess, Place, wait_until};
use crate::vendor::Vendor;

/// A node, and where it runs.
struct Member {
    node: NodeProcess,
    place: Place,
}

fn member(server: &Server, vendor: &Vendor, name: &str) -> Member {
    let place = Place::new();
    let cluster = "[journal]\nkind = \"nats\"\nsync = \"off\"\n[cluster]\nname = \"test\"\ngrace = \"2s\"\n";
    place.write("beluga.toml", format!("{}{cluster}", vendor.configuration()));
    let node = place.node(&["--nats", &server.url(), "--name", name]);
    Member { node, place }
}

fn is_ready(member: &Member) -> Option<()> {
    (member.node.get("/readyz").status == 200).then_some(())
}

/// Returns whether a node has a session in memory.
fn has(member: &Member, session: &str) -> bool {
    member.node.get("/api/v1/tree?root=agents&depth=8").json().to_string().contains(&format!("default.{session}\""))
}

#[test]
fn a_turn_outlives_the_node_it_ran_on_and_any_node_may_be_asked() {
    let (server, vendor) = (Server::with("jetstream {}\n"), Vendor::start());
    let mut members: Vec<Member> = ["n0", "n1", "n2"].iter().map(|name| member(&server, &vendor, name)).collect();
    for member in &members {
        wait_until(|| is_ready(member)).expect("the node is in");
    }
    // Until shards have moved to all three.
    let spread = |member: &Member| {
        wait_until(|| {
            let sessions = (0..12).map(|n| format!("spread-{n}"));
            sessions
                .map(|session| {
                    member.node.invoke(&json!({"input": "say hello", "session": session})).json();
                    session
                })
                .any(|session| has(member, &session))
                .then_some(())
        })
        .expect("each node gets its share");
    };
    members.iter().for_each(spread);

    // A turn that runs on another node than the one that was asked.
    let (session, mut reading, owner) = (0..20)
        .find_map(|n| {
            let session = format!("s-{n}");
            let reading = members[0].node.stream(&json!({"input": "slow 30", "session": session}));
            wait_until(|| members.iter().position(|member| has(member, &session)))
                .filter(|owner| *owner != 0)
                .map(|owner| (session, reading, owner))
        })
        .expect("a session of another node");
    reading.event().unwrap();
    let victim = members.remove(owner);
    victim.node.signal("KILL");
    let events = reading.rest();
    let done = events.last().expect("the turn ends");
    assert_eq!(done.event, "done", "{events:?}");
    assert!(done.data["result"].as_str().unwrap().ends_with("word28 word29 "), "{done:?}");
    assert!(events.iter().any(|event| event.event == "retry"), "it was taken up again: {events:?}");
    let numbers: Vec<u64> = events.iter().filter_map(|event| event.id).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");

    // The conversation goes on wherever it is asked.
    let reply = members[1].node.invoke(&json!({"input": "count", "session": session})).json();
    assert_eq!(reply["result"], "3", "a question, its answer, and this question");
    let read = members[0].node.get(&format!("/api/v1/sessions/{session}")).json();
    assert_eq!(read["turns"].as_array().unwrap().len(), 2, "{read}");

    // The killed one comes back under its name, in a new life, and is told to leave by another.
    let name = ["n0", "n1", "n2"][owner];
    let back = member(&server, &vendor, name);
    wait_until(|| is_ready(&back)).expect("the node is in again");
    let url = members[0].node.url.clone();
    let command = |arguments: &[&str]| {
        let all: Vec<&str> = ["--url", &url].into_iter().chain(arguments.iter().copied()).collect();
        back.place.run(&all)
    };
    let report = command(&["cluster", "--json"]).json();
    assert_eq!(report["members"].as_array().unwrap().len(), 3, "{report}");
    let table = command(&["cluster"]).stdout;
    assert!(table.contains("n0 *") && table.contains("1024 shards"), "{table}");
    let told = command(&["drain", name]);
    assert!(told.code == Some(0) && told.stdout.contains(name), "{told:?}");
    wait_until(|| (command(&["cluster", "--json"]).json()["members"].as_array().unwrap().len() == 2).then_some(()))
        .expect("it leaves");
    assert_eq!(back.node.get("/readyz").status, 503, "who left says so");
    back.node.invoke(&json!({"input": "say hello"})).problem(503, "unavailable");
    assert_eq!(command(&["drain", "nobody"]).code, Some(1));
    assert_eq!(back.node.stop().0, Some(0));

    // One that is told to stop hands over, and says so.
    let leaver = members.remove(1);
    let (code, log) = leaver.node.stop();
    assert_eq!(code, Some(0), "{log}");
    let reply = members[0].node.invoke(&json!({"input": "count", "session": session})).json();
    assert_eq!(reply["result"], "5");
    assert_eq!(members[0].node.get("/readyz").status, 200);
}

#[test]
fn a_cluster_without_a_server_or_a_common_journal_is_refused_by_name() {
    let (place, vendor) = (Place::new(), Vendor::start());
    let write = |more: &str| place.write("beluga.toml", format!("{}{more}", vendor.configuration()));
    let refused = |more: &str, words: &[&str]| {
        write(more);
        let outcome = place.run(&["node", "--http", "127.0.0.1:0"]);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        for word in words {
            assert!(outcome.stderr.contains(word), "{word} is missing in {}", outcome.stderr);
        }
    };
    refused("[cluster]\nname = \"test\"\n", &["journal.kind", "must be \"nats\" in a cluster"]);
    refused("[journal]\nkind = \"nats\"\n", &["journal.sync", "replicas = 3"]);
    refused("[journal]\nkind = \"nats\"\nsync = \"off\"\n", &["journal.kind", "nats.servers"]);
    refused("[cluster]\nreplicas = 2\n", &["cluster.replicas", "1, 3 or 5"]);
}
