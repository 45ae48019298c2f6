//! An actor the test plays itself: it takes every message of a protocol and answers when the test says so.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::task::Context;
use std::time::Duration;

use beluga_core::{CallContext, Error, Result};
use tokio::sync::mpsc;

use crate::actor::Actor;
use crate::batch::open_batch;
use crate::call::{Answering, Answers, open_call};
use crate::cx::Cx;
use crate::envelope::{Envelope, open_stream};
use crate::message::{Message, StreamMessage};
use crate::protocol::{Accepts, Protocol, Streaming};
use crate::reference::Ref;
use crate::reply::ReplyPort;
use crate::shell::{Dispatch, Entry, Nest, Polled, Recipe, Table};
use crate::sink::Sink;
use crate::spec::Spec;
use crate::system::System;
use crate::time;

/// How many messages a probe holds for its test.
pub const PROBE_CAPACITY: usize = 1024;

/// How long a probe waits for what is expected.
const EXPECT_WITHIN: Duration = Duration::from_secs(5);

/// The test's side of an actor it plays itself.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_core::Result;
/// # use beluga_runtime::testkit::{self, Probe};
/// # use beluga_runtime::{Message, Ref, protocol};
/// # #[derive(Message)]
/// # #[message(name = "bank.balance", reply = u64)]
/// # struct Balance(&'static str);
/// # protocol!(BankProtocol: Balance);
/// /// What is tested: it asks a bank.
/// async fn is_rich(bank: Ref<BankProtocol>) -> Result<bool> {
///     Ok(bank.ask(Balance("ann")).await? > 1_000_000)
/// }
///
/// testkit::run(1, |system| async move {
///     let mut bank: Probe<BankProtocol> = Probe::spawn(&system, "bank").await?;
///     let (rich, ()) = tokio::try_join!(is_rich(bank.actor()), async {
///         let asked = bank.expect::<Balance>().await?;
///         assert_eq!(asked.message.0, "ann");
///         asked.reply.send(Ok(2_000_000));
///         bank.expect_none(Duration::from_secs(1)).await
///     })?;
///     assert!(rich);
///     system.shutdown_gracefully().await
/// })
/// # .unwrap();
/// ```
pub struct Probe<P> {
    actor: Ref<P>,
    taken: mpsc::Receiver<Taken>,
}

/// A message a probe took.
///
/// See [`Probe`] for an example.
#[derive(Debug)]
pub struct Received<M: Message> {
    /// The message.
    pub message: M,
    /// The way back.
    pub reply: ReplyPort<M::Reply>,
    /// The context of the call.
    pub context: CallContext,
}

/// A streaming message a probe took.
///
/// See [`Probe`] for an example.
#[derive(Debug)]
pub struct ReceivedStream<M: StreamMessage> {
    /// The message.
    pub message: M,
    /// Where the items go.
    pub sink: Sink<M::Item>,
}

struct Taken {
    name: &'static str,
    what: Box<dyn Any + Send>,
}

