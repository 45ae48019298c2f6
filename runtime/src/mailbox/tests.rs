//! The mailbox without an actor: bounds, order, the door.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::Waker;

use super::*;
use crate::call::{Answering, CallPacket, open_call};

#[derive(Debug, crate::Message)]
#[message(name = "test.number")]
struct Number(u64);

fn envelope(n: u64) -> Envelope {
    CallPacket::told(0, Number(n), crate::call::Carried::Nothing)
}

fn number(mut envelope: Envelope) -> u64 {
    open_call(envelope.as_mut(), Answering::<(), Number>::LATER).unwrap().0.0
}

fn mailbox(capacity: usize, overflow: Overflow) -> Mailbox {
    Mailbox::new(Lanes::default().with(Lane::Normal, capacity, overflow))
}

fn take(mailbox: &Mailbox, batch: &mut Batch) -> Option<u64> {
    match mailbox.next(batch, Waker::noop(), false) {
        Next::Message(envelope) => Some(number(envelope)),
        _ => None,
    }
}

#[test]
fn what_the_drain_took_out_still_counts_against_the_bound() {
    let (mailbox, mut batch) = (mailbox(4, Overflow::Reject), Batch::default());
    for n in 0..4 {
        assert!(mailbox.offer(Lane::Normal, envelope(n), None).is_ok());
    }
    assert_eq!(take(&mailbox, &mut batch), Some(0), "all four are in the batch now");
    assert_eq!(mailbox.depths().0[Lane::Normal as usize], 3);
    assert!(mailbox.offer(Lane::Normal, envelope(4), None).is_ok());
    assert!(matches!(mailbox.offer(Lane::Normal, envelope(5), None), Err((Refusal::Full, _))));
}

#[test]
fn what_is_put_back_comes_first_and_in_order() {
    let (mailbox, mut batch) = (mailbox(100, Overflow::Wait), Batch::default());
    for n in 0..50 {
        assert!(mailbox.offer(Lane::Normal, envelope(n), None).is_ok());
    }
    assert_eq!(take(&mailbox, &mut batch), Some(0));
    mailbox.put_back(batch);
    let mut batch = Batch::default();
    let rest: Vec<u64> = std::iter::from_fn(|| take(&mailbox, &mut batch)).collect();
    assert_eq!(rest, (1..50).collect::<Vec<_>>());
}

#[test]
fn the_door_shuts_only_on_an_empty_mailbox_and_then_gives_envelopes_back() {
    let (mailbox, mut batch) = (mailbox(2, Overflow::Wait), Batch::default());
    assert!(mailbox.offer(Lane::Normal, envelope(7), None).is_ok());
    assert!(!mailbox.close_if_empty(&batch));
    assert_eq!(take(&mailbox, &mut batch), Some(7));
    mailbox.signal(Signal::Passivate);
    assert!(!mailbox.close_if_empty(&batch), "a word of the kernel waits");
    assert!(matches!(mailbox.next(&mut batch, Waker::noop(), false), Next::Signal(Signal::Passivate)));
    assert!(mailbox.close_if_empty(&batch));
    let Err((Refusal::Closed, back)) = mailbox.offer(Lane::Normal, envelope(8), None) else {
        panic!("the door is open")
    };
    assert_eq!(number(back), 8);
}

#[test]
fn who_waits_is_called_when_its_place_is_free_and_keeps_its_envelope_if_the_door_was_faster() {
    let (mailbox, mut batch) = (mailbox(1, Overflow::Wait), Batch::default());
    assert!(mailbox.offer(Lane::Normal, envelope(1), None).is_ok());
    let (called, mut key) = (Arc::new(Called::default()), None);
    let waker = Waker::from(Arc::clone(&called));
    assert!(mailbox.offer(Lane::Normal, envelope(2), Some((&mut key, &waker))).is_err());
    assert_eq!(called.0.load(Ordering::SeqCst), 0);
    assert_eq!(take(&mailbox, &mut batch), Some(1));
    assert_eq!(called.0.load(Ordering::SeqCst), 1, "the only place is free");
    assert!(mailbox.close_if_empty(&batch));
    let Err((Refusal::Closed, back)) = mailbox.offer(Lane::Normal, envelope(2), Some((&mut key, &waker))) else {
        panic!("the door is open")
    };
    assert_eq!(number(back), 2);
}

/// Counts how often it was woken.
#[derive(Default)]
struct Called(AtomicUsize);

