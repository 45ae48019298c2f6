//! Two nodes of one process: what one says arrives at the other as bytes, through frames and nothing else.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use beluga_core::{BoxFuture, BoxStream, CancelToken, Error, MessageId, Result};
use beluga_runtime::wire::frame::{self, Ack, Cancel, Credit, End, Failure, Frame, Item, Origin, Outcome, Reply};
use beluga_runtime::wire::{self, Answer, Egress, Ingress, Manner, Target, WireCall};
use beluga_runtime::{System, task, time};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// One node of the two.
pub(crate) struct Node {
    name: &'static str,
    system: System,
    ingress: Arc<dyn Ingress>,
    out: mpsc::UnboundedSender<Vec<u8>>,
    sequence: AtomicU64,
    /// The calls that wait for their replies.
    replies: Mutex<HashMap<MessageId, oneshot::Sender<Result<Bytes>>>>,
    /// The streams that come in.
    items: Mutex<HashMap<MessageId, mpsc::UnboundedSender<Frame>>>,
    /// The calls that are served, and their credit.
    served: Mutex<HashMap<MessageId, (CancelToken, Arc<Semaphore>)>>,
    /// Every frame that came in.
    pub seen: Mutex<Vec<Frame>>,
    /// Whether the node takes itself for the owner of every key.
    pub owns_keys: AtomicBool,
}

/// Makes two nodes that hear each other.
pub(crate) fn link(first: &System, second: &System) -> (Arc<Node>, Arc<Node>) {
    let (to_second, second_hears) = mpsc::unbounded_channel();
    let (to_first, first_hears) = mpsc::unbounded_channel();
    let (first, second) = (Node::new("first", first, to_second), Node::new("second", second, to_first));
    drop(task::spawn("first", Arc::clone(&first).hear(first_hears)));
    drop(task::spawn("second", Arc::clone(&second).hear(second_hears)));
    (first, second)
}

impl Node {
    fn new(name: &'static str, system: &System, out: mpsc::UnboundedSender<Vec<u8>>) -> Arc<Self> {
        Arc::new(Self {
            name,
            system: system.clone(),
            ingress: system.ingress(),
            out,
            sequence: AtomicU64::new(0),
            replies: Mutex::default(),
            items: Mutex::default(),
            served: Mutex::default(),
            seen: Mutex::default(),
            owns_keys: AtomicBool::new(false),
        })
    }

    pub(crate) fn egress(self: &Arc<Self>) -> Arc<dyn Egress> {
        Arc::new(Way(Arc::clone(self)))
    }

    /// Returns how many frames of a sort came in.
    pub(crate) fn count(&self, sort: impl Fn(&Frame) -> bool) -> usize {
        self.seen.lock().iter().filter(|frame| sort(frame)).count()
    }

    /// Returns whether nothing is remembered of any call.
    pub(crate) fn is_clean(&self) -> bool {
        self.replies.lock().is_empty() && self.items.lock().is_empty() && self.served.lock().is_empty()
    }

    fn say(&self, frame: &Frame) {
        match frame::encode(frame) {
            Ok(bytes) => drop(self.out.send(bytes)),
            Err(error) => panic!("{error}: {frame:?}"),
        }
    }

    async fn hear(self: Arc<Self>, mut inbox: mpsc::UnboundedReceiver<Vec<u8>>) {
        while let Some(publish) = inbox.recv().await {
            for frame in frame::decode(&publish).unwrap() {
                self.seen.lock().push(frame.clone());
                self.take(frame);
            }
        }
    }

    fn take(self: &Arc<Self>, frame: Frame) {
        let of = frame.of();
        match frame {
            Frame::Call(call) => self.serve(*call),
            Frame::Cancel(_) => {
                if let Some((token, _)) = self.served.lock().get(&of) {
                    token.cancel();
                }
            }
            Frame::Credit(Credit { more, .. }) => {
                if let Some((_, credit)) = self.served.lock().get(&of) {
                    credit.add_permits(usize::try_from(more).unwrap());
                }
            }
            Frame::Reply(Reply { outcome, .. }) => {
                let outcome = match outcome {
                    Outcome::Done(body) => Ok(body.inline().unwrap().clone()),
                    Outcome::Failed(failure) => Err(Error::from(failure)),
                };
                if let Some(waits) = self.replies.lock().remove(&of) {
                    drop(waits.send(outcome));
                }
            }
            Frame::Item(_) | Frame::End(_) => {
                if let Some(reader) = self.items.lock().get(&of) {
                    drop(reader.send(frame));
                }
            }
            Frame::Ack(_) => {}
            other => panic!("nobody says {other:?} here"),
        }
    }

