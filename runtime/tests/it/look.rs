//! Looking at the tree: a part of it, one actor.

use std::time::Duration;

use beluga_runtime::testkit;
use beluga_runtime::{Restart, Spec, TreeBounds, TreeNode, task};

use crate::fixture::*;

#[test]
fn an_actor_is_found_by_its_number_as_long_as_it_is_there() {
    testkit::run(6, |system| async move {
        let parent = system.spawn("parent", Counter::default).await.unwrap().address().unwrap();
        let one = system.spawn_under(&parent, Spec::new("one", Counter::default)).await.unwrap().address().unwrap();
        let two = system.spawn("two", Counter::default).await.unwrap().address().unwrap();
        let root = system.root_address().unwrap();
        for address in [&parent, &one, &two, &root] {
            assert_eq!(system.find_by_id(address.id()).as_ref(), Some(address));
        }
        assert!(system.find_by_id(0).is_none() && system.find_by_id(1_000_000).is_none());
        one.stop();
        one.gone().await;
        assert!(system.find_by_id(one.id()).is_none());
        system.shutdown(GRACE).await.unwrap();
        assert!(system.find_by_id(two.id()).is_none());
    });
}

#[test]
fn bounds_of_a_look_leave_out_the_deep_and_the_many_and_say_how_many() {
    testkit::run(6, |system| async move {
        for top in ["x", "y"] {
            let parent = system.spawn(top, || Master).await.unwrap().address().unwrap();
            for name in ["a", "b", "c"] {
                system.spawn_under(&parent, Spec::new(name, Counter::default)).await.unwrap();
            }
        }
        let master = system.get::<MasterProtocol>("x").unwrap();
        let nested = task::spawn("test", master.ask(RunJob(Fate::Nest)));
        settle().await;
        let names = |tree: &TreeNode| {
            let mut names = Vec::new();
            tree.visit(&mut |node| names.push(format!("{} {}", node.name, node.truncated)));
            names
        };
        let whole = names(&system.snapshot().unwrap());
        let root = system.root_address().unwrap();
        assert_eq!(
            whole[1..],
            ["x 0", "x/a 0", "x/b 0", "x/c 0", "x/task 0", "x/task/below 0", "y 0", "y/a 0", "y/b 0", "y/c 0"]
        );
        let shallow = names(&root.snapshot(TreeBounds { depth: 1, ..TreeBounds::default() }));
        assert_eq!(shallow[1..], ["x 4", "y 3"]);
        let few = names(&root.snapshot(TreeBounds { nodes: 6, ..TreeBounds::default() }));
        assert_eq!(few[1..], ["x 1", "x/a 0", "x/b 0", "x/c 0", "y 3"]);
        let part = system.find("y").unwrap().snapshot(TreeBounds { nodes: 3, ..TreeBounds::default() });
        assert_eq!(
            (names(&part), part.supervisor.is_some()),
            (vec!["y 1".into(), "y/a 0".into(), "y/b 0".into()], true)
        );
        nested.abort();
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_actor_shows_its_bounds_its_policy_and_its_jobs() {
    testkit::run(6, |system| async move {
        let spec = Spec::new("master", || Master).restart(Restart::Transient).stop_grace(Duration::from_secs(7)).kept();
        let master = system.spawn_with(spec).await.unwrap();
        let address = master.address().unwrap();
        let child = system.spawn_under(&address, Spec::new("child", Counter::default)).await.unwrap();
        let nested = task::spawn("test", master.ask(RunJob(Fate::Nest)));
        settle().await;
        let view = address.inspect();
        assert_eq!((view.node.name.as_str(), view.node.children.len(), view.node.truncated), ("master", 0, 0));
        assert_eq!(view.child_ids, [child.address().unwrap().id()]);
        assert_eq!(view.supervisor_id, Some(system.root_address().unwrap().id()));
        assert_eq!((view.incarnation, view.limits.normal.capacity, view.limits.normal.overflow), (1, 1024, "wait"));
        assert_eq!(
            (view.policy.restart, view.policy.stop_grace_ms, view.policy.kept),
            (Restart::Transient, 7000, true)
        );
        assert_eq!(view.policy.gate_ms, Some(30_000));
        let jobs: Vec<_> =
            view.jobs.iter().map(|job| (job.name.as_str(), job.supervisor.as_deref().unwrap())).collect();
        assert_eq!(jobs, [("master/task", "master"), ("master/task/below", "master/task")]);
        let shown = serde_json::to_value(&view).unwrap();
        assert_eq!((&shown["name"], &shown["policy"]["restart"]), (&"master".into(), &"transient".into()), "{shown}");
        nested.abort();
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_awaiting_handler_shows_its_message_until_it_ends() {
    testkit::run(6, |system| async move {
        let counter = system.spawn("counter", Counter::default).await.unwrap();
        let address = counter.address().unwrap();
        let message = || address.inspect().node.message;
        assert_eq!(message(), None);
        let waiting = task::spawn("test", counter.ask(Wait(Duration::from_secs(5))));
        settle().await;
        assert_eq!(message(), Some("counter.wait"));
        waiting.await.unwrap().unwrap();
        assert_eq!(message(), None);
        system.shutdown(GRACE).await.unwrap();
    });
}
