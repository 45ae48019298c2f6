//! Both ends of an ask: the answer's cell, and the token a receiver makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Count, Ordering::Relaxed};
use std::task::{Poll, Waker};
use std::time::Duration;

use loom::thread;

use beluga_core::CallContext;

use super::{Bell, Dropped, check, join, sleep};
use crate::call::{Answered, Answering, Answers, Call, CallPacket, Carried, NEVER_NS, Waits, open_call};
use crate::clock::Clock;
use crate::message::Message;
use crate::time;
use crate::waits::{WaitTable, Waiting};

type Ends = (Waits<Dropped>, Answers<Dropped>);

fn pair(waker: &Waker) -> Ends {
    Call::pair(None, NEVER_NS, waker.clone())
}

/// Polls as an ask does that does not stand in the table of waits.
fn poll(waits: &mut Waits<Dropped>, waker: &Waker) -> Poll<Answered<Dropped>> {
    poll_in(waits, &table(), waker)
}

fn poll_in(waits: &mut Waits<Dropped>, table: &WaitTable, waker: &Waker) -> Poll<Answered<Dropped>> {
    match waits.fetch() {
        Some(got) => Poll::Ready(got),
        None if waits.renew(table, waker, 0) => Poll::Pending,
        None => waits.fetch().map_or(Poll::Pending, Poll::Ready),
    }
}

fn table() -> Arc<WaitTable> {
    let epoch = time::now().checked_sub(Duration::from_secs(1)).unwrap();
    WaitTable::new(Arc::new(Clock::since(epoch)))
}

/// One whose time was over when it began.
fn late() -> Waiting {
    Waiting::new(&"model", 1, 2)
}

/// Answers, and gives what counts how often the answer is dropped.
fn answer() -> (Arc<Count>, impl FnOnce(Answers<Dropped>)) {
    let drops = Arc::new(Count::new(0));
    let value = Dropped(Arc::clone(&drops));
    (drops, move |answers: Answers<Dropped>| answers.put(Ok(value)))
}

#[test]
fn an_answer_that_races_with_the_first_look_wakes_the_caller_and_is_delivered_once() {
    check(|| {
        let ((bell, waker), (drops, put)) = (Bell::new(), answer());
        let (mut waits, answers) = pair(&waker);
        let mut others = vec![thread::spawn(move || put(answers))];
        let got = loop {
            match poll(&mut waits, &waker) {
                Poll::Ready(got) => break got,
                Poll::Pending => drop(sleep(&bell, &mut others)),
            }
        };
        join(&mut others);
        assert!(matches!(got, Answered::With(Ok(_))) && drops.load(Relaxed) == 0);
        assert!(poll(&mut waits, &waker).is_pending(), "it was fetched");
        drop((got, waits));
        assert_eq!(drops.load(Relaxed), 1);
    });
}

#[test]
fn an_answer_that_comes_before_the_first_look_has_woken_the_waker_the_ask_began_with() {
    check(|| {
        let ((bell, waker), (drops, put)) = (Bell::new(), answer());
        let (waits, answers) = pair(&waker);
        let mut others = vec![thread::spawn(move || put(answers))];
        sleep(&bell, &mut others);
        drop(waits);
        assert_eq!(drops.load(Relaxed), 1);
    });
}

#[test]
fn an_answer_that_races_with_a_change_of_wakers_wakes_the_last_one() {
    check(|| {
        let ((old, new), (drops, put)) = ((Bell::new(), Bell::new()), answer());
        let (mut waits, answers) = pair(&old.1);
        let mut others = vec![thread::spawn(move || put(answers))];
        let mut got = poll(&mut waits, &old.1);
        if got.is_pending() {
            got = poll(&mut waits, &new.1);
        }
        if got.is_pending() {
            sleep(&new.0, &mut others);
            got = poll(&mut waits, &new.1);
        }
        join(&mut others);
        assert!(matches!(got, Poll::Ready(Answered::With(Ok(_)))));
        drop((got, waits));
        assert_eq!(drops.load(Relaxed), 1);
    });
}

