//! Topics of one system: publish a typed message to whoever subscribed. Bounded as groups are.

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use beluga_core::{Error, Result};

use crate::group::Groups;

/// The topics of one system; `K` identifies a subscriber (a slot id).
///
/// The first subscriber fixes the message type of a topic until its last one leaves. Delivery is a plain call in the
/// publisher's task, in the order of subscription: what the subscriber gives must not wait (a `try_tell`), so a slow
/// subscriber loses messages by its own lane's policy and never stops the publisher or the others.
///
/// ```
/// use beluga_runtime::Topics;
///
/// let (topics, (sender, received)) = (Topics::new(), std::sync::mpsc::channel());
/// topics.subscribe("prices", 1, move |price: u32| Ok(sender.send(price).unwrap()))?;
/// assert_eq!(topics.publish("prices", &7_u32)?.delivered, 1);
/// assert_eq!(received.recv(), Ok(7));
/// assert!(topics.publish("prices", &"seven").is_err(), "the first subscriber fixes the type");
/// # Ok::<(), beluga_core::Error>(())
/// ```
///
/// Actors subscribe with [`System::subscribe`](crate::System::subscribe).
pub struct Topics<K> {
    subscribers: Groups<K, Subscription>,
}

#[derive(Clone)]
struct Subscription {
    message: TypeId,
    message_name: &'static str,
    deliver: Arc<Deliver>,
}

type Deliver = dyn Fn(&dyn Any) -> Result<()> + Send + Sync;

/// How a message was taken.
///
/// See [`Topics`] and [`System::publish`](crate::System::publish) for examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Published {
    /// Subscribers that took it.
    pub delivered: usize,
    /// Subscribers that refused it: a full lane, or an actor that is ending.
    pub refused: usize,
}

impl<K: Eq + Hash + Clone> Topics<K> {
    /// Makes empty tables.
    #[must_use]
    pub fn new() -> Self {
        Self { subscribers: Groups::new() }
    }

    /// Subscribes; returns false if this subscriber had done so already.
    ///
    /// # Errors
    /// `conflict` if the topic carries another message type, `invalid_input` for a malformed name, `overloaded` if a
    /// bound is hit.
    pub fn subscribe<M: Clone + Send + 'static>(
        &self,
        topic: &str,
        id: K,
        deliver: impl Fn(M) -> Result<()> + Send + Sync + 'static,
    ) -> Result<bool> {
        let subscription = Subscription {
            message: TypeId::of::<M>(),
            message_name: type_name::<M>(),
            deliver: Arc::new(move |message| match message.downcast_ref::<M>() {
                Some(message) => deliver(message.clone()),
                None => Err(Error::internal("a topic met a foreign message type")),
            }),
        };
        self.subscribers.join_checked(topic, id, subscription, |members| match members.first() {
            Some(first) => first.target.check::<M>(topic),
            None => Ok(()),
        })
    }

    /// Ends one subscription; returns whether there was one.
    pub fn unsubscribe(&self, topic: &str, id: &K) -> bool {
        self.subscribers.leave(topic, id)
    }

    /// Ends all subscriptions of one subscriber, as when it ended.
    pub fn unsubscribe_all(&self, id: &K) {
        self.subscribers.leave_all(id);
    }

    /// Gives a clone of the message to every subscriber. A topic without subscribers takes it and tells so.
    ///
    /// # Errors
    /// `conflict` if the topic carries another message type.
    pub fn publish<M: Clone + Send + 'static>(&self, topic: &str, message: &M) -> Result<Published> {
        let mut published = Published::default();
        for member in self.subscribers.members(topic).iter() {
            member.target.check::<M>(topic)?;
            match (member.target.deliver)(message) {
                Ok(()) => published.delivered += 1,
                Err(_) => published.refused += 1,
            }
        }
        Ok(published)
    }

    /// Returns the names of all topics and how many subscribers each has, sorted.
    #[must_use]
    pub fn list(&self) -> Vec<(Arc<str>, usize)> {
        self.subscribers.list()
    }
}

impl Subscription {
    fn check<M: 'static>(&self, topic: &str) -> Result<()> {
        if self.message == TypeId::of::<M>() {
            return Ok(());
        }
        Err(Error::conflict("the topic carries another message type")
            .with("topic", topic)
            .with("carries", self.message_name)
            .with("given", type_name::<M>()))
    }
}

impl<K: Eq + Hash + Clone> Default for Topics<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for Topics<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics").field("topics", &self.subscribers).finish()
    }
}

#[cfg(test)]
mod tests {
    use beluga_core::Code;
    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone)]
    struct Priced(u32);

    #[derive(Clone)]
    struct Sold;

    #[test]
    fn every_subscriber_gets_the_message_and_refusals_are_counted() {
        let (topics, seen) = (Topics::new(), Arc::new(Mutex::new(Vec::new())));
        for id in [1, 2] {
            let seen = Arc::clone(&seen);
            topics
                .subscribe("prices", id, move |message: Priced| {
                    seen.lock().push((id, message.0));
                    Ok(())
                })
                .unwrap();
        }
        topics.subscribe("prices", 3, |_: Priced| Err(Error::overloaded("the lane is full"))).unwrap();
        let published = topics.publish("prices", &Priced(7)).unwrap();
        assert_eq!(published, Published { delivered: 2, refused: 1 });
        assert_eq!(*seen.lock(), [(1, 7), (2, 7)]);
        topics.unsubscribe_all(&1);
        assert!(topics.unsubscribe("prices", &3));
        assert_eq!(topics.publish("prices", &Priced(8)).unwrap(), Published { delivered: 1, refused: 0 });
        assert_eq!(topics.publish("nobody", &Priced(8)).unwrap(), Published::default());
    }

    #[test]
    fn a_topic_carries_one_message_type_while_it_has_subscribers() {
        let topics = Topics::new();
        topics.subscribe("prices", 1, |_: Priced| Ok(())).unwrap();
        assert_eq!(topics.subscribe("prices", 2, |_: Sold| Ok(())).unwrap_err().code(), Code::Conflict);
        assert_eq!(topics.publish("prices", &Sold).unwrap_err().code(), Code::Conflict);
        topics.unsubscribe("prices", &1);
        assert!(topics.subscribe("prices", 2, |_: Sold| Ok(())).unwrap());
    }
}
