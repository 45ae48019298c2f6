//! The system in numbers.

use std::time::Duration;

use beluga_runtime::testkit::{self, kill};
use beluga_runtime::{Backoff, BreakerConfig, BreakerState, Intensity, OnExhausted, Spec, task};

use crate::fixture::*;

#[test]
fn a_census_counts_actors_jobs_messages_and_restarts() {
    testkit::run(4, |system| async move {
        let counters: Vec<_> = [
            system.spawn_with(Spec::new("one", Counter::default).breaker(BreakerConfig::default())).await.unwrap(),
            system.spawn("two", Counter::default).await.unwrap(),
        ]
        .into();
        assert!(kill(&system, "one"));
        settle().await;
        let working = task::spawn("test", counters[0].ask(Work(Duration::from_secs(60))));
        let busy = task::spawn("test", counters[1].ask(Wait(Duration::from_secs(60))));
        settle().await;
        let waiting = task::spawn("test", counters[1].ask(Total));
        settle().await;
        let census = system.census().unwrap();
        let counted = census.actors["counter"];
        assert_eq!((counted.live, counted.lanes.normal, counted.restarts), (2, 1, 1));
        assert_eq!(census.jobs.values().sum::<usize>(), 1, "{census:?}");
        assert_eq!(census.breakers.len(), 1);
        assert_eq!((&*census.breakers[0].0, census.breakers[0].2.state), ("one", BreakerState::Closed));
        assert!(census.gated.is_empty());
        drop((working, busy, waiting));
        counters[0].stop();
        settle().await;
        let later = system.census().unwrap().actors["counter"];
        assert_eq!((later.live, later.restarts), (1, 1), "what is gone is still counted as restarted");
        system.shutdown(GRACE).await.unwrap();
        assert!(system.census().is_err());
    });
}

#[test]
fn a_census_names_who_refuses_callers() {
    testkit::run(5, |system| async move {
        let spec = Spec::new("counter", Counter::default)
            .backoff(Backoff { initial: Duration::ZERO, ..Backoff::default() })
            .intensity(Intensity { max_restarts: 0, window: Duration::from_secs(60) })
            .on_exhausted(OnExhausted::OpenGate { reset_after: Duration::from_secs(30) });
        let counter = system.spawn_with(spec).await.unwrap();
        counter.ask(GiveUp).await.unwrap();
        settle().await;
        let census = system.census().unwrap();
        assert_eq!(census.gated.iter().map(|name| &**name).collect::<Vec<_>>(), ["counter"]);
        system.shutdown(GRACE).await.unwrap();
    });
}
