//! One node's part in its cluster: what it may serve, and what it does about the others. It does no I/O and reads no clock.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::heartbeat::Heartbeat;
use super::node::NodeId;
use super::peer::{Peer, Sent};
use super::record::{Others, Record, RecordRead};
use super::shard::Shard;
use super::store::Swap;
use super::timing::Timing;
use super::view::{Change, Known, MEMBERS_MAX, Member, MemberState, Place, View};
use crate::wire::frame::Fence;

/// The most shards that move at once; a tenth of all if that is more.
const MOVING_MIN: usize = 3;

/// The most lives of nodes that are listened to: the members, and as many that come or were taken out.
const PEERS_MAX: usize = 2 * MEMBERS_MAX;

/// What a node has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a heartbeat to everybody.
    Beat(Heartbeat),
    /// Read the view; [`Membership::read`] takes the answer.
    Read,
    /// Swap the view; [`Membership::written`] takes the answer.
    Write {
        /// The revision it has to have; `None`: it is not there.
        revision: Option<u64>,
        /// The new one.
        view: Arc<View>,
    },
    /// Swap this node's own record; [`Membership::renewed`] takes the answer.
    Renew {
        /// The revision it has to have; `None`: it is not there.
        revision: Option<u64>,
    },
    /// Read the record of another node; [`Membership::record_read`] takes the answer.
    ReadRecord(NodeId),
    /// Revoke the record of another node; [`Membership::revoked`] takes the answer.
    Revoke {
        /// Whose.
        node: NodeId,
        /// The revision it has to have; `None`: it is not there.
        revision: Option<u64>,
    },
}

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Not in the view yet, or waiting to be heard by all.
    Joining,
    /// In, and serving what it has.
    Up,
    /// Handing over.
    Draining,
    /// It left in order. It is over.
    Left,
    /// The others took it out, or its record was revoked. This life is over: whatever it served is somebody else's.
    Out,
}

/// One life of a node in its cluster.
///
/// It is driven: [`tick`](Self::tick) says what to do, and whoever does it tells what came of it. Between ticks
/// [`serves`](Self::serves) says what may be served. The rules, and why they are safe, are in [`cluster`](super).
///
/// ```
/// use beluga_runtime::cluster::{Action, Membership, NodeId, Standing, Swap, Timing};
/// use beluga_runtime::time;
///
/// let now = time::now();
/// let mut alone = Membership::new(NodeId::new("a", 1), 1, 16, Timing::default());
/// assert_eq!(alone.tick(now), [Action::Read]);
/// let first = alone.read(Ok(None), 7, now);
/// assert!(matches!(first, Some(Action::Write { revision: None, .. })), "there is no cluster yet: it begins one");
/// alone.written(Swap::Written(1), now);
/// assert_eq!((alone.standing(), alone.serves(3, now)), (Standing::Up, None), "its record is not written yet");
/// assert!(alone.tick(now).contains(&Action::Renew { revision: None }));
/// alone.renewed(Swap::Written(2));
/// assert!(alone.serves(3, now).is_some());
/// assert_eq!(alone.serves(3, now + Timing::default().membership), None, "a record goes stale");
/// ```
#[derive(Debug)]
pub struct Membership {
    me: NodeId,
    weight: u32,
    shards: u16,
    timing: Timing,
    known: Option<Known>,
    /// The number this node has, or had, in the view.
    number: Option<u32>,
    standing: Standing,
    sent: Sent,
    beat_at: Option<Instant>,
    /// How many members were silent at the last tick.
    silent: usize,
    peers: HashMap<NodeId, Peer>,
    /// Whether a read or a swap of the view is under way.
    is_asking: bool,
    /// The swap under way, if it is one.
    writing: Option<Known>,
    /// When the view was last read, or tried to be.
    read_at: Option<Instant>,
    /// Members a swap that may still happen takes out, and the revision it expects. They are not confirmed meanwhile.
    accused: Vec<(NodeId, u64)>,
    record: Record,
    others: Others,
    /// Shards that were let go and wait for the swap that says so.
    let_go: BTreeSet<Shard>,
    is_draining: bool,
    balanced_at: Option<Instant>,
}

