//! Sessions in a cluster: a turn runs where its session's shard is, and goes on on the next node.

use std::collections::HashSet;
use std::time::Duration;

use beluga_actors::agent::{Agent, AgentRef, Agents};
use beluga_actors::session::{Invoke, Settings, Stores};
use beluga_actors::testkit::{Answer, FunctionModel};
use beluga_core::{Code, Effect, Event, Numbered, Role, SessionId, TenantId};
use beluga_runtime::System;
use beluga_runtime::cluster::{Cluster, ClusterSettings, Standing};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;

use crate::kit::{Gate, Witness, collect, names, session, shout, stores, wait};
use crate::net::Net;

/// A node with the agent all nodes have.
struct Member {
    system: System,
    agents: Agents,
    agent: AgentRef,
    cluster: Cluster,
}

/// What the agents' tools do, wherever they run.
#[derive(Clone)]
struct World {
    net: Net,
    stores: Stores,
    first: Witness,
    gate: Gate,
}

impl World {
    fn new() -> Self {
        Self { net: Net::new(3), stores: stores(), first: Witness::default(), gate: Gate::shut() }
    }

    async fn member(&self, name: &str) -> Member {
        let system = System::builder(name).seed(7).build().unwrap();
        let agents = Agents::start(&system, &self.stores, Settings::default()).await.unwrap();
        let agent = Agent::builder("assistant")
            .model(model())
            .tool(shout("first", Effect::Once, &self.first))
            .tool(wait("gate", Effect::Idempotent, &self.gate))
            .spawn(&agents)
            .await
            .unwrap();
        let settings = ClusterSettings { shards: 64, grace: Duration::from_secs(1), ..ClusterSettings::new(name) };
        let cluster = Cluster::start(&system, self.net.link(name), self.net.store(), settings).unwrap();
        agents.sessions().join(&cluster).await.unwrap();
        Member { system, agents, agent, cluster }
    }

    /// Starts three nodes, each with its share of the shards.
    async fn members(&self) -> Vec<Member> {
        let mut members = Vec::new();
        for name in ["n0", "n1", "n2"] {
            members.push(self.member(name).await);
        }
        for member in &members {
            member.cluster.joined().await;
        }
        tokio::time::sleep(Duration::from_secs(15)).await;
        members
    }
}

impl Member {
    fn has(&self, session: &SessionId) -> bool {
        self.cluster.serves(&TenantId::default(), "session", session.as_str()).is_some()
    }

    async fn stop(self) {
        let Member { system, agents, agent, cluster } = self;
        drop((agents, agent, cluster));
        system.shutdown(Duration::from_secs(5)).await.unwrap();
    }
}

/// Says how many questions it was asked; at `work` calls `first`, then `gate`, then says "done".
fn model() -> FunctionModel {
    FunctionModel::new(|request| {
        let questions = request.messages.iter().filter(|message| message.role == Role::User).count();
        let last = request.messages.iter().rposition(|message| message.role == Role::User).unwrap();
        if request.messages[last].text() != "work" {
            return Answer::text(questions.to_string());
        }
        match request.messages[last..].iter().filter(|message| message.role == Role::Tool).count() {
            0 => Answer::call("first", json!({"word": "a"})),
            1 => Answer::call("gate", json!({"word": "b"})),
            _ => Answer::pieces(["do", "ne"]),
        }
    })
}

/// Returns a session that lives on this node.
fn session_on(member: &Member) -> SessionId {
    (0..500).map(|n| session(&format!("s-{n}"))).find(|session| member.has(session)).expect("a session of the node")
}

