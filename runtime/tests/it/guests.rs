//! Who leaves a family for whom: its cap, its idle time, and changes of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use beluga_core::{BoxFuture, Code, Result};
use beluga_runtime::testkit::{self, pause, resume};
use beluga_runtime::{
    Activation, Activator, Actor, Address, Cx, Family, FamilyOptions, Handler, Message, Spec, System, VirtualRef,
    protocol, task, time,
};
use futures_util::future::join_all;

use crate::fixture::{Counter, GRACE, settle};

/// Visits a guest.
#[derive(Message)]
#[message(name = "guest.visit", reply = u64)]
struct Visit;

/// Starts a job that runs for so long and tells nobody.
#[derive(Message)]
#[message(name = "guest.toil")]
struct Toil(Duration);

protocol!(GuestProtocol: Visit, Toil);

/// An actor that can be told not to leave, and counts how many of its kind there are.
struct Guest {
    house: Arc<House>,
    stays: Arc<AtomicBool>,
    visits: u64,
}

impl Guest {
    fn new(house: Arc<House>, stays: Arc<AtomicBool>) -> Self {
        let live = house.live.fetch_add(1, Ordering::SeqCst) + 1;
        house.most.fetch_max(live, Ordering::SeqCst);
        Self { house, stays, visits: 0 }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.house.live.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Actor for Guest {
    type Protocol = GuestProtocol;
    const KIND: &'static str = "guest";

    fn may_passivate(&self) -> bool {
        !self.stays.load(Ordering::SeqCst)
    }
}

impl Handler<Visit> for Guest {
    async fn handle(&mut self, _: Visit, _cx: &mut Cx<Self>) -> Result<u64> {
        self.house.visits.fetch_add(1, Ordering::SeqCst);
        self.visits += 1;
        Ok(self.visits)
    }
}

impl Handler<Toil> for Guest {
    async fn handle(&mut self, Toil(time): Toil, cx: &mut Cx<Self>) -> Result<()> {
        let context = cx.context().clone();
        drop(cx.job("toil", "toil", &context, move |_| async move {
            time::sleep(time).await;
            Ok(())
        }));
        Ok(())
    }
}

/// Starts guests; those whose key begins with "stay" do not leave while `stays` is set.
struct House {
    supervisor: Address,
    stays: Arc<AtomicBool>,
    live: AtomicUsize,
    most: AtomicUsize,
    visits: AtomicU64,
}

struct Guests {
    family: Family<GuestProtocol>,
    house: Arc<House>,
}

/// The way into a house: each guest needs the shared handle of it.
struct Door(Arc<House>);

impl Activator<GuestProtocol> for Door {
    fn activate(&self, key: &str) -> BoxFuture<'_, Result<Activation<GuestProtocol>>> {
        let (key, house) = (key.to_owned(), Arc::clone(&self.0));
        let stays = if key.starts_with("stay") { Arc::clone(&house.stays) } else { Arc::default() };
        let supervisor = house.supervisor.clone();
        let spec = Spec::new(key, move || Guest::new(Arc::clone(&house), Arc::clone(&stays)));
        Box::pin(async move { Ok(Activation { supervisor, spec }) })
    }
}

impl Guests {
    async fn new(system: &System, max_active: usize) -> Self {
        let supervisor = system.spawn("house", Counter::default).await.unwrap().address().unwrap();
        let house = House {
            supervisor,
            stays: Arc::new(AtomicBool::new(true)),
            live: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            visits: AtomicU64::new(0),
        };
        let options = FamilyOptions { idle_after: Duration::from_secs(3600), max_active };
        Self { family: system.family("guest", options), house: Arc::new(house) }
    }

    fn key(&self, key: impl AsRef<str>) -> VirtualRef<GuestProtocol> {
        self.family.resolve(key, Arc::new(Door(Arc::clone(&self.house))))
    }

    /// Visits a key and lets a second pass.
    async fn visit(&self, key: impl AsRef<str>) {
        self.key(key).ask(Visit).await.unwrap();
        time::sleep(Duration::from_secs(1)).await;
    }

