//! What both sides of a window share: the items between them, who waits, and how the stream ends.
//!
//! It knows no lock, no executor and no clock. Whom to wake is given back, to be woken once the lock is free: so nothing
//! foreign runs inside the critical section, and a model checker can drive every step.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use beluga_core::Result;

pub(super) struct State<T> {
    items: VecDeque<T>,
    /// The most items that may lie here.
    credit: usize,
    /// Places that are kept for producers that were called and have not come yet.
    promised: usize,
    producers: usize,
    /// The reader left, or the stream has its end: no item is taken any more.
    is_closed: bool,
    /// How the stream ended, until the reader takes it; the first end counts.
    end: Option<Result<()>>,
    reader: Option<Waker>,
    /// Producers without credit, by rising ticket. While one waits there is no free place.
    waiting: VecDeque<(u64, Waker)>,
    /// Who waits for the stream to be closed, by ticket.
    watching: Vec<(u64, Waker)>,
    tickets: u64,
}

/// Why an item was not taken; it comes back.
pub(crate) enum Refused<T> {
    NoCredit(T),
    Closed(T),
}

/// What the reader finds.
pub(crate) enum Taken<T> {
    Item(T),
    /// The stream is over; `None` if no producer said how.
    End(Option<Result<()>>),
}

impl<T> State<T> {
    /// Makes the state of a window with one producer, which takes `credit` items at a time, at least one.
    pub(super) fn new(credit: usize) -> Self {
        Self {
            items: VecDeque::new(),
            credit: credit.max(1),
            promised: 0,
            producers: 1,
            is_closed: false,
            end: None,
            reader: None,
            waiting: VecDeque::new(),
            watching: Vec::new(),
            tickets: 0,
        }
    }

    /// Takes an item, if there is a free place, and gives back the reader if it waits.
    #[inline]
    pub(super) fn offer(&mut self, item: T) -> Result<Option<Waker>, Refused<T>> {
        if self.is_closed {
            return Err(Refused::Closed(item));
        }
        if self.credit() == 0 {
            return Err(Refused::NoCredit(item));
        }
        self.items.push_back(item);
        Ok(self.reader.take())
    }

    /// As [`offer`](Self::offer), but without credit it queues the producer under a ticket. Its place is kept from the
    /// moment it is called until it comes or [gives up](Self::give_up).
    #[inline]
    pub(super) fn queue(
        &mut self,
        item: T,
        ticket: &mut Option<u64>,
        waker: &Waker,
    ) -> Result<Option<Waker>, Refused<T>> {
        if self.is_closed {
            return Err(Refused::Closed(item));
        }
        let Some(held) = *ticket else {
            let refused = self.offer(item);
            if matches!(refused, Err(Refused::NoCredit(_))) {
                let new = self.ticket();
                *ticket = Some(new);
                self.waiting.push_back((new, waker.clone()));
            }
            return refused;
        };
        if let Some((_, known)) = self.place(held).and_then(|place| self.waiting.get_mut(place)) {
            known.clone_from(waker);
            return Err(Refused::NoCredit(item));
        }
        *ticket = None;
        self.promised = self.promised.saturating_sub(1);
        self.offer(item)
    }

    /// Forgets a producer that queued and does not come. Gives back who has its place now.
    pub(super) fn give_up(&mut self, ticket: u64) -> Option<Waker> {
        if self.is_closed {
            return None;
        }
        if let Some(place) = self.place(ticket) {
            self.waiting.remove(place);
            return None;
        }
        self.promised = self.promised.saturating_sub(1);
        self.call_next()
    }

    /// Gives the next item and the producer that is called for its place, or the end after the last item; keeps the
    /// reader's waker if there is neither.
    #[inline]
    pub(super) fn take(&mut self, waker: &Waker) -> Poll<(Taken<T>, Option<Waker>)> {
        if let Some(item) = self.items.pop_front() {
            return Poll::Ready((Taken::Item(item), self.call_next()));
        }
        if self.is_closed || self.producers == 0 {
            return Poll::Ready((Taken::End(self.end.take()), None));
        }
        match &mut self.reader {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Poll::Pending
    }

    /// Sets how the stream ends and closes it. Does nothing if it is closed. Gives back all who wait for anything.
    pub(super) fn end(&mut self, end: Result<()>) -> Vec<Waker> {
        if self.is_closed {
            return Vec::new();
        }
        self.end = Some(end);
        let mut waiting = self.close();
        waiting.extend(self.reader.take());
        waiting
    }

    /// The reader leaves: gives back what it did not read, and who waits.
    pub(super) fn leave(&mut self) -> (VecDeque<T>, Vec<Waker>) {
        (std::mem::take(&mut self.items), self.close())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Is ready once the stream is closed.
    pub(super) fn watch(&mut self, ticket: &mut Option<u64>, waker: &Waker) -> Poll<()> {
        if self.is_closed {
            return Poll::Ready(());
        }
        let known = ticket.and_then(|ticket| self.watching.iter_mut().find(|(other, _)| *other == ticket));
        match known {
            Some((_, known)) => known.clone_from(waker),
            None => {
                let new = self.ticket();
                *ticket = Some(new);
                self.watching.push((new, waker.clone()));
            }
        }
        Poll::Pending
    }

    pub(super) fn unwatch(&mut self, ticket: u64) {
        self.watching.retain(|(other, _)| *other != ticket);
    }

    /// One producer more.
    pub(super) fn enter(&mut self) {
        self.producers += 1;
    }

    /// One producer less. After the last one the reader learns the end.
    pub(super) fn exit(&mut self) -> Option<Waker> {
        self.producers = self.producers.saturating_sub(1);
        if self.producers == 0 { self.reader.take() } else { None }
    }

    /// Returns how many items may be sent at once.
    #[inline]
    pub(super) fn credit(&self) -> usize {
        self.credit.saturating_sub(self.items.len() + self.promised)
    }

    /// Gives a free place to whoever waits longest.
    #[inline]
    fn call_next(&mut self) -> Option<Waker> {
        let (_, producer) = self.waiting.pop_front()?;
        self.promised += 1;
        Some(producer)
    }

    fn close(&mut self) -> Vec<Waker> {
        self.is_closed = true;
        let waiting = std::mem::take(&mut self.waiting).into_iter();
        waiting.chain(std::mem::take(&mut self.watching)).map(|(_, waker)| waker).collect()
    }

    /// Where a ticket waits; `None` once it was called.
    fn place(&self, ticket: u64) -> Option<usize> {
        self.waiting.binary_search_by_key(&ticket, |(other, _)| *other).ok()
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }
}

#[cfg(test)]
impl<T> State<T> {
    /// Returns how many items lie here, how many places are promised, and how many producers and watchers wait.
    pub(super) fn census(&self) -> (usize, usize, usize, usize) {
        (self.items.len(), self.promised, self.waiting.len(), self.watching.len())
    }
}
