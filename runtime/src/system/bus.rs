//! Groups and topics of a system: one message to many. Both forget an actor when it is gone for good.

use std::sync::Arc;

use beluga_core::Result;

use super::System;
use crate::message::Message;
use crate::protocol::{Accepts, Protocol};
use crate::reference::Ref;
use crate::topic::Published;

impl System {
    /// Makes an actor a member of a group; false if it was one already.
    ///
    /// ```
    /// # use beluga_runtime::Ref;
    /// # use beluga_core::Result;
    /// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
    /// # #[derive(Message, Clone)]
    /// # #[message(name = "counter.add", reply = u64)]
    /// # struct Add(u64);
    /// # protocol!(CounterProtocol: Add);
    /// # #[derive(Default)]
    /// # struct Counter { total: u64 }
    /// # impl Actor for Counter { type Protocol = CounterProtocol; const KIND: &'static str = "counter"; }
    /// # impl Handler<Add> for Counter {
    /// #     async fn handle(&mut self, Add(n): Add, _cx: &mut Cx<Self>) -> Result<u64> {
    /// #         self.total += n;
    /// #         Ok(self.total)
    /// #     }
    /// # }
    /// # beluga_runtime::testkit::run(1, |system| async move {
    /// for name in ["a", "b"] {
    ///     system.join("counters", &system.spawn(name, Counter::default).await?)?;
    /// }
    /// let told = system.broadcast::<CounterProtocol, _>("counters", &Add(2));
    /// assert_eq!((told.delivered, told.refused), (2, 0));
    /// let members: Vec<Ref<CounterProtocol>> = system.members("counters");
    /// assert_eq!(members[1].ask(Add(0)).await?, 2);
    /// # system.shutdown_gracefully().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `invalid_input` for a malformed name, `overloaded` if a bound is hit, `unavailable` for a virtual actor that is
    /// not active, `not_sent` for an actor that is gone.
    pub fn join<P: Protocol>(&self, group: &str, actor: &Ref<P>) -> Result<bool> {
        let slot = actor.address()?.0;
        let joined = self.ground().groups.join(group, slot.id(), Arc::downgrade(&slot))?;
        if slot.has_ended() {
            self.ground().groups.leave_all(&slot.id());
            return Err(slot.refusal_gone());
        }
        Ok(joined)
    }

    /// Ends a membership; returns whether there was one.
    pub fn leave<P: Protocol>(&self, group: &str, actor: &Ref<P>) -> bool {
        actor.active().is_some_and(|address| self.ground().groups.leave(group, &address.id()))
    }

    /// Returns the members of a group that speak the protocol, in the order they joined.
    #[must_use]
    pub fn members<P: Protocol>(&self, group: &str) -> Vec<Ref<P>> {
        let members = self.ground().groups.members(group);
        let slots = members.iter().filter_map(|member| member.target.upgrade());
        slots.filter(|slot| slot.protocol() == std::any::TypeId::of::<P>()).map(Ref::to_slot).collect()
    }

    /// Tells a clone of the message to every member of a group that speaks the protocol. Waits for nobody.
    pub fn broadcast<P: Accepts<M>, M: Message + Clone>(&self, group: &str, message: &M) -> Published {
        let mut published = Published::default();
        for member in self.members::<P>(group) {
            match member.try_tell(message.clone()) {
                Ok(()) => published.delivered += 1,
                Err(_) => published.refused += 1,
            }
        }
        published
    }

    /// Subscribes an actor to a topic; false if it had done so already. A slow subscriber loses messages by its own
    /// lane's policy and stops nobody.
    ///
    /// # Errors
    /// `conflict` if the topic carries another message type, and those of [`join`](Self::join).
    pub fn subscribe<P: Accepts<M>, M: Message + Clone>(&self, topic: &str, actor: &Ref<P>) -> Result<bool> {
        let slot = actor.address()?.0;
        let weak = Arc::downgrade(&slot);
        let subscribed = self.ground().topics.subscribe(topic, slot.id(), move |message: M| match weak.upgrade() {
            Some(slot) => Ref::<P>::to_slot(slot).try_tell(message),
            None => Err(beluga_core::Error::not_sent("the subscriber is gone")),
        })?;
        if slot.has_ended() {
            self.ground().topics.unsubscribe_all(&slot.id());
            return Err(slot.refusal_gone());
        }
        Ok(subscribed)
    }

    /// Ends a subscription; returns whether there was one.
    pub fn unsubscribe<P: Protocol>(&self, topic: &str, actor: &Ref<P>) -> bool {
        actor.active().is_some_and(|address| self.ground().topics.unsubscribe(topic, &address.id()))
    }

    /// Gives a clone of the message to every subscriber of a topic. Waits for nobody.
    ///
    /// ```
    /// # use beluga_core::Result;
    /// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol};
    /// # #[derive(Message, Clone)]
    /// # #[message(name = "shop.price", reply = u64)]
    /// # struct Price(u64);
    /// # protocol!(ShopProtocol: Price);
    /// # struct Shop;
    /// # impl Actor for Shop { type Protocol = ShopProtocol; const KIND: &'static str = "shop"; }
    /// # impl Handler<Price> for Shop {
    /// #     async fn handle(&mut self, Price(n): Price, _cx: &mut Cx<Self>) -> Result<u64> { Ok(n) }
    /// # }
    /// # beluga_runtime::testkit::run(1, |system| async move {
    /// let shop = system.spawn("shop", || Shop).await?;
    /// assert!(system.subscribe::<_, Price>("prices", &shop)?);
    /// assert_eq!(system.publish("prices", &Price(7))?.delivered, 1);
    /// # system.shutdown_gracefully().await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `conflict` if the topic carries another message type.
    pub fn publish<M: Message + Clone>(&self, topic: &str, message: &M) -> Result<Published> {
        self.ground().topics.publish(topic, message)
    }
}
