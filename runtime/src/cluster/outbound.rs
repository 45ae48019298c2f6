//! Calls on their way out. Each waits here until somebody has it, so that it can be sent to the next owner of its shard.
//!
//! The calls of one sender to one target are a *line*: they are sent in order, and when one of them is turned away those after it
//! are sent again behind it. A receiver takes only the next of a line ([`Origin::oldest`]), so order survives loss and moves.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use beluga_core::{Error, MessageId, Result};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::node::NodeId;
use crate::wire::WireCall;
use crate::wire::frame::{self, Fence, Frame, INLINE_MAX_BYTES, Origin, Outcome, Target};

/// The most calls that may be on their way from one node.
pub const CALLS_OUT_MAX: usize = 65_536;

/// After which time without a word a call is sent again. The receiver takes it once.
pub const RESEND_AFTER: Duration = Duration::from_millis(500);

/// How long a tell without a deadline waits for an owner.
pub const TELL_KEPT: Duration = Duration::from_secs(60);

/// The first wait before a call that was turned away is sent again; it doubles up to [`RETURN_WAIT_MAX`].
const RETURN_WAIT: Duration = Duration::from_millis(10);

/// The longest such wait.
const RETURN_WAIT_MAX: Duration = Duration::from_millis(200);

/// Where a call goes now.
#[derive(Debug, Clone)]
pub(super) enum Way {
    /// To this life of a node, which has the shard under this token.
    To(NodeId, Option<Fence>),
    /// Nobody has it at the moment.
    Nobody,
    /// There is no such node.
    Nowhere,
}

/// Whom the answer goes to.
pub(super) enum Answering {
    /// Who told, and perhaps waits until it is taken.
    Told(Option<oneshot::Sender<Result<Bytes>>>),
    /// Who asked.
    Asked(oneshot::Sender<Result<Bytes>>),
    /// Who reads; bounded by the credit that was given.
    Streamed(mpsc::Sender<Frame>),
}

type LineKey = (u64, Arc<Target>);

/// The calls of one sender to one target that nobody is known to have.
struct Line {
    next: u64,
    waiting: BTreeMap<u64, MessageId>,
    /// Whether one of them was turned away, so that all wait for the next try.
    is_held: bool,
    due: Instant,
    returns: u32,
}

struct Pending {
    line: LineKey,
    sequence: u64,
    call: WireCall,
    born: Instant,
    sent_to: Option<NodeId>,
    answering: Answering,
}

#[derive(Default)]
struct Table {
    lines: HashMap<LineKey, Line>,
    calls: HashMap<MessageId, Pending>,
    lines_ever: u64,
}

/// The calls on their way out of one node.
#[derive(Default)]
pub(super) struct Outbound {
    table: Mutex<Table>,
}

/// A frame and where it goes.
pub(super) type Sending = (NodeId, Frame);

impl Outbound {
    /// Takes a call in; what is to be sent at once, if its turn is now.
    pub(super) fn begin(
        &self,
        id: MessageId,
        call: WireCall,
        answering: Answering,
        me: &NodeId,
        way: &Way,
        now: Instant,
    ) -> Result<Option<Sending>> {
        if call.payload.len() > INLINE_MAX_BYTES {
            return Err(Error::invalid_input("the message is too large to travel")
                .with("message", &call.message)
                .with("size_bytes", call.payload.len())
                .with("limit_bytes", INLINE_MAX_BYTES));
        }
        let table = &mut *self.table.lock();
        if table.calls.len() >= CALLS_OUT_MAX {
            let error = Error::overloaded("too many calls to other nodes are under way");
            return Err(error.with("calls_max", CALLS_OUT_MAX));
        }
        let key = (call.sender, Arc::clone(&call.target));
        let (sequence, is_held) = table.enqueue(&key, id, now);
        table.calls.insert(id, Pending { line: key.clone(), sequence, call, born: now, sent_to: None, answering });
        if is_held {
            return Ok(None);
        }
        let sending = table.send(id, me, way, now);
        if sending.is_none() {
            table.hold(&key, now);
        }
        Ok(sending)
    }

