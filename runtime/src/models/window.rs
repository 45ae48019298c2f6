//! A stream's queue: credit, the order of producers that wait, and both sides' leaving.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use loom::thread::{self, JoinHandle};

use super::{Bell, check, join, sleep};
use crate::window::{Producer, Reader, Refused, Taken, window};

fn next(reader: &mut Reader<u64>, waker: &Waker) -> Poll<Option<u64>> {
    reader.poll_next(&mut Context::from_waker(waker)).map(|taken| match taken {
        Taken::Item(item) => Some(item),
        Taken::End(_) => None,
    })
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

/// A queue whose credit of one is used.
fn full() -> (Producer<u64>, Reader<u64>) {
    let (producer, reader) = window(1);
    assert!(producer.try_send(0).is_ok());
    (producer, reader)
}

/// A reader that takes one item.
fn takes_one(mut reader: Reader<u64>) -> JoinHandle<Reader<u64>> {
    thread::spawn(move || {
        assert_eq!(next(&mut reader, Waker::noop()), Poll::Ready(Some(0)));
        reader
    })
}

#[test]
fn producers_that_come_together_never_exceed_the_credit() {
    check(|| {
        let (producer, mut reader) = window(2);
        let mut others = (0..2)
            .map(|n| {
                let producer = producer.clone();
                thread::spawn(move || (0..2).filter(|i| producer.try_send(2 * n + i).is_ok()).count())
            })
            .collect();
        let taken = next(&mut reader, Waker::noop()).is_ready();
        let sent: usize = join(&mut others).into_iter().sum();
        assert!(sent - usize::from(taken) <= 2 && sent >= 2);
        assert_eq!(producer.credit(), 2 + usize::from(taken) - sent);
    });
}

#[test]
fn a_reader_that_waits_is_woken_by_an_item() {
    check(|| {
        let (producer, mut reader) = window(1);
        let mut others = vec![thread::spawn(move || {
            assert!(producer.try_send(7).is_ok());
            producer
        })];
        let ((bell, waker), mut producers) = (Bell::new(), Vec::new());
        let mut got = next(&mut reader, &waker);
        if got.is_pending() {
            producers = sleep(&bell, &mut others);
            got = next(&mut reader, &waker);
        }
        producers.extend(join(&mut others));
        assert_eq!(got, Poll::Ready(Some(7)));
    });
}

#[test]
fn a_reader_that_waits_is_woken_by_the_last_producers_end_and_has_all_items_then() {
    check(|| {
        let (producer, mut reader) = window(1);
        let other = producer.clone();
        let mut others =
            vec![thread::spawn(move || assert!(producer.try_send(7).is_ok())), thread::spawn(move || drop(other))];
        let ((bell, waker), mut got) = (Bell::new(), Vec::new());
        loop {
            match next(&mut reader, &waker) {
                Poll::Ready(Some(item)) => got.push(item),
                Poll::Ready(None) => break,
                Poll::Pending => drop(sleep(&bell, &mut others)),
            }
        }
        join(&mut others);
        assert_eq!(got, [7]);
    });
}

#[test]
fn a_producer_that_waits_is_woken_by_credit() {
    check(|| {
        let (producer, reader) = full();
        let mut others = vec![takes_one(reader)];
        let ((bell, waker), mut send) = (Bell::new(), producer.send(1));
        if poll(&mut send, &waker).is_pending() {
            let mut reader = sleep(&bell, &mut others).remove(0);
            assert_eq!(poll(&mut send, &waker), Poll::Ready(true));
            assert_eq!(next(&mut reader, &waker), Poll::Ready(Some(1)));
        }
        join(&mut others);
    });
}

#[test]
fn a_place_that_gets_free_is_the_first_ones_who_waits_and_nobody_passes() {
    check(|| {
        let (producer, reader) = full();
        let (first, second) = (Bell::new(), Bell::new());
        let (mut sends_first, mut sends_second) = (producer.send(1), producer.send(2));
        assert!(poll(&mut sends_first, &first.1).is_pending() && poll(&mut sends_second, &second.1).is_pending());
        let late = producer.clone();
        let mut readers = vec![takes_one(reader)];
        let mut others = vec![thread::spawn(move || assert!(matches!(late.try_send(9), Err(Refused::NoCredit(9)))))];
        assert!(poll(&mut sends_second, &second.1).is_pending(), "it is not its turn");
        let mut reader = sleep(&first.0, &mut readers).remove(0);
        assert!(!second.0.rang());
        assert_eq!(poll(&mut sends_first, &first.1), Poll::Ready(true));
        join(&mut others);
        assert_eq!(next(&mut reader, Waker::noop()), Poll::Ready(Some(1)));
        assert!(second.0.rang());
        assert_eq!(poll(&mut sends_second, &second.1), Poll::Ready(true));
    });
}

#[test]
fn a_producer_that_leaves_whether_called_or_not_keeps_no_place_from_the_next() {
    check(|| {
        let (producer, reader) = full();
        let (bell, waker) = Bell::new();
        let (mut first, mut second) = (producer.send(1), producer.send(2));
        assert!(poll(&mut first, Waker::noop()).is_pending() && poll(&mut second, &waker).is_pending());
        let mut others = vec![takes_one(reader)];
        drop(first);
        let _reader = sleep(&bell, &mut others);
        assert_eq!(poll(&mut second, &waker), Poll::Ready(true));
    });
}

#[test]
fn a_place_is_kept_for_the_producer_that_was_called_for_it() {
    check(|| {
        let (producer, mut reader) = full();
        let (bell, waker) = Bell::new();
        let mut waits = producer.send(1);
        assert!(poll(&mut waits, &waker).is_pending());
        assert_eq!(next(&mut reader, Waker::noop()), Poll::Ready(Some(0)));
        assert!(bell.rang());
        let late = producer.clone();
        let mut others = vec![thread::spawn(move || late.try_send(9).is_ok())];
        assert_eq!(poll(&mut waits, &waker), Poll::Ready(true));
        assert_eq!(join(&mut others), [false]);
    });
}

#[test]
fn what_is_sent_before_the_end_arrives_and_nothing_after_it_is_taken() {
    check(|| {
        let (producer, mut reader) = window(2);
        let ender = producer.clone();
        let mut others = vec![
            thread::spawn(move || {
                ender.end(Ok(()));
                (None, ender)
            }),
            thread::spawn(move || (Some(producer.try_send(7).is_ok()), producer)),
        ];
        let ((bell, waker), mut got, mut sent) = (Bell::new(), Vec::new(), Vec::new());
        loop {
            match next(&mut reader, &waker) {
                Poll::Ready(Some(item)) => got.push(item),
                Poll::Ready(None) => break,
                Poll::Pending => sent = sleep(&bell, &mut others),
            }
        }
        sent.extend(join(&mut others));
        // Both producers live on: only the end ended it.
        let (sent, _producers): (Vec<_>, Vec<_>) = sent.into_iter().unzip();
        assert_eq!(sent, [None, Some(!got.is_empty())]);
    });
}

#[test]
fn whoever_waits_while_the_reader_leaves_learns_it() {
    check(|| {
        let (producer, reader) = full();
        let mut others = vec![thread::spawn(move || drop(reader))];
        let (sender, watcher) = (Bell::new(), Bell::new());
        let (mut send, mut left) = (producer.send(1), producer.closed());
        let (mut is_sent, mut is_left) = (poll(&mut send, &sender.1), poll(&mut left, &watcher.1));
        join(&mut others);
        if is_sent.is_pending() {
            assert!(sender.0.rang(), "it sleeps for ever");
            is_sent = poll(&mut send, &sender.1);
        }
        if is_left.is_pending() {
            assert!(watcher.0.rang(), "it sleeps for ever");
            is_left = poll(&mut left, &watcher.1);
        }
        assert_eq!((is_sent, is_left), (Poll::Ready(false), Poll::Ready(())));
    });
}