#[test]
fn an_answer_that_races_with_the_callers_leaving_is_dropped_once() {
    for looks in [0, 1] {
        check(move || {
            let ((_, waker), (drops, put)) = (Bell::new(), answer());
            let (mut waits, answers) = pair(&waker);
            let mut others = vec![thread::spawn(move || put(answers))];
            for _ in 0..looks {
                drop(poll(&mut waits, &waker));
            }
            drop(waits);
            join(&mut others);
            assert_eq!(drops.load(Relaxed), 1);
        });
    }
}

#[test]
fn a_way_back_that_is_dropped_wakes_the_caller_and_says_so() {
    check(|| {
        let (bell, waker) = Bell::new();
        let (mut waits, answers) = pair(&waker);
        let mut others = vec![thread::spawn(move || drop(answers))];
        let got = loop {
            match poll(&mut waits, &waker) {
                Poll::Ready(got) => break got,
                Poll::Pending => drop(sleep(&bell, &mut others)),
            }
        };
        join(&mut others);
        assert!(matches!(got, Answered::Lost));
    });
}

#[test]
fn a_token_that_is_made_while_the_caller_leaves_is_cancelled() {
    check(|| {
        let (waits, answers) = pair(Waker::noop());
        let caller = answers.caller().unwrap();
        let mut others = vec![thread::spawn(move || caller.line().token())];
        drop(waits);
        assert!(join(&mut others).iter().all(|token| token.is_cancelled()));
    });
}

#[test]
fn all_who_make_the_token_while_the_caller_leaves_get_the_same_one_and_it_is_cancelled() {
    check(|| {
        let (waits, answers) = pair(Waker::noop());
        let mut others = (0..2)
            .map(|_| {
                let caller = answers.caller().unwrap();
                // Their handles are let go of afterwards: how they end is another law.
                thread::spawn(move || (caller.line().token(), caller))
            })
            .collect();
        drop(waits);
        let (tokens, _callers): (Vec<_>, Vec<_>) = join(&mut others).into_iter().unzip();
        assert!(tokens[0].same(&tokens[1]) && tokens[0].is_cancelled());
    });
}

#[test]
fn a_caller_that_fetched_its_answer_cancels_nothing() {
    check(|| {
        let (waker, (_, put)) = (Waker::noop(), answer());
        let (mut waits, answers) = pair(waker);
        let caller = answers.caller().unwrap();
        let mut others = vec![thread::spawn(move || {
            let token = caller.line().token();
            put(answers);
            token
        })];
        let has_answer = poll(&mut waits, waker).is_ready();
        drop(waits);
        assert_eq!(join(&mut others)[0].is_cancelled(), !has_answer);
    });
}

/// Both ends of an ask, and what tells by its count whether the call was freed.
fn watched() -> (Ends, Arc<str>) {
    let key: Arc<str> = Arc::from("alive");
    let parent = CallContext::new().with_idempotency_key(Arc::clone(&key));
    (Call::pair(Some(parent), NEVER_NS, Waker::noop().clone()), key)
}

struct Question;

impl Message for Question {
    type Reply = Dropped;
    const NAME: &'static str = "model.question";
    const VERSION: u16 = 1;
}

#[test]
fn a_call_is_freed_once_whoever_lets_go_of_it_last() {
    check(|| {
        let (((mut waits, answers), key), (drops, put)) = (watched(), answer());
        let hold = answers.caller().unwrap();
        let mut others = vec![thread::spawn(move || put(answers)), thread::spawn(move || drop(hold))];
        let got = waits.fetch();
        drop(waits);
        join(&mut others);
        assert_eq!((Arc::strong_count(&key), drops.load(Relaxed)), (1, usize::from(got.is_none())));
    });
}