impl std::task::Wake for Called {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_long_lane_is_taken_in_batches_and_its_bound_is_exact_again_once_a_handler_awaits() {
    let (mailbox, mut batch) = (mailbox(100, Overflow::Reject), Batch::default());
    for n in 0..100 {
        assert!(mailbox.offer(Lane::Normal, envelope(n), None).is_ok());
    }
    for n in 0..10 {
        assert_eq!(take(&mailbox, &mut batch), Some(n));
    }
    assert!(matches!(mailbox.offer(Lane::Normal, envelope(100), None), Err((Refusal::Full, _))));
    assert!(mailbox.park_awaiting(&batch, Waker::noop()));
    assert_eq!(mailbox.depths().0[Lane::Normal as usize], 90);
    for n in 100..110 {
        assert!(mailbox.offer(Lane::Normal, envelope(n), None).is_ok());
    }
    assert!(matches!(mailbox.offer(Lane::Normal, envelope(110), None), Err((Refusal::Full, _))));
}

#[test]
fn a_lane_gets_its_new_bound_while_messages_wait() {
    let (mailbox, mut batch) = (mailbox(2, Overflow::Reject), Batch::default());
    for n in 0..2 {
        assert!(mailbox.offer(Lane::Normal, envelope(n), None).is_ok());
    }
    assert!(mailbox.offer(Lane::Normal, envelope(2), None).is_err());
    mailbox.set_lane(Lane::Normal, LaneSettings { capacity: 3, overflow: Overflow::DropOldest });
    assert!(matches!(mailbox.offer(Lane::Normal, envelope(2), None), Ok(None)));
    let Ok(Some(dropped)) = mailbox.offer(Lane::Normal, envelope(3), None) else { panic!("nothing was dropped") };
    assert_eq!(number(dropped), 0);
    mailbox.set_lane(Lane::Normal, LaneSettings { capacity: 1, overflow: Overflow::Reject });
    assert_eq!(mailbox.settings().of(Lane::Normal).capacity, 1);
    assert!(mailbox.offer(Lane::Normal, envelope(4), None).is_err());
    let rest: Vec<u64> = std::iter::from_fn(|| take(&mailbox, &mut batch)).collect();
    assert_eq!(rest, [1, 2, 3], "what waits stays, also beyond a lower bound");
}

#[test]
fn a_paused_mailbox_gives_nothing() {
    let (mailbox, mut batch) = (mailbox(8, Overflow::Wait), Batch::default());
    mailbox.set_paused(true);
    assert!(mailbox.offer(Lane::Normal, envelope(1), None).is_ok());
    mailbox.signal(Signal::Passivate);
    assert_eq!(take(&mailbox, &mut batch), None);
    mailbox.set_paused(false);
    assert!(matches!(mailbox.next(&mut batch, Waker::noop(), false), Next::Signal(_)));
    assert_eq!(take(&mailbox, &mut batch), Some(1));
}

#[test]
fn who_was_let_go_between_the_look_and_the_sleep_does_not_sleep() {
    let (mailbox, batch) = (mailbox(8, Overflow::Wait), Batch::default());
    mailbox.set_paused(true);
    assert!(mailbox.is_paused(), "the look");
    mailbox.set_paused(false);
    assert!(!mailbox.park_paused(&batch, Waker::noop()), "nobody would wake it");
    mailbox.set_paused(true);
    assert!(mailbox.park_paused(&batch, Waker::noop()));
}

#[test]
fn a_held_mailbox_gives_out_only_what_is_urgent() {
    let (mailbox, mut batch) = (mailbox(100, Overflow::Wait), Batch::default());
    for n in 0..3 {
        assert!(mailbox.offer(Lane::Normal, envelope(n), None).is_ok());
    }
    assert_eq!(take(&mailbox, &mut batch), Some(0), "the others are in the batch");
    mailbox.set_held(true);
    assert_eq!(take(&mailbox, &mut batch), None);
    assert!(matches!(mailbox.next(&mut batch, Waker::noop(), true), Next::Parked), "also while it is emptied");
    let mut urgent = envelope(9);
    urgent.head_mut().lane = Lane::Control;
    assert!(mailbox.offer(Lane::Control, urgent, None).is_ok());
    assert_eq!(take(&mailbox, &mut batch), Some(9));
    mailbox.set_held(false);
    assert_eq!((take(&mailbox, &mut batch), take(&mailbox, &mut batch)), (Some(1), Some(2)));
}

#[test]
fn a_suspended_mailbox_gives_the_kernels_words_and_no_message() {
    let (mailbox, mut batch) = (mailbox(100, Overflow::Wait), Batch::default());
    for n in 1..=3 {
        assert!(mailbox.offer(Lane::Normal, envelope(n), None).is_ok());
    }
    assert_eq!(take(&mailbox, &mut batch), Some(1));
    mailbox.set_suspended(true);
    mailbox.signal(Signal::Passivate);
    assert!(matches!(mailbox.next(&mut batch, Waker::noop(), false), Next::Signal(Signal::Passivate)));
    assert_eq!(take(&mailbox, &mut batch), None, "also what the drain holds already");
    assert_eq!(mailbox.depths().0[Lane::Normal as usize], 2);
    mailbox.set_suspended(false);
    assert_eq!(take(&mailbox, &mut batch), Some(2));
}
