//! What a slot does between two incarnations, where chance decides who comes first.

use std::task::Poll;

use futures_util::poll;

use super::*;
use crate::actor::Actor;
use crate::protocol::Silent;
use crate::testkit;

const GRACE: Duration = Duration::from_secs(60);

struct Idler;

impl Actor for Idler {
    type Protocol = Silent;
    const KIND: &'static str = "idler";
}

async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_end_of_one_incarnation_never_touches_the_next() {
    testkit::run(1, |system| async move {
        let slot = system.spawn("idler", || Idler).await.unwrap().address().unwrap().0;
        let stop = Stop { reason: StopReason::Restart, drain: false, deadline: None };
        // Polled late, as by a worker that is busy.
        let mut end = Box::pin(slot.end(Fate::Recycle, stop));
        settle().await;
        assert_eq!(slot.phase(), Phase::Down, "the stop was said at once");
        assert!(slot.launch(None, false));
        settle().await;
        let ended = poll!(&mut end);
        time::sleep(Duration::from_secs(3600)).await;
        let ended = if ended.is_pending() { poll!(&mut end) } else { ended };
        settle().await;
        assert_eq!((slot.phase(), slot.life.lock().number), (Phase::Running, 2));
        assert_eq!((ended, system.ground().killed()), (Poll::Ready(true), 0));
        system.shutdown(GRACE).await.unwrap();
    });
}
