//! Passing a question on: whoever gets it answers the one who asked first.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::call::CallPacket;
use crate::delivery::{Delivery, Post, Route};
use crate::envelope::StreamPacket;
use crate::message::{Message, StreamMessage};
use crate::protocol::{Accepts, Protocol};
use crate::reference::Ref;
use crate::reply::ReplyPort;
use crate::sink::Sink;

impl<P: Protocol> Ref<P> {
    /// Gives a question on to this actor: its answer goes straight to whoever asked, under the caller's deadline and
    /// cancellation. A [`DeferredHandler`](crate::DeferredHandler) has the `reply` in hand.
    ///
    /// Awaiting it waits for a place in the lane and no longer; a refusal (`overloaded`, `unavailable`, `not_sent`) goes to
    /// the caller, as does `overloaded` for a question that was passed on more often than calls may hop. A reply nobody
    /// waits for makes it a plain tell.
    ///
    /// ```
    /// # use beluga_runtime::{Actor, Cx, DeferredHandler, Handler, Message, Ref, ReplyPort, System, protocol};
    /// # use beluga_core::Result;
    /// # #[derive(Message)]
    /// # #[message(name = "desk.question", reply = String)]
    /// # struct Question(String);
    /// # protocol!(DeskProtocol: Question);
    /// # struct Expert;
    /// # impl Actor for Expert { type Protocol = DeskProtocol; const KIND: &'static str = "expert"; }
    /// # impl Handler<Question> for Expert {
    /// #     async fn handle(&mut self, Question(text): Question, _cx: &mut Cx<Self>) -> Result<String> {
    /// #         Ok(format!("{text}: yes"))
    /// #     }
    /// # }
    /// struct Desk { expert: Ref<DeskProtocol> }
    /// # impl Actor for Desk { type Protocol = DeskProtocol; const KIND: &'static str = "desk"; }
    /// impl DeferredHandler<Question> for Desk {
    ///     async fn handle(&mut self, question: Question, reply: ReplyPort<String>, _cx: &mut Cx<Self>) {
    ///         self.expert.forward(question, reply).await;
    ///     }
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let system = System::builder("example").build()?;
    /// let expert = system.spawn("expert", || Expert).await?;
    /// let desk = system.spawn("desk", move || Desk { expert: expert.clone() }).await?;
    /// assert_eq!(desk.ask(Question("is it open".to_owned())).await?, "is it open: yes");
    /// # system.shutdown(std::time::Duration::from_secs(5)).await
    /// # }).unwrap();
    /// ```
    pub fn forward<M: Message>(&self, message: M, reply: ReplyPort<M::Reply>) -> Forward<'_>
    where
        P: Accepts<M>,
    {
        let send = match reply.passed_on() {
            Ok(reply) => Post::New(CallPacket::passed_on(P::INDEX, message, reply)),
            Err(()) => Post::Sent,
        };
        Forward { route: &self.route, send }
    }

    /// Gives a question that is answered by a stream on to this actor. See [`forward`](Self::forward).
    pub fn forward_stream<M: StreamMessage>(&self, message: M, sink: Sink<M::Item>) -> Forward<'_>
    where
        P: Accepts<M>,
    {
        let context = sink.context().clone();
        let envelope = StreamPacket::boxed(P::INDEX, message, context, sink);
        Forward { route: &self.route, send: Post::Waiting(Box::new(Delivery::new(self.route.clone(), envelope))) }
    }
}

/// The future of [`Ref::forward`]. Dropped before it is ready, the caller gets `unknown_outcome`.
///
/// See [`Ref::forward`] for an example.
#[must_use = "a question is not passed on unless this is awaited"]
pub struct Forward<'a> {
    route: &'a Route,
    send: Post,
}

impl Future for Forward<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let route = self.route;
        // On another node the answer takes its own way back: nobody waits for it here.
        if let Some(elsewhere) = route.elsewhere() {
            if let Some(envelope) = self.send.withdraw() {
                elsewhere.detach(envelope);
            }
            return Poll::Ready(());
        }
        // The envelope has answered the caller if it was refused.
        drop(ready!(self.send.poll(route, cx)));
        self.send = Post::Sent;
        Poll::Ready(())
    }
}

impl fmt::Debug for Forward<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").field("actor", &self.route.name()).finish_non_exhaustive()
    }
}
