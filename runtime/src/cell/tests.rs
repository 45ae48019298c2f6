//! Carriers serve one resident after the other, and nobody is met by what was meant for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use beluga_core::BoxFuture;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

use super::*;

/// Counts the residents that live.
type Living = Arc<AtomicUsize>;

struct Resident(Living);

impl Resident {
    fn new(living: &Living) -> Self {
        living.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(living))
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Makes a resident that lives until its sender is used or dropped.
fn resident(living: &Living) -> (oneshot::Sender<()>, BoxFuture<'static, ()>) {
    let (end, ended) = oneshot::channel();
    let resident = Resident::new(living);
    let life = Box::pin(async move {
        drop(ended.await);
        drop(resident);
    });
    (end, life)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_carrier_whose_resident_is_over_takes_the_next_one() {
    runtime().block_on(async {
        let (carriers, living) = (Arc::<Carriers>::default(), Living::default());
        for _ in 0..3 {
            let (end, life) = resident(&living);
            let cell = carriers.carry(life).unwrap();
            settle().await;
            assert_eq!((living.load(Ordering::SeqCst), tasks()), (1, 1));
            drop(end);
            settle().await;
            assert_eq!((living.load(Ordering::SeqCst), tasks()), (0, 1), "the carrier waits");
            cell.kill();
        }
    });
}

#[test]
fn a_kill_that_comes_late_meets_nobody_else() {
    runtime().block_on(async {
        let (carriers, living) = (Arc::<Carriers>::default(), Living::default());
        let (end, life) = resident(&living);
        let first = carriers.carry(life).unwrap();
        settle().await;
        drop(end);
        settle().await;
        let (_end, life) = resident(&living);
        let second = carriers.carry(life).unwrap();
        assert_eq!(tasks(), 1, "on the same carrier");
        first.kill();
        settle().await;
        first.kill();
        settle().await;
        assert_eq!(living.load(Ordering::SeqCst), 1);
        second.kill();
        settle().await;
        assert_eq!((living.load(Ordering::SeqCst), tasks()), (0, 0), "a killed carrier is not kept");
    });
}

#[test]
fn a_kill_before_the_first_poll_drops_the_resident_on_a_new_carrier_and_on_a_kept_one() {
    runtime().block_on(async {
        let (carriers, living) = (Arc::<Carriers>::default(), Living::default());
        for kept in [false, true] {
            if kept {
                let (end, life) = resident(&living);
                carriers.carry(life).unwrap();
                drop(end);
                settle().await;
            }
            let (_end, life) = resident(&living);
            carriers.carry(life).unwrap().kill();
            assert_eq!(living.load(Ordering::SeqCst), 1, "it is dropped on the carrier's own task");
            settle().await;
            assert_eq!((living.load(Ordering::SeqCst), tasks()), (0, 0));
        }
    });
}

#[test]
fn a_resident_that_panics_takes_its_carrier_along() {
    crate::testkit::quiet_panics();
    runtime().block_on(async {
        let (carriers, living) = (Arc::<Carriers>::default(), Living::default());
        let value = Resident::new(&living);
        carriers.carry(Box::pin(async move { panic!("{}", value.0.load(Ordering::SeqCst)) })).unwrap();
        settle().await;
        assert_eq!((living.load(Ordering::SeqCst), tasks()), (0, 0));
    });
}

#[test]
fn so_many_carriers_are_kept_and_no_more_and_they_end_with_their_system() {
    runtime().block_on(async {
        let (carriers, living) = (Arc::<Carriers>::default(), Living::default());
        for way in ["closed", "dropped"] {
            let carriers = if way == "closed" { Arc::clone(&carriers) } else { Arc::default() };
            let ends: Vec<_> = (0..CARRIERS_KEPT_MAX + 4)
                .map(|_| {
                    let (end, life) = resident(&living);
                    carriers.carry(life).unwrap();
                    end
                })
                .collect();
            settle().await;
            assert_eq!(tasks(), CARRIERS_KEPT_MAX + 4);
            drop(ends);
            settle().await;
            assert_eq!((living.load(Ordering::SeqCst), tasks()), (0, CARRIERS_KEPT_MAX));
            if way == "closed" {
                carriers.close();
            }
            drop(carriers);
            settle().await;
            assert_eq!(tasks(), 0, "{way}");
        }
        let (end, life) = resident(&living);
        carriers.carry(life).unwrap();
        drop(end);
        settle().await;
        assert_eq!(tasks(), 0, "none is kept once it is closed");
    });
}

#[test]
fn a_resident_runs_in_the_runtime_it_was_started_in_and_a_dead_runtime_leaves_nothing() {
    let (one, two) = (runtime(), runtime());
    let (carriers, living) = (Arc::<Carriers>::default(), Living::default());
    one.block_on(async {
        let (end, life) = resident(&living);
        carriers.carry(life).unwrap();
        drop(end);
        settle().await;
        assert_eq!(tasks(), 1);
    });
    let (_end, life) = resident(&living);
    two.block_on(async {
        carriers.carry(life).unwrap();
        assert_eq!(tasks(), 1, "not on the other runtime's carrier");
    });
    drop(one);
    drop(two);
    assert_eq!((living.load(Ordering::SeqCst), carriers.idle()), (0, 0));
}
