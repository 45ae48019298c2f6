//! Who is in a cluster, and who has which shard: one value, changed by comparing and swapping it whole.

use std::sync::Arc;

use beluga_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::node::NodeId;
use super::shard::{SHARDS, Shard, affinity};
use crate::wire::frame::Fence;

/// The most members a cluster may have.
pub const MEMBERS_MAX: usize = 256;

/// The largest weight of a member.
pub const WEIGHT_MAX: u32 = 1000;

/// Members and shards as of one version. It lies in the store under one key, as JSON; every change is one compare-and-swap of
/// the whole, so no two nodes ever decide against each other, and all nodes that know a version know the same.
///
/// ```
/// use beluga_runtime::cluster::{MemberState, NodeId, View};
///
/// let mut view = View::first(7, NodeId::new("a", 1), 1, 16);
/// view.change(|change| {
///     let number = change.join(NodeId::new("b", 1), 1);
///     change.welcome(number);
///     change.balance(usize::MAX);
/// });
/// assert_eq!((view.version(), view.members().len()), (2, 2));
/// let to_b = (0..16).filter(|shard| view.place(*shard).unwrap().to.is_some()).count();
/// assert!((4..=12).contains(&to_b), "about half of the shards are to move, and stay with a until it lets them go");
/// assert_eq!(View::decode(&view.encode()?)?, view);
/// # Ok::<(), beluga_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The version of this layout.
    layout: u16,
    generation: u64,
    version: u64,
    next_number: u32,
    members: Vec<Member>,
    shards: Vec<Place>,
}

/// The layout this node reads and writes.
const LAYOUT: u16 = 1;

/// A node in the view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Names it in this view; never given twice.
    pub number: u32,
    /// Which life of which node it is.
    pub node: NodeId,
    /// What it does.
    pub state: MemberState,
    /// The version since which its word counts without a break.
    pub since: u64,
    /// How much it takes in comparison with the others.
    pub weight: u32,
    /// The member that hears nothing of it; then its word does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspected_by: Option<u32>,
}

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// It waits until all others hear it.
    Joining,
    /// It serves shards.
    Up,
    /// It hands its shards over and leaves.
    Draining,
}

/// Who has a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u32, u64, u32)", into = "(u32, u64, u32)")]
pub struct Place {
    /// The member that serves it; `None` while there is nobody who could.
    pub owner: Option<u32>,
    /// The version since which it does: the revision of its fencing token.
    pub since: u64,
    /// The member it is to be handed to, as soon as its owner lets it go.
    pub to: Option<u32>,
}

impl From<(u32, u64, u32)> for Place {
    fn from((owner, since, to): (u32, u64, u32)) -> Self {
        let member = |number| (number > 0).then_some(number);
        Self { owner: member(owner), since, to: member(to) }
    }
}

impl From<Place> for (u32, u64, u32) {
    fn from(place: Place) -> Self {
        (place.owner.unwrap_or(0), place.since, place.to.unwrap_or(0))
    }
}

impl Member {
    /// Returns whether its word counts: nobody serves without its consent.
    #[must_use]
    pub fn is_voter(&self) -> bool {
        self.state != MemberState::Joining && self.suspected_by.is_none()
    }

    /// Returns whether shards may be given to it.
    #[must_use]
    pub fn is_heir(&self) -> bool {
        self.state == MemberState::Up && self.suspected_by.is_none()
    }
}

impl View {
    /// Makes the view of a cluster that begins with one node, which has all shards. `generation` rises when the store was
    /// wiped and a cluster begins anew: the calendar time in milliseconds will do.
    #[must_use]
    pub fn first(generation: u64, node: NodeId, weight: u32, shards: u16) -> Self {
        let place = Place { owner: Some(1), since: 1, to: None };
        let member =
            Member { number: 1, node, state: MemberState::Up, since: 1, weight: weight.max(1), suspected_by: None };
        Self {
            layout: LAYOUT,
            generation,
            version: 1,
            next_number: 2,
            members: vec![member],
            shards: vec![place; usize::from(shards.max(1))],
        }
    }