fn assert_whole(events: &[Numbered]) {
    assert!(events.windows(2).all(|pair| pair[0].number < pair[1].number), "each once, in order: {events:?}");
    let Event::Done { result, .. } = &events.last().unwrap().event else { panic!("{events:?}") };
    assert_eq!(result, "done");
    let called: Vec<_> = events.iter().filter(|event| matches!(event.event, Event::ToolResult { .. })).collect();
    assert_eq!(called.len(), 2, "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn a_conversation_is_one_whichever_node_is_asked() {
    let world = World::new();
    let members = world.members().await;
    let mut homes = HashSet::new();
    for n in 0..12 {
        let session = session(&format!("s-{n}"));
        for (before, member) in members.iter().enumerate() {
            let reply = member.agent.ask("again").session(session.clone()).await.unwrap();
            assert_eq!(reply.result, (before + 1).to_string(), "{session}");
        }
        homes.insert(members.iter().position(|member| member.has(&session)).unwrap());
        for member in &members {
            let events = member.agents.sessions().events(&TenantId::default(), &session, None, false).await.unwrap();
            let events = collect(events).await;
            assert_eq!(events.iter().filter(|event| event.event.is_terminal()).count(), 3, "{:?}", names(&events));
        }
    }
    assert_eq!(homes.len(), 3, "they live on all nodes");
    let nobody = members[0].agents.sessions().events(&TenantId::default(), &session("none"), None, false).await;
    assert_eq!(nobody.unwrap_err().code(), Code::NotFound);
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_whose_node_dies_is_finished_by_another_and_repeats_no_finished_tool() {
    let world = World::new();
    let mut members = world.members().await;
    let id = session_on(&members[2]);
    let invoke = Invoke::text("work").with_session(id.clone());
    let events = members[0].agent.stream(invoke).await.unwrap();
    let reading = tokio::spawn(collect(events));
    world.gate.arrived(1).await;
    assert_eq!(world.first.count(), 1);
    world.net.cut("n2");
    // Its process hangs: nobody hears of it, and what it still does is in vain.
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.gate.arrived(2).await;
    world.gate.open();
    assert_whole(&reading.await.unwrap());
    assert_eq!(world.first.count(), 1, "its result was recorded");
    let reply = members[1].agent.ask("and now").session(id).await.unwrap();
    assert_eq!(reply.result, "2");
    members.remove(2).stop().await;
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_goes_on_while_its_node_hands_over() {
    let world = World::new();
    let members = world.members().await;
    let id = session_on(&members[1]);
    // Asked on the very node that leaves, and read on another.
    let near = members[1].agent.stream(Invoke::text("work").with_session(id.clone())).await.unwrap();
    let far = members[0].agents.sessions().events(&TenantId::default(), &id, None, true).await.unwrap();
    let near = tokio::spawn(near.try_collect::<Vec<_>>());
    let far = tokio::spawn(async move {
        let mut events = Vec::new();
        let mut far = far;
        while let Some(event) = far.next().await {
            let event = event.unwrap();
            let is_last = event.event.is_terminal();
            events.push(event);
            if is_last {
                break;
            }
        }
        events
    });
    world.gate.arrived(1).await;
    members[1].cluster.leave().await;
    assert_eq!(members[1].cluster.standing(), Standing::Left);
    world.gate.arrived(2).await;
    world.gate.open();
    assert_whole(&far.await.unwrap());
    assert_eq!(world.first.count(), 1);
    // Who asked the node that left hears that it left, and where to read on.
    let error = near.await.unwrap().expect_err("the node asks the others no more");
    assert!(matches!(error.code(), Code::Unavailable | Code::UnknownOutcome), "{error}");
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_cancelled_from_any_node_and_by_a_caller_that_leaves() {
    let world = World::new();
    let members = world.members().await;
    let id = session_on(&members[2]);
    let events = members[0].agent.stream(Invoke::text("work").with_session(id.clone())).await.unwrap();
    let turn = events.turn().cloned();
    world.gate.arrived(1).await;
    let cancelled = members[1].agents.sessions().cancel(&TenantId::default(), &id).await.unwrap();
    assert_eq!(cancelled, turn);
    let events = collect(events).await;
    assert!(matches!(events.last().unwrap().event, Event::Error { .. }), "{events:?}");

    let invoke = Invoke::text("work").with_session(id.clone()).cancel_on_drop(true);
    let events = members[0].agent.stream(invoke).await.unwrap();
    world.gate.arrived(2).await;
    drop(events);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let none = members[1].agents.sessions().cancel(&TenantId::default(), &id).await.unwrap();
    assert_eq!(none, None, "it was cancelled already");
    for member in members {
        member.stop().await;
    }
}
