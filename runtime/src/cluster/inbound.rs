//! Calls from other nodes, and this node's own to its own shards: each is taken once and in its turn, served under a token, and
//! answered only while the token holds.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use beluga_core::{BoxFuture, CancelToken, Error, MessageId, Result};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::inner::Inner;
use super::node::NodeId;
use super::shard::Shard;
use crate::wire::frame::{
    self, Ack, End, Failure, Fence, Frame, INLINE_MAX_BYTES, Item, Manner, Moved, Outcome, Owner, Reply, Target,
};
use crate::wire::{Answer, WireCall};
use crate::{task, time};

/// The most calls of other nodes that may be served at once.
pub const CALLS_IN_MAX: usize = 65_536;

/// The most senders whose order is remembered.
pub const SENDERS_MAX: usize = 65_536;

/// The most calls of one sender that may wait for the one before them to reach its mailbox.
pub const LINE_MAX: usize = 1024;

/// The largest answer that is kept for a caller that did not hear it.
const KEPT_MAX_BYTES: usize = 4096;

/// How long a quiet sender is remembered: longer than a frame may be late.
const SENDER_KEPT: Duration = Duration::from_secs(60);

/// How long the first word about an ask may wait for its answer, so that a quick one needs no other word.
const ACK_AFTER: Duration = Duration::from_millis(20);

/// Between two looks whether an answer may go out.
const HOLD_LOOK: Duration = Duration::from_millis(20);

type LineKey = (NodeId, u64, Target);

/// What is known of one sender's calls to one target.
struct Line {
    /// The number after the last that was taken.
    next: u64,
    /// The calls the sender does not know to be taken yet, with their answers.
    kept: VecDeque<Kept>,
    queue: VecDeque<frame::Call>,
    is_delivering: bool,
    used: Instant,
}

struct Kept {
    sequence: u64,
    id: MessageId,
    answer: Option<Frame>,
}

/// What ends a call before its answer.
#[derive(Clone)]
struct Stops {
    /// The caller left.
    left: CancelToken,
    /// The shard has to go, and was waited for long enough.
    moved: CancelToken,
}

impl Stops {
    fn new() -> Self {
        Self { left: CancelToken::new(), moved: CancelToken::new() }
    }

    async fn stopped(&self) -> Error {
        tokio::select! {
            biased;
            () = self.left.cancelled() => Error::cancelled("the caller left"),
            () = self.moved.cancelled() => Error::unknown_outcome("the shard moved while the call was served"),
        }
    }
}

/// A call that is served.
struct Run {
    stops: Stops,
    credit: Arc<Semaphore>,
    shard: Option<Shard>,
}

#[derive(Default)]
struct Table {
    lines: HashMap<LineKey, Line>,
    runs: HashMap<MessageId, Run>,
}

/// The calls one node serves.
#[derive(Default)]
pub(super) struct Inbound {
    table: Mutex<Table>,
}

/// Under what a call is served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grant {
    pub(super) shard: Option<(Shard, Fence)>,
}

/// What to do with a call that came in.
enum Turn {
    /// It is the next one.
    Next,
    /// The one before it is still on its way to its mailbox.
    Queued,
    /// It was taken before.
    Again(Option<Frame>),
    /// One before it is missing.
    Early,
    /// Too many wait.
    Full,
}

impl Inbound {
    /// Takes a call that may be served here.
    pub(super) fn take(&self, inner: &Arc<Inner>, call: frame::Call, grant: Grant) {
        let now = time::now();
        let from = NodeId { name: Arc::clone(&call.origin.node), epoch: call.origin.epoch };
        let key = (from.clone(), call.origin.actor, call.target.clone());
        let (id, manner) = (call.id, call.manner);
        let turn = {
            let table = &mut *self.table.lock();
            table.turn(&key, &call, now)
        };
        match turn {
            Turn::Next => self.deliver(inner, key, &call, grant),
            Turn::Queued => self.queue(&key, call),
            Turn::Again(answer) => inner.say(&from, answer.unwrap_or(Frame::Ack(Ack { of: id }))),
            Turn::Early => {
                let me = inner.me();
                let owner = Some(Owner { node: me.name.to_string(), epoch: me.epoch });
                inner.say(&from, Frame::Moved(Moved { of: id, owner, fence: grant.shard.map(|(_, fence)| fence) }));
            }
            Turn::Full => {
                let error =
                    Error::overloaded("too many calls are served for other nodes").with("calls_max", CALLS_IN_MAX);
                refuse(inner, &from, id, manner, &error);
            }
        }
    }