impl Membership {
    /// Begins a life. `shards` counts if this node is the first of its cluster.
    #[must_use]
    pub fn new(me: NodeId, weight: u32, shards: u16, timing: Timing) -> Self {
        Self {
            me,
            weight: weight.max(1),
            shards,
            timing,
            known: None,
            number: None,
            standing: Standing::Joining,
            sent: Sent::default(),
            beat_at: None,
            silent: 0,
            peers: HashMap::new(),
            is_asking: false,
            writing: None,
            read_at: None,
            accused: Vec::new(),
            record: Record::default(),
            others: Others::default(),
            let_go: BTreeSet::new(),
            is_draining: false,
            balanced_at: None,
        }
    }

    /// Returns which life this is.
    #[must_use]
    pub fn me(&self) -> &NodeId {
        &self.me
    }

    /// Returns where this node stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Returns the newest view this node knows.
    #[must_use]
    pub fn view(&self) -> Option<&Arc<View>> {
        self.known.as_ref().map(|known| &known.view)
    }

    /// Returns the token under which this node may take calls of a shard now; `None` if it may not.
    #[must_use]
    pub fn serves(&self, shard: Shard, now: Instant) -> Option<Fence> {
        let view = self.view()?;
        let place = view.place(shard)?;
        let is_mine = place.owner.is_some() && place.owner == self.number && !is_leaving(view, place);
        (is_mine && !self.let_go.contains(&shard) && self.has_consent(now)).then(|| view.fence(shard))?
    }

    /// Returns whether what was begun under this token may still have an effect: an answer, a write, a call elsewhere.
    #[must_use]
    pub fn holds(&self, shard: Shard, fence: Fence, now: Instant) -> bool {
        self.keeps(shard, fence) && self.has_consent(now)
    }

    /// Returns whether this node still has a shard, as far as it knows, whether or not it may serve it at this moment.
    #[must_use]
    pub fn keeps(&self, shard: Shard, fence: Fence) -> bool {
        let view = self.view().filter(|_| !self.is_over());
        let place = view.and_then(|view| view.place(shard)).filter(|place| place.owner == self.number);
        place.is_some() && !self.let_go.contains(&shard) && view.and_then(|view| view.fence(shard)) == Some(fence)
    }

    /// Returns the shards this node is to let go: it takes no more calls of them, ends what it serves and says
    /// [`let_go`](Self::let_go).
    #[must_use]
    pub fn leaving(&self) -> Vec<Shard> {
        let (Some(view), Some(number)) = (self.view(), self.number) else { return Vec::new() };
        let leaving =
            view.owned(number).filter(|(shard, place)| is_leaving(view, *place) && !self.let_go.contains(shard));
        leaving.map(|(shard, _)| shard).collect()
    }

    /// Says that nothing of a shard is served here any more, and that its heir may have it.
    pub fn let_go(&mut self, shard: Shard) {
        if self.leaving().contains(&shard) {
            self.let_go.insert(shard);
        }
    }

    /// Asks for leave: the others get its shards, then it is [`Standing::Left`].
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Lets the view be read at the next tick: somebody knows a newer one.
    pub fn look(&mut self) {
        self.read_at = None;
    }

    /// Returns whether this node may serve what it has: all others consent, and its record is fresh.
    #[must_use]
    pub fn has_consent(&self, now: Instant) -> bool {
        let Some(view) = self.view().filter(|_| matches!(self.standing, Standing::Up | Standing::Draining)) else {
            return false;
        };
        let consents = |member: &Member| {
            let peer = self.peers.get(&member.node);
            peer.and_then(|peer| peer.consents_until).is_some_and(|until| now < until)
        };
        let others = view.members().iter().filter(|member| member.is_voter() && member.node != self.me);
        self.record.is_fresh(&self.timing, now) && others.into_iter().all(consents)
    }

    fn is_over(&self) -> bool {
        matches!(self.standing, Standing::Left | Standing::Out)
    }

