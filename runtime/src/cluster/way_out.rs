//! The way out of a node: calls and streams as their callers hold them.

use std::fmt;
use std::sync::Arc;

use beluga_core::{BoxFuture, BoxStream, Error, MessageId, Result};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{mpsc, oneshot};

use super::inner::Inner;
use super::outbound::Answering;
use crate::time;
use crate::wire::frame::{Cancel, Credit, Frame, Manner};
use crate::wire::{Egress, WireCall};

/// The way out of a node.
pub(super) struct Out(pub(super) Arc<Inner>);

impl Egress for Out {
    fn call(&self, call: WireCall) -> BoxFuture<'static, Result<Bytes>> {
        let (answers, waits) = oneshot::channel();
        let context = call.context.clone();
        let answering = match call.manner {
            Manner::Tell => Answering::Told(Some(answers)),
            _ => Answering::Asked(answers),
        };
        let id = match self.0.begin(call, answering) {
            Ok(id) => id,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let leaving = Caller { inner: Arc::clone(&self.0), id };
        Box::pin(async move {
            let _leaving = leaving;
            let lost = |_| Error::unknown_outcome("the cluster's node is gone");
            time::within(&context, waits).await?.map_err(lost)?
        })
    }

    fn stream(&self, call: WireCall) -> BoxStream<'static, Result<Bytes>> {
        let Manner::Stream { credit } = call.manner else {
            let error = Error::internal("a call that is no stream");
            return Box::pin(stream::once(std::future::ready(Err(error))));
        };
        // As many items as there is credit for, and the end.
        let room = usize::try_from(credit).unwrap_or(usize::MAX).saturating_add(1);
        let (sender, frames) = mpsc::channel(room);
        let context = call.context.clone();
        let id = match self.0.begin(call, Answering::Streamed(sender)) {
            Ok(id) => id,
            Err(error) => return Box::pin(stream::once(std::future::ready(Err(error)))),
        };
        let reading = Reading { caller: Caller { inner: Arc::clone(&self.0), id }, frames, taken: 0, is_over: false };
        Box::pin(stream::unfold((reading, context), |(mut reading, context)| async move {
            let item = match time::within(&context, reading.next()).await {
                Ok(item) => item?,
                Err(_) if reading.is_over => return None,
                Err(error) => {
                    reading.is_over = true;
                    Err(error)
                }
            };
            Some((item, (reading, context)))
        }))
    }

    fn try_tell(&self, call: WireCall) -> Result<()> {
        self.0.begin(call, Answering::Told(None)).map(drop)
    }
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Out({})", self.0.settings.name)
    }
}

/// Who waits for a call; dropped, it left.
struct Caller {
    inner: Arc<Inner>,
    id: MessageId,
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(node) = self.inner.outbound.leave(self.id) {
            self.inner.say(&node, Frame::Cancel(Cancel { of: self.id }));
        }
    }
}

/// The reader of a stream.
struct Reading {
    caller: Caller,
    frames: mpsc::Receiver<Frame>,
    taken: u64,
    is_over: bool,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        if self.is_over {
            return None;
        }
        let frame = self.frames.recv().await;
        match frame {
            Some(Frame::Item(item)) if item.number == self.taken + 1 => {
                self.taken += 1;
                if let Some(node) = self.caller.inner.outbound.producer(self.caller.id) {
                    self.caller.inner.say(&node, Frame::Credit(Credit { of: self.caller.id, more: 1 }));
                }
                let missing = || Error::unsupported("the item is not in its frame");
                Some(item.body.inline().cloned().ok_or_else(missing))
            }
            Some(Frame::End(end)) => {
                self.is_over = true;
                match end.failure {
                    Some(failure) => Some(Err(Error::from(failure))),
                    None if end.items == self.taken => None,
                    None => Some(Err(gap(self.taken, end.items))),
                }
            }
            Some(Frame::Item(item)) => {
                self.is_over = true;
                Some(Err(gap(self.taken, item.number)))
            }
            _ => {
                self.is_over = true;
                Some(Err(Error::unknown_outcome("the stream was lost")))
            }
        }
    }
}

fn gap(taken: u64, number: u64) -> Error {
    Error::unknown_outcome("items of the stream were lost on the way").with("taken", taken).with("next", number)
}
