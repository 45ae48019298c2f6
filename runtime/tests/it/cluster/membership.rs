//! What a cluster promises, one promise at a time.

use std::time::Duration;

use beluga_runtime::cluster::{MemberState, Standing};

use super::world::{SHARDS, World};

const SEEDS: u64 = 20;

/// A cluster where every node is in and has its share.
fn settled(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, count);
    world.run(Duration::from_secs(15));
    let view = world.view().expect("a view");
    assert!(view.members().iter().all(|member| member.state == MemberState::Up), "{view:?}");
    assert_eq!((view.members().len(), world.unserved()), (count, 0));
    world
}

/// Lets the world go on and returns the longest time that any shard was unserved.
fn longest_gap(world: &mut World, time: Duration) -> Duration {
    let (mut longest, mut gap) = (Duration::ZERO, Duration::ZERO);
    let step = Duration::from_millis(10);
    for _ in 0..time.as_millis() / step.as_millis() {
        world.run(step);
        gap = if world.unserved() > 0 { gap + step } else { Duration::ZERO };
        longest = longest.max(gap);
    }
    longest
}

#[test]
fn each_node_gets_its_share() {
    for seed in 0..SEEDS {
        let world = settled(seed, 4);
        let view = world.view().unwrap();
        for member in view.members() {
            assert!(view.owned(member.number).next().is_some(), "seed {seed}: {view:?}");
        }
    }
}

#[test]
fn the_shards_of_a_dead_node_are_served_within_two_seconds() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, 3);
        let wait = world.up_to(1000);
        world.run(wait);
        world.crash(usize::try_from(seed % 3).unwrap());
        let took = world.until_served(Duration::from_secs(10));
        assert!(took.is_some_and(|took| took <= Duration::from_secs(2)), "seed {seed}: {took:?}");
    }
}

#[test]
fn the_shards_of_a_hung_node_are_served_within_two_seconds_and_it_comes_back_as_another() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, 3);
        let node = usize::try_from(seed % 3).unwrap();
        world.pause(node, Duration::from_secs(10));
        let took = world.until_served(Duration::from_secs(10));
        assert!(took.is_some_and(|took| took <= Duration::from_secs(2)), "seed {seed}: {took:?}");
        world.run(Duration::from_secs(20));
        let view = world.view().unwrap();
        assert!(view.members().len() == 3 && view.members().iter().any(|member| member.node.epoch == 2), "{view:?}");
    }
}

#[test]
fn others_serve_on_while_a_node_dies() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, 3);
        let node = usize::try_from(seed % 3).unwrap();
        let theirs: Vec<_> = (0..SHARDS).filter(|shard| world.server(*shard) != Some(node)).collect();
        world.crash(node);
        for _ in 0..300 {
            world.run(Duration::from_millis(10));
            assert!(theirs.iter().all(|shard| world.server(*shard).is_some()), "seed {seed}, {:?}", world.now);
        }
    }
}

#[test]
fn a_store_that_is_away_for_nine_seconds_stops_nobody() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, 3);
        world.take_store(Duration::from_secs(9));
        let gap = longest_gap(&mut world, Duration::from_secs(15));
        assert_eq!((gap, world.view().unwrap().members().len()), (Duration::ZERO, 3), "seed {seed}");
    }
}

#[test]
fn without_the_store_records_go_stale_and_nothing_is_served() {
    let mut world = settled(1, 3);
    world.take_store(Duration::from_secs(60));
    world.run(Duration::from_secs(20));
    assert_eq!(world.unserved(), usize::from(SHARDS));
    world.heal();
    let took = world.until_served(Duration::from_secs(10)).expect("it goes on");
    assert!(took <= Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_node_that_drains_hands_over_what_it_has_and_leaves() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, 3);
        let node = usize::try_from(seed % 3).unwrap();
        let epoch = world.machines[node].life.as_ref().unwrap().me().epoch;
        world.machines[node].life.as_mut().unwrap().drain();
        // A shard is unserved while its calls end, which takes up to 0.3 s here.
        let gap = longest_gap(&mut world, Duration::from_secs(15));
        assert!(gap <= Duration::from_millis(700), "seed {seed}: {gap:?}");
        let view = world.view().unwrap();
        let name = format!("n{node}");
        assert!(view.named(&name).is_some_and(|member| member.node.epoch > epoch), "it left and came back: {view:?}");
    }
}

#[test]
fn a_lone_node_that_died_may_come_back_when_its_record_is_revoked() {
    let mut world = settled(1, 1);
    world.crash(0);
    world.start_in(0, Duration::ZERO);
    world.run(Duration::from_secs(10));
    assert_eq!(world.unserved(), usize::from(SHARDS), "nobody can tell yet that it is dead");
    let took = world.until_served(Duration::from_secs(40)).expect("it comes back");
    assert!(took <= Duration::from_secs(28), "{took:?}");
}

#[test]
fn a_lone_node_may_leave_and_the_next_one_begins_at_once() {
    let mut world = settled(1, 1);
    world.machines[0].life.as_mut().unwrap().drain();
    world.run(Duration::from_secs(3));
    let view = world.view().unwrap();
    assert_eq!(view.members().len(), 1, "{view:?}");
    assert!(view.members()[0].node.epoch > 1 && world.unserved() == 0, "{view:?}");
}

#[test]
fn a_node_that_hears_nobody_takes_out_nobody() {
    for seed in 0..SEEDS {
        let mut world = settled(seed, 3);
        for other in 1..3 {
            world.cut(other, 0, Duration::from_secs(8));
            world.cut(0, other, Duration::from_secs(8));
        }
        world.run(Duration::from_secs(6));
        let view = world.view().unwrap();
        let names: Vec<_> =
            view.members().iter().filter(|member| member.is_voter()).map(|member| &*member.node.name).collect();
        assert_eq!(names.len(), 2, "{view:?}");
        assert!(names.contains(&"n1") && names.contains(&"n2"), "seed {seed}: {view:?}");
        assert_ne!(world.machines[0].life.as_ref().unwrap().standing(), Standing::Up);
    }
}
