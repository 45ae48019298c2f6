//! A world of its own: nodes, a network and a store in one thread, without a clock, drawn from a seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use beluga_runtime::cluster::{
    Action, Heartbeat, Known, Membership, NodeId, RecordRead, Shard, Standing, Swap, Timing, View,
};
use beluga_runtime::wire::frame::Fence;
use beluga_runtime::{SystemRandom, time};

/// How many shards the world's cluster has: enough for each node to have some, few enough for thousands of seeds.
pub(crate) const SHARDS: u16 = 12;

/// How often a node's driver ticks.
const TICK: Duration = Duration::from_millis(40);

/// After which time a driver gives up on the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);

/// One thing that happens.
#[derive(Debug, Clone)]
enum Event {
    Tick,
    Hear(Arc<Heartbeat>),
    Answer(Answer),
    LetGo(Shard),
    Start,
}

/// What a store said.
#[derive(Debug, Clone)]
enum Answer {
    Read(Result<Option<Known>, ()>),
    Written(Swap),
    Renewed(Swap),
    Record(NodeId, Result<Option<RecordRead>, ()>),
    Revoked(NodeId, Swap),
}

/// An event of one life of a node, or of the store.
#[derive(Debug)]
struct Entry {
    at: Duration,
    order: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Of { node: usize, epoch: u64, event: Event },
    Arrive(Request),
}

/// A request on its way to the store.
#[derive(Debug)]
struct Request {
    node: usize,
    epoch: u64,
    action: Action,
    /// Whether the node has been told already that nobody knows.
    is_unknown: bool,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// One machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) life: Option<Membership>,
    epoch: u64,
    paused_until: Duration,
    /// How much faster than the world its clock runs, in parts per thousand.
    drift: i32,
    /// What was last checked: the view's version, and whether it has consent.
    checked: (u64, bool),
    /// Shards whose calls are being ended.
    ending: HashSet<Shard>,
}

/// How bad the network and the store are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// Of a hundred heartbeats, how many are lost.
    pub(crate) loss: u64,
    /// Of a hundred heartbeats, how many are late by up to three seconds.
    pub(crate) late: u64,
    /// Of a hundred requests to the store, how many have an outcome nobody knows.
    pub(crate) unknown: u64,
    /// Of a hundred reads, how many are stale.
    pub(crate) stale: u64,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Duration,
    origin: Instant,
    random: SystemRandom,
    timing: Timing,
    queue: BinaryHeap<Reverse<Entry>>,
    order: u64,
    pub(crate) machines: Vec<Machine>,
    pub(crate) weather: Weather,
    /// Pairs of which the second hears nothing of the first, and until when.
    cuts: HashMap<(usize, usize), Duration>,
    store_away_until: Duration,
    revision: u64,
    views: Vec<Known>,
    records: BTreeMap<NodeId, Vec<RecordRead>>,
    /// The highest token of each shard, and who served under it.
    highest: Vec<Option<(Fence, NodeId)>>,
}

impl World {
    pub(crate) fn new(seed: u64, machines: usize) -> Self {
        let random = SystemRandom::seeded(seed);
        let mut world = Self {
            now: Duration::ZERO,
            origin: time::now(),
            timing: Timing::default(),
            queue: BinaryHeap::new(),
            order: 0,
            machines: Vec::new(),
            weather: Weather::default(),
            cuts: HashMap::new(),
            store_away_until: Duration::ZERO,
            revision: 0,
            views: Vec::new(),
            records: BTreeMap::new(),
            highest: vec![None; usize::from(SHARDS)],
            random,
        };
        for node in 0..machines {
            let drift = i32::try_from(world.random.below(41)).unwrap() - 20;
            let checked = (0, false);
            let ending = HashSet::new();
            world.machines.push(Machine { life: None, epoch: 0, paused_until: Duration::ZERO, drift, checked, ending });
            let at = world.up_to(500);
            world.start_in(node, at);
        }
        world
    }