    /// Takes a heartbeat.
    pub fn heard(&mut self, beat: &Heartbeat, now: Instant) {
        if beat.from == self.me || self.is_over() {
            return;
        }
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&beat.from) {
            return;
        }
        let peer = self.peers.entry(beat.from.clone()).or_insert_with(|| Peer::new(now));
        if !peer.hear(beat, now) {
            return;
        }
        let confirmed =
            beat.heard.iter().find(|(node, _)| *node == self.me).and_then(|(_, number)| self.sent.at(*number));
        if let Some(sent) = confirmed {
            peer.consents_until = peer.consents_until.max(Some(sent + self.timing.lease));
        }
    }

    /// Returns what is to be done now. Call it often: a third of [`Timing::beat`] apart, and after each answer.
    pub fn tick(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.is_over() {
            return actions;
        }
        let silent = self.silent(now).len();
        // A silence is told at once: the others may be waiting for that word.
        let is_due = silent > self.silent || self.beat_at.is_none_or(|at| now >= at + self.timing.beat);
        self.silent = silent;
        if self.number.is_some() && is_due {
            self.beat_at = Some(now);
            actions.push(Action::Beat(self.beat(now)));
        }
        if !self.is_asking {
            actions.extend(self.decide(now));
        }
        if self.number.is_some() {
            actions.extend(self.record.tick(&self.me, &self.timing, now));
        }
        if let Some(view) = self.view().cloned() {
            let is_quiet =
                |node: &NodeId| self.peers.get(node).is_none_or(|peer| peer.silence(now) >= self.timing.verdict());
            let quiet =
                view.members().iter().map(|member| &member.node).filter(|node| **node != self.me && is_quiet(node));
            let quiet: Vec<NodeId> = quiet.cloned().collect();
            actions.extend(self.others.tick(&quiet, &self.timing, now));
        }
        actions
    }

    fn beat(&mut self, now: Instant) -> Heartbeat {
        let (generation, version) = self.view().map_or((0, 0), |view| (view.generation(), view.version()));
        // Whoever was taken out is not confirmed again, and whoever is being taken out is not either.
        let is_confirmed = |node: &NodeId, peer: &Peer| {
            peer.number > 0 && self.is_member(node) && !self.accused.iter().any(|(accused, _)| accused == node)
        };
        let heard = self.peers.iter().filter(|(node, peer)| is_confirmed(node, peer));
        let heard = heard.map(|(node, peer)| (node.clone(), peer.number)).collect();
        let silent = self.silent(now);
        let number = self.sent.next(now);
        Heartbeat { from: self.me.clone(), number, generation, version, heard, silent }
    }

    /// Returns the members that are to be suspected.
    fn silent(&self, now: Instant) -> Vec<NodeId> {
        let silent = self.peers.iter().filter(|(_, peer)| peer.silence(now) >= self.timing.suspect);
        silent.filter(|(node, _)| self.is_member(node)).map(|(node, _)| node.clone()).collect()
    }

    fn is_member(&self, node: &NodeId) -> bool {
        self.view().is_some_and(|view| view.find(node).is_some())
    }

    /// Decides what to ask of the store about the view.
    fn decide(&mut self, now: Instant) -> Option<Action> {
        let is_due = self.read_at.is_none_or(|at| now >= at + self.timing.poll);
        let newest = self.peers.values().map(|peer| peer.knows).max().unwrap_or_default();
        let is_behind = self.view().is_none_or(|view| newest > (view.generation(), view.version()));
        // Whoever is behind asks again soon, and not at once: the store may be away.
        let is_due = is_due || (is_behind && self.read_at.is_none_or(|at| now >= at + self.timing.beat));
        if is_due {
            (self.is_asking, self.read_at) = (true, Some(now));
            return Some(Action::Read);
        }
        let known = self.known.clone()?;
        let mut view = View::clone(&known.view);
        let mut accused = Vec::new();
        if !view.change(|change| self.improve(change, &mut accused, now)) {
            return None;
        }
        self.accused.extend(accused.into_iter().map(|node| (node, known.revision)));
        let view = Arc::new(view);
        self.is_asking = true;
        self.writing = Some(Known { view: Arc::clone(&view), revision: known.revision });
        Some(Action::Write { revision: Some(known.revision), view })
    }

    /// Makes of the view what it should be, as far as it is this node's business.
    fn improve(&mut self, change: &mut Change<'_>, accused: &mut Vec<NodeId>, now: Instant) {
        let before = change.view().clone();
        for member in before.members().iter().filter(|member| self.others.is_revoked(&member.node)) {
            change.remove(member.number);
        }
        let Some(me) = before.find(&self.me).cloned() else {
            change.join(self.me.clone(), self.weight);
            return;
        };
        if me.state == MemberState::Joining {
            if self.is_welcome(change.view(), now) {
                change.welcome(me.number);
            }
            return;
        }
        for shard in &self.let_go {
            change.hand_over(*shard, me.number);
        }
        if self.is_draining {
            change.drain(me.number);
        }
        if !me.is_voter() {
            // Whoever suspected it may be gone, and then nobody else would trust it again.
            let by = me.suspected_by.and_then(|by| before.member(by));
            if by.is_none_or(|by| !by.is_voter()) {
                change.trust(me.number);
            }
            return;
        }
        for member in before.members().iter().filter(|member| member.node != self.me) {
            self.judge(&me, member, &before, change, accused, now);
        }
        let is_first =
            before.members().iter().find(|member| member.is_voter()).is_some_and(|first| first.node == self.me);
        let is_due = self.balanced_at.is_none_or(|at| now >= at + self.timing.rebalance);
        if is_first && is_due {
            self.balanced_at = Some(now);
            change.balance(MOVING_MIN.max(usize::from(before.shards()) / 10));
        }
        let is_empty = change
            .view()
            .owned(me.number)
            .all(|(shard, place)| place.to.is_none() && self.let_go.contains(&shard) && is_leaving(&before, place));
        if me.state == MemberState::Draining && is_empty {
            change.remove(me.number);
        }
    }

    /// Suspects, trusts or takes out another member.
    fn judge(
        &self,
        me: &Member,
        member: &Member,
        view: &View,
        change: &mut Change<'_>,
        accused: &mut Vec<NodeId>,
        now: Instant,
    ) {
        let Some(peer) = self.peers.get(&member.node) else { return };
        let silence = peer.silence(now);
        if member.state == MemberState::Joining {
            // It has no shard and no say, so there is nothing to be careful about.
            if silence >= self.timing.membership {
                change.remove(member.number);
            }
            return;
        }
        let by = member.suspected_by.and_then(|by| view.member(by));
        if member.suspected_by.is_some()
            && silence < self.timing.beat * 2
            && by.is_none_or(|by| by.node == self.me || !by.is_voter())
        {
            change.trust(member.number);
            return;
        }
        if silence < self.timing.suspect || !self.is_agreed(member, view, now) {
            return;
        }
        // A member that serves asks for the consent of those it knows of: this node must be one of them.
        let knows_me = peer.number > 0 && peer.knows >= (view.generation(), me.since);
        if silence >= self.timing.verdict() && knows_me {
            accused.push(member.node.clone());
            change.remove(member.number);
        } else {
            change.suspect(member.number, me.number);
        }
    }

    /// Returns whether most of those whose word counts hear nothing of a member: who is alone in that is alone.
    fn is_agreed(&self, member: &Member, view: &View, now: Instant) -> bool {
        let voters = view.members().iter().filter(|other| other.is_voter() && other.number != member.number);
        let (mut all, mut agreed) = (0, 0);
        for voter in voters {
            all += 1;
            let says_so = |peer: &Peer| peer.silence(now) < self.timing.suspect && peer.silent.contains(&member.node);
            let is_me = voter.node == self.me;
            agreed += usize::from(is_me || self.peers.get(&voter.node).is_some_and(says_so));
        }
        agreed * 2 > all
    }

    /// Returns whether all whose word counts hear this node, and it hears them; it may begin with nobody there.
    fn is_welcome(&self, view: &View, now: Instant) -> bool {
        let hears = |member: &Member| {
            let Some(peer) = self.peers.get(&member.node) else { return false };
            peer.silence(now) < self.timing.beat * 3 && peer.consents_until.is_some_and(|until| now < until)
        };
        let mut others = view.members().iter().filter(|member| member.node != self.me);
        let is_first = !view.members().iter().any(|member| member.state != MemberState::Joining)
            && view.members().first().is_some_and(|member| member.node == self.me);
        if is_first {
            return true;
        }
        let has_voter = view.members().iter().any(Member::is_voter);
        has_voter && others.all(|member| member.state == MemberState::Joining || (member.is_voter() && hears(member)))
    }

    /// Takes the answer of [`Action::Read`]: the view and its revision, `Ok(None)` if there is none, `Err` if the store did not
    /// answer. `generation` is that of the view this node makes if there is none: the calendar time in milliseconds.
    #[allow(clippy::result_unit_err, reason = "why it did not answer changes nothing")]
    pub fn read(&mut self, answer: Result<Option<Known>, ()>, generation: u64, now: Instant) -> Option<Action> {
        self.is_asking = false;
        match answer {
            Ok(Some(known)) => self.adopt(known, now),
            Ok(None) if self.known.is_none() && !self.is_over() => {
                let view = Arc::new(View::first(generation, self.me.clone(), self.weight, self.shards));
                self.is_asking = true;
                self.writing = Some(Known { view: Arc::clone(&view), revision: 0 });
                return Some(Action::Write { revision: None, view });
            }
            // A copy of the store that lags behind.
            Ok(None) | Err(()) => {}
        }
        None
    }

    /// Takes the answer of [`Action::Write`].
    pub fn written(&mut self, outcome: Swap, now: Instant) {
        self.is_asking = false;
        let Some(writing) = self.writing.take() else { return };
        match outcome {
            Swap::Written(revision) => {
                self.adopt(Known { revision, ..writing }, now);
                // The others hear of it at once.
                self.beat_at = None;
            }
            // What is there now decides.
            Swap::Conflict | Swap::Unknown => self.read_at = None,
        }
    }

    /// Takes the answer of [`Action::Renew`].
    pub fn renewed(&mut self, outcome: Swap) {
        self.record.renewed(outcome);
    }

    /// Takes the answer of [`Action::ReadRecord`]: `Ok(None)` if there is none, `Err` if the store did not answer.
    #[allow(clippy::result_unit_err, reason = "why it did not answer changes nothing")]
    pub fn record_read(
        &mut self,
        node: &NodeId,
        answer: Result<Option<RecordRead>, ()>,
        now: Instant,
    ) -> Option<Action> {
        if *node == self.me {
            if !self.record.read(answer) {
                self.standing = Standing::Out;
            }
            return None;
        }
        let revision = self.others.read(node, answer, &self.timing, now)?;
        Some(Action::Revoke { node: node.clone(), revision })
    }

    /// Takes the answer of [`Action::Revoke`].
    pub fn revoked(&mut self, node: &NodeId, outcome: Swap) {
        self.others.revoked(node, outcome);
    }

    fn adopt(&mut self, known: Known, now: Instant) {
        let newest = self.known.as_ref().map_or((0, 0), |have| (have.view.generation(), have.revision));
        if (known.view.generation(), known.revision) <= newest || self.is_over() {
            return;
        }
        self.accused.retain(|(_, revision)| *revision >= known.revision);
        let view = Arc::clone(&known.view);
        self.known = Some(known);
        self.standing = match view.find(&self.me) {
            Some(me) => {
                self.number = Some(me.number);
                match me.state {
                    MemberState::Joining => Standing::Joining,
                    MemberState::Up => Standing::Up,
                    MemberState::Draining => Standing::Draining,
                }
            }
            None if self.number.is_none() => Standing::Joining,
            None if self.standing == Standing::Draining => Standing::Left,
            None => Standing::Out,
        };
        let number = self.number;
        let is_leaving =
            |shard: &Shard| view.place(*shard).is_some_and(|place| place.owner == number && is_leaving(&view, place));
        self.let_go.retain(is_leaving);
        let nodes: HashSet<&NodeId> = view.members().iter().map(|member| &member.node).collect();
        self.others.keep(&nodes);
        // Who was never heard is silent from now on.
        for node in nodes.iter().filter(|node| ***node != self.me) {
            self.peers.entry((*node).clone()).or_insert_with(|| Peer::new(now));
        }
        let timing = self.timing;
        self.peers.retain(|node, peer| nodes.contains(node) || peer.silence(now) < timing.membership);
    }
}

/// Returns whether the owner of a shard is to let it go: to an heir, or to nobody if the last one leaves.
fn is_leaving(view: &View, place: Place) -> bool {
    let is_last = || {
        let owner = place.owner.and_then(|owner| view.member(owner));
        owner.is_some_and(|owner| owner.state == MemberState::Draining) && !view.members().iter().any(Member::is_heir)
    };
    place.to.is_some() || is_last()
}
