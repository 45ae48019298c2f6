//! Many messages of one type in one envelope: told with one lock and one allocation, handled one by one.
//!
//! The envelope that stays in hand keeps what its handler has not come to, so that a crash in the middle loses exactly the
//! message it crashed on: the rest goes back to where the batch stood.

use std::sync::Arc;
use std::vec::IntoIter;

use beluga_core::{CallContext, Error};
use parking_lot::Mutex;

use crate::actor::DeferredHandler;
use crate::call::{Answers, Carried};
use crate::cx::Cx;
use crate::delivery::Post;
use crate::envelope::{Envelope, Head, Parcel};
use crate::message::Message;
use crate::protocol::{Accepts, Protocol};
use crate::reference::{Ref, Tell};
use crate::reply::ReplyPort;

/// The most messages of one batch.
pub const BATCH_MAX: usize = 1024;

impl<P: Protocol> Ref<P> {
    /// Tells many messages of one type at once: they arrive together, in order, with nothing between them, and are handled
    /// as if each had been told. An item costs a tenth of a tell. A batch takes one place in its lane, and none if it is empty.
    ///
    /// A handler that panics loses its own message only; the rest of the batch is handled by the next incarnation. A dead
    /// letter of a batch that was not handled at all names it once.
    ///
    /// ```
    /// # use beluga_runtime::{Actor, Cx, Handler, Message, System, protocol};
    /// # use beluga_core::Result;
    /// # #[derive(Message)]
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
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let system = System::builder("example").build()?;
    /// let counter = system.spawn("counter", Counter::default).await?;
    /// counter.tell_batch((1..=100).map(Add).collect()).await?;
    /// assert_eq!(counter.ask(Add(0)).await?, 5050);
    /// # system.shutdown(std::time::Duration::from_secs(5)).await
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `invalid_input` for more than [`BATCH_MAX`] messages, and those of [`tell`](Self::tell); then none was sent.
    pub fn tell_batch<M: Message>(&self, messages: Vec<M>) -> Tell<'_>
    where
        P: Accepts<M>,
    {
        self.post_batch(messages, Carried::Nothing)
    }

    /// Tells many messages on behalf of a call. See [`tell_batch`](Self::tell_batch) and [`tell_with`](Self::tell_with).
    pub fn tell_batch_with<M: Message>(&self, messages: Vec<M>, context: &CallContext) -> Tell<'_>
    where
        P: Accepts<M>,
    {
        self.post_batch(messages, Carried::on_behalf_of(context))
    }

    fn post_batch<M: Message>(&self, messages: Vec<M>, carried: Carried) -> Tell<'_>
    where
        P: Accepts<M>,
    {
        let post = match messages.len() {
            0 => Post::Sent,
            1..=BATCH_MAX => Post::New(BatchPacket::boxed(P::INDEX, messages.into_iter(), carried)),
            count => Post::Refused(
                Error::invalid_input(format!("a batch has at most {BATCH_MAX} messages"))
                    .with("messages", count)
                    .with("message", M::NAME),
            ),
        };
        Tell::new(&self.route, post)
    }
}

/// The envelope of a batch.
struct BatchPacket<M: Message> {
    head: Head,
    /// Empty while the handler has them.
    messages: IntoIter<M>,
    /// Where a handler that did not come to the end leaves the rest.
    tray: Option<Tray<M>>,
}

type Tray<M> = Arc<Mutex<IntoIter<M>>>;

impl<M: Message> BatchPacket<M> {
    fn boxed(index: usize, messages: IntoIter<M>, carried: Carried) -> Envelope {
        let mut head = Head::new(&M::NAME, M::LANE, index, false, carried);
        head.is_batch = true;
        Box::new(Self { head, messages, tray: None })
    }
}

impl<M: Message> Parcel for BatchPacket<M> {
    fn head(&self) -> &Head {
        &self.head
    }

    fn head_mut(&mut self) -> &mut Head {
        &mut self.head
    }

    fn refuse(self: Box<Self>, _error: Error) {}

    fn kept(&self) -> Option<String> {
        None
    }

    fn awaits_answer(&self) -> bool {
        false
    }

    fn rest(&mut self) -> Option<Envelope> {
        let messages = std::mem::take(&mut *self.tray.take()?.lock());
        if messages.as_slice().is_empty() {
            return None;
        }
        let mut rest = Self::boxed(usize::from(self.head.index), messages, self.head.carried.clone());
        rest.head_mut().sent_ns = self.head.sent_ns;
        rest.head_mut().sender = self.head.sender;
        Some(rest)
    }
}

/// The messages of a batch on their way through a handler. Dropped before the last one, it leaves the rest on the tray.
pub(crate) struct Items<M: Message> {
    messages: IntoIter<M>,
    tray: Tray<M>,
}

impl<M: Message> Items<M> {
    /// Takes the next message out.
    pub(crate) fn next(&mut self) -> Option<M> {
        self.messages.next()
    }
}

impl<M: Message> Drop for Items<M> {
    fn drop(&mut self) {
        if !self.messages.as_slice().is_empty() {
            *self.tray.lock() = std::mem::take(&mut self.messages);
        }
    }
}

/// Takes the messages of a batch out of its envelope. `None` if it is no batch of that type.
pub(crate) fn open_batch<M: Message>(envelope: &mut dyn Parcel) -> Option<Items<M>> {
    let envelope: &mut dyn std::any::Any = envelope;
    let packet = envelope.downcast_mut::<BatchPacket<M>>()?;
    let tray = Arc::new(Mutex::new(Vec::new().into_iter()));
    packet.tray = Some(Arc::clone(&tray));
    Some(Items { messages: std::mem::take(&mut packet.messages), tray })
}

/// Handles the messages of a batch one after the other.
pub(crate) async fn handle_all<A: DeferredHandler<M>, M: Message>(actor: &mut A, mut items: Items<M>, cx: &mut Cx<A>) {
    let mut count = 0;
    while let Some(message) = items.next() {
        actor.handle(message, ReplyPort::new(Answers::to_nobody(), &M::NAME), cx).await;
        count += 1;
        if cx.wish.is_some() {
            break;
        }
    }
    // The drain counts one itself.
    cx.incarnation.slot.stats.add_handled(u64::saturating_sub(count, 1));
}