    /// Reads a view.
    ///
    /// # Errors
    /// `decode` for what is none, `unsupported` for a layout of another version.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            layout: u16,
        }
        let broken = |error: serde_json::Error| Error::decode("the cluster's view cannot be read").with_source(error);
        let Head { layout } = serde_json::from_slice(bytes).map_err(broken)?;
        if layout != LAYOUT {
            let error = Error::unsupported("the cluster's view has a layout this version does not know");
            return Err(error.with("layout", layout).with("known", LAYOUT));
        }
        let view: Self = serde_json::from_slice(bytes).map_err(broken)?;
        let is_sound = view.members.len() <= MEMBERS_MAX && !view.shards.is_empty();
        let is_known = |number: Option<u32>| number.is_none_or(|number| view.member(number).is_some());
        if !is_sound || !view.shards.iter().all(|place| is_known(place.owner) && is_known(place.to)) {
            return Err(Error::decode("the cluster's view contradicts itself"));
        }
        Ok(view)
    }

    /// Writes the view.
    ///
    /// # Errors
    /// `internal` if it cannot be written.
    pub fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::internal("the view cannot be written").with_source(error))
    }

    /// Returns which store it lives in.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns its version: it rises by one with each change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Returns the members, the oldest first.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns the number of shards; 1,024 unless its first node said otherwise.
    #[must_use]
    pub fn shards(&self) -> u16 {
        u16::try_from(self.shards.len()).unwrap_or(SHARDS)
    }

    /// Returns who has a shard.
    #[must_use]
    pub fn place(&self, shard: Shard) -> Option<Place> {
        self.shards.get(usize::from(shard)).copied()
    }

    /// Returns the token of whoever has a shard now.
    #[must_use]
    pub fn fence(&self, shard: Shard) -> Option<Fence> {
        self.place(shard).map(|place| Fence { generation: self.generation, revision: place.since })
    }

    /// Returns the member with this number.
    #[must_use]
    pub fn member(&self, number: u32) -> Option<&Member> {
        self.members.iter().find(|member| member.number == number)
    }

    /// Returns the member that is this life of this node.
    #[must_use]
    pub fn find(&self, node: &NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.node == *node)
    }

    /// Returns the member that has this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| &*member.node.name == name)
    }

    /// Returns who has a shard.
    #[must_use]
    pub fn owner(&self, shard: Shard) -> Option<&Member> {
        self.member(self.place(shard)?.owner?)
    }

    /// Returns the shards a member has.
    pub fn owned(&self, number: u32) -> impl Iterator<Item = (Shard, Place)> + '_ {
        let places = self.shards.iter().enumerate().filter(move |(_, place)| place.owner == Some(number));
        places.map(|(shard, place)| (u16::try_from(shard).unwrap_or_default(), *place))
    }

    /// Changes the view, and gives it the next version if anything changed. Returns whether it did.
    pub fn change(&mut self, make: impl FnOnce(&mut Change<'_>)) -> bool {
        let version = self.version + 1;
        let mut change = Change { view: self, version, is_changed: false };
        make(&mut change);
        let is_changed = change.is_changed;
        if is_changed {
            self.version = version;
        }
        is_changed
    }

    fn best(&self, shard: Shard) -> Option<u32> {
        let heirs = self.members.iter().filter(|member| member.is_heir());
        let of = |member: &Member| affinity(shard, &member.node.name, member.weight);
        heirs.max_by(|one, other| of(one).total_cmp(&of(other))).map(|member| member.number)
    }
}

/// Changes that belong to one version.
#[derive(Debug)]
pub struct Change<'a> {
    view: &'a mut View,
    version: u64,
    is_changed: bool,
}

