//! From one message to bytes, and from the bytes of its answer to whoever waits: one function per message.

use beluga_core::{BoxFuture, BoxStream, CallContext, Code, Error, Result};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::inbound::NEWEST;
use super::remote::Remote;
use super::{Codec, Manner, WireCall};
use crate::batch::open_batch;
use crate::call::{Answering, open_call};
use crate::envelope::{Envelope, open_stream};
use crate::message::{Message, StreamMessage};
use crate::{task, time};

/// Sends an envelope to another node. Of an ask the future is ready when the answer was given.
pub(crate) type Send = fn(&Remote, Envelope) -> BoxFuture<'static, Result<()>>;

/// Sends a told message to another node without waiting.
pub(crate) type TrySend = fn(&Remote, Envelope) -> Result<()>;

/// Sends a message with one answer.
pub(super) fn send<M>(remote: &Remote, mut envelope: Envelope) -> BoxFuture<'static, Result<()>>
where
    M: Message + Serialize,
    M::Reply: DeserializeOwned,
{
    let draft = Draft::of(remote, &envelope);
    let style = Style { name: M::NAME, version: M::VERSION, codec: M::CODEC };
    let carry = |message: &M, manner| draft.carry(remote, message, manner, style, message.downgrade(M::CODEC));
    if let Some((message, reply)) = open_call(&mut *envelope, Answering::<(), M>::LATER) {
        let answers = reply.into_answers();
        if answers.are_to_nobody() {
            let told = carry(&message, Manner::Tell);
            return Box::pin(async move { told.await.map(drop) });
        }
        let asked = carry(&message, Manner::Ask);
        return Box::pin(async move {
            answers.put(asked.await.and_then(|reply| read::<M::Reply>(M::CODEC, &reply, M::NAME)));
            Ok(())
        });
    }
    let Some(mut batch) = open_batch::<M>(&mut *envelope) else { return mistaken() };
    // Each takes its place in the order now.
    let mut told = Vec::new();
    while let Some(message) = batch.next() {
        told.push(carry(&message, Manner::Tell));
    }
    Box::pin(async move {
        for told in told {
            told.await?;
        }
        Ok(())
    })
}

/// Sends a told message without waiting, in this version: nobody hears that its receiver is older.
pub(super) fn try_send<M: Message + Serialize>(remote: &Remote, mut envelope: Envelope) -> Result<()> {
    let draft = Draft::of(remote, &envelope);
    let style = Style { name: M::NAME, version: M::VERSION, codec: M::CODEC };
    let Some((message, reply)) = open_call(&mut *envelope, Answering::<(), M>::LATER) else {
        return Err(Error::internal("an envelope of another type"));
    };
    let sent = draft.write(remote, &message, Manner::Tell, style).and_then(|call| remote.egress().try_tell(call));
    if let Err(error) = &sent
        && !reply.is_closed()
    {
        reply.send(Err(error.duplicate()));
    }
    sent
}

/// Sends a message that is answered by a stream, and lets the items come in.
pub(super) fn open<M>(remote: &Remote, mut envelope: Envelope) -> BoxFuture<'static, Result<()>>
where
    M: StreamMessage + Serialize,
    M::Item: DeserializeOwned,
{
    let draft = Draft::of(remote, &envelope);
    let style = Style { name: M::NAME, version: M::VERSION, codec: M::CODEC };
    let Some((message, sink)) = open_stream::<M>(&mut *envelope) else { return mistaken() };
    let credit = u32::try_from(sink.credit()).unwrap_or(u32::MAX).max(1);
    match draft.stream(remote, &message, Manner::Stream { credit }, style, message.downgrade(M::CODEC)) {
        Ok(items) => {
            let items = items.map(|item| read::<M::Item>(M::CODEC, &item?, M::NAME));
            // It ends with the stream, with its reader, or with its call.
            drop(task::spawn("remote-stream", async move { drop(sink.send_all(items).await) }));
        }
        Err(error) => sink.fail(error),
    }
    Box::pin(std::future::ready(Ok(())))
}

