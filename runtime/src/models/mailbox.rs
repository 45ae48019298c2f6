//! Lanes, door and waker of a mailbox. The drain is the model's own thread.

use std::sync::Arc;
use std::task::Waker;

use loom::thread::{self, JoinHandle};

use super::{Bell, check, join, sleep};
use crate::call::{Answering, CallPacket, Carried, open_call};
use crate::envelope::Envelope;
use crate::mailbox::{Batch, LaneSettings, Lanes, Mailbox, Next, Overflow, Refusal, Signal};
use crate::message::Lane;
use crate::time;

#[derive(Debug, crate::Message)]
#[message(name = "model.number")]
struct Number(u64);

fn envelope(n: u64) -> Envelope {
    CallPacket::told(0, Number(n), Carried::Nothing)
}

fn number(mut envelope: Envelope) -> u64 {
    open_call(envelope.as_mut(), Answering::<(), Number>::LATER).unwrap().0.0
}

fn mailbox(capacity: usize) -> Arc<Mailbox> {
    Arc::new(Mailbox::new(Lanes::default().with(Lane::Normal, capacity, Overflow::Wait)))
}

/// What became of a send.
#[derive(Debug, PartialEq)]
enum Sent {
    Accepted,
    /// It came back.
    Back(Refusal, u64),
}

fn send(mailbox: &Mailbox, lane: Lane, n: u64) -> Sent {
    offer(mailbox, lane, n, None)
}

fn offer(mailbox: &Mailbox, lane: Lane, n: u64, waiter: Option<(&mut Option<u64>, &Waker)>) -> Sent {
    match mailbox.offer(lane, envelope(n), waiter) {
        Ok(dropped) => {
            assert!(dropped.is_none());
            Sent::Accepted
        }
        Err((refusal, envelope)) => Sent::Back(refusal, number(envelope)),
    }
}

fn spawn<T: 'static>(mailbox: &Arc<Mailbox>, act: impl FnOnce(&Mailbox) -> T + 'static) -> JoinHandle<T> {
    let mailbox = Arc::clone(mailbox);
    thread::spawn(move || act(&mailbox))
}

/// Takes a message if one is there now.
fn take(mailbox: &Mailbox, batch: &mut Batch) -> Option<u64> {
    match mailbox.next(batch, Waker::noop(), false) {
        Next::Message(envelope) => Some(number(envelope)),
        Next::Parked => None,
        Next::Signal(_) | Next::Empty => panic!("there was no word and it asked to sleep"),
    }
}

/// Takes all messages that are there now.
fn rest(mailbox: &Mailbox) -> Vec<u64> {
    let mut batch = Batch::default();
    std::iter::from_fn(|| take(mailbox, &mut batch)).collect()
}

#[test]
fn a_message_that_races_with_the_drain_going_to_sleep_wakes_it() {
    for lane in Lane::ALL {
        check(move || {
            let mailbox = mailbox(100);
            let ((bell, waker), mut batch) = (Bell::new(), Batch::default());
            let mut others = vec![spawn(&mailbox, move |mailbox| send(mailbox, lane, 1))];
            let got = loop {
                match mailbox.next(&mut batch, &waker, false) {
                    Next::Message(envelope) => break number(envelope),
                    _ => drop(sleep(&bell, &mut others)),
                }
            };
            assert_eq!(got, 1);
            join(&mut others);
        });
    }
}

#[test]
fn a_word_that_races_with_the_drain_going_to_sleep_wakes_it() {
    check(|| {
        let mailbox = mailbox(100);
        let ((bell, waker), mut batch) = (Bell::new(), Batch::default());
        let mut others = vec![spawn(&mailbox, |mailbox| mailbox.signal(Signal::Passivate))];
        while !matches!(mailbox.next(&mut batch, &waker, false), Next::Signal(Signal::Passivate)) {
            sleep(&bell, &mut others);
        }
        join(&mut others);
    });
}

#[test]
fn a_word_wakes_a_drain_whose_handler_awaits_and_a_message_does_not() {
    check(|| {
        let mailbox = mailbox(100);
        let ((bell, waker), batch) = (Bell::new(), Batch::default());
        let mut others = vec![
            spawn(&mailbox, |mailbox| mailbox.signal(Signal::Passivate)),
            spawn(&mailbox, |mailbox| assert_eq!(send(mailbox, Lane::Normal, 1), Sent::Accepted)),
        ];
        while mailbox.next_signal().is_none() {
            if mailbox.park_awaiting(&batch, &waker) {
                sleep(&bell, &mut others);
            }
        }
        assert!(!bell.rang(), "once is enough");
        join(&mut others);
        assert_eq!(rest(&mailbox), [1]);
    });
}

