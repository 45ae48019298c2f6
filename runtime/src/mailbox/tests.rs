//! The mailbox without an actor: bounds, order, the door.

use std::task::Waker;

use super::*;
use crate::envelope::CallPacket;

#[derive(Debug, crate::Message)]
#[message(name = "test.number")]
struct Number(u64);

fn envelope(n: u64) -> Envelope {
    CallPacket::boxed(0, Number(n), None, None)
}

fn number(envelope: Envelope) -> u64 {
    let envelope: Box<dyn std::any::Any> = envelope;
    envelope.downcast::<CallPacket<Number>>().unwrap().message.0
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
        assert!(mailbox.offer(envelope(n), None).is_ok());
    }
    assert_eq!(take(&mailbox, &mut batch), Some(0), "all four are in the batch now");
    assert_eq!(mailbox.depths().0[Lane::Normal as usize], 3);
    assert!(mailbox.offer(envelope(4), None).is_ok());
    assert!(matches!(mailbox.offer(envelope(5), None), Err((Refusal::Full, _))));
}

#[test]
fn what_is_put_back_comes_first_and_in_order() {
    let (mailbox, mut batch) = (mailbox(100, Overflow::Wait), Batch::default());
    for n in 0..50 {
        assert!(mailbox.offer(envelope(n), None).is_ok());
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
    assert!(mailbox.offer(envelope(7), None).is_ok());
    assert!(!mailbox.close_if_empty(&batch));
    assert_eq!(take(&mailbox, &mut batch), Some(7));
    mailbox.signal(Signal::Passivate);
    assert!(!mailbox.close_if_empty(&batch), "a word of the kernel waits");
    assert!(matches!(mailbox.next(&mut batch, Waker::noop(), false), Next::Signal(Signal::Passivate)));
    assert!(mailbox.close_if_empty(&batch));
    let Err((Refusal::Closed, back)) = mailbox.offer(envelope(8), None) else { panic!("the door is open") };
    assert_eq!(number(back), 8);
}

#[test]
fn a_waiter_keeps_the_door_open_until_it_leaves() {
    let (mailbox, mut batch) = (mailbox(1, Overflow::Wait), Batch::default());
    assert!(mailbox.offer(envelope(1), None).is_ok());
    let mut key = None;
    assert!(mailbox.offer(envelope(2), Some((&mut key, Waker::noop()))).is_err());
    let Some(key) = key else { panic!("it was not registered") };
    assert_eq!(take(&mailbox, &mut batch), Some(1));
    assert!(!mailbox.close_if_empty(&batch), "somebody waits for the place");
    mailbox.forget_waiter(key);
    assert!(mailbox.close_if_empty(&batch));
}

#[test]
fn a_paused_mailbox_gives_nothing() {
    let (mailbox, mut batch) = (mailbox(8, Overflow::Wait), Batch::default());
    mailbox.set_paused(true);
    assert!(mailbox.offer(envelope(1), None).is_ok());
    mailbox.signal(Signal::Passivate);
    assert_eq!(take(&mailbox, &mut batch), None);
    mailbox.set_paused(false);
    assert!(matches!(mailbox.next(&mut batch, Waker::noop(), false), Next::Signal(_)));
    assert_eq!(take(&mailbox, &mut batch), Some(1));
}
