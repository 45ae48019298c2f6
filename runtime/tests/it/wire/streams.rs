//! Streams between nodes: credit, ends, and readers that leave.

use std::time::Duration;

use beluga_core::{CallContext, Code};
use beluga_runtime::wire::frame::Frame;
use futures_util::{StreamExt, TryStreamExt};

use super::actors::*;
use crate::fixture::settle;

const ENDLESS: Count = Count { to: u64::MAX, fails: false };

#[test]
fn a_stream_gives_its_items_and_then_ends() {
    crossing(|pair| async move {
        let numbers: Vec<u64> = pair.meter.stream(Count { to: 500, fails: false }).open().try_collect().await.unwrap();
        assert_eq!(numbers, (1..=500).collect::<Vec<_>>());
        assert_eq!(pair.first.count(|frame| matches!(frame, Frame::Item(_))), 500);
        assert_eq!(pair.first.count(|frame| matches!(frame, Frame::End(_))), 1);
        assert_eq!(pair.second.count(|frame| matches!(frame, Frame::Cancel(_))), 0, "nobody left");
    });
}

#[test]
fn a_stream_gives_the_error_its_producer_ended_with() {
    crossing(|pair| async move {
        let mut stream = pair.meter.stream(Count { to: 2, fails: true }).open();
        assert_eq!((stream.next().await.unwrap().unwrap(), stream.next().await.unwrap().unwrap()), (1, 2));
        let error = stream.next().await.unwrap().unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::Overloaded, "no more"));
        assert!(stream.next().await.is_none());
    });
}

#[test]
fn a_producer_elsewhere_is_never_further_ahead_than_a_window_on_each_side() {
    crossing(|pair| async move {
        let mut stream = pair.meter.stream(ENDLESS).window(4).open();
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        settle().await;
        let sent = || pair.first.count(|frame| matches!(frame, Frame::Item(_)));
        // One is read; four wait here, one is in hand, and four are the credit that was given for those.
        let ahead = sent();
        assert!(ahead <= 1 + 4 + 1 + 4, "{ahead} items crossed");
        settle().await;
        assert_eq!(sent(), ahead, "it waits");
        let more: Vec<u64> = (&mut stream).take(20).try_collect().await.unwrap();
        assert_eq!(more, (2..=21).collect::<Vec<_>>());
        drop(stream);
        settle().await;
        assert_eq!(pair.journal.read().last().unwrap(), "reader left");
    });
}

#[test]
fn a_reader_that_leaves_ends_the_producer_elsewhere() {
    crossing(|pair| async move {
        let mut stream = pair.meter.stream(ENDLESS).open();
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        drop(stream);
        settle().await;
        assert_eq!(pair.journal.read().last().unwrap(), "reader left");
        assert_eq!(pair.second.count(|frame| matches!(frame, Frame::Cancel(_))), 1);
        assert_eq!(pair.meter.ask(Add(1)).await.unwrap(), 1, "the meter goes on");
    });
}

#[test]
fn a_stream_ends_with_its_deadline_and_with_its_call() {
    crossing(|pair| async move {
        let late = pair.meter.stream(ENDLESS).within(Duration::from_secs(2)).window(1).open();
        let mut late = std::pin::pin!(late);
        assert_eq!(late.next().await.unwrap().unwrap(), 1);
        beluga_runtime::time::sleep(Duration::from_secs(3)).await;
        let error = loop {
            match late.next().await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), Code::Timeout);
        settle().await;
        assert_eq!(pair.journal.read().last().unwrap(), "reader left");
        let call = CallContext::new();
        let mut stream = pair.meter.stream(ENDLESS).with_context(&call).open();
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        call.cancel_token().cancel();
        let last = stream.collect::<Vec<_>>().await.pop().unwrap();
        assert_eq!(last.unwrap_err().code(), Code::Cancelled);
    });
}

#[test]
fn a_stream_whose_producer_panics_has_an_unknown_outcome() {
    crossing(|pair| async move {
        let mut stream = pair.meter.stream(ENDLESS).window(2).open();
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        beluga_runtime::testkit::kill(&pair.far, "meter");
        let last = stream.collect::<Vec<_>>().await.pop().unwrap();
        assert_eq!(last.unwrap_err().code(), Code::UnknownOutcome);
    });
}
