use futures_util::FutureExt;

use super::*;

fn poll<T>(reader: &mut Reader<T>) -> Option<Taken<T>> {
    std::future::poll_fn(|cx| reader.poll_next(cx)).now_or_never()
}

/// The next item, if there is one.
fn next<T>(reader: &mut Reader<T>) -> Option<T> {
    match poll(reader) {
        Some(Taken::Item(item)) => Some(item),
        Some(Taken::End(_)) | None => None,
    }
}

#[test]
fn items_come_in_order_and_the_end_after_the_last() {
    let (producer, mut reader) = window(2);
    assert!(producer.try_send(1).is_ok() && producer.try_send(2).is_ok());
    assert!(matches!(producer.try_send(3), Err(Refused::NoCredit(3))));
    assert_eq!(producer.credit(), 0);
    producer.end(Ok(()));
    drop(producer);
    assert_eq!((next(&mut reader), next(&mut reader)), (Some(1), Some(2)));
    assert!(matches!(poll(&mut reader), Some(Taken::End(Some(Ok(()))))));
}

#[test]
fn an_end_is_seen_although_other_producers_are_left_and_they_send_no_more() {
    let (producer, mut reader) = window(1);
    let other = producer.clone();
    assert!(producer.try_send(1).is_ok());
    let mut waits = other.send(2);
    let mut closed = other.closed();
    assert!((&mut waits).now_or_never().is_none() && (&mut closed).now_or_never().is_none());
    producer.end(Err(Error::timeout("late")));
    producer.end(Ok(()));
    assert_eq!(waits.now_or_never(), Some(false));
    assert!(closed.now_or_never().is_some() && other.is_closed());
    assert!(matches!(other.try_send(3), Err(Refused::Closed(3))));
    assert_eq!(next(&mut reader), Some(1));
    let Some(Taken::End(Some(end))) = poll(&mut reader) else { panic!("no end") };
    assert_eq!(end.unwrap_err().code(), beluga_core::Code::Timeout, "the first end counts");
}

#[test]
fn producers_that_wait_are_served_in_their_order() {
    let (producer, mut reader) = window(1);
    assert!(producer.try_send(0).is_ok());
    let (mut first, mut second) = (producer.send(1), producer.send(2));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    assert_eq!(next(&mut reader), Some(0));
    assert!(matches!(producer.try_send(9), Err(Refused::NoCredit(9))), "the place is the first one's");
    assert!((&mut second).now_or_never().is_none(), "it was not called");
    assert_eq!(first.now_or_never(), Some(true));
    assert_eq!(next(&mut reader), Some(1));
    assert_eq!(second.now_or_never(), Some(true));
}

#[test]
fn a_called_producer_keeps_its_place_however_late_it_comes() {
    let (producer, mut reader) = window(2);
    assert!(producer.try_send(0).is_ok() && producer.try_send(1).is_ok());
    let mut called = producer.send(2);
    assert!((&mut called).now_or_never().is_none());
    assert_eq!((next(&mut reader), next(&mut reader)), (Some(0), Some(1)));
    assert_eq!(producer.credit(), 1, "one of two places is kept");
    assert!(producer.try_send(3).is_ok());
    assert!(matches!(producer.try_send(4), Err(Refused::NoCredit(4))));
    assert_eq!(called.now_or_never(), Some(true));
    assert_eq!((next(&mut reader), next(&mut reader)), (Some(3), Some(2)));
}

#[test]
fn a_called_producer_that_leaves_calls_the_next() {
    let (producer, mut reader) = window(1);
    assert!(producer.try_send(0).is_ok());
    let (mut first, mut second) = (producer.send(1), producer.send(2));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    assert_eq!(next(&mut reader), Some(0));
    drop(first);
    assert_eq!(second.now_or_never(), Some(true));
    assert_eq!(next(&mut reader), Some(2));
}

#[test]
fn whoever_waits_learns_that_the_reader_left() {
    let (producer, reader) = window(1);
    assert!(producer.try_send(0).is_ok());
    let mut waits = producer.send(1);
    let mut closed = producer.closed();
    assert!((&mut waits).now_or_never().is_none() && (&mut closed).now_or_never().is_none());
    drop(reader);
    assert_eq!(waits.now_or_never(), Some(false));
    assert!(closed.now_or_never().is_some() && producer.is_closed());
    assert!(matches!(producer.try_send(2), Err(Refused::Closed(2))));
}

#[test]
fn an_abandoned_wait_leaves_nothing_behind() {
    let (producer, mut reader) = window(1);
    assert!(producer.try_send(0).is_ok());
    for _ in 0..3 {
        assert!(producer.send(1).now_or_never().is_none());
        assert!(producer.closed().now_or_never().is_none());
    }
    assert_eq!(producer.0.lock().census(), (1, 0, 0, 0));
    let mut called = producer.send(1);
    assert!((&mut called).now_or_never().is_none());
    assert_eq!(next(&mut reader), Some(0));
    assert_eq!(producer.0.lock().census(), (0, 1, 0, 0));
    drop(called);
    assert_eq!(producer.0.lock().census(), (0, 0, 0, 0));
}