impl<P: Protocol> Probe<P>
where
    P::Messages: Table<ProbeActor<P>, ByProbe>,
{
    /// Starts a probe as a top-level actor.
    ///
    /// # Errors
    /// As [`System::spawn`].
    pub async fn spawn(system: &System, name: &str) -> Result<Self> {
        let (give, taken) = mpsc::channel(PROBE_CAPACITY);
        let factory = move || ProbeActor { give: give.clone(), protocol: PhantomData };
        let table = <P::Messages as Table<ProbeActor<P>, ByProbe>>::TABLE;
        let actor = system.spawn_with(Spec::of_recipe(name.to_owned(), Recipe::shared(factory, table))).await?;
        Ok(Self { actor, taken })
    }

    /// Returns the reference to give to the code under test.
    #[must_use]
    pub fn actor(&self) -> Ref<P> {
        self.actor.clone()
    }

    async fn next<T: 'static>(&mut self, wanted: &'static str) -> Result<T> {
        let taken = time::timeout(EXPECT_WITHIN, self.taken.recv()).await?;
        let Some(Taken { name, what }) = taken else { return Err(Error::not_found("the probe has ended")) };
        match what.downcast::<T>() {
            Ok(what) => Ok(*what),
            Err(_) => {
                Err(Error::invalid_input("the probe took another message").with("wanted", wanted).with("took", name))
            }
        }
    }

    /// Takes the next message, which must be of that type, within 5 s.
    ///
    /// # Errors
    /// `timeout` if none comes, `invalid_input` if it is another message.
    pub async fn expect<M: Message>(&mut self) -> Result<Received<M>>
    where
        P: Accepts<M>,
    {
        self.next(M::NAME).await
    }

    /// Takes the next message, which must be of that streaming type, within 5 s.
    ///
    /// # Errors
    /// `timeout` if none comes, `invalid_input` if it is another message.
    pub async fn expect_stream<M: StreamMessage>(&mut self) -> Result<ReceivedStream<M>>
    where
        P: Accepts<M>,
    {
        self.next(M::NAME).await
    }

    /// Waits and makes sure that nothing comes.
    ///
    /// # Errors
    /// `conflict` names the message that came.
    pub async fn expect_none(&mut self, within: Duration) -> Result<()> {
        match time::timeout(within, self.taken.recv()).await {
            Ok(Some(Taken { name, .. })) => Err(Error::conflict("the probe took a message").with("took", name)),
            Ok(None) | Err(_) => Ok(()),
        }
    }
}

impl<P> fmt::Debug for Probe<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("actor", &self.actor).field("taken", &self.taken.len()).finish()
    }
}

/// The actor behind a [`Probe`].
///
/// See [`Probe`] for an example.
pub struct ProbeActor<P> {
    give: mpsc::Sender<Taken>,
    protocol: PhantomData<fn(P)>,
}

impl<P: Protocol> Actor for ProbeActor<P> {
    type Protocol = P;
    const KIND: &'static str = "probe";
}

impl<P: Protocol> ProbeActor<P> {
    async fn take(&self, name: &'static str, what: impl Any + Send) {
        drop(self.give.send(Taken { name, what: Box::new(what) }).await);
    }
}

/// The probe's way of an entry: whatever it is, the test gets it.
#[doc(hidden)]
#[derive(Debug)]
pub enum ByProbe {}

impl<P: Protocol, M: Message> Entry<ProbeActor<P>, ByProbe> for M {
    const DISPATCH: Dispatch<ProbeActor<P>> = take_call::<P, M>;
}

impl<P: Protocol, M: StreamMessage> Entry<ProbeActor<P>, ByProbe> for Streaming<M> {
    const DISPATCH: Dispatch<ProbeActor<P>> = take_stream::<P, M>;
}

fn take_call<'a, P: Protocol, M: Message>(
    actor: &'a mut ProbeActor<P>,
    hand: &mut Option<Envelope>,
    cx: &'a mut Cx<ProbeActor<P>>,
    nest: &'a mut Nest,
    task: &mut Context<'_>,
) -> Option<Polled<'a>> {
    let envelope = hand.as_mut()?.as_mut();
    let Some((message, reply)) = open_call(envelope, Answering::<ProbeActor<P>, M>::LATER) else {
        let mut items = open_batch::<M>(envelope)?;
        let work = nest.place(async move {
            while let Some(message) = items.next() {
                let (reply, context) = (ReplyPort::new(Answers::to_nobody(), &M::NAME), cx.context().clone());
                actor.take(M::NAME, Received { message, reply, context }).await;
            }
        });
        return Some(work.poll_once(task));
    };
    let received = Received { message, reply, context: cx.context().clone() };
    Some(nest.place(actor.take(M::NAME, received)).poll_once(task))
}

fn take_stream<'a, P: Protocol, M: StreamMessage>(
    actor: &'a mut ProbeActor<P>,
    hand: &mut Option<Envelope>,
    _cx: &'a mut Cx<ProbeActor<P>>,
    nest: &'a mut Nest,
    task: &mut Context<'_>,
) -> Option<Polled<'a>> {
    let (message, sink) = open_stream::<M>(hand.as_mut()?.as_mut())?;
    Some(nest.place(actor.take(M::NAME, ReceivedStream { message, sink })).poll_once(task))
}

impl<P> fmt::Debug for ProbeActor<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeActor").finish_non_exhaustive()
    }
}
