//! The table of asks that wait, and its sweeper.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use loom::thread;

use super::{Bell, check, join};
use crate::call::{Answers, Call, NEVER_NS, Waits};
use crate::clock::Clock;
use crate::time;
use crate::waits::{Sweeper, WaitTable, Waiting};

/// A time that is over.
const OVER_NS: u64 = 2;
/// One that was over before that.
const LONG_OVER_NS: u64 = 1;
/// A time that does not come.
const FAR_NS: u64 = NEVER_NS - 1;

/// An ask, which nobody answers.
struct Asks {
    waits: Waits<()>,
    table: Arc<WaitTable>,
    _answers: Answers<()>,
}

/// Enters an ask.
fn note(table: &Arc<WaitTable>, bell: &Arc<Bell>, deadline_ns: u64) -> (Asks, Option<Sweeper>) {
    let (mut waits, answers) = Call::pair(None, deadline_ns, Arc::clone(bell).into());
    let sweeper = waits.note(table, Waiting::new(&"model", 1, deadline_ns));
    (Asks { waits, table: Arc::clone(table), _answers: answers }, sweeper)
}

impl Drop for Asks {
    fn drop(&mut self) {
        self.waits.leave(&self.table);
    }
}

/// A table that is a second old.
fn table() -> Arc<WaitTable> {
    let epoch = time::now().checked_sub(Duration::from_secs(1)).unwrap();
    WaitTable::new(Arc::new(Clock::since(epoch)))
}

/// A table that a sweeper looks after.
fn swept() -> (Arc<WaitTable>, Sweeper) {
    let waits = table();
    let (asks, sweeper) = note(&waits, &Bell::new().0, FAR_NS);
    drop(asks);
    (waits, sweeper.unwrap())
}

/// A sweeper that sleeps until a time, as it knew it then, or until it is called.
struct Asleep {
    sweeper: Sweeper,
    until_ns: u64,
}

fn rest(sweeper: Sweeper) -> Asleep {
    Asleep { until_ns: sweeper.due_ns(), sweeper }
}

/// A sweeper looks, and sleeps unless it has ended.
fn look(mut sweeper: Sweeper) -> Option<Asleep> {
    if sweeper.look() { None } else { Some(rest(sweeper)) }
}

/// A sweeper wakes if it is time or it was called.
fn turn(asleep: Asleep) -> Option<Asleep> {
    let is_time = asleep.until_ns <= OVER_NS || asleep.sweeper.called().now_or_never().is_some();
    if is_time { look(asleep.sweeper) } else { Some(asleep) }
}

#[test]
fn an_ask_that_enters_while_the_sweeper_ends_is_woken_in_time() {
    check(|| {
        let (waits, sweeper) = swept();
        // Nothing waits: it ends now, unless it sees the ask.
        let mut others = vec![thread::spawn(move || look(sweeper))];
        let (bell, _) = Bell::new();
        let (_asks, second) = note(&waits, &bell, OVER_NS);
        let second = second.map(rest).and_then(turn);
        let first = join(&mut others).remove(0);
        // Both run on as long as they have to.
        drop((first.and_then(turn), second.and_then(turn)));
        assert!(bell.rang(), "its time is over and nobody looks");
    });
}

#[test]
fn an_ask_that_enters_with_an_earlier_time_than_the_sweeper_waits_for_is_woken_in_time() {
    check(|| {
        let (waits, sweeper) = swept();
        let _far = note(&waits, &Bell::new().0, FAR_NS);
        let mut others = vec![thread::spawn(move || look(sweeper).expect("one waits"))];
        let (bell, _) = Bell::new();
        let (_asks, second) = note(&waits, &bell, OVER_NS);
        assert!(second.is_none(), "one sweeps");
        join(&mut others).into_iter().for_each(|asleep| drop(turn(asleep)));
        assert!(bell.rang(), "its time is over and nobody looks");
    });
}

#[test]
fn an_ask_that_enters_while_the_sweeper_looks_is_seen_by_it_or_calls_it() {
    check(|| {
        let (waits, sweeper) = swept();
        // The sweeper is called for this one, so the next one trusts it to come.
        let _late = note(&waits, &Bell::new().0, LONG_OVER_NS);
        assert!(sweeper.called().now_or_never().is_some());
        let mut others = vec![thread::spawn(move || look(sweeper).expect("one waits"))];
        let (bell, _) = Bell::new();
        let (_asks, second) = note(&waits, &bell, OVER_NS);
        assert!(second.is_none(), "one sweeps");
        join(&mut others).into_iter().for_each(|asleep| drop(turn(asleep)));
        assert!(bell.rang(), "its time is over and nobody looks");
    });
}

#[test]
fn of_asks_that_enter_together_one_gets_a_sweeper() {
    check(|| {
        let waits = table();
        let mut others = (0..2)
            .map(|_| {
                let waits = Arc::clone(&waits);
                thread::spawn(move || {
                    let (bell, _) = Bell::new();
                    (note(&waits, &bell, OVER_NS), bell)
                })
            })
            .collect();
        let (noted, bells): (Vec<_>, Vec<_>) = join(&mut others).into_iter().unzip();
        let (_asks, sweepers): (Vec<_>, Vec<_>) = noted.into_iter().unzip();
        let sweepers: Vec<_> = sweepers.into_iter().flatten().collect();
        assert_eq!(sweepers.len(), 1);
        sweepers.into_iter().for_each(|sweeper| drop(turn(rest(sweeper))));
        assert!(bells.iter().all(|bell| bell.rang()));
    });
}
