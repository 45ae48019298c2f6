//! Tell, ask and stream; names, groups and topics; the probe.

use std::time::Duration;

use beluga_core::Code;
use beluga_runtime::task;
use beluga_runtime::testkit::{self, Probe};
use futures_util::StreamExt;

use crate::fixture::*;

#[test]
fn an_actor_answers_what_it_was_asked() {
    testkit::run(1, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        counter.tell(Add(2)).await.unwrap();
        assert_eq!(counter.ask(Add(3)).await.unwrap(), 5);
        assert_eq!(system.get::<CounterProtocol>("counter").unwrap().ask(Total).await.unwrap(), 5);
        system.shutdown(GRACE).await.unwrap();
        assert_eq!(counter.ask(Total).await.unwrap_err().code(), Code::NotSent);
    });
}

#[test]
fn a_name_is_unique_and_free_again_after_the_end() {
    testkit::run(1, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let taken = system.spawn("counter", Counter::default).await.unwrap_err();
        assert_eq!(taken.code(), Code::Conflict);
        assert!(system.get::<beluga_runtime::Silent>("counter").is_none(), "another protocol is no match");
        counter.stop();
        counter.address().unwrap().gone().await;
        system.spawn("counter", Counter::default).await.unwrap();
        assert_eq!(system.spawn("a/b", Counter::default).await.unwrap_err().code(), Code::InvalidInput);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_stream_gives_its_items_and_then_ends() {
    testkit::run(1, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let items: Vec<u64> = counter.stream(Count(100)).open().map(Result::unwrap).collect().await;
        assert_eq!(items, (1..=100).collect::<Vec<_>>());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_producer_is_never_further_ahead_than_its_window() {
    testkit::run(1, |system| async move {
        let journal = Journal::default();
        let own = journal.clone();
        let counter = system.spawn("counter", move || Counter::noting(&own)).await.unwrap();
        let mut stream = counter.stream(Count(100)).window(4).open();
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        settle().await;
        // One is read, four wait, and the sixth waits in the producer's hand.
        assert_eq!(journal.read().last().unwrap(), "sent 5");
        drop(stream);
        settle().await;
        assert_eq!(journal.read().last().unwrap(), "reader left");
        assert_eq!(counter.ask(Total).await.unwrap(), 5, "the producer is free again");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_stream_whose_producer_dies_ends_with_unknown_outcome() {
    testkit::run(1, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let mut stream = counter.stream(Count(100)).window(1).open();
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        assert!(testkit::kill(&system, "counter"));
        settle().await;
        let last = stream.filter_map(|item| std::future::ready(item.err())).next().await.unwrap();
        assert_eq!(last.code(), Code::UnknownOutcome);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn children_have_paths_and_show_in_the_tree() {
    testkit::run(1, |system| async move {
        let parent = system.spawn("parent", Counter::default).await.unwrap();
        let spec = beluga_runtime::Spec::new("child", Counter::default);
        let child = system.spawn_under(&parent.address().unwrap(), spec).await.unwrap();
        assert_eq!(child.name(), "parent/child");
        child.ask(Add(7)).await.unwrap();
        settle().await;
        let tree = system.snapshot().unwrap();
        let node = tree.find("parent/child").unwrap();
        assert_eq!((node.kind.as_str(), node.supervisor.as_deref(), node.handled), ("counter", Some("parent"), 1));
        assert_eq!(node.status["total"], 7);
        assert!(serde_json::to_string(&tree).unwrap().contains("parent/child"));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_group_and_a_topic_reach_every_member_once() {
    testkit::run(1, |system| async move {
        let mut probes = Vec::new();
        for name in ["a", "b"] {
            let probe = Probe::<NewsProtocol>::spawn(&system, name).await.unwrap();
            assert!(system.join("readers", &probe.actor()).unwrap());
            assert!(system.subscribe::<_, News>("news", &probe.actor()).unwrap());
            probes.push(probe);
        }
        assert_eq!(system.broadcast::<NewsProtocol, _>("readers", &News(1)).delivered, 2);
        assert_eq!(system.publish("news", &News(2)).unwrap().delivered, 2);
        for probe in &mut probes {
            assert_eq!(probe.expect::<News>().await.unwrap().message.0, 1);
            assert_eq!(probe.expect::<News>().await.unwrap().message.0, 2);
            probe.expect_none(Duration::from_secs(1)).await.unwrap();
        }
        probes[0].actor().stop();
        probes[0].actor().address().unwrap().gone().await;
        assert_eq!(system.members::<NewsProtocol>("readers").len(), 1);
        assert_eq!(system.publish("news", &News(3)).unwrap().delivered, 1);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_unanswered_port_tells_unknown_outcome() {
    testkit::run(1, |system| async move {
        let mut probe = Probe::<CounterProtocol>::spawn(&system, "probe").await.unwrap();
        let actor = probe.actor();
        let asked = task::spawn("test", async move { actor.ask(Add(1)).await });
        drop(probe.expect::<Add>().await.unwrap().reply);
        assert_eq!(asked.await.unwrap().unwrap_err().code(), Code::UnknownOutcome);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_timer_is_meant_for_its_incarnation_only() {
    testkit::run(1, |system| async move {
        let journal = Journal::default();
        let own = journal.clone();
        let counter = system.spawn("counter", move || Alarm::new(&own)).await.unwrap();
        counter.tell(Arm(Duration::from_secs(1))).await.unwrap();
        beluga_runtime::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(journal.read(), ["ring in 1"]);
        counter.tell(Arm(Duration::from_secs(1))).await.unwrap();
        settle().await;
        assert!(testkit::kill(&system, "counter"));
        beluga_runtime::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(journal.read(), ["ring in 1"], "the timer died with its incarnation");
        system.shutdown(GRACE).await.unwrap();
    });
}
