//! Virtual actors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use beluga_core::{BoxFuture, Code, Error, Result};
use beluga_runtime::task;
use beluga_runtime::testkit::{self, kill};
use beluga_runtime::{Activation, Activator, Address, Family, FamilyOptions, Spec, System, VirtualRef, time};
use futures_util::future::join_all;

use crate::fixture::*;

/// Starts counters whose journal and total outlive their activations.
struct Counters {
    supervisor: Address,
    activations: AtomicU64,
    journal: Journal,
    slow: Duration,
}

impl Activator<CounterProtocol> for Counters {
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<CounterProtocol>>> {
        let key = key.to_owned();
        Box::pin(async move {
            time::sleep(self.slow).await;
            if key == "bad" {
                return Err(Error::not_found("no such counter"));
            }
            self.activations.fetch_add(1, Ordering::SeqCst);
            let journal = self.journal.clone();
            let spec = Spec::new(key, move || Counter::noting(&journal));
            Ok(Activation { supervisor: self.supervisor.clone(), spec })
        })
    }
}

async fn counters(system: &System, options: FamilyOptions) -> (Family<CounterProtocol>, Arc<Counters>) {
    let supervisor = system.spawn("counters", Counter::default).await.unwrap().address().unwrap();
    let activator =
        Counters { supervisor, activations: AtomicU64::new(0), journal: Journal::default(), slow: Duration::ZERO };
    (system.family("counter", options), Arc::new(activator))
}

fn resolve(family: &Family<CounterProtocol>, key: &str, counters: &Arc<Counters>) -> VirtualRef<CounterProtocol> {
    family.resolve(key, Arc::clone(counters) as Arc<dyn Activator<CounterProtocol>>)
}

