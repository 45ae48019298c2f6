//! Random interleavings of everything a window can do, compared with a model after each step: who gets a place, what is
//! read, who is woken.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use proptest::prelude::*;

use super::{Producer, Reader, Taken, window};

/// What may happen. Indices are taken modulo what there is.
#[derive(Debug, Clone, Copy)]
enum Step {
    TrySend(usize),
    Send(usize),
    PollSend(usize),
    DropSend(usize),
    Read,
    Enter(usize),
    Exit(usize),
    End(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => any::<usize>().prop_map(Step::TrySend),
        16 => any::<usize>().prop_map(Step::Send),
        16 => any::<usize>().prop_map(Step::PollSend),
        6 => any::<usize>().prop_map(Step::DropSend),
        28 => Just(Step::Read),
        3 => any::<usize>().prop_map(Step::Enter),
        3 => any::<usize>().prop_map(Step::Exit),
        1 => any::<usize>().prop_map(Step::End),
    ];
    proptest::collection::vec(step, 1..250)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn a_window_keeps_order_credit_and_turns_whatever_the_interleaving(credit in 1_usize..5, steps in steps()) {
        let mut trial = Trial::new(credit);
        for step in steps {
            trial.run(step);
            if trial.is_over {
                break;
            }
        }
    }
}

/// Notes that it was rung, under the number of the item that waits, or as the reader.
struct Bell {
    of: u64,
    rung: Arc<Mutex<Vec<u64>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.lock().push(self.of);
    }
}

const READER: u64 = 0;

/// A send that waits.
struct Sending {
    item: u64,
    future: Pin<Box<dyn Future<Output = bool>>>,
}

/// A window, and what must be true of it.
struct Trial {
    reader: Reader<u64>,
    producers: Vec<Arc<Producer<u64>>>,
    sends: Vec<Sending>,
    rung: Arc<Mutex<Vec<u64>>>,
    /// The number of the last item.
    last: u64,
    credit: usize,
    /// Items that were taken in and not read.
    inside: VecDeque<u64>,
    /// Items that were called and have not come, and those that wait for a call, both in their order.
    called: Vec<u64>,
    waiting: VecDeque<u64>,
    is_ended: bool,
    reader_waits: bool,
    /// Who must have been woken by this step.
    woken: Vec<u64>,
    /// The reader has seen the end.
    is_over: bool,
}

impl Trial {
    fn new(credit: usize) -> Self {
        let (producer, reader) = window(credit);
        Self {
            reader,
            producers: vec![Arc::new(producer)],
            sends: Vec::new(),
            rung: Arc::default(),
            last: READER,
            credit,
            inside: VecDeque::new(),
            called: Vec::new(),
            waiting: VecDeque::new(),
            is_ended: false,
            reader_waits: false,
            woken: Vec::new(),
            is_over: false,
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::TrySend(at) if !self.producers.is_empty() => self.try_send(at),
            Step::Send(at) if !self.producers.is_empty() => self.send(at),
            Step::PollSend(at) if !self.sends.is_empty() => self.poll_send(at % self.sends.len()),
            Step::DropSend(at) if !self.sends.is_empty() => self.drop_send(at % self.sends.len()),
            Step::Read => self.read(),
            Step::Enter(at) if !self.producers.is_empty() => {
                let twin = Producer::clone(&self.producers[at % self.producers.len()]);
                self.producers.push(Arc::new(twin));
            }
            Step::Exit(at) if !self.producers.is_empty() => self.exit(at % self.producers.len()),
            Step::End(at) if !self.producers.is_empty() => self.end(at % self.producers.len()),
            _ => {}
        }
        assert_eq!(std::mem::take(&mut *self.rung.lock()), std::mem::take(&mut self.woken), "woken by {step:?}");
        assert!(self.inside.len() + self.called.len() <= self.credit);
        if let Some(producer) = self.producers.first() {
            assert!(self.is_ended || producer.credit() == self.free());
            assert_eq!(producer.is_closed(), self.is_ended);
        }
    }

    fn free(&self) -> usize {
        self.credit - self.inside.len() - self.called.len()
    }

