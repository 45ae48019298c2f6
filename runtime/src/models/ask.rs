//! Both ends of an ask: the answer's cell, and the token a receiver makes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize as Count, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use loom::thread;

use super::{Bell, Dropped, check, join, sleep};
use crate::call::{Answered, Answers, Call, NEVER_NS, Waits};

type Ends = (Waits<Dropped>, Answers<Dropped>);

fn pair(waker: &Waker) -> Ends {
    Call::pair(None, NEVER_NS, waker.clone())
}

fn poll(waits: &mut Waits<Dropped>, waker: &Waker) -> Poll<Answered<Dropped>> {
    waits.poll(&Context::from_waker(waker))
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
                thread::spawn(move || caller.line().token())
            })
            .collect();
        drop(waits);
        let tokens = join(&mut others);
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