    /// Takes what came back about a call.
    pub(super) fn take(&self, frame: Frame, now: Instant) {
        let of = frame.of();
        let table = &mut *self.table.lock();
        match frame {
            Frame::Ack(_) => {
                table.taken(of, now);
                if let Some(Pending { answering: Answering::Told(_), .. }) = table.calls.get(&of) {
                    table.finish(of, Ok(Bytes::new()));
                }
            }
            Frame::Reply(reply) => {
                table.taken(of, now);
                let outcome = match reply.outcome {
                    Outcome::Done(body) => match body.inline() {
                        Some(bytes) => Ok(bytes.clone()),
                        None => Err(Error::unsupported("the answer is not in its frame")),
                    },
                    Outcome::Failed(failure) => Err(Error::from(failure)),
                };
                table.finish(of, outcome);
            }
            Frame::Moved(_) => {
                let Some(pending) = table.calls.get_mut(&of) else { return };
                pending.sent_to = None;
                let line = pending.line.clone();
                table.hold(&line, now);
            }
            Frame::Item(_) | Frame::End(_) => {
                table.taken(of, now);
                let is_end = matches!(frame, Frame::End(_));
                let is_taken = match table.calls.get(&of) {
                    Some(Pending { answering: Answering::Streamed(reader), .. }) => reader.try_send(frame).is_ok(),
                    _ => return,
                };
                // A producer that goes on without credit has no stream any more: its reader sees a lost one.
                if is_end || !is_taken {
                    table.remove(of);
                }
            }
            Frame::Call(_) | Frame::Credit(_) | Frame::Cancel(_) | Frame::Chunk(_) => {}
        }
    }

    /// Forgets a call whose caller left; to whom that is to be said.
    pub(super) fn leave(&self, id: MessageId) -> Option<NodeId> {
        self.table.lock().remove(id)?.sent_to
    }

    /// Returns to whom credit for a stream goes.
    pub(super) fn producer(&self, id: MessageId) -> Option<NodeId> {
        self.table.lock().calls.get(&id)?.sent_to.clone()
    }

    /// Ends or sends again what was sent to a node that is gone, gives up what nobody waits for, and returns what is to be sent.
    pub(super) fn sweep(
        &self,
        me: &NodeId,
        is_there: impl Fn(&NodeId) -> bool,
        way: impl Fn(&Target) -> Way,
        now: Instant,
    ) -> Vec<Sending> {
        let table = &mut *self.table.lock();
        let gone =
            table.calls.iter().filter(|(_, pending)| pending.sent_to.as_ref().is_some_and(|node| !is_there(node)));
        let gone: Vec<MessageId> = gone.map(|(id, _)| *id).collect();
        for id in gone {
            table.lose(id, now);
        }
        let is_late = |pending: &Pending| {
            let kept =
                matches!(pending.answering, Answering::Told(_)).then(|| now.saturating_duration_since(pending.born));
            kept.is_some_and(|kept| kept >= TELL_KEPT) || pending.call.context.check(now).is_err()
        };
        let late: Vec<MessageId> =
            table.calls.iter().filter(|(_, pending)| is_late(pending)).map(|(id, _)| *id).collect();
        let mut sendings = Vec::new();
        for id in late {
            let Some(pending) = table.calls.get(&id) else { continue };
            let cancel = Frame::Cancel(frame::Cancel { of: id });
            sendings.extend(pending.sent_to.clone().map(|node| (node, cancel)));
            let why = pending.call.context.check(now).err();
            table.finish(id, Err(why.unwrap_or_else(|| Error::timeout("no node took the message in time"))));
        }
        let due: Vec<LineKey> =
            table.lines.iter().filter(|(_, line)| line.due <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            table.again(&key, me, &way(&key.1), now, &mut sendings);
        }
        sendings
    }

    /// Ends or sends again all that was sent: this life of the node is over.
    pub(super) fn lose_all(&self, now: Instant) {
        let table = &mut *self.table.lock();
        let sent: Vec<MessageId> =
            table.calls.iter().filter(|(_, pending)| pending.sent_to.is_some()).map(|(id, _)| *id).collect();
        for id in sent {
            table.lose(id, now);
        }
    }

    /// Lets what was turned away be sent again at once: there is a new view.
    pub(super) fn hurry(&self, now: Instant) {
        for line in self.table.lock().lines.values_mut().filter(|line| line.is_held) {
            line.due = now;
        }
    }

    /// Returns how many calls are on their way.
    pub(super) fn len(&self) -> usize {
        self.table.lock().calls.len()
    }
}

impl Table {
    /// Puts a call at the end of its line; its number, and whether the line waits.
    fn enqueue(&mut self, key: &LineKey, id: MessageId, now: Instant) -> (u64, bool) {
        let lines_ever = &mut self.lines_ever;
        let line = self.lines.entry(key.clone()).or_insert_with(|| {
            // Numbers of a new line are above all of any before, so that no receiver takes them for old ones.
            *lines_ever += 1;
            let next = *lines_ever << 32 | 1;
            Line { next, waiting: BTreeMap::new(), is_held: false, due: now, returns: 0 }
        });
        let sequence = line.next;
        line.next += 1;
        if line.waiting.is_empty() && !line.is_held {
            line.due = now + RESEND_AFTER;
        }
        line.waiting.insert(sequence, id);
        (sequence, line.is_held)
    }