    fn waker(&self, of: u64) -> Waker {
        Waker::from(Arc::new(Bell { of, rung: Arc::clone(&self.rung) }))
    }

    fn item(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// An item was taken in.
    fn enters(&mut self, item: u64) {
        self.inside.push_back(item);
        self.wakes_reader();
    }

    fn wakes_reader(&mut self) {
        if std::mem::take(&mut self.reader_waits) {
            self.woken.push(READER);
        }
    }

    /// A place is free: whoever waits longest is called.
    fn calls(&mut self) {
        if let Some(item) = self.waiting.pop_front() {
            self.called.push(item);
            self.woken.push(item);
        }
    }

    fn try_send(&mut self, at: usize) {
        let (item, fits) = (self.item(), !self.is_ended && self.free() > 0);
        assert_eq!(self.producers[at % self.producers.len()].try_send(item).is_ok(), fits);
        if fits {
            self.enters(item);
        }
    }

    fn send(&mut self, at: usize) {
        let item = self.item();
        let producer = Arc::clone(&self.producers[at % self.producers.len()]);
        let mut future: Pin<Box<dyn Future<Output = bool>>> = Box::pin(async move { producer.send(item).await });
        let sent = future.as_mut().poll(&mut Context::from_waker(&self.waker(item)));
        if self.is_ended {
            assert_eq!(sent, Poll::Ready(false));
        } else if self.free() > 0 {
            assert_eq!(sent, Poll::Ready(true));
            self.enters(item);
        } else {
            assert_eq!(sent, Poll::Pending);
            self.waiting.push_back(item);
            self.sends.push(Sending { item, future });
        }
    }

    fn poll_send(&mut self, place: usize) {
        let item = self.sends[place].item;
        let waker = self.waker(item);
        let sent = self.sends[place].future.as_mut().poll(&mut Context::from_waker(&waker));
        let called = self.called.iter().position(|other| *other == item);
        let expected = match (self.is_ended, called) {
            (true, _) => Poll::Ready(false),
            (false, Some(_)) => Poll::Ready(true),
            (false, None) => Poll::Pending,
        };
        assert_eq!(sent, expected);
        if sent.is_ready() {
            drop(self.sends.remove(place));
        }
        if let (false, Some(called)) = (self.is_ended, called) {
            self.called.remove(called);
            self.enters(item);
        }
    }

    fn drop_send(&mut self, place: usize) {
        let Sending { item, future } = self.sends.remove(place);
        drop(future);
        if self.is_ended {
            return;
        }
        self.waiting.retain(|other| *other != item);
        if let Some(called) = self.called.iter().position(|other| *other == item) {
            self.called.remove(called);
            self.calls();
        }
    }

    fn read(&mut self) {
        let waker = self.waker(READER);
        let read = self.reader.poll_next(&mut Context::from_waker(&waker));
        match (read, self.inside.pop_front()) {
            (Poll::Ready(Taken::Item(item)), Some(expected)) => {
                assert_eq!(item, expected, "in order, and exactly once");
                self.calls();
            }
            (Poll::Ready(Taken::End(end)), None) => {
                assert_eq!(end.is_some(), self.is_ended);
                assert!(self.is_ended || self.producers.is_empty());
                self.is_over = true;
            }
            (Poll::Pending, None) => {
                assert!(!self.is_ended && !self.producers.is_empty());
                self.reader_waits = true;
            }
            _ => panic!("the window and its model differ"),
        }
    }

    /// A producer leaves, unless a send of it still waits.
    fn exit(&mut self, place: usize) {
        if Arc::strong_count(&self.producers[place]) > 1 {
            return;
        }
        drop(self.producers.remove(place));
        if self.producers.is_empty() {
            self.wakes_reader();
        }
    }

    fn end(&mut self, place: usize) {
        self.producers[place].end(Ok(()));
        if !std::mem::replace(&mut self.is_ended, true) {
            self.woken.extend(std::mem::take(&mut self.waiting));
            self.called.clear();
            self.wakes_reader();
        }
    }
}