impl Change<'_> {
    /// Returns the view as changed so far.
    #[must_use]
    pub fn view(&self) -> &View {
        self.view
    }

    /// Lets a node in; it serves nothing and has no say yet. Returns its number. A name that is taken, and a node beyond
    /// [`MEMBERS_MAX`], change nothing and get 0.
    pub fn join(&mut self, node: NodeId, weight: u32) -> u32 {
        if self.view.members.len() >= MEMBERS_MAX || self.view.named(&node.name).is_some() {
            return 0;
        }
        let number = self.view.next_number;
        self.view.next_number += 1;
        let weight = weight.clamp(1, WEIGHT_MAX);
        let (state, since) = (MemberState::Joining, self.version);
        self.view.members.push(Member { number, node, state, since, weight, suspected_by: None });
        self.is_changed = true;
        number
    }

    /// Lets a joining member serve and have its say; shards nobody has become those of whom they belong with.
    pub fn welcome(&mut self, number: u32) {
        let version = self.version;
        let is_joining = |member: &&mut Member| member.number == number && member.state == MemberState::Joining;
        let Some(member) = self.view.members.iter_mut().find(is_joining) else { return };
        (member.state, member.since) = (MemberState::Up, version);
        self.is_changed = true;
        self.settle();
    }

    /// Notes that `by` hears nothing of a member, whose word does not count from now on.
    pub fn suspect(&mut self, number: u32, by: u32) {
        if let Some(member) = self.view.members.iter_mut().find(|member| member.number == number && member.is_voter()) {
            member.suspected_by = Some(by);
            self.is_changed = true;
        }
    }

    /// Lets the word of a suspected member count again.
    pub fn trust(&mut self, number: u32) {
        let version = self.version;
        let suspected =
            self.view.members.iter_mut().find(|member| member.number == number && member.suspected_by.is_some());
        if let Some(member) = suspected {
            (member.suspected_by, member.since) = (None, version);
            self.is_changed = true;
            self.settle();
        }
    }

    /// Takes a member out; its shards become those of whom they belong with.
    pub fn remove(&mut self, number: u32) {
        let before = self.view.members.len();
        self.view.members.retain(|member| member.number != number);
        if self.view.members.len() == before {
            return;
        }
        self.is_changed = true;
        for place in &mut self.view.shards {
            place.to = place.to.filter(|to| *to != number);
            place.owner = place.owner.filter(|owner| *owner != number);
        }
        self.settle();
    }

    /// Lets a member hand over what it has and leave.
    pub fn drain(&mut self, number: u32) {
        let is_up = |member: &&mut Member| member.number == number && member.state == MemberState::Up;
        if let Some(member) = self.view.members.iter_mut().find(is_up) {
            member.state = MemberState::Draining;
            self.is_changed = true;
        }
    }

    /// Hands a shard over that its owner has let go. Without its heir it stays where it is.
    pub fn hand_over(&mut self, shard: Shard, from: u32) {
        let Some(place) = self.view.place(shard).filter(|place| place.owner == Some(from)) else { return };
        let Some(to) = place.to else { return };
        let is_heir = self.view.member(to).is_some_and(Member::is_heir);
        let place = match is_heir {
            true => Place { owner: Some(to), since: self.version, to: None },
            false => Place { to: None, ..place },
        };
        self.set(shard, place);
    }

    /// Says which shards are to move: to whom they belong with, at most so many at once, and all off those that leave. Moves
    /// to members that are no heirs any more are given up.
    pub fn balance(&mut self, moving_max: usize) {
        let places: Vec<Place> = self.view.shards.clone();
        let heir = |view: &View, number| view.member(number).is_some_and(Member::is_heir);
        let mut moving = 0;
        for (shard, place) in (0..).zip(&places) {
            match place.to {
                Some(to) if heir(self.view, to) => moving += 1,
                Some(_) => self.set(shard, Place { to: None, ..*place }),
                None => {}
            }
        }
        for (shard, place) in (0..).zip(places) {
            // A suspected owner lets nothing go.
            let owner = place.owner.and_then(|owner| self.view.member(owner)).filter(|owner| owner.is_voter());
            let Some(owner) = owner.filter(|_| place.to.is_none()) else { continue };
            let is_leaving = owner.state == MemberState::Draining;
            if moving >= moving_max && !is_leaving {
                continue;
            }
            let best = self.view.best(shard);
            if best.is_some() && best != place.owner {
                self.set(shard, Place { to: best, ..place });
                moving += usize::from(!is_leaving);
            }
        }
    }

    /// Gives shards nobody has to whom they belong with.
    fn settle(&mut self) {
        for shard in 0..self.view.shards() {
            if self.view.place(shard).is_some_and(|place| place.owner.is_none())
                && let Some(owner) = self.view.best(shard)
            {
                self.set(shard, Place { owner: Some(owner), since: self.version, to: None });
            }
        }
    }

    fn set(&mut self, shard: Shard, place: Place) {
        if let Some(slot) = self.view.shards.get_mut(usize::from(shard))
            && *slot != place
        {
            *slot = place;
            self.is_changed = true;
        }
    }
}

/// A view and the revision of the key it was read with.
#[derive(Debug, Clone)]
pub struct Known {
    /// The view.
    pub view: Arc<View>,
    /// What a compare-and-swap of it expects.
    pub revision: u64,
}
