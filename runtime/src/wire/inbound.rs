//! From bytes to one message of an actor, and from its answer to bytes: one function per message.

use std::future::poll_fn;

use beluga_core::{BoxFuture, CallContext, Error, Result};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ingress::Answer;
use super::{Codec, Manner, WireCall};
use crate::ask::Ask;
use crate::call::{CallPacket, Carried};
use crate::delivery::{Post, Route};
use crate::message::{Message, StreamMessage};
use crate::reference::StreamCall;
use crate::time;

/// Delivers a call to the message at this place of the receiver's protocol.
pub(crate) type Deliver = fn(Route, usize, WireCall) -> BoxFuture<'static, Result<Answer>>;

/// Delivers a message with one answer.
pub(super) fn deliver<M>(route: Route, index: usize, call: WireCall) -> BoxFuture<'static, Result<Answer>>
where
    M: Message + DeserializeOwned,
    M::Reply: Serialize,
{
    let message = match read::<M>(&call, M::CODEC, M::VERSION, M::OLDEST, M::upgrade) {
        Ok(message) => message,
        Err(error) => return refused(error),
    };
    let WireCall { context, codec, manner, .. } = call;
    match manner {
        Manner::Tell => {
            let mut post = Post::New(CallPacket::told(index, message, Carried::Own(context)));
            Box::pin(async move {
                poll_fn(|cx| post.poll(&route, cx)).await?;
                Ok(Answer::None)
            })
        }
        Manner::Ask => {
            let mut ask = Ask::new(route, index, message).with_context(&below(&context));
            if let Some(left) = context.remaining(time::now()) {
                ask = ask.within(left);
            }
            Box::pin(async move {
                poll_fn(|cx| ask.poll_sent(cx)).await?;
                let reply = async move { ask.await.and_then(|reply| write(codec, &reply, M::NAME)) };
                Ok(Answer::Reply(Box::pin(reply)))
            })
        }
        Manner::Stream { .. } => {
            refused(Error::unsupported("the message has one answer and no stream").with("message", M::NAME))
        }
    }
}

/// Delivers a message that is answered by a stream.
pub(super) fn open<M>(route: Route, index: usize, call: WireCall) -> BoxFuture<'static, Result<Answer>>
where
    M: StreamMessage + DeserializeOwned,
    M::Item: Serialize,
{
    let Manner::Stream { credit } = call.manner else {
        return refused(Error::unsupported("the message is answered by a stream").with("message", M::NAME));
    };
    let message = match read::<M>(&call, M::CODEC, M::VERSION, M::OLDEST, M::upgrade) {
        Ok(message) => message,
        Err(error) => return refused(error),
    };
    let (context, codec) = (call.context, call.codec);
    let window = usize::try_from(credit).unwrap_or(usize::MAX).clamp(1, CREDIT_MAX);
    let mut items = StreamCall::new(route, index, message).with_context(&below(&context)).window(window).open();
    Box::pin(async move {
        poll_fn(|cx| items.poll_sent(cx)).await?;
        let items = items.map(move |item| item.and_then(|item| write(codec, &item, M::NAME)));
        Ok(Answer::Items(Box::pin(items)))
    })
}

/// The key under which a refusal says which version it would have understood.
pub(super) const NEWEST: &str = "newest";

/// The most items a reader elsewhere can let a producer be ahead.
const CREDIT_MAX: usize = 4096;

/// Decodes a message in one of the versions its receiver understands.
fn read<M: DeserializeOwned>(
    call: &WireCall,
    own_codec: Codec,
    newest: u16,
    oldest: u16,
    upgrade: fn(Codec, &[u8]) -> Option<Result<M>>,
) -> Result<M> {
    // A type that was not made for b2 may be read wrong without an error.
    if call.codec == Codec::B2 && own_codec != Codec::B2 {
        return Err(Error::unsupported("the message is not written in this codec")
            .with("message", &call.message)
            .with("codec", call.codec));
    }
    let named = |error: Error| error.with("message", &call.message).with("version", call.version);
    if call.version == newest {
        return call.codec.decode(&call.payload).map_err(named);
    }
    let older = (oldest..newest).contains(&call.version).then(|| upgrade(call.codec, &call.payload)).flatten();
    older.unwrap_or_else(|| Err(other_version(oldest, newest))).map_err(named)
}

#[cold]
fn other_version(oldest: u16, newest: u16) -> Error {
    Error::unsupported("the version of the message is not known here").with("oldest", oldest).with(NEWEST, newest)
}

/// Decodes the version before, and converts it. What the derive macro expands to.
///
/// # Errors
/// `decode`.
pub fn upgraded<Old: DeserializeOwned, New: From<Old>>(codec: Codec, payload: &[u8]) -> Result<New> {
    codec.decode::<Old>(payload).map(New::from)
}

/// Writes a message as the version before. What the derive macro expands to.
///
/// # Errors
/// As [`Codec::encode`].
pub fn downgraded<'m, New, Old: Serialize + From<&'m New>>(codec: Codec, message: &'m New) -> Result<Vec<u8>> {
    codec.encode(&Old::from(message))
}

fn write<T: Serialize>(codec: Codec, answer: &T, message: &'static str) -> Result<Bytes> {
    match codec.encode(answer) {
        Ok(bytes) => Ok(Bytes::from(bytes)),
        Err(error) => Err(Error::internal("the answer cannot be encoded").with("message", message).with_source(error)),
    }
}

/// Makes the context whose child is this call's: an ask counts itself as one hop more.
fn below(context: &CallContext) -> CallContext {
    context.clone().with_hops(context.hops().saturating_sub(1))
}

fn refused(error: Error) -> BoxFuture<'static, Result<Answer>> {
    Box::pin(std::future::ready(Err(error)))
}