    /// Makes the frame of a call.
    fn send(&mut self, id: MessageId, me: &NodeId, way: &Way, now: Instant) -> Option<Sending> {
        let Way::To(node, fence) = way else { return None };
        let pending = self.calls.get_mut(&id)?;
        let oldest = self.lines.get(&pending.line)?.waiting.keys().next().copied().unwrap_or(pending.sequence);
        pending.sent_to = Some(node.clone());
        let origin = Origin {
            node: Arc::clone(&me.name),
            epoch: me.epoch,
            actor: pending.call.sender,
            sequence: pending.sequence,
            oldest,
        };
        let call = frame::Call { fence: *fence, ..pending.call.to_frame(id, origin, now) };
        Some((node.clone(), Frame::Call(Box::new(call))))
    }

    /// Sends all of a line again, in order.
    fn again(&mut self, key: &LineKey, me: &NodeId, way: &Way, now: Instant, sendings: &mut Vec<Sending>) {
        let Some(line) = self.lines.get_mut(key) else { return };
        let waiting: Vec<MessageId> = line.waiting.values().copied().collect();
        match way {
            Way::Nowhere => {
                for id in waiting {
                    let error = Error::unavailable("no member of the cluster has this name");
                    self.finish(id, Err(error.with("target", format!("{:?}", key.1))));
                }
            }
            Way::Nobody => {
                line.is_held = true;
                line.due = now + RETURN_WAIT_MAX;
            }
            Way::To(..) => {
                line.is_held = false;
                line.due = now + RESEND_AFTER;
                sendings.extend(waiting.into_iter().filter_map(|id| self.send(id, me, way, now)));
            }
        }
    }

    /// Notes that one of a line was turned away.
    fn hold(&mut self, key: &LineKey, now: Instant) {
        if let Some(line) = self.lines.get_mut(key).filter(|line| !line.is_held) {
            line.is_held = true;
            line.due = now + (RETURN_WAIT * 2_u32.pow(line.returns.min(5))).min(RETURN_WAIT_MAX);
            line.returns = line.returns.saturating_add(1);
        }
    }

    /// Notes that somebody has a call.
    fn taken(&mut self, id: MessageId, now: Instant) {
        let Some(pending) = self.calls.get(&id) else { return };
        let Some(line) = self.lines.get_mut(&pending.line) else { return };
        if line.waiting.remove(&pending.sequence).is_some() {
            line.returns = 0;
            if !line.is_held {
                line.due = now + RESEND_AFTER;
            }
            self.drop_empty(id);
        }
    }

    /// A call was sent to a node that is gone: what may have one effect only is sent again, the rest may have had it.
    fn lose(&mut self, id: MessageId, now: Instant) {
        let Some(pending) = self.calls.get_mut(&id) else { return };
        let (key, sequence) = (pending.line.clone(), pending.sequence);
        let is_stream = matches!(pending.answering, Answering::Streamed(_));
        if pending.call.context.idempotency_key().is_none() || is_stream {
            let error = Error::unknown_outcome("the node that had the call is gone");
            let node = pending.sent_to.as_ref().map(ToString::to_string).unwrap_or_default();
            return self.finish(id, Err(error.with("node", node)));
        }
        pending.sent_to = None;
        if let Some(line) = self.lines.get_mut(&key) {
            line.waiting.remove(&sequence);
        }
        let (sequence, _) = self.enqueue(&key, id, now);
        if let Some(pending) = self.calls.get_mut(&id) {
            pending.sequence = sequence;
        }
        self.hold(&key, now);
    }

    fn finish(&mut self, id: MessageId, outcome: Result<Bytes>) {
        let Some(pending) = self.remove(id) else { return };
        match pending.answering {
            Answering::Told(None) => {}
            Answering::Told(Some(waits)) | Answering::Asked(waits) => drop(waits.send(outcome)),
            Answering::Streamed(reader) => {
                let failure = outcome.err().map(|error| frame::Failure::from(&error));
                drop(reader.try_send(Frame::End(frame::End { of: id, items: u64::MAX, failure })));
            }
        }
    }

    fn remove(&mut self, id: MessageId) -> Option<Pending> {
        if let Some(pending) = self.calls.get(&id)
            && let Some(line) = self.lines.get_mut(&pending.line)
        {
            line.waiting.remove(&pending.sequence);
        }
        self.drop_empty(id);
        self.calls.remove(&id)
    }

    /// Forgets the line of a call if it is empty.
    fn drop_empty(&mut self, id: MessageId) {
        let Some(pending) = self.calls.get(&id) else { return };
        if self.lines.get(&pending.line).is_some_and(|line| line.waiting.is_empty()) {
            self.lines.remove(&pending.line);
        }
    }
}