#[test]
fn concurrent_callers_share_one_activation() {
    testkit::run(6, |system| async move {
        let (family, _) = counters(&system, FamilyOptions::default()).await;
        let supervisor = system.find("counters").unwrap();
        let activator = Arc::new(Counters {
            supervisor,
            activations: AtomicU64::new(0),
            journal: Journal::default(),
            slow: Duration::from_secs(1),
        });
        let asks = (0..100).map(|_| resolve(&family, "a", &activator).ask(Add(1)));
        let highest = join_all(asks).await.into_iter().map(Result::unwrap).max();
        assert_eq!((highest, activator.activations.load(Ordering::SeqCst)), (Some(100), 1));
        assert_eq!(family.active(), [Arc::from("a")]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_refused_activation_is_the_callers_error() {
    testkit::run(6, |system| async move {
        let (family, activator) = counters(&system, FamilyOptions::default()).await;
        let bad = resolve(&family, "bad", &activator);
        assert_eq!(bad.ask(Total).await.unwrap_err().code(), Code::NotFound);
        assert_eq!(bad.try_tell(Add(1)).unwrap_err().code(), Code::Unavailable);
        assert!(family.is_empty());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_idle_actor_leaves_memory_and_comes_back_on_demand() {
    testkit::run(6, |system| async move {
        let options = FamilyOptions { idle_after: Duration::from_secs(60), max_active: 10 };
        let (family, activator) = counters(&system, options).await;
        let a = resolve(&family, "a", &activator);
        assert!(a.active().is_none());
        assert_eq!(a.ask(Add(1)).await.unwrap(), 1);
        time::sleep(Duration::from_secs(59)).await;
        assert_eq!(a.ask(Add(1)).await.unwrap(), 2, "still the same activation");
        time::sleep(Duration::from_secs(61)).await;
        assert!(family.is_empty() && system.find("counters/a").is_none());
        assert_eq!(a.ask(Add(1)).await.unwrap(), 1, "a new activation");
        assert_eq!(activator.activations.load(Ordering::SeqCst), 2);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_activation_that_nobody_used_leaves_memory_too() {
    testkit::run(6, |system| async move {
        let (family, activator) = counters(&system, FamilyOptions::default()).await;
        let slow = Counters {
            supervisor: activator.supervisor.clone(),
            activations: AtomicU64::new(0),
            journal: Journal::default(),
            slow: Duration::from_secs(2),
        };
        let asked = resolve(&family, "a", &Arc::new(slow)).ask(Add(1)).within(Duration::from_secs(1)).await;
        assert_eq!(asked.unwrap_err().code(), Code::Timeout);
        time::sleep(Duration::from_secs(2)).await;
        assert_eq!(family.active(), [Arc::from("a")]);
        time::sleep(Duration::from_secs(301)).await;
        assert!(family.is_empty());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_actor_with_a_job_is_not_idle() {
    testkit::run(6, |system| async move {
        let options = FamilyOptions { idle_after: Duration::from_secs(60), max_active: 10 };
        let (family, activator) = counters(&system, options).await;
        let a = resolve(&family, "a", &activator);
        assert_eq!(a.ask(Work(Duration::from_secs(300))).within(Duration::from_secs(400)).await.unwrap(), 7);
        assert_eq!(activator.journal.read(), ["worked", "ended"]);
        time::sleep(Duration::from_secs(200)).await;
        assert!(family.is_empty());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_killed_activation_is_rebuilt_on_its_slot() {
    testkit::run(6, |system| async move {
        let (family, activator) = counters(&system, FamilyOptions::default()).await;
        let a = resolve(&family, "a", &activator);
        assert_eq!(a.ask(Add(1)).await.unwrap(), 1);
        assert!(kill(&system, "counters/a"));
        assert_eq!(a.ask(Add(5)).await.unwrap(), 5);
        assert_eq!(activator.activations.load(Ordering::SeqCst), 1);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn the_cap_makes_the_idlest_leave_and_refuses_when_all_are_busy() {
    testkit::run(6, |system| async move {
        let options = FamilyOptions { idle_after: Duration::from_secs(3600), max_active: 3 };
        let (family, activator) = counters(&system, options).await;
        for key in ["a", "b", "c"] {
            resolve(&family, key, &activator).ask(Add(1)).await.unwrap();
            time::sleep(Duration::from_secs(1)).await;
        }
        resolve(&family, "d", &activator).ask(Add(1)).await.unwrap();
        assert_eq!(family.active(), ["b", "c", "d"].map(Arc::from));
        for key in ["b", "c", "d"] {
            resolve(&family, key, &activator).tell(Wait(Duration::from_secs(600))).await.unwrap();
        }
        settle().await;
        let refused = resolve(&family, "e", &activator).ask(Add(1)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Overloaded);
        system.shutdown(Duration::from_secs(1200)).await.unwrap();
    });
}

/// How many rounds and activations a race has at least, and how many rounds it gets for that.
const ROUNDS_MIN: u64 = 20;
const ROUNDS_MAX: u64 = 5_000;

#[test]
fn a_send_racing_with_passivation_is_delivered_exactly_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let system = testkit::system("race", 6);
        let (family, activator) = counters(&system, FamilyOptions::default()).await;
        // Whether a round meets a passivation is the machine's to decide; there are rounds until enough have.
        let mut rounds = 0;
        while rounds < ROUNDS_MIN || activator.activations.load(Ordering::SeqCst) <= ROUNDS_MIN {
            let senders = (0..4_u64).map(|sender| {
                let (family, activator) = (family.clone(), Arc::clone(&activator));
                task::spawn("test", async move {
                    let a = resolve(&family, "a", &activator);
                    for n in 0..100 {
                        a.tell(Add(sender * 1_000_000 + rounds * 100 + n)).await.unwrap();
                        if n % 8 == sender {
                            family.passivate("a");
                            tokio::task::yield_now().await;
                        }
                    }
                })
            });
            join_all(senders).await.into_iter().for_each(|sent| sent.unwrap());
            rounds += 1;
            assert!(rounds < ROUNDS_MAX, "the race was not run");
        }
        resolve(&family, "a", &activator).ask(Total).await.unwrap();
        let mut seen: Vec<u64> = activator.journal.read().iter().map(|note| note.parse().unwrap()).collect();
        for sender in 0..4 {
            assert!(seen.iter().filter(|n| *n / 1_000_000 == sender).is_sorted(), "order of sender {sender}");
        }
        seen.sort_unstable();
        let expected = (0..4).flat_map(|sender| (0..rounds * 100).map(move |n| sender * 1_000_000 + n));
        assert_eq!(seen, expected.collect::<Vec<u64>>());
        assert_eq!(system.dead_letters().total(), 0);
        system.shutdown(GRACE).await.unwrap();
    });
}