#[test]
fn what_two_send_arrives_once_and_each_ones_in_its_order() {
    check(|| {
        let mailbox = mailbox(100);
        let ((bell, waker), mut batch) = (Bell::new(), Batch::default());
        let mut others: Vec<_> = [[1, 2], [11, 12]]
            .map(|numbers| spawn(&mailbox, move |mailbox| numbers.map(|n| send(mailbox, Lane::Normal, n))))
            .into();
        let mut got = Vec::new();
        while got.len() < 4 {
            match mailbox.next(&mut batch, &waker, false) {
                Next::Message(envelope) => got.push(number(envelope)),
                _ => drop(sleep(&bell, &mut others)),
            }
        }
        join(&mut others);
        let of = |from: u64| got.iter().copied().filter(|n| n / 10 == from).collect::<Vec<_>>();
        assert_eq!((of(0), of(1)), (vec![1, 2], vec![11, 12]));
        assert!(take(&mailbox, &mut batch).is_none());
    });
}

#[test]
fn a_send_that_races_with_the_closing_of_an_empty_mailbox_keeps_it_open_or_comes_back() {
    check(|| {
        let mailbox = mailbox(100);
        let mut others = [1, 2].map(|n| spawn(&mailbox, move |mailbox| send(mailbox, Lane::Normal, n))).into();
        let is_closed = mailbox.close_if_empty(&Batch::default());
        let sent = join(&mut others);
        let mut found = rest(&mailbox);
        found.sort_unstable();
        if is_closed {
            assert_eq!(sent, [1, 2].map(|n| Sent::Back(Refusal::Closed, n)));
            assert!(found.is_empty());
        } else {
            assert_eq!(sent, [Sent::Accepted, Sent::Accepted]);
            assert_eq!(found, [1, 2]);
        }
    });
}

#[test]
fn a_word_that_races_with_the_closing_of_an_empty_mailbox_is_not_lost() {
    check(|| {
        let mailbox = mailbox(100);
        let mut others = vec![spawn(&mailbox, |mailbox| mailbox.signal(Signal::Passivate))];
        mailbox.close_if_empty(&Batch::default());
        join(&mut others);
        assert!(mailbox.next_signal().is_some());
    });
}

#[test]
fn what_is_admitted_before_the_door_shuts_is_served_by_the_last_drain() {
    check(|| {
        let mailbox = mailbox(100);
        let mut others =
            vec![spawn(&mailbox, |mailbox| [1, 2].map(|n| send(mailbox, Lane::Normal, n) == Sent::Accepted))];
        mailbox.close();
        let (mut batch, mut served) = (Batch::default(), Vec::new());
        while let Next::Message(envelope) = mailbox.next(&mut batch, Waker::noop(), true) {
            served.push(number(envelope));
        }
        let accepted = join(&mut others).remove(0);
        let accepted: Vec<u64> = [1, 2].into_iter().zip(accepted).filter_map(|(n, is)| is.then_some(n)).collect();
        assert_eq!(served, accepted);
        assert!(mailbox.empty().is_empty());
    });
}

#[test]
fn who_waits_for_a_place_is_woken_when_one_is_free() {
    check(|| {
        let mailbox = mailbox(1);
        assert_eq!(send(&mailbox, Lane::Normal, 1), Sent::Accepted);
        let mut others = vec![spawn(&mailbox, |mailbox| take(mailbox, &mut Batch::default()))];
        let ((bell, waker), mut key) = (Bell::new(), None);
        if offer(&mailbox, Lane::Normal, 2, Some((&mut key, &waker))) != Sent::Accepted {
            assert_eq!(sleep(&bell, &mut others), [Some(1)]);
            assert_eq!(offer(&mailbox, Lane::Normal, 2, Some((&mut key, &waker))), Sent::Accepted);
        }
        join(&mut others);
    });
}

#[test]
fn all_who_wait_for_a_place_are_woken_when_one_is_free() {
    check(|| {
        let mailbox = mailbox(1);
        assert_eq!(send(&mailbox, Lane::Normal, 1), Sent::Accepted);
        let mut others = vec![spawn(&mailbox, |mailbox| {
            let ((bell, waker), mut key) = (Bell::new(), None);
            (offer(mailbox, Lane::Normal, 2, Some((&mut key, &waker))), bell)
        })];
        let mut drains = vec![spawn(&mailbox, |mailbox| take(mailbox, &mut Batch::default()))];
        let ((bell, waker), mut key) = (Bell::new(), None);
        let mine = offer(&mailbox, Lane::Normal, 3, Some((&mut key, &waker)));
        assert_eq!(join(&mut drains), [Some(1)]);
        let (other, others_bell) = join(&mut others).remove(0);
        let asleep = |sent: &Sent, bell: &Bell| *sent != Sent::Accepted && !bell.rang();
        let (am_asleep, is_asleep) = (asleep(&mine, &bell), asleep(&other, &others_bell));
        // One may have come when the other had the place that was free.
        let is_full = mailbox.depths().0[Lane::Normal as usize] == 1;
        assert!(!(am_asleep && is_asleep) && (is_full || !(am_asleep || is_asleep)), "one sleeps for ever");
    });
}

