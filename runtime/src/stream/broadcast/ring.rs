//! What a broadcast and its readers share: the newest items, who waits, and how it ends.
//!
//! It knows no lock and no executor: whom to wake and what to drop is given back, for when the lock is free.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use beluga_core::{Error, Result};

use super::sleepers::Sleepers;

pub(super) struct Ring<T> {
    /// The newest items, the newest of all at the back.
    items: VecDeque<T>,
    /// The most items that lie here, at least one.
    capacity: usize,
    /// The number of the newest item; 0 before the first.
    last: u64,
    producers: usize,
    /// How it ended; the first end counts.
    end: Option<Result<()>>,
    readers: Sleepers,
    /// Producers that wait until nobody reads.
    watchers: Sleepers,
    /// Room for those to wake, kept from item to item.
    spare: Vec<Waker>,
}

/// What a reader finds after its cursor.
#[derive(Debug)]
pub(super) enum Next<T> {
    Item(T),
    /// So many items left the ring unread; this one is the oldest there is.
    Late(u64, T),
    End(Option<Error>),
}

impl<T> Ring<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            items: VecDeque::new(),
            capacity: capacity.max(1),
            last: 0,
            producers: 1,
            end: None,
            readers: Sleepers::default(),
            watchers: Sleepers::default(),
            spare: Vec::new(),
        }
    }

    /// Takes an item in. Gives back what left the ring for it, or the item if the broadcast has ended.
    pub(super) fn push(&mut self, item: T) -> Result<Option<T>, T> {
        if self.end.is_some() {
            return Err(item);
        }
        let oldest = if self.items.len() >= self.capacity { self.items.pop_front() } else { None };
        self.items.push_back(item);
        self.last += 1;
        Ok(oldest)
    }

    /// Sets how it ends, unless it has ended.
    pub(super) fn end(&mut self, end: Result<()>) {
        self.end.get_or_insert(end);
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Takes all readers that wait, to be woken and [given back](Self::keep).
    pub(super) fn rouse(&mut self) -> Vec<Waker> {
        let mut wakers = std::mem::take(&mut self.spare);
        self.readers.rouse(&mut wakers);
        wakers
    }

    /// Keeps the room of a list whose wakers were woken.
    pub(super) fn keep(&mut self, room: Vec<Waker>) {
        if !self.readers.is_empty() && room.capacity() > self.spare.capacity() {
            self.spare = room;
        }
    }

    /// One reader more; gives back its key.
    pub(super) fn join(&mut self) -> usize {
        self.readers.enter()
    }

    /// One reader less. After the last one, gives back the producers that waited for that.
    pub(super) fn leave(&mut self, key: usize) -> Vec<Waker> {
        self.readers.leave(key);
        let mut watchers = Vec::new();
        if self.readers.is_empty() {
            self.spare = Vec::new();
            self.watchers.rouse(&mut watchers);
        }
        watchers
    }

    pub(super) fn readers(&self) -> usize {
        self.readers.len()
    }

    /// Is ready while nobody reads.
    pub(super) fn watch(&mut self, key: &mut Option<usize>, waker: &Waker) -> Poll<()> {
        if self.readers.is_empty() {
            return Poll::Ready(());
        }
        let key = *key.get_or_insert_with(|| self.watchers.enter());
        self.watchers.sleep(key, waker);
        Poll::Pending
    }

    pub(super) fn unwatch(&mut self, key: usize) {
        self.watchers.leave(key);
    }

    /// One producer more.
    pub(super) fn enter(&mut self) {
        self.producers += 1;
    }

    /// One producer less. After the last one it has ended, one way or the other; gives back the readers that wait.
    pub(super) fn exit(&mut self) -> Vec<Waker> {
        self.producers = self.producers.saturating_sub(1);
        if self.producers > 0 {
            return Vec::new();
        }
        self.end(Err(Error::unknown_outcome("the producer ended without finishing the broadcast")));
        self.rouse()
    }
}

impl<T: Clone> Ring<T> {
    /// Returns what comes after a cursor, or lets the reader wait.
    pub(super) fn next(&mut self, cursor: u64, key: usize, waker: &Waker) -> Poll<Next<T>> {
        if let Some(next) = self.after(cursor) {
            return Poll::Ready(next);
        }
        if let Some(end) = &self.end {
            return Poll::Ready(Next::End(end.as_ref().err().map(Error::duplicate)));
        }
        self.readers.sleep(key, waker);
        Poll::Pending
    }

    fn after(&self, cursor: u64) -> Option<Next<T>> {
        let behind = usize::try_from(self.last.checked_sub(cursor)?).unwrap_or(usize::MAX);
        match behind.checked_sub(self.items.len()) {
            None => self.items.get(self.items.len() - behind).cloned().map(Next::Item),
            Some(0) => self.items.front().cloned().map(Next::Item),
            Some(missed) => self.items.front().cloned().map(|item| Next::Late(missed as u64, item)),
        }
    }
}

#[cfg(test)]
impl<T> Ring<T> {
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns how many readers and producers wait.
    pub(super) fn census(&self) -> (usize, usize) {
        (self.readers.asleep(), self.watchers.asleep())
    }
}
