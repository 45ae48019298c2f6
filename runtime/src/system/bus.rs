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
    /// # Errors
    /// `conflict` if the topic carries another message type.
    pub fn publish<M: Message + Clone>(&self, topic: &str, message: &M) -> Result<Published> {
        self.ground().topics.publish(topic, message)
    }
}