    fn queue(&self, key: &LineKey, call: frame::Call) {
        if let Some(line) = self.table.lock().lines.get_mut(key) {
            line.queue.push_back(call);
        }
    }

    /// Brings a call to its mailbox, at once if it has room.
    fn deliver(&self, inner: &Arc<Inner>, key: LineKey, call: &frame::Call, grant: Grant) {
        let mut delivery = Delivery::new(inner, call, grant);
        match delivery.accepting.as_mut().now_or_never() {
            Some(accepted) => delivery.accepted(inner, &key, accepted),
            None => {
                if let Some(line) = self.table.lock().lines.get_mut(&key) {
                    line.is_delivering = true;
                }
                drop(task::spawn("cluster-deliver", deliver_line(Arc::clone(inner), key, delivery)));
            }
        }
    }

    /// Returns the next call of a line whose head is in its mailbox.
    fn next(&self, key: &LineKey) -> Option<frame::Call> {
        let table = &mut *self.table.lock();
        let line = table.lines.get_mut(key)?;
        let next = line.queue.pop_front();
        line.is_delivering = next.is_some();
        next
    }

    /// Takes back that a call, and all of its line behind it, was taken; which those are, in order.
    fn turn_back(&self, key: &LineKey, call: &frame::Call) -> Vec<MessageId> {
        let table = &mut *self.table.lock();
        let Some(line) = table.lines.get_mut(key) else { return vec![call.id] };
        line.is_delivering = false;
        line.next = call.origin.sequence;
        line.kept.retain(|kept| kept.sequence < call.origin.sequence);
        std::iter::once(call.id).chain(line.queue.drain(..).map(|queued| queued.id)).collect()
    }

    /// The caller of a call left.
    pub(super) fn cancel(&self, id: MessageId) {
        if let Some(run) = self.table.lock().runs.get(&id) {
            run.stops.left.cancel();
        }
    }

    /// The reader of a stream takes more.
    pub(super) fn credit(&self, id: MessageId, more: u32) {
        if let Some(run) = self.table.lock().runs.get(&id) {
            let room = Semaphore::MAX_PERMITS - run.credit.available_permits();
            run.credit.add_permits(usize::try_from(more).unwrap_or(usize::MAX).min(room));
        }
    }

    /// Returns whether calls of a shard are being served.
    pub(super) fn is_busy(&self, shard: Shard) -> bool {
        self.table.lock().runs.values().any(|run| run.shard == Some(shard))
    }

    /// Cancels the calls of these shards.
    pub(super) fn cancel_shards(&self, is_meant: impl Fn(Shard) -> bool) {
        for run in self.table.lock().runs.values().filter(|run| run.shard.is_some_and(&is_meant)) {
            run.stops.moved.cancel();
        }
    }

    /// Forgets senders that have been quiet.
    pub(super) fn sweep(&self, now: Instant) {
        let is_busy = |line: &Line| line.is_delivering || now.saturating_duration_since(line.used) < SENDER_KEPT;
        self.table.lock().lines.retain(|_, line| is_busy(line));
    }

    /// Returns how many calls are being served.
    pub(super) fn len(&self) -> usize {
        self.table.lock().runs.len()
    }

    fn start(&self, id: MessageId, run: Run) {
        self.table.lock().runs.insert(id, run);
    }

    /// A call is over; its answer is kept while its sender may ask again.
    fn end(&self, key: &LineKey, id: MessageId, answer: Option<&Frame>) {
        let table = &mut *self.table.lock();
        table.runs.remove(&id);
        let kept = table.lines.get_mut(key).and_then(|line| line.kept.iter_mut().find(|kept| kept.id == id));
        if let Some(kept) = kept {
            kept.answer = answer.filter(|answer| is_small(answer)).cloned();
        }
    }
}