    fn active(&self) -> Vec<String> {
        self.family.active().iter().map(ToString::to_string).collect()
    }
}

#[test]
fn whoever_has_been_idle_for_longest_leaves_first() {
    testkit::run(6, |system| async move {
        const GUESTS: usize = 200;
        let guests = Guests::new(&system, GUESTS).await;
        for number in 0..GUESTS {
            guests.visit(number.to_string()).await;
        }
        // Most are visited again, some several times, in an order that has nothing to do with the first.
        let mut last: Vec<usize> = (0..GUESTS).collect();
        for _ in 0..3 * GUESTS {
            let place = usize::try_from(system.random().below(GUESTS as u64)).unwrap();
            let number = last.remove(place);
            guests.visit(number.to_string()).await;
            last.push(number);
        }
        for (newcomer, idlest) in last.into_iter().enumerate() {
            assert!(guests.key(idlest.to_string()).active().is_some(), "{idlest} left too early");
            guests.visit(format!("new {newcomer}")).await;
            assert!(guests.key(idlest.to_string()).active().is_none(), "{idlest} should have left");
            assert_eq!(guests.family.len(), GUESTS);
        }
        assert_eq!(guests.house.most.load(Ordering::SeqCst), GUESTS);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn the_busy_are_skipped_however_long_they_have_been_quiet() {
    testkit::run(6, |system| async move {
        let guests = Guests::new(&system, 5).await;
        guests.visit("stay").await;
        guests.visit("has mail").await;
        guests.key("toils").tell(Toil(Duration::from_secs(600))).await.unwrap();
        guests.visit("idle a").await;
        guests.visit("idle b").await;
        assert!(pause(&system, "house/has mail"));
        guests.key("has mail").tell(Visit).await.unwrap();
        let asked = time::now();
        guests.key("new 1").ask(Visit).await.unwrap();
        assert_eq!(guests.active(), ["has mail", "idle b", "new 1", "stay", "toils"]);
        guests.key("new 2").ask(Visit).await.unwrap();
        assert_eq!(guests.active(), ["has mail", "new 1", "new 2", "stay", "toils"]);
        assert_eq!(time::now(), asked, "nobody waits for one that stays");
        assert!(resume(&system, "house/has mail"));
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_cap_full_of_busy_ones_is_overloaded_until_one_is_idle() {
    testkit::run(6, |system| async move {
        let guests = Guests::new(&system, 2).await;
        guests.visit("stay").await;
        guests.key("toils").tell(Toil(Duration::from_secs(60))).await.unwrap();
        settle().await;
        let asked = time::now();
        for _ in 0..3 {
            let refused = guests.key("new").ask(Visit).await.unwrap_err();
            assert_eq!(refused.code(), Code::Overloaded);
            assert_eq!((refused.get("max_active"), refused.get("key")), (Some("2"), Some("new")));
        }
        assert_eq!(time::now(), asked, "it is refused at once");
        // The job ends, and its actor handles nothing afterwards.
        time::sleep(Duration::from_secs(61)).await;
        guests.key("new").ask(Visit).await.unwrap();
        assert_eq!(guests.active(), ["new", "stay"]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn an_actor_is_idle_since_its_last_job_ended() {
    testkit::run(6, |system| async move {
        let guests = Guests::new(&system, 2).await;
        guests.key("toils").tell(Toil(Duration::from_secs(60))).await.unwrap();
        settle().await;
        time::sleep(Duration::from_secs(30)).await;
        guests.visit("idle").await;
        time::sleep(Duration::from_secs(60)).await;
        guests.key("new").ask(Visit).await.unwrap();
        assert_eq!(guests.active(), ["new", "toils"], "its message is older, its work is younger");
        guests.family.set_options(FamilyOptions { idle_after: Duration::from_secs(50), max_active: 2 });
        time::sleep(Duration::from_secs(15)).await;
        assert_eq!(guests.active(), ["new", "toils"]);
        time::sleep(Duration::from_secs(6)).await;
        assert_eq!(guests.active(), ["new"]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn one_that_would_not_leave_is_asked_again_when_it_has_worked_or_idled_for_long() {
    testkit::run(6, |system| async move {
        let guests = Guests::new(&system, 2).await;
        guests.visit("stay 1").await;
        guests.visit("stay 2").await;
        assert_eq!(guests.key("new").ask(Visit).await.unwrap_err().code(), Code::Overloaded);
        guests.house.stays.store(false, Ordering::SeqCst);
        assert_eq!(guests.key("new").ask(Visit).await.unwrap_err().code(), Code::Overloaded, "nothing told the family");
        guests.visit("stay 1").await;
        guests.key("new").ask(Visit).await.unwrap();
        assert_eq!(guests.active(), ["new", "stay 2"]);
        time::sleep(Duration::from_secs(3601)).await;
        assert!(guests.family.is_empty(), "idle for too long");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn newcomers_at_the_same_time_get_a_room_each() {
    testkit::run(6, |system| async move {
        const GUESTS: usize = 50;
        let guests = Guests::new(&system, GUESTS).await;
        for number in 0..GUESTS {
            guests.visit(number.to_string()).await;
        }
        let newcomers: Vec<_> = (0..GUESTS).map(|number| guests.key(format!("new {number}"))).collect();
        for visited in join_all(newcomers.iter().map(|newcomer| newcomer.ask(Visit))).await {
            assert_eq!(visited.unwrap(), 1);
        }
        assert!(guests.active().iter().all(|key| key.starts_with("new ")), "{:?}", guests.active());
        assert_eq!(guests.house.most.load(Ordering::SeqCst), GUESTS, "never more than the cap");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_lower_cap_lets_the_idlest_leave_until_it_holds() {
    testkit::run(6, |system| async move {
        let guests = Guests::new(&system, 10).await;
        guests.key("toils").tell(Toil(Duration::from_secs(60))).await.unwrap();
        guests.visit("stay").await;
        for number in 1..=8 {
            guests.visit(number.to_string()).await;
        }
        guests.family.set_options(FamilyOptions { max_active: 4, ..guests.family.options() });
        settle().await;
        assert_eq!(guests.active(), ["7", "8", "stay", "toils"]);
        guests.family.set_options(FamilyOptions { max_active: 0, ..guests.family.options() });
        assert_eq!(guests.family.options().max_active, 1);
        settle().await;
        assert_eq!(guests.active(), ["stay", "toils"], "the busy work on");
        let refused = guests.key("new").ask(Visit).await.unwrap_err();
        assert_eq!(refused.code(), Code::Overloaded);
        time::sleep(Duration::from_secs(61)).await;
        assert_eq!(guests.active(), ["stay"], "one leaves when it is done");
        guests.family.set_options(FamilyOptions { max_active: 3, ..guests.family.options() });
        join_all(["a", "b"].map(|key| guests.visit(key))).await;
        assert_eq!(guests.active(), ["a", "b", "stay"]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn no_newcomer_takes_the_room_of_one_that_leaves_for_a_lower_cap() {
    testkit::run(6, |system| async move {
        let guests = Guests::new(&system, 2).await;
        guests.key("toils").tell(Toil(Duration::from_secs(60))).await.unwrap();
        guests.visit("a").await;
        guests.family.set_options(FamilyOptions { max_active: 1, ..guests.family.options() });
        let refused = guests.key("new").ask(Visit).await.unwrap_err();
        assert_eq!(refused.code(), Code::Overloaded);
        settle().await;
        assert_eq!(guests.active(), ["toils"]);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_new_idle_time_counts_for_those_who_are_idle_already() {
    testkit::run(6, |system| async move {
        let guests = Guests::new(&system, 10).await;
        for key in ["a", "b", "c"] {
            guests.visit(key).await;
        }
        guests.visit("stay").await;
        time::sleep(Duration::from_secs(100)).await;
        guests.visit("d").await;
        guests.family.set_options(FamilyOptions { idle_after: Duration::from_secs(60), max_active: 10 });
        settle().await;
        assert_eq!(guests.active(), ["d", "stay"]);
        time::sleep(Duration::from_secs(58)).await;
        assert_eq!(guests.active(), ["d", "stay"]);
        time::sleep(Duration::from_secs(2)).await;
        assert_eq!(guests.active(), ["stay"]);
        guests.house.stays.store(false, Ordering::SeqCst);
        time::sleep(Duration::from_secs(61)).await;
        assert!(guests.family.is_empty(), "asked again after each idle time");
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn a_longer_idle_time_counts_for_those_who_are_active() {
    testkit::run(6, |system| async move {
        let guests = Guests::new(&system, 10).await;
        guests.visit("a").await;
        guests.family.set_options(FamilyOptions { idle_after: Duration::from_secs(7200), max_active: 10 });
        time::sleep(Duration::from_secs(7100)).await;
        assert_eq!(guests.active(), ["a"]);
        time::sleep(Duration::from_secs(100)).await;
        assert!(guests.family.is_empty());
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn actors_leave_memory_also_when_nobody_refers_to_their_family() {
    testkit::run(6, |system| async move {
        let guests = Guests::new(&system, 10).await;
        guests.key("toils").tell(Toil(Duration::from_secs(60))).await.unwrap();
        guests.visit("a").await;
        let Guests { family, house } = guests;
        drop(family);
        time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(house.live.load(Ordering::SeqCst), 1, "one worked for a minute first");
        time::sleep(Duration::from_secs(61)).await;
        assert_eq!(house.live.load(Ordering::SeqCst), 0);
        system.shutdown(GRACE).await.unwrap();
    });
}

#[test]
fn many_keys_share_few_rooms_and_lose_no_message() {
    const ROOMS: usize = 8;
    const SENDERS: u64 = 4;
    const VISITS: u64 = 1_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let system = testkit::system("rooms", 6);
        let guests = Arc::new(Guests::new(&system, ROOMS).await);
        let senders = (0..SENDERS).map(|sender| {
            let guests = Arc::clone(&guests);
            task::spawn("test", async move {
                for n in 0..VISITS {
                    let guest = guests.key(((n * 7 + sender * 13) % 50).to_string());
                    // All eight may be at work for others just now; who is refused was certainly not heard.
                    while let Err(error) = guest.ask(Visit).await {
                        assert_eq!(error.code(), Code::Overloaded);
                        tokio::task::yield_now().await;
                    }
                }
            })
        });
        join_all(senders).await.into_iter().for_each(|sent| sent.unwrap());
        assert_eq!(guests.house.visits.load(Ordering::SeqCst), SENDERS * VISITS);
        assert!(guests.house.most.load(Ordering::SeqCst) <= ROOMS);
        assert!(guests.family.len() <= ROOMS);
        system.shutdown(GRACE).await.unwrap();
        assert!(guests.family.is_empty());
        assert_eq!(guests.house.live.load(Ordering::SeqCst), 0);
    });
}