    fn serve(self: &Arc<Self>, call: frame::Call) {
        let (id, codec, now) = (call.id, call.codec, time::now());
        assert!(codec > 0);
        let credit = match call.manner {
            Manner::Stream { credit } => usize::try_from(credit).unwrap(),
            Manner::Tell | Manner::Ask => 0,
        };
        let (token, credit) = (CancelToken::new(), Arc::new(Semaphore::new(credit)));
        let mut accepting = match WireCall::of_frame(call, now) {
            Ok(call) => self.ingress.call(call),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        };
        // In its lane before the next frame is looked at, if there is room.
        let accepted = (&mut accepting).now_or_never();
        self.served.lock().insert(id, (token.clone(), Arc::clone(&credit)));
        let node = Arc::clone(self);
        drop(task::spawn("serve", async move {
            let serving = async {
                let accepted = match accepted {
                    Some(accepted) => accepted,
                    None => accepting.await,
                };
                node.answer(id, accepted, &credit).await;
            };
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = serving => {}
            }
            node.served.lock().remove(&id);
        }));
    }

    async fn answer(&self, of: MessageId, accepted: Result<Answer>, credit: &Semaphore) {
        let done = |outcome: Result<Bytes>| match outcome {
            Ok(bytes) => Outcome::Done(bytes.into()),
            Err(error) => Outcome::Failed(Failure::from(&error)),
        };
        match accepted {
            Err(error) => {
                let failure = Failure::from(&error);
                if self.served.lock().get(&of).is_some() {
                    self.say(&Frame::End(End { of, items: 0, failure: Some(failure.clone()) }));
                    self.say(&Frame::Reply(Reply { of, outcome: Outcome::Failed(failure) }));
                }
            }
            Ok(Answer::None) => self.say(&Frame::Reply(Reply { of, outcome: done(Ok(Bytes::new())) })),
            Ok(Answer::Reply(reply)) => {
                self.say(&Frame::Ack(Ack { of }));
                let outcome = done(reply.await);
                self.say(&Frame::Reply(Reply { of, outcome }));
            }
            Ok(Answer::Items(mut items)) => {
                self.say(&Frame::Ack(Ack { of }));
                let mut number = 0;
                let failure = loop {
                    credit.acquire().await.unwrap().forget();
                    match items.next().await {
                        None => break None,
                        Some(Err(error)) => break Some(Failure::from(&error)),
                        Some(Ok(item)) => {
                            number += 1;
                            self.say(&Frame::Item(Item { of, number, body: item.into() }));
                        }
                    }
                };
                self.say(&Frame::End(End { of, items: number, failure }));
            }
        }
    }

    fn begin(&self, call: &WireCall) -> MessageId {
        let id = wire::message_id(self.system.random());
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        let origin = Origin { node: self.name.into(), epoch: 1, actor: call.sender, sequence, oldest: sequence };
        self.say(&Frame::Call(Box::new(call.to_frame(id, origin, time::now()))));
        id
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The way out of a node.
#[derive(Debug)]
struct Way(Arc<Node>);

impl Egress for Way {
    fn call(&self, call: WireCall) -> BoxFuture<'static, Result<Bytes>> {
        let (answers, waits) = oneshot::channel();
        let node = Arc::clone(&self.0);
        let id = node.begin(&call);
        node.replies.lock().insert(id, answers);
        let leaving = Leaving { node, id, is_over: false };
        Box::pin(async move {
            let mut leaving = leaving;
            let outcome = waits.await;
            leaving.is_over = true;
            outcome.unwrap_or_else(|_| Err(Error::unknown_outcome("the node is gone")))
        })
    }

    fn stream(&self, call: WireCall) -> BoxStream<'static, Result<Bytes>> {
        let (sender, frames) = mpsc::unbounded_channel();
        let node = Arc::clone(&self.0);
        let id = node.begin(&call);
        node.items.lock().insert(id, sender);
        let leaving = Leaving { node, id, is_over: false };
        Box::pin(stream::unfold((frames, leaving, 0), |(mut frames, mut leaving, number)| async move {
            if leaving.is_over {
                return None;
            }
            let (of, taken) = (leaving.id, frames.recv().await?);
            let item = match taken {
                Frame::Item(item) => {
                    assert_eq!(item.number, number + 1, "no item is lost here");
                    leaving.node.say(&Frame::Credit(Credit { of, more: 1 }));
                    Some(Ok(item.body.inline().unwrap().clone()))
                }
                Frame::End(End { items, failure, .. }) => {
                    assert_eq!(items, number);
                    leaving.is_over = true;
                    failure.map(|failure| Err(Error::from(failure)))
                }
                other => panic!("{other:?} is no part of a stream"),
            };
            item.map(|item| (item, (frames, leaving, number + 1)))
        }))
    }

    fn try_tell(&self, call: WireCall) -> Result<()> {
        self.0.begin(&call);
        Ok(())
    }

    fn is_here(&self, target: &Target) -> bool {
        matches!(target, Target::Key { .. }) && self.0.owns_keys.load(Ordering::Relaxed)
    }
}

/// Says that the caller left, unless the call is over.
struct Leaving {
    node: Arc<Node>,
    id: MessageId,
    is_over: bool,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.node.replies.lock().remove(&self.id);
        self.node.items.lock().remove(&self.id);
        if !self.is_over {
            self.node.say(&Frame::Cancel(Cancel { of: self.id }));
        }
    }
}