impl Table {
    fn turn(&mut self, key: &LineKey, call: &frame::Call, now: Instant) -> Turn {
        if self.runs.len() >= CALLS_IN_MAX || (self.lines.len() >= SENDERS_MAX && !self.lines.contains_key(key)) {
            return Turn::Full;
        }
        let line = self.lines.entry(key.clone()).or_insert_with(|| Line {
            next: 0,
            kept: VecDeque::new(),
            queue: VecDeque::new(),
            is_delivering: false,
            used: now,
        });
        line.used = now;
        let (sequence, oldest) = (call.origin.sequence, call.origin.oldest);
        while line.kept.front().is_some_and(|kept| kept.sequence < oldest) {
            line.kept.pop_front();
        }
        if sequence < line.next {
            let kept = line.kept.iter().find(|kept| kept.id == call.id);
            return Turn::Again(kept.and_then(|kept| kept.answer.clone()));
        }
        if sequence != line.next && sequence != oldest {
            return Turn::Early;
        }
        if line.queue.len() >= LINE_MAX {
            return Turn::Full;
        }
        line.next = sequence + 1;
        line.kept.push_back(Kept { sequence, id: call.id, answer: None });
        if line.is_delivering { Turn::Queued } else { Turn::Next }
    }
}

fn is_small(frame: &Frame) -> bool {
    match frame {
        Frame::Reply(Reply { outcome: Outcome::Done(body), .. }) => {
            body.inline().is_some_and(|bytes| bytes.len() <= KEPT_MAX_BYTES)
        }
        _ => true,
    }
}

/// A call on its way to a mailbox.
struct Delivery {
    id: MessageId,
    from: NodeId,
    manner: Manner,
    grant: Grant,
    stops: Stops,
    credit: Arc<Semaphore>,
    accepting: BoxFuture<'static, Result<Answer>>,
}

impl Delivery {
    fn new(inner: &Arc<Inner>, call: &frame::Call, grant: Grant) -> Self {
        let credit = match call.manner {
            Manner::Stream { credit } => usize::try_from(credit).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS),
            Manner::Tell | Manner::Ask => 0,
        };
        let (stops, credit) = (Stops::new(), Arc::new(Semaphore::new(credit)));
        let shard = grant.shard.map(|(shard, _)| shard);
        let run = Run { stops: stops.clone(), credit: Arc::clone(&credit), shard };
        inner.inbound.start(call.id, run);
        let accepting = match WireCall::of_frame(call.clone(), time::now()) {
            Ok(call) => inner.ingress.call(call),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        };
        let from = NodeId { name: Arc::clone(&call.origin.node), epoch: call.origin.epoch };
        Self { id: call.id, from, manner: call.manner, grant, stops, credit, accepting }
    }

    /// The call is in its mailbox, or was refused.
    fn accepted(self, inner: &Arc<Inner>, key: &LineKey, accepted: Result<Answer>) {
        let Self { id, from, manner, grant, stops, credit, .. } = self;
        match accepted {
            Err(error) => {
                let answer = refusal(id, manner, &error);
                inner.inbound.end(key, id, Some(&answer));
                inner.say(&from, answer);
            }
            Ok(Answer::None) => {
                inner.inbound.end(key, id, None);
                inner.say(&from, Frame::Ack(Ack { of: id }));
            }
            Ok(Answer::Reply(reply)) => {
                let serving = Serving { inner: Arc::downgrade(inner), key: key.clone(), id, from, grant };
                drop(task::spawn("cluster-serve", serving.reply(reply, stops)));
            }
            Ok(Answer::Items(items)) => {
                inner.say(&from, Frame::Ack(Ack { of: id }));
                let serving = Serving { inner: Arc::downgrade(inner), key: key.clone(), id, from, grant };
                drop(task::spawn("cluster-serve", serving.items(items, stops, credit)));
            }
        }
    }
}

/// Brings a line's calls to their mailbox, one after the other.
async fn deliver_line(inner: Arc<Inner>, key: LineKey, mut delivery: Delivery) {
    loop {
        let accepted = tokio::select! {
            biased;
            error = delivery.stops.stopped() => Err(error),
            accepted = &mut delivery.accepting => accepted,
        };
        delivery.accepted(&inner, &key, accepted);
        let Some(call) = inner.inbound.next(&key) else { return };
        // The shard may have gone while the call waited.
        let Some(grant) = inner.grant(&call.target) else {
            for id in inner.inbound.turn_back(&key, &call) {
                inner.say(&key.0, Frame::Moved(Moved { of: id, owner: None, fence: None }));
            }
            return;
        };
        delivery = Delivery::new(&inner, &call, grant);
    }
}

