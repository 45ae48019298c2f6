use beluga_core::Code;
use futures_util::{FutureExt, stream};

use super::*;
use crate::service::testing::{self, Answer, Script, fails, hang, items};

const AFTER: Duration = Duration::from_secs(2);

fn pair(primary: &Script, secondary: &Script) -> SharedService<(), testing::Item> {
    hedge(Named::new("a", primary.service()), Named::new("b", secondary.service()), AFTER)
}

/// An answer whose items come after a time; 0 is an opening item.
fn after(seconds: u64, numbers: impl IntoIterator<Item = u32>) -> Answer {
    late(Duration::from_secs(seconds)).chain(items(numbers)).boxed()
}

/// Nothing for a time that begins when it is asked for, then the end.
fn late(time: Duration) -> Answer {
    stream::once(async move { time::sleep(time).await }).filter_map(async |()| None).boxed()
}

fn down() -> Answer {
    fails(Error::provider_unavailable("down"))
}

/// Reads a call to its end: the numbers, the error's code, and the seconds it took.
async fn read(service: &SharedService<(), testing::Item>) -> (Vec<u32>, Option<Error>, u64) {
    let (started, mut numbers, mut error) = (time::now(), Vec::new(), None);
    let mut stream = service.call((), CallContext::new());
    while let Some(item) = stream.next().await {
        match item {
            Ok(item) => numbers.push(item.number),
            Err(last) => error = Some(last),
        }
    }
    (numbers, error, (time::now() - started).as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_quick_answer_costs_nothing_extra() {
    let (a, b) = (Script::new(vec![after(1, [0, 1, 2])]), Script::repeat(|| items([9])));
    let (numbers, error, took) = read(&pair(&a, &b)).await;
    assert_eq!((numbers, error.is_none(), took, b.calls()), (vec![0, 1, 2], true, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_second_is_asked_after_the_delay_and_the_slower_one_is_dropped() {
    let (a, b) = (Script::new(vec![items([0]).chain(hang()).boxed()]), Script::new(vec![after(1, [0, 7, 8])]));
    let service = pair(&a, &b);
    let mut stream = service.call((), CallContext::new());
    let started = time::now();
    assert_eq!(stream.next().await.unwrap().unwrap().number, 0);
    assert_eq!((time::now() - started).as_secs(), 3);
    assert_eq!((a.live(), b.live()), (0, 1), "the loser is gone before the winner's first item is given out");
    assert_eq!(stream.map(|item| item.unwrap().number).collect::<Vec<_>>().await, [7, 8], "one opening, the winner's");
    assert_eq!((a.calls(), b.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_first_still_wins_if_it_answers_before_the_second() {
    let (a, b) = (Script::new(vec![after(3, [1, 2])]), Script::repeat(hang));
    assert_eq!(read(&pair(&a, &b)).await.0, [1, 2]);
    assert_eq!((b.calls(), b.live()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_delay_asks_the_second_at_once() {
    let (a, b) = (Script::new(vec![down()]), Script::new(vec![items([7])]));
    let (numbers, error, took) = read(&pair(&a, &b)).await;
    assert_eq!((numbers, error.is_none(), took), (vec![7], true, 0));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_fails_everywhere_is_not_asked_again() {
    let (a, b) = (Script::new(vec![fails(Error::invalid_input("bad"))]), Script::repeat(|| items([7])));
    assert_eq!((read(&pair(&a, &b)).await.1.unwrap().code(), b.calls()), (Code::InvalidInput, 0));
    let slow = || fails(Error::invalid_input("bad"));
    let late = late(AFTER * 2).chain(slow()).boxed();
    let (a, b) = (Script::new(vec![late]), Script::repeat(hang));
    assert_eq!((read(&pair(&a, &b)).await.1.unwrap().code(), b.live()), (Code::InvalidInput, 0));
}

#[tokio::test(start_paused = true)]
async fn when_both_fail_the_last_error_names_the_other_and_nobody_is_asked_twice() {
    let (a, b) = (Script::new(vec![down()]), Script::new(vec![fails(Error::timeout("late"))]));
    let error = read(&pair(&a, &b)).await.1.unwrap();
    assert_eq!((error.code(), error.get("fell_back_from")), (Code::Timeout, Some("a")));
    // The second fails first: the first one's word is the last.
    let late = late(AFTER * 2).chain(down()).boxed();
    let (a, b) = (Script::new(vec![late]), Script::new(vec![fails(Error::timeout("late"))]));
    let (_, error, took) = read(&pair(&a, &b)).await;
    assert_eq!((error.unwrap().code(), took, a.calls(), b.calls()), (Code::ProviderUnavailable, 4, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn after_content_nothing_is_switched() {
    let broken = items([1]).chain(after(5, [])).chain(down()).boxed();
    let (a, b) = (Script::new(vec![broken]), Script::repeat(|| items([7])));
    let (numbers, error, took) = read(&pair(&a, &b)).await;
    assert_eq!((numbers, error.unwrap().code(), took, b.calls()), (vec![1], Code::ProviderUnavailable, 5, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_content_is_an_answer_and_long_openings_decide() {
    let (a, b) = (Script::new(vec![after(1, [])]), Script::repeat(|| items([7])));
    assert_eq!(read(&pair(&a, &b)).await.0, Vec::<u32>::new());
    let a = Script::new(vec![items([0; HELD_MAX + 1]).chain(after(5, [1])).boxed()]);
    assert_eq!((read(&pair(&a, &b)).await.0.len(), b.calls()), (HELD_MAX + 2, 0));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_stream_drops_both() {
    let (a, b) = (Script::new(vec![hang()]), Script::new(vec![hang()]));
    let mut stream = pair(&a, &b).call((), CallContext::new());
    assert!(stream.next().now_or_never().is_none());
    time::sleep(AFTER).await;
    assert!(stream.next().now_or_never().is_none());
    assert_eq!((a.live(), b.live()), (1, 1));
    drop(stream);
    assert_eq!((a.live(), b.live()), (0, 0));
}
