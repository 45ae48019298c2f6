//! What a slot does between two incarnations, where chance decides who comes first.

use std::task::Poll;
use std::time::Duration;

use beluga_core::{Code, Result};
use futures_util::poll;

use super::*;
use crate::actor::{Actor, Handler, StatusSource, StopReason};
use crate::cx::Cx;
use crate::exit::ExitReason;
use crate::mailbox::Stop;
use crate::protocol::Silent;
use crate::reference::Ref;
use crate::spec::Spec;
use crate::system::System;
use crate::{task, testkit};

const GRACE: Duration = Duration::from_secs(60);

struct Idler;

impl Actor for Idler {
    type Protocol = Silent;
    const KIND: &'static str = "idler";
}

#[derive(crate::Message)]
#[message(name = "sleeper.sleep")]
struct Sleep;

crate::protocol!(SleeperProtocol: Sleep);

struct Sleeper;

impl Actor for Sleeper {
    type Protocol = SleeperProtocol;
    const KIND: &'static str = "sleeper";
}

impl Handler<Sleep> for Sleeper {
    async fn handle(&mut self, _: Sleep, _cx: &mut Cx<Self>) -> Result<()> {
        std::future::pending().await
    }
}

/// Wants to know of its own end.
struct Vain;

impl Actor for Vain {
    type Protocol = Silent;
    const KIND: &'static str = "vain";

    async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
        cx.watch(&cx.address());
        Ok(())
    }
}

/// Looks at the tree when it drops.
struct Look(System);

impl Drop for Look {
    fn drop(&mut self) {
        drop(self.0.snapshot());
    }
}

struct Shown(System);

impl Actor for Shown {
    type Protocol = Silent;
    const KIND: &'static str = "shown";

    fn status(&self) -> Option<StatusSource> {
        let look = Look(self.0.clone());
        Some(StatusSource::new(move || serde_json::json!(look.0.name())))
    }
}

async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_end_of_one_incarnation_never_touches_the_next() {
    testkit::run(1, |system| async move {
        let slot = system.spawn("idler", || Idler).await.unwrap().address().unwrap().0;
        let stop = Stop { reason: StopReason::Restart, drain: false, deadline: None };
        // Polled late, as by a worker that is busy.
        let mut end = Box::pin(slot.end(Fate::Recycle, stop));
        settle().await;
        assert_eq!(slot.phase(), Phase::Down, "the stop was said at once");
        assert!(slot.launch(false));
        settle().await;
        let ended = poll!(&mut end);
        time::sleep(Duration::from_secs(3600)).await;
        let ended = if ended.is_pending() { poll!(&mut end) } else { ended };
        settle().await;
        assert_eq!((slot.phase(), slot.life.lock().number), (Phase::Running, 2));
        assert_eq!((ended, system.ground().killed()), (Poll::Ready(true), 0));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn what_is_said_to_an_actor_that_is_gone_keeps_nobody_alive() {
    testkit::run(1, |system| async move {
        let vain = system.spawn("vain", || Vain).await.unwrap().address().unwrap();
        vain.stop();
        vain.gone().await;
        let slot = Arc::downgrade(&vain.0);
        drop(vain);
        settle().await;
        assert!(slot.upgrade().is_none());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_status_source_may_look_at_the_tree_when_it_drops() {
    testkit::run(1, |system| async move {
        let own = system.clone();
        system.spawn("shown", move || Shown(own.clone())).await.unwrap();
        assert!(testkit::kill(&system, "shown"));
        settle().await;
        assert_eq!(system.snapshot().unwrap().find("shown").unwrap().status, "test");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn whoever_joins_while_the_actor_ends_leaves_no_membership_behind() {
    testkit::run(1, |system| async move {
        let root = system.root_address().unwrap().0;
        let Spec { recipe, settings, .. } = Spec::<Silent>::new("idler", || Idler);
        let slot = Slot::new(system.ground(), Some(&root), Arc::from("idler"), recipe, settings, None);
        system.ground().enter(&slot).unwrap();
        let actor: Ref<Silent> = Ref::to_slot(Arc::clone(&slot));
        // The end stands between leaving its groups and being gone.
        let held = root.children.lock();
        let ending = Arc::clone(&slot);
        let thread = task::spawn_thread("ending", move || ending.terminate(&ExitReason::Stopped)).unwrap();
        while system.find("idler").is_some() {
            std::thread::yield_now();
        }
        let refused = system.join("group", &actor).unwrap_err();
        assert_eq!(refused.code(), Code::NotSent);
        drop(held);
        thread.join().unwrap();
        assert!(system.members::<Silent>("group").is_empty());
        assert!(system.ground().groups.list().is_empty());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn what_a_drain_held_when_its_slot_was_given_up_is_answered() {
    testkit::run(1, |system| async move {
        let sleeper = system.spawn("sleeper", || Sleeper).await.unwrap();
        let asks: Vec<_> = (0..3).map(|_| task::spawn("test", sleeper.ask(Sleep))).collect();
        settle().await;
        // As for an actor that blocks its thread: given up while its drain has messages in hand, and back too late.
        let slot = sleeper.address().unwrap().0;
        slot.terminate(&ExitReason::Stopped);
        assert!(slot.kill());
        settle().await;
        let before = time::now();
        let mut codes = Vec::new();
        for ask in asks {
            codes.push(ask.await.unwrap().unwrap_err().code());
        }
        assert_eq!(codes, [Code::UnknownOutcome, Code::NotSent, Code::NotSent]);
        assert_eq!(time::now(), before, "nobody waits for a deadline");
        let letters = system.dead_letters();
        assert_eq!((letters.count(DeadReason::Abandoned), letters.count(DeadReason::Stopped)), (1, 2));
        system.shutdown(GRACE).await.unwrap();
    });
}

/// Leaves work behind when its system goes.
struct Busy;

impl Actor for Busy {
    type Protocol = Silent;
    const KIND: &'static str = "busy";

    async fn started(&mut self, cx: &mut Cx<Self>) -> Result<()> {
        let context = cx.own_context().clone();
        drop(cx.job("wait", "wait", &context, |_| std::future::pending::<Result<()>>()));
        cx.spawn("idler", || Idler).await.map(drop)
    }
}

#[test]
fn a_system_that_goes_with_its_runtime_leaves_nothing() {
    for workers in [0, 2] {
        let mut builder = match workers {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder.worker_threads(workers.max(1)).enable_all().build().unwrap();
        let (ground, slots) = runtime.block_on(async {
            let system = System::builder("left").build().unwrap();
            let busy = system.spawn("busy", || Busy).await.unwrap();
            let sleeper = system.spawn("sleeper", || Sleeper).await.unwrap();
            sleeper.tell(Sleep).await.unwrap();
            settle().await;
            let idler = system.find("busy/idler").unwrap().0;
            let slots = [busy.address().unwrap().0, sleeper.address().unwrap().0, idler, system.root().unwrap()];
            (Arc::downgrade(system.ground()), slots.map(|slot| Arc::downgrade(&slot)))
        });
        drop(runtime);
        let left: Vec<_> = slots.iter().filter_map(Weak::upgrade).collect();
        assert!(left.is_empty(), "{workers} workers: {left:?}");
        assert!(ground.upgrade().is_none(), "{workers} workers");
    }
}