#[test]
fn a_way_back_that_is_lent_answers_and_the_call_outlives_it() {
    check(|| {
        let (((mut waits, answers), key), (drops, put)) = (watched(), answer());
        let mut others = vec![thread::spawn(move || {
            let mut envelope = CallPacket::asked(0, Question, answers, 1);
            let (_, reply) = open_call(envelope.as_mut(), Answering::<(), Question>::AT_LAST).unwrap();
            let carried = std::mem::take(&mut envelope.head_mut().carried);
            put(reply.into_answers());
            drop(envelope);
            // As the errand of a handler does, whose last act was the answer.
            assert!(matches!(&carried, Carried::Asked(hold) if hold.line().parent().is_some()));
        })];
        let got = waits.fetch();
        drop(waits);
        join(&mut others);
        assert_eq!((Arc::strong_count(&key), drops.load(Relaxed)), (1, usize::from(got.is_none())));
    });
}

#[test]
fn a_way_back_that_leaves_its_handler_lives_of_a_handle_of_its_own() {
    check(|| {
        let (((mut waits, answers), key), (drops, put)) = (watched(), answer());
        let mut envelope = CallPacket::asked(0, Question, answers, 1);
        let (_, reply) = open_call(envelope.as_mut(), Answering::<(), Question>::LATER).unwrap();
        let mut others = vec![thread::spawn(move || put(reply.into_answers())), thread::spawn(move || drop(envelope))];
        let got = waits.fetch();
        drop(waits);
        join(&mut others);
        assert_eq!((Arc::strong_count(&key), drops.load(Relaxed)), (1, usize::from(got.is_none())));
    });
}

#[test]
fn an_envelope_that_is_dropped_unopened_tells_the_caller_and_frees_the_call() {
    check(|| {
        let ((mut waits, answers), key) = watched();
        let envelope = CallPacket::asked(0, Question, answers, 1);
        let mut others = vec![thread::spawn(move || drop(envelope))];
        let early = waits.fetch();
        join(&mut others);
        assert!(matches!(early.or_else(|| waits.fetch()), Some(Answered::Lost)));
        drop(waits);
        assert_eq!(Arc::strong_count(&key), 1);
    });
}

#[test]
fn an_answer_that_races_with_the_end_of_the_time_wakes_the_caller() {
    check(|| {
        let ((bell, waker), (drops, put)) = (Bell::new(), answer());
        let (table, (mut waits, answers)) = (table(), pair(&waker));
        let mut sweeper = waits.note(&table, late()).unwrap();
        let mut others =
            vec![thread::spawn(move || put(answers)), thread::spawn(move || assert!(!sweeper.look(), "one waits"))];
        sleep(&bell, &mut others);
        assert!(matches!(poll_in(&mut waits, &table, &waker), Poll::Ready(Answered::With(Ok(_)))));
        waits.leave(&table);
        drop(waits);
        assert_eq!(drops.load(Relaxed), 1);
    });
}

#[test]
fn a_change_of_wakers_that_races_with_the_end_of_the_time_and_the_answer_loses_neither() {
    check(|| {
        let ((old, new), (drops, put)) = ((Bell::new(), Bell::new()), answer());
        let (table, (mut waits, answers)) = (table(), pair(&old.1));
        let mut sweeper = waits.note(&table, late()).unwrap();
        let mut others =
            vec![thread::spawn(move || put(answers)), thread::spawn(move || assert!(!sweeper.look(), "one waits"))];
        let mut got = poll_in(&mut waits, &table, &new.1);
        if got.is_pending() {
            sleep(&new.0, &mut others);
            got = poll_in(&mut waits, &table, &new.1);
        }
        join(&mut others);
        assert!(matches!(got, Poll::Ready(Answered::With(Ok(_)))));
        waits.leave(&table);
        drop((got, waits));
        assert_eq!(drops.load(Relaxed), 1);
    });
}

#[test]
fn a_caller_that_leaves_while_its_time_ends_is_not_touched_any_more() {
    check(|| {
        let ((_, waker), (drops, put)) = (Bell::new(), answer());
        let (table, (mut waits, answers)) = (table(), pair(&waker));
        let mut sweeper = waits.note(&table, late()).unwrap();
        let look = move || {
            sweeper.look();
        };
        let mut others = vec![thread::spawn(look), thread::spawn(move || put(answers))];
        waits.leave(&table);
        drop(waits);
        join(&mut others);
        assert_eq!(drops.load(Relaxed), 1);
    });
}
