//! Random interleavings of everything a broadcast and its readers can do, compared with a model after each step: what is
//! heard, that nothing is heard twice or lost unsaid, and who is woken.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_util::StreamExt;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::{Broadcast, Gap, Heard, Subscription};

/// What may happen. Indices are taken modulo what there is.
#[derive(Debug, Clone, Copy)]
enum Step {
    Send,
    Subscribe,
    SubscribeAfter(u64),
    Read(usize),
    Leave(usize),
    Finish,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        40 => Just(Step::Send),
        5 => Just(Step::Subscribe),
        5 => any::<u64>().prop_map(Step::SubscribeAfter),
        60 => any::<usize>().prop_map(Step::Read),
        5 => any::<usize>().prop_map(Step::Leave),
        1 => Just(Step::Finish),
    ];
    proptest::collection::vec(step, 1..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn received_and_missed_are_what_was_sent_whatever_the_interleaving(capacity in 1_u64..6, steps in steps()) {
        let mut trial = Trial::new(capacity);
        for step in steps {
            trial.run(step);
        }
        trial.finish();
    }
}

struct Bell {
    of: u64,
    rung: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.lock().push(self.of);
    }
}

/// A reader, and what must be true of it.
struct Reader {
    id: u64,
    subscription: Subscription<u64>,
    started: u64,
    cursor: u64,
    received: u64,
    missed: u64,
    /// A gap was told and its item comes next, whatever has left the ring since.
    owed: bool,
    waits: bool,
    is_done: bool,
}

struct Trial {
    broadcast: Broadcast<u64>,
    capacity: u64,
    last: u64,
    is_ended: bool,
    readers: Vec<Reader>,
    ids: u64,
    rung: Arc<Mutex<Vec<u64>>>,
}

impl Trial {
    fn new(capacity: u64) -> Self {
        Self {
            broadcast: Broadcast::new(usize::try_from(capacity).unwrap()),
            capacity,
            last: 0,
            is_ended: false,
            readers: Vec::new(),
            ids: 0,
            rung: Arc::default(),
        }
    }

    fn run(&mut self, step: Step) {
        let mut woken = Vec::new();
        match step {
            Step::Send => {
                // The item is ten times its number.
                let sent = self.broadcast.send((self.last + 1) * 10);
                assert_eq!(sent.is_ok(), !self.is_ended);
                if let Ok(number) = sent {
                    self.last += 1;
                    assert_eq!(number, self.last);
                    woken = self.wakes();
                }
            }
            Step::Subscribe => self.join(self.broadcast.subscribe(), self.last),
            Step::SubscribeAfter(number) => {
                let number = number % (self.last + 2);
                self.join(self.broadcast.subscribe_after(number), number.min(self.last));
            }
            Step::Read(at) if !self.readers.is_empty() => self.read(at % self.readers.len()),
            Step::Leave(at) if !self.readers.is_empty() => drop(self.readers.remove(at % self.readers.len())),
            Step::Finish => {
                self.broadcast.finish();
                self.is_ended = true;
                woken = self.wakes();
            }
            _ => {}
        }
        let mut rung = std::mem::take(&mut *self.rung.lock());
        rung.sort_unstable();
        assert_eq!(rung, woken, "woken by {step:?}");
        assert_eq!(self.broadcast.readers(), self.readers.len());
        assert!(self.broadcast.0.lock().len() as u64 <= self.capacity);
    }

    /// All who wait are woken.
    fn wakes(&mut self) -> Vec<u64> {
        self.readers.iter_mut().filter_map(|reader| std::mem::take(&mut reader.waits).then_some(reader.id)).collect()
    }

    fn join(&mut self, subscription: Subscription<u64>, cursor: u64) {
        self.ids += 1;
        assert_eq!(subscription.cursor(), cursor);
        self.readers.push(Reader {
            id: self.ids,
            subscription,
            started: cursor,
            cursor,
            received: 0,
            missed: 0,
            owed: false,
            waits: false,
            is_done: false,
        });
    }

    fn read(&mut self, at: usize) {
        let oldest = self.last.saturating_sub(self.capacity) + 1;
        let reader = &mut self.readers[at];
        let waker = Waker::from(Arc::new(Bell { of: reader.id, rung: Arc::clone(&self.rung) }));
        let heard = match reader.subscription.poll_next_unpin(&mut Context::from_waker(&waker)) {
            Poll::Ready(heard) => Poll::Ready(heard.map(Result::unwrap)),
            Poll::Pending => Poll::Pending,
        };
        let next = reader.cursor + 1;
        let expected = if reader.is_done {
            Poll::Ready(None)
        } else if !reader.owed && next < oldest {
            Poll::Ready(Some(Heard::Gap(Gap { first: next, missed: oldest - next })))
        } else if next <= self.last {
            Poll::Ready(Some(Heard::Item { number: next, item: next * 10 }))
        } else if self.is_ended {
            Poll::Ready(None)
        } else {
            Poll::Pending
        };
        assert_eq!(heard, expected);
        reader.owed = false;
        match heard {
            Poll::Ready(Some(Heard::Item { .. })) => {
                reader.received += 1;
                reader.cursor += 1;
            }
            Poll::Ready(Some(Heard::Gap(gap))) => {
                reader.missed += gap.missed;
                reader.cursor += gap.missed;
                reader.owed = true;
            }
            Poll::Ready(None) => reader.is_done = true,
            Poll::Pending => reader.waits = true,
        }
        assert_eq!(reader.subscription.cursor(), reader.cursor);
    }

    /// Lets every reader read to the end and settles the account.
    fn finish(mut self) {
        self.broadcast.finish();
        self.is_ended = true;
        for at in 0..self.readers.len() {
            while !self.readers[at].is_done {
                self.read(at);
            }
            let reader = &self.readers[at];
            assert_eq!(reader.received + reader.missed, self.last - reader.started);
        }
    }
}
