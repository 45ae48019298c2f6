//! The permits of a breaker.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::{check, join};
use crate::breaker::{Breaker, BreakerConfig, BreakerState};

/// A breaker that is to be probed now, by so many.
fn half_open(probes: u32) -> Arc<Breaker> {
    let breaker = Breaker::new("model", BreakerConfig { half_open_max: probes, ..BreakerConfig::default() });
    breaker.trip(Duration::ZERO);
    breaker
}

#[test]
fn half_open_admits_exactly_n_of_those_who_come_together() {
    for probes in [1, 2] {
        check(move || {
            let breaker = half_open(probes);
            let mut others = (0..probes)
                .map(|_| {
                    let breaker = Arc::clone(&breaker);
                    thread::spawn(move || breaker.try_acquire().ok())
                })
                .collect();
            let mut permits = vec![breaker.try_acquire().ok()];
            permits.extend(join(&mut others));
            assert_eq!(permits.iter().flatten().count(), usize::try_from(probes).unwrap());
        });
    }
}

#[test]
fn a_probe_that_is_dropped_gives_its_place_to_one_other() {
    check(|| {
        let breaker = half_open(1);
        let probe = breaker.try_acquire().unwrap();
        let other = Arc::clone(&breaker);
        let mut others = vec![
            thread::spawn(move || {
                drop(probe);
                None
            }),
            thread::spawn(move || other.try_acquire().ok()),
        ];
        let mine = breaker.try_acquire().ok();
        let theirs = join(&mut others);
        let taken = usize::from(mine.is_some()) + theirs.iter().flatten().count();
        assert!(taken <= 1);
        assert_eq!(breaker.try_acquire().is_ok(), taken == 0, "the place is free or it is taken");
    });
}

#[test]
fn a_failed_probe_opens_the_breaker_whatever_the_other_says_and_whenever() {
    check(|| {
        let breaker = half_open(2);
        let (good, bad) = (breaker.try_acquire().unwrap(), breaker.try_acquire().unwrap());
        let mut others = vec![thread::spawn(move || good.success())];
        bad.failure();
        join(&mut others);
        assert_eq!((breaker.state(), breaker.status().opened), (BreakerState::Open, 2));
    });
}

#[test]
fn a_verdict_from_before_the_opening_changes_nothing_whenever_it_comes() {
    check(|| {
        let breaker = Breaker::new("model", BreakerConfig::default());
        let early = breaker.try_acquire().unwrap();
        breaker.trip(Duration::ZERO);
        let mut others = vec![thread::spawn(move || early.failure())];
        breaker.try_acquire().unwrap().success();
        join(&mut others);
        assert_eq!((breaker.state(), breaker.status().failures), (BreakerState::Closed, 0));
    });
}

#[test]
fn failures_that_come_together_are_all_counted_and_open_it_once() {
    check(|| {
        let breaker = Breaker::new("model", BreakerConfig { max_failures: 2, ..BreakerConfig::default() });
        let permits: Vec<_> = (0..3).map(|_| breaker.try_acquire().unwrap()).collect();
        let mut others = permits.into_iter().map(|permit| thread::spawn(move || permit.failure())).collect();
        join(&mut others);
        assert_eq!((breaker.state(), breaker.status().opened), (BreakerState::Open, 1));
    });
}