/// Nobody tells a message that is answered by a stream.
pub(super) fn never_told(_remote: &Remote, envelope: Envelope) -> Result<()> {
    let error = Error::unsupported("the message is answered by a stream").with("message", envelope.head().name());
    envelope.refuse(error.duplicate());
    Err(error)
}

/// What is known of a call before its message is written.
struct Draft {
    context: CallContext,
    sender: u64,
}

impl Draft {
    fn of(remote: &Remote, envelope: &Envelope) -> Self {
        let head = envelope.head();
        let context = head.carried.context(remote.clock()).unwrap_or_else(|| CallContext::root().clone());
        Self { context, sender: head.sender }
    }

    /// Writes a message. `Err`: nobody wants it any more, or it cannot be written.
    fn write<M: Serialize>(&self, remote: &Remote, message: &M, manner: Manner, style: Style) -> Result<WireCall> {
        self.context.check(time::now()).map_err(|error| error.with("message", style.name))?;
        let payload = style.codec.encode(message).map_err(|error| error.with("message", style.name))?;
        Ok(WireCall {
            target: remote.target(),
            manner,
            message: style.name.into(),
            version: style.version,
            codec: style.codec,
            payload: Bytes::from(payload),
            context: self.context.clone(),
            sender: self.sender,
        })
    }
}

impl Draft {
    /// Carries a message, and again in the version before if its receiver knows no other.
    fn carry<M: Serialize>(
        &self,
        remote: &Remote,
        message: &M,
        manner: Manner,
        style: Style,
        older: Option<Result<Vec<u8>>>,
    ) -> BoxFuture<'static, Result<Bytes>> {
        let call = match self.write(remote, message, manner, style) {
            Ok(call) => call,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let Some(older) = older else { return remote.egress().call(call) };
        let (egress, again) = (remote.egress_handle(), again(&call, older));
        let sent = egress.call(call);
        Box::pin(async move {
            match (sent.await, again) {
                (Err(error), Ok(again)) if is_older(&error, &again) => egress.call(again).await,
                (outcome, _) => outcome,
            }
        })
    }

    /// Opens a stream, and again in the version before if its receiver knows no other.
    fn stream<M: Serialize>(
        &self,
        remote: &Remote,
        message: &M,
        manner: Manner,
        style: Style,
        older: Option<Result<Vec<u8>>>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let call = self.write(remote, message, manner, style)?;
        let Some(older) = older else { return Ok(remote.egress().stream(call)) };
        let (egress, again) = (remote.egress_handle(), again(&call, older));
        let mut items = egress.stream(call);
        let opened = async move {
            let first = items.next().await;
            match (first, again) {
                (Some(Err(error)), Ok(again)) if is_older(&error, &again) => egress.stream(again),
                (first, _) => stream::iter(first).chain(items).boxed(),
            }
        };
        Ok(stream::once(opened).flatten().boxed())
    }
}

/// Makes the same call in the version before.
fn again(call: &WireCall, older: Result<Vec<u8>>) -> Result<WireCall> {
    older.map(|payload| WireCall {
        version: call.version.saturating_sub(1),
        payload: Bytes::from(payload),
        ..call.clone()
    })
}

/// Returns whether a call was refused because its receiver knows the version before only. Then nothing was executed.
fn is_older(error: &Error, again: &WireCall) -> bool {
    let newest = error.get(NEWEST).and_then(|newest| newest.parse().ok());
    error.code() == Code::Unsupported && error.get("message") == Some(&*again.message) && newest == Some(again.version)
}

/// How a message is written.
#[derive(Clone, Copy)]
struct Style {
    name: &'static str,
    version: u16,
    codec: Codec,
}

fn read<T: DeserializeOwned>(codec: Codec, answer: &[u8], message: &'static str) -> Result<T> {
    codec.decode(answer).map_err(|error| error.with("message", message).with("part", "answer"))
}

fn mistaken() -> BoxFuture<'static, Result<()>> {
    Box::pin(std::future::ready(Err(Error::internal("an envelope of another type"))))
}