#[test]
fn one_that_leaves_does_not_swallow_the_wake_of_another_that_waits() {
    check(|| {
        let mailbox = mailbox(1);
        assert_eq!(send(&mailbox, Lane::Normal, 1), Sent::Accepted);
        let mut others = vec![
            spawn(&mailbox, |mailbox| {
                let mut key = None;
                offer(mailbox, Lane::Normal, 2, Some((&mut key, &Bell::new().1)));
                key.into_iter().for_each(|key| mailbox.forget_waiter(key));
            }),
            spawn(&mailbox, |mailbox| assert!(take(mailbox, &mut Batch::default()).is_some())),
        ];
        let ((bell, waker), mut key) = (Bell::new(), None);
        if offer(&mailbox, Lane::Normal, 3, Some((&mut key, &waker))) != Sent::Accepted {
            // The other's message may have taken the place that was free; then the next one that is free is this one's.
            join(&mut others);
            if !bell.rang() {
                assert_eq!(rest(&mailbox), [2]);
                assert!(bell.rang(), "it sleeps for ever");
            }
        }
        join(&mut others);
    });
}

#[test]
fn who_waits_for_a_place_learns_of_a_shut_door_a_gate_and_a_wider_lane() {
    let acts: [fn(&Mailbox); 3] = [
        |mailbox| mailbox.close(),
        |mailbox| mailbox.gate(Some(time::now())),
        |mailbox| mailbox.set_lane(Lane::Normal, LaneSettings { capacity: 2, overflow: Overflow::Wait }),
    ];
    for act in acts {
        check(move || {
            let mailbox = mailbox(1);
            assert_eq!(send(&mailbox, Lane::Normal, 1), Sent::Accepted);
            let mut others = vec![spawn(&mailbox, act)];
            let ((bell, waker), mut key) = (Bell::new(), None);
            let first = offer(&mailbox, Lane::Normal, 2, Some((&mut key, &waker)));
            let waits = first == Sent::Back(Refusal::Full, 2);
            join(&mut others);
            assert!(!waits || bell.rang(), "it sleeps for ever");
        });
    }
}

#[test]
fn what_a_drain_puts_back_is_found_by_the_next_one_before_what_came_later() {
    check(|| {
        let mailbox = mailbox(100);
        let mut batch = Batch::default();
        for n in 1..=3 {
            assert_eq!(send(&mailbox, Lane::Normal, n), Sent::Accepted);
        }
        let mut others = vec![spawn(&mailbox, |mailbox| send(mailbox, Lane::Normal, 4))];
        assert_eq!(take(&mailbox, &mut batch), Some(1));
        mailbox.put_back(batch);
        let ((bell, waker), mut batch, mut got) = (Bell::new(), Batch::default(), Vec::new());
        while got.len() < 3 {
            match mailbox.next(&mut batch, &waker, false) {
                Next::Message(envelope) => got.push(number(envelope)),
                _ => drop(sleep(&bell, &mut others)),
            }
        }
        join(&mut others);
        assert_eq!(got, [2, 3, 4]);
    });
}

#[test]
fn a_drain_that_slept_through_a_pause_a_hold_or_a_suspension_is_woken_by_its_end_and_finds_what_came() {
    for set in [Mailbox::set_paused, Mailbox::set_held, Mailbox::set_suspended] {
        check(move || {
            let mailbox = mailbox(100);
            let ((bell, waker), mut batch) = (Bell::new(), Batch::default());
            set(&mailbox, true);
            let mut others = vec![
                spawn(&mailbox, move |mailbox| set(mailbox, false)),
                spawn(&mailbox, |mailbox| assert_eq!(send(mailbox, Lane::Normal, 1), Sent::Accepted)),
            ];
            let got = loop {
                match mailbox.next(&mut batch, &waker, false) {
                    Next::Message(envelope) => break number(envelope),
                    _ => drop(sleep(&bell, &mut others)),
                }
            };
            assert_eq!(got, 1);
            join(&mut others);
        });
    }
}

#[test]
fn what_a_full_lane_drops_is_given_back_once_and_all_else_is_served() {
    check(|| {
        let lanes = Lanes::default().with(Lane::Normal, 1, Overflow::DropOldest);
        let mailbox = Arc::new(Mailbox::new(lanes));
        let mut others = [1, 2]
            .map(|n| spawn(&mailbox, move |mailbox| mailbox.offer(Lane::Normal, envelope(n), None).ok().flatten()))
            .into();
        let mut found: Vec<_> = take(&mailbox, &mut Batch::default()).into_iter().collect();
        found.extend(join(&mut others).into_iter().flatten().map(number));
        found.extend(rest(&mailbox));
        found.sort_unstable();
        assert_eq!(found, [1, 2]);
    });
}
