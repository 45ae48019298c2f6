//! Cancellation as a tree: cancelling a token cancels everything below it, never anything above.
//!
//! Runtime-neutral (no tokio): a token is polled as a future. The cost of a check is one atomic load; a child costs
//! one allocation and an entry in its parent, removed when its last clone drops.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use slab::Slab;

/// A handle to one node of a cancellation tree. Clones are the same node; [`child`](Self::child) makes a new one.
///
/// ```
/// use beluga_core::CancelToken;
///
/// let turn = CancelToken::new();
/// let tool = turn.child();
/// tool.cancel();
/// assert!(tool.is_cancelled() && !turn.is_cancelled());
/// let model = turn.child();
/// turn.cancel();
/// assert!(model.is_cancelled());
/// ```
#[derive(Clone)]
pub struct CancelToken(Arc<Node>);

struct Node {
    cancelled: AtomicBool,
    parent: Option<(Arc<Node>, usize)>,
    links: Mutex<Links>,
}

#[derive(Default)]
struct Links {
    children: Few<Weak<Node>>,
    wakers: Few<Waker>,
}

/// A slab whose first entry lies in place: most nodes have one child and one waiter, and allocate for neither.
struct Few<T> {
    /// Key 0.
    first: Option<T>,
    /// Key n is entry n - 1.
    rest: Slab<T>,
}

impl<T> Few<T> {
    fn vacant_key(&self) -> usize {
        if self.first.is_none() { 0 } else { self.rest.vacant_key() + 1 }
    }

    fn insert(&mut self, entry: T) -> usize {
        if self.first.is_none() {
            self.first = Some(entry);
            return 0;
        }
        self.rest.insert(entry) + 1
    }

    fn get_mut(&mut self, key: usize) -> Option<&mut T> {
        match key.checked_sub(1) {
            None => self.first.as_mut(),
            Some(key) => self.rest.get_mut(key),
        }
    }

    fn remove(&mut self, key: usize) {
        match key.checked_sub(1) {
            None => drop(self.first.take()),
            Some(key) => drop(self.rest.try_remove(key)),
        }
    }

    fn drain(&mut self) -> Vec<T> {
        self.first.take().into_iter().chain(self.rest.drain()).collect()
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(self.rest.iter().map(|(_, entry)| entry))
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { first: None, rest: Slab::new() }
    }
}

impl CancelToken {
    /// Makes the root of a new tree.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Node { cancelled: AtomicBool::new(false), parent: None, links: Mutex::default() }))
    }

    /// Makes a token that is cancelled with this one, and alone.
    #[must_use]
    pub fn child(&self) -> Self {
        let mut links = self.0.links.lock();
        if self.is_cancelled() {
            drop(links);
            let token = Self::new();
            token.cancel();
            return token;
        }
        let node = Arc::new(Node {
            cancelled: AtomicBool::new(false),
            parent: Some((Arc::clone(&self.0), links.children.vacant_key())),
            links: Mutex::default(),
        });
        links.children.insert(Arc::downgrade(&node));
        Self(node)
    }

    /// Cancels this token and all below it. A second call does nothing.
    pub fn cancel(&self) {
        let mut pending = vec![Arc::clone(&self.0)];
        while let Some(node) = pending.pop() {
            let (children, wakers) = {
                let mut links = node.links.lock();
                if node.cancelled.swap(true, Ordering::AcqRel) {
                    continue;
                }
                // The slab of children keeps its keys: a child that drops later removes its own entry.
                let children: Vec<_> = links.children.iter().filter_map(Weak::upgrade).collect();
                let wakers = links.wakers.drain();
                (children, wakers)
            };
            wakers.into_iter().for_each(Waker::wake);
            pending.extend(children);
        }
    }

    /// Returns whether this token, or one above it, was cancelled.
    #[must_use]
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Returns a future that is ready once the token is cancelled. Cancel safe; dropping it removes its waker.
    pub fn cancelled(&self) -> Cancelled {
        Cancelled { node: Arc::clone(&self.0), key: None }
    }

    /// Returns whether both handles are the same node.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns how many live children are linked. For tests and introspection.
    #[must_use]
    pub fn children(&self) -> usize {
        self.0.links.lock().children.len()
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some((parent, key)) = self.parent.take() {
            parent.links.lock().children.remove(key);
        }
    }
}

/// The future of [`CancelToken::cancelled`].
#[must_use = "a future does nothing unless polled"]
pub struct Cancelled {
    node: Arc<Node>,
    key: Option<usize>,
}

impl Future for Cancelled {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { node, key } = &mut *self;
        if node.cancelled.load(Ordering::Acquire) {
            *key = None;
            return Poll::Ready(());
        }
        let mut links = node.links.lock();
        if node.cancelled.load(Ordering::Acquire) {
            *key = None;
            return Poll::Ready(());
        }
        match key.and_then(|key| links.wakers.get_mut(key)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *key = Some(links.wakers.insert(cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let mut links = self.node.links.lock();
            // After a cancel the slab was drained and the key may be gone.
            if !self.node.cancelled.load(Ordering::Acquire) {
                links.wakers.remove(key);
            }
        }
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn cancelling_reaches_every_descendant_and_no_ancestor() {
        let root = CancelToken::new();
        let middle = root.child();
        let leaf = middle.child();
        let sibling = root.child();
        middle.cancel();
        assert!(leaf.is_cancelled() && middle.is_cancelled());
        assert!(!root.is_cancelled() && !sibling.is_cancelled());
        assert!(middle.child().is_cancelled());
    }

    #[test]
    fn a_waiting_future_is_woken() {
        let token = CancelToken::new();
        let mut wait = token.child().cancelled();
        assert!((&mut wait).now_or_never().is_none());
        token.cancel();
        assert!(wait.now_or_never().is_some());
    }

    #[test]
    fn dropped_children_and_futures_leave_nothing_behind() {
        let token = CancelToken::new();
        for _ in 0..100 {
            let child = token.child();
            let mut wait = child.cancelled();
            assert!((&mut wait).now_or_never().is_none());
        }
        assert_eq!(token.children(), 0);
        let mut wait = token.cancelled();
        assert!((&mut wait).now_or_never().is_none());
        drop(wait);
        assert_eq!(token.0.links.lock().wakers.len(), 0);
    }

    #[test]
    fn every_place_is_used_again() {
        let token = CancelToken::new();
        let (first, second) = (token.child(), token.child());
        drop(first);
        let third = token.child();
        let fourth = token.child();
        assert_eq!(token.children(), 3);
        drop(second);
        assert_eq!(token.children(), 2);
        token.cancel();
        assert!(third.is_cancelled() && fourth.is_cancelled());
    }
}