    /// Draws a number below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    /// Draws a time of up to so many milliseconds.
    pub(crate) fn up_to(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.below(millis + 1))
    }

    fn happens(&mut self, of_hundred: u64) -> bool {
        self.below(100) < of_hundred
    }

    fn push(&mut self, at: Duration, what: What) {
        self.order += 1;
        self.queue.push(Reverse(Entry { at, order: self.order, what }));
    }

    fn of(&mut self, at: Duration, node: usize, event: Event) {
        let epoch = self.machines[node].epoch;
        self.push(at, What::Of { node, epoch, event });
    }

    /// Returns what a machine's own clock shows.
    fn clock(&self, node: usize) -> Instant {
        let parts = u32::try_from(1000 + self.machines[node].drift).unwrap();
        self.origin + self.now * parts / 1000
    }

    /// Starts a new life of a machine, some time from now.
    pub(crate) fn start_in(&mut self, node: usize, wait: Duration) {
        self.machines[node].epoch += 1;
        self.of(self.now + wait, node, Event::Start);
    }

    /// Ends a life at once.
    pub(crate) fn crash(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        (machine.life, machine.checked) = (None, (0, false));
        machine.paused_until = Duration::ZERO;
    }

    /// Stops a machine for a while; what comes for it waits.
    pub(crate) fn pause(&mut self, node: usize, time: Duration) {
        self.machines[node].paused_until = self.now + time;
    }

    /// Lets one machine hear nothing of another for a while.
    pub(crate) fn cut(&mut self, from: usize, to: usize, time: Duration) {
        self.cuts.insert((from, to), self.now + time);
    }

    /// Takes the store away for a while.
    pub(crate) fn take_store(&mut self, time: Duration) {
        self.store_away_until = self.now + time;
    }

    /// Ends all that was bad but what is dead.
    pub(crate) fn heal(&mut self) {
        self.weather = Weather::default();
        self.cuts.clear();
        self.store_away_until = self.now;
        for machine in &mut self.machines {
            machine.paused_until = machine.paused_until.min(self.now);
        }
    }

    /// Lets the world go on for a while.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.queue.peek().is_some_and(|Reverse(entry)| entry.at <= end) {
            let Some(Reverse(entry)) = self.queue.pop() else { break };
            self.now = entry.at;
            match entry.what {
                What::Arrive(request) => self.arrive(request),
                What::Of { node, epoch, event } if epoch == self.machines[node].epoch => self.happen(node, event),
                What::Of { .. } => {}
            }
        }
        self.now = end;
    }

    fn happen(&mut self, node: usize, event: Event) {
        let (paused_until, now) = (self.machines[node].paused_until, self.now);
        if now < paused_until {
            return self.of(paused_until, node, event);
        }
        if let Event::Start = event {
            let me = NodeId::new(format!("n{node}"), self.machines[node].epoch);
            self.machines[node].life = Some(Membership::new(me, 1, SHARDS, self.timing));
            self.machines[node].ending.clear();
            return self.of(now, node, Event::Tick);
        }
        let clock = self.clock(node);
        let Some(life) = &mut self.machines[node].life else { return };
        let mut actions = Vec::new();
        match event {
            Event::Tick => {
                actions.extend(life.tick(clock));
                self.of(now + TICK, node, Event::Tick);
            }
            Event::Hear(beat) => life.heard(&beat, clock),
            Event::LetGo(shard) => {
                life.let_go(shard);
                self.machines[node].ending.remove(&shard);
            }
            Event::Answer(answer) => {
                let generation = u64::try_from(now.as_millis()).unwrap() + 1;
                let next = match answer {
                    Answer::Read(read) => life.read(read, generation, clock),
                    Answer::Written(outcome) => {
                        life.written(outcome, clock);
                        None
                    }
                    Answer::Renewed(outcome) => {
                        life.renewed(outcome);
                        None
                    }
                    Answer::Record(node, read) => life.record_read(&node, read, clock),
                    Answer::Revoked(node, outcome) => {
                        life.revoked(&node, outcome);
                        None
                    }
                };
                actions.extend(next);
                actions.extend(life.tick(clock));
            }
            Event::Start => {}
        }
        for action in actions {
            self.act(node, action);
        }
        self.check(node);
        let Some(life) = &self.machines[node].life else { return };
        let (standing, leaving) = (life.standing(), life.leaving());
        for shard in leaving {
            if self.machines[node].ending.insert(shard) {
                let wait = self.up_to(300);
                self.of(now + wait, node, Event::LetGo(shard));
            }
        }
        if matches!(standing, Standing::Out | Standing::Left) {
            // A new life, as the driver begins one.
            self.crash(node);
            let wait = self.up_to(200);
            self.start_in(node, wait);
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        let Action::Beat(beat) = action else {
            let wait = Duration::from_millis(1) + self.up_to(15);
            let epoch = self.machines[node].epoch;
            return self.push(self.now + wait, What::Arrive(Request { node, epoch, action, is_unknown: false }));
        };
        let beat = Arc::new(beat);
        for other in (0..self.machines.len()).filter(|other| *other != node) {
            let is_cut = self.cuts.get(&(node, other)).is_some_and(|until| self.now < *until);
            if is_cut || self.happens(self.weather.loss) {
                continue;
            }
            let wait = if self.happens(self.weather.late) { self.up_to(3000) } else { self.up_to(20) };
            self.of(self.now + wait, other, Event::Hear(Arc::clone(&beat)));
            if self.happens(1) {
                let wait = self.up_to(1000);
                self.of(self.now + wait, other, Event::Hear(Arc::clone(&beat)));
            }
        }
    }

    /// A request arrives at the store.
    fn arrive(&mut self, mut request: Request) {
        let is_away = self.now < self.store_away_until;
        if !request.is_unknown && (is_away || self.happens(self.weather.unknown)) {
            // The node is told that nobody knows; half of such swaps happen all the same, some of them late.
            let answer = match &request.action {
                Action::Read => Answer::Read(Err(())),
                Action::Write { .. } => Answer::Written(Swap::Unknown),
                Action::Renew { .. } => Answer::Renewed(Swap::Unknown),
                Action::ReadRecord(node) => Answer::Record(node.clone(), Err(())),
                Action::Revoke { node, .. } => Answer::Revoked(node.clone(), Swap::Unknown),
                Action::Beat(_) => return,
            };
            self.answer(&request, answer, STORE_TIMEOUT);
            if self.happens(50) {
                request.is_unknown = true;
                let wait = if self.happens(50) { Duration::ZERO } else { self.up_to(4000) };
                let at = self.store_away_until.max(self.now) + wait;
                self.push(at, What::Arrive(request));
            }
            return;
        }
        if is_away {
            return;
        }
        let is_unknown = request.is_unknown;
        let answer = self.apply(&request);
        if !is_unknown {
            let wait = self.up_to(15);
            self.answer(&request, answer, wait);
        }
    }

    fn answer(&mut self, request: &Request, answer: Answer, wait: Duration) {
        let (node, epoch, event) = (request.node, request.epoch, Event::Answer(answer));
        self.push(self.now + wait, What::Of { node, epoch, event });
    }

    fn apply(&mut self, request: &Request) -> Answer {
        let lag = if self.happens(self.weather.stale) { usize::try_from(self.below(3)).unwrap() } else { 0 };
        match &request.action {
            Action::Beat(_) => unreachable!("no request"),
            Action::Read => {
                let at = self.views.len().checked_sub(1 + lag);
                Answer::Read(Ok(at.and_then(|at| self.views.get(at)).cloned()))
            }
            Action::Write { revision, view } => {
                let have = self.views.last().map(|known| known.revision);
                if have != *revision {
                    return Answer::Written(Swap::Conflict);
                }
                self.revision += 1;
                let view = View::decode(&view.encode().unwrap()).unwrap();
                self.views.push(Known { view: Arc::new(view), revision: self.revision });
                Answer::Written(Swap::Written(self.revision))
            }
            Action::ReadRecord(node) => {
                let versions = self.records.get(node).map(Vec::as_slice).unwrap_or_default();
                let at = versions.len().checked_sub(1 + lag);
                let read = at.and_then(|at| versions.get(at)).copied();
                Answer::Record(node.clone(), Ok(read))
            }
            Action::Renew { revision } => {
                let node = NodeId::new(format!("n{}", request.node), request.epoch);
                Answer::Renewed(self.swap_record(&node, *revision, true))
            }
            Action::Revoke { node, revision } => {
                let outcome = self.swap_record(node, *revision, false);
                Answer::Revoked(node.clone(), outcome)
            }
        }
    }

    fn swap_record(&mut self, node: &NodeId, revision: Option<u64>, is_held: bool) -> Swap {
        let versions = self.records.entry(node.clone()).or_default();
        if versions.last().map(|read| read.revision) != revision {
            return Swap::Conflict;
        }
        self.revision += 1;
        versions.push(RecordRead { revision: self.revision, is_held });
        Swap::Written(self.revision)
    }

    /// Checks that what a node may do now, no other may.
    fn check(&mut self, node: usize) {
        let clock = self.clock(node);
        let Some(life) = &self.machines[node].life else { return };
        let version = life.view().map_or(0, |view| view.version());
        let state = (version, life.has_consent(clock));
        if self.machines[node].checked == state {
            return;
        }
        let serves: Vec<_> = (0..SHARDS).filter_map(|shard| Some((shard, life.serves(shard, clock)?))).collect();
        let me = life.me().clone();
        self.machines[node].checked = state;
        for (shard, fence) in serves {
            for other in (0..self.machines.len()).filter(|other| *other != node) {
                let clock = self.clock(other);
                let Some(life) = self.machines[other].life.as_ref() else { continue };
                let theirs = life.view().and_then(|view| view.fence(shard));
                let holds = theirs.is_some_and(|fence| life.holds(shard, fence, clock));
                // A paused machine does nothing, and looks at its clock when it goes on.
                let is_paused = self.now < self.machines[other].paused_until;
                assert!(
                    !holds || is_paused,
                    "{:?}: {me} and {} serve shard {shard}\n{:?}\n{life:?}",
                    self.now,
                    life.me(),
                    self.machines[node].life,
                );
            }
            let highest = &mut self.highest[usize::from(shard)];
            if let Some((had, who)) = highest {
                assert!(
                    fence > *had || (fence == *had && *who == me),
                    "{shard}: {me} has {fence:?}, {who} had {had:?}"
                );
            }
            *highest = Some((fence, me.clone()));
        }
    }

    /// Returns who serves a shard now.
    pub(crate) fn server(&self, shard: Shard) -> Option<usize> {
        (0..self.machines.len()).find(|node| {
            let is_paused = self.now < self.machines[*node].paused_until;
            let life = self.machines[*node].life.as_ref().filter(|_| !is_paused);
            life.is_some_and(|life| life.serves(shard, self.clock(*node)).is_some())
        })
    }

    /// Returns how many shards nobody serves now.
    pub(crate) fn unserved(&self) -> usize {
        (0..SHARDS).filter(|shard| self.server(*shard).is_none()).count()
    }

    /// Returns the newest view in the store.
    pub(crate) fn view(&self) -> Option<&Arc<View>> {
        self.views.last().map(|known| &known.view)
    }

    /// Lets the world go on until nothing is unserved; how long that took, if it was less than the limit.
    pub(crate) fn until_served(&mut self, limit: Duration) -> Option<Duration> {
        let began = self.now;
        while self.unserved() > 0 {
            if self.now - began > limit {
                return None;
            }
            self.run(Duration::from_millis(20));
        }
        Some(self.now - began)
    }
}