/// A call whose answer is being made.
struct Serving {
    inner: Weak<Inner>,
    key: LineKey,
    id: MessageId,
    from: NodeId,
    grant: Grant,
}

impl Serving {
    async fn reply(self, reply: BoxFuture<'static, Result<Bytes>>, stops: Stops) {
        let mut reply = std::pin::pin!(reply);
        let mut ack = std::pin::pin!(time::sleep(ACK_AFTER));
        let mut is_said = false;
        let outcome = loop {
            tokio::select! {
                biased;
                error = stops.stopped() => break Err(error),
                outcome = &mut reply => break outcome,
                () = &mut ack, if !is_said => {
                    is_said = true;
                    self.say(Frame::Ack(Ack { of: self.id }));
                }
            }
        };
        let outcome = match outcome {
            Ok(bytes) if bytes.len() > INLINE_MAX_BYTES => {
                Err(Error::unsupported("the answer is too large to travel").with("size_bytes", bytes.len()))
            }
            outcome => outcome,
        };
        let outcome = self.stands(outcome).await;
        let outcome = match outcome {
            Ok(bytes) => Outcome::Done(bytes.into()),
            Err(error) => Outcome::Failed(Failure::from(&error)),
        };
        self.end(Frame::Reply(Reply { of: self.id, outcome }));
    }

    async fn items(
        self,
        mut items: beluga_core::BoxStream<'static, Result<Bytes>>,
        stops: Stops,
        credit: Arc<Semaphore>,
    ) {
        let mut number = 0;
        let failure = loop {
            let next = async {
                if let Ok(permit) = credit.acquire().await {
                    permit.forget();
                }
                items.next().await
            };
            let item = tokio::select! {
                biased;
                error = stops.stopped() => Some(Err(error)),
                item = next => item,
            };
            let item = match item {
                None => self.stands(Ok(None)).await,
                Some(item) => self.stands(item.map(Some)).await,
            };
            match item {
                Ok(None) => break None,
                Ok(Some(item)) if item.len() > INLINE_MAX_BYTES => {
                    break Some(Error::unsupported("an item is too large to travel").with("size_bytes", item.len()));
                }
                Ok(Some(item)) => {
                    number += 1;
                    self.say(Frame::Item(Item { of: self.id, number, body: item.into() }));
                }
                Err(error) => break Some(error),
            }
        };
        let failure = failure.as_ref().map(Failure::from);
        self.end(Frame::End(End { of: self.id, items: number, failure }));
    }

    /// Waits until what was made under the token may be said; the error instead if somebody else has the shard.
    async fn stands<T>(&self, outcome: Result<T>) -> Result<T> {
        let Some((shard, fence)) = self.grant.shard else { return outcome };
        loop {
            let Some(inner) = self.inner.upgrade() else { break };
            let (holds, keeps) = inner.holds(shard, fence);
            drop(inner);
            if holds {
                return outcome;
            }
            if !keeps {
                break;
            }
            time::sleep(HOLD_LOOK).await;
        }
        Err(Error::unknown_outcome("another node took the shard before the answer was out").with("shard", shard))
    }

    fn say(&self, frame: Frame) {
        if let Some(inner) = self.inner.upgrade() {
            inner.say(&self.from, frame);
        }
    }

    fn end(&self, frame: Frame) {
        if let Some(inner) = self.inner.upgrade() {
            inner.inbound.end(&self.key, self.id, Some(&frame));
            inner.say(&self.from, frame);
            inner.changed();
        }
    }
}

fn refusal(id: MessageId, manner: Manner, error: &Error) -> Frame {
    let failure = Failure::from(error);
    match manner {
        Manner::Stream { .. } => Frame::End(End { of: id, items: 0, failure: Some(failure) }),
        Manner::Tell | Manner::Ask => Frame::Reply(Reply { of: id, outcome: Outcome::Failed(failure) }),
    }
}

fn refuse(inner: &Arc<Inner>, from: &NodeId, id: MessageId, manner: Manner, error: &Error) {
    inner.say(from, refusal(id, manner, error));
}
