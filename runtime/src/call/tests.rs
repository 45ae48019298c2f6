//! Both ends of a call.

use std::sync::Arc;
use std::task::Waker;

use beluga_core::CallContext;

use super::*;

fn pair(parent: Option<CallContext>) -> (Waits<u64>, Answers<u64>) {
    Call::pair(parent, NEVER_NS, Waker::noop().clone())
}

#[test]
fn an_answer_is_fetched_once_and_a_lost_one_is_told_apart() {
    let (mut waits, answers) = pair(None);
    assert!(waits.fetch().is_none());
    answers.put(Ok(7));
    assert!(matches!(waits.fetch(), Some(Answered::With(Ok(7)))));
    assert!(waits.fetch().is_none(), "it was fetched");
    let (mut waits, answers) = pair(None);
    drop(answers);
    assert!(matches!(waits.fetch(), Some(Answered::Lost)));
}

#[test]
fn a_token_is_cancelled_when_the_caller_leaves_before_or_after_it_was_made() {
    for early in [true, false] {
        let (waits, answers) = pair(None);
        let caller = answers.caller().unwrap();
        let before = early.then(|| caller.line().token());
        assert!(!answers.is_left());
        drop(waits);
        let token = before.unwrap_or_else(|| caller.line().token());
        assert!(token.is_cancelled() && answers.is_left());
    }
}

#[test]
fn a_caller_that_has_its_answer_cancels_nothing() {
    let (mut waits, answers) = pair(None);
    let token = answers.caller().unwrap().line().token();
    answers.put(Ok(1));
    assert!(waits.fetch().is_some());
    drop(waits);
    assert!(!token.is_cancelled());
}

#[test]
fn a_call_on_behalf_of_another_is_cancelled_with_it() {
    let parent = CallContext::new();
    let (_waits, answers) = pair(Some(parent.clone()));
    let token = answers.caller().unwrap().line().token();
    assert!(!token.is_cancelled());
    parent.cancel_token().cancel();
    assert!(token.is_cancelled());
    assert!(!answers.is_left(), "its caller still waits for the error");
}

#[test]
fn an_answer_nobody_fetches_is_dropped_whoever_is_first() {
    for late in [true, false] {
        let alive = Arc::new(());
        let (waits, answers) = Call::pair(None, NEVER_NS, Waker::noop().clone());
        let (outcome, mut ends) = (Ok(Arc::clone(&alive)), (Some(waits), Some(answers)));
        if late {
            ends.0 = None;
        }
        let answers = ends.1.take().unwrap();
        let keeps = answers.caller();
        answers.put(outcome);
        drop(ends);
        assert_eq!(Arc::strong_count(&alive), 1);
        drop(keeps);
    }
}
