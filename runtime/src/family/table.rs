//! Which keys of a family are active, and who may become so.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use beluga_core::{Error, ErrorRecord, Result};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::place::{Hold, Place, Places, State};
use super::resting::{Among, Found, LOOKS_MAX, Resting};
use super::seat::{Rest, Seat};
use super::waiting::{Outcome, Waiting};
use super::{Activation, Activator, FamilyOptions};
use crate::ground::Ground;
use crate::mailbox::Signal;
use crate::protocol::Protocol;
use crate::slot::Slot;
use crate::system::{System, spawn_seated};
use crate::{task, time};

/// How many idle actors are asked to leave for one newcomer before it is refused. Asking one again makes no sense: who
/// stays works, or is asked no more until it has worked.
const ASKED_MAX: usize = 1024;
/// How many of those may take longer than [`EVICTION_WAIT`].
const SLOW_MAX: usize = 4;
/// How often each actor may be looked at for one newcomer. Looked at again, it has worked since.
const LOOKS_PER_ACTOR_MAX: usize = 4;
/// How long an actor that was asked to leave may take to say goodbye.
pub(super) const EVICTION_WAIT: Duration = Duration::from_secs(1);

pub(crate) struct Table {
    ground: Arc<Ground>,
    options: Mutex<FamilyOptions>,
    places: Places,
    /// How many keys are active or being activated.
    present: AtomicUsize,
    /// How many actors there are, or are about to be; at most `max_active`, unless that was lowered.
    taken: AtomicUsize,
    pub(super) resting: Mutex<Resting>,
    /// Whether the sweeper was started.
    pub(super) is_watched: AtomicBool,
    /// Wakes the sweeper.
    pub(super) tick: Arc<Notify>,
}

/// What a caller that found no open mailbox does next.
enum Turn {
    Use(Arc<Slot>),
    WaitFor(Arc<Waiting>),
    /// The old activation is ending; the name is free once it is gone.
    WaitForEnd(Arc<Slot>),
    Start(Arc<Waiting>),
}

/// The right to one more actor; given back when it drops.
pub(super) struct Room(Weak<Table>);

/// Where room for a newcomer may come from.
enum Search {
    /// This actor was asked to leave its room: tell it, unless it was told before.
    Claimed {
        id: u64,
        tell: Option<Arc<Slot>>,
        claim: oneshot::Receiver<Room>,
    },
    Nobody,
    More,
}

impl Table {
    pub(super) fn new(system: &System, kind: &'static str, options: FamilyOptions) -> Arc<Self> {
        Arc::new(Self {
            ground: Arc::clone(system.ground()),
            options: Mutex::new(options.checked()),
            places: Places::new(kind),
            present: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            resting: Mutex::default(),
            is_watched: AtomicBool::new(false),
            tick: Arc::default(),
        })
    }

    pub(super) fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    pub(super) fn options(&self) -> FamilyOptions {
        *self.options.lock()
    }

    pub(super) fn set_options(&self, options: FamilyOptions) {
        *self.options.lock() = options.checked();
        self.tick.notify_one();
    }

    pub(super) fn present(&self) -> usize {
        self.present.load(Ordering::Relaxed)
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// Returns the slot of a key, starting it or waiting for whoever does.
    pub(super) async fn activate<P: Protocol>(hold: Hold, activator: Arc<dyn Activator<P>>) -> Result<Arc<Slot>> {
        loop {
            match hold.table.turn(&hold.place) {
                Turn::Use(slot) => return Ok(slot),
                Turn::WaitFor(waiting) => return waiting.outcome().await,
                Turn::WaitForEnd(slot) => {
                    slot.wait_gone().await;
                    // The word that it is gone may be a step ahead of what its seat does about it.
                    if let Some(seat) = &slot.seat {
                        seat.vacate(&slot);
                    }
                }
                Turn::Start(waiting) => {
                    drop(task::spawn("activate", start(hold, activator, Arc::clone(&waiting))));
                    return waiting.outcome().await;
                }
            }
        }
    }

    fn turn(&self, place: &Place) -> Turn {
        place.change(|state| match state {
            State::Active(slot) if !slot.mailbox.is_closed() => Turn::Use(Arc::clone(slot)),
            State::Active(slot) | State::Leaving(slot) => Turn::WaitForEnd(Arc::clone(slot)),
            State::Activating(waiting) => Turn::WaitFor(Arc::clone(waiting)),
            State::Vacant => {
                let waiting = Arc::new(Waiting::default());
                *state = State::Activating(Arc::clone(&waiting));
                self.present.fetch_add(1, Ordering::Relaxed);
                Turn::Start(waiting)
            }
        })
    }

    /// Writes the outcome of an activation into its place and wakes those who wait.
    fn settle(&self, place: &Arc<Place>, waiting: &Waiting, outcome: Outcome) {
        let state = match &outcome {
            Ok(slot) => State::Active(Arc::clone(slot)),
            Err(_) => State::Vacant,
        };
        place.change(|current| *current = state);
        match &outcome {
            Ok(slot) => {
                // One that ended before it had its place was not the place's to empty.
                if let Some(seat) = slot.seat.as_ref().filter(|_| slot.is_gone()) {
                    seat.vacate(slot);
                }
            }
            Err(_) => self.left(place),
        }
        waiting.settle(outcome);
    }

    fn left(&self, place: &Arc<Place>) {
        self.present.fetch_sub(1, Ordering::Relaxed);
        self.places.release(place);
    }

    /// An actor rests, or stays although it was asked to leave.
    pub(super) fn enter(&self, slot: &Arc<Slot>, rest: Rest) {
        let options = self.options();
        let due_ns = rest.since_ns.saturating_add(nanos(options.idle_after));
        let mut resting = self.resting.lock();
        let refused = resting.enter(slot, rest);
        let is_first = due_ns < resting.next_look_ns;
        drop(resting);
        // Outside the lock: this wakes who waited for the room.
        drop(refused);
        if is_first || self.taken() > options.max_active {
            self.tick.notify_one();
        }
    }

    /// An actor is gone for good. Its room goes to whoever claimed it, if anybody still waits.
    pub(super) fn vacate(&self, slot: &Slot, place: &Arc<Place>, room: Option<Room>) {
        let heir = self.resting.lock().forget(slot);
        if place.empty(slot) {
            self.left(place);
        }
        match (heir, room) {
            // Who waits no longer gives the room back by dropping it.
            (Some(heir), Some(room)) => drop(heir.send(room)),
            (_, room) => drop(room),
        }
    }

    /// Returns room for one more actor; if there is none, that of the actor that has been idle for longest.
    async fn room(self: &Arc<Self>) -> Result<Room> {
        let (mut asked, mut slow) = (0, 0);
        let mut looks = LOOKS_MAX + LOOKS_PER_ACTOR_MAX * self.taken();
        while asked < ASKED_MAX && slow < SLOW_MAX && looks > 0 {
            if let Some(room) = self.free_room() {
                return Ok(room);
            }
            let (id, tell, claim) = match self.search() {
                Search::Claimed { id, tell, claim } => (id, tell, claim),
                Search::More => {
                    looks = looks.saturating_sub(LOOKS_MAX);
                    tokio::task::yield_now().await;
                    continue;
                }
                Search::Nobody => break,
            };
            if let Some(slot) = tell {
                slot.mailbox.signal(Signal::Passivate);
            }
            asked += 1;
            match time::timeout(EVICTION_WAIT, claim).await {
                Ok(Ok(room)) => return Ok(room),
                Ok(Err(_stays)) => {}
                Err(_) => {
                    self.resting.lock().give_up(id);
                    slow += 1;
                }
            }
        }
        Err(Error::overloaded("every active actor of the family is busy").with("max_active", self.options().max_active))
    }

    fn free_room(self: &Arc<Self>) -> Option<Room> {
        let max_active = self.options().max_active;
        let more = |taken| (taken < max_active).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, more).ok()?;
        Some(Room(Arc::downgrade(self)))
    }

    fn search(&self) -> Search {
        let now_ns = self.ground.clock.read();
        let has_too_many = self.taken() > self.options().max_active;
        let mut resting = self.resting.lock();
        match resting.ask_first(Among::Willing, u64::MAX, now_ns) {
            Found::One(slot) => {
                let id = slot.id();
                Search::Claimed { id, tell: Some(slot), claim: resting.claim(id) }
            }
            Found::More => Search::More,
            // While there are too many, who leaves does so for the cap.
            Found::Nobody => match resting.any_unclaimed().filter(|_| !has_too_many) {
                Some(id) => Search::Claimed { id, tell: None, claim: resting.claim(id) },
                None => Search::Nobody,
            },
        }
    }
}

/// Returns a duration in nanoseconds; one of centuries is one of 584 years.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Activates a key in a task of its own, so that no caller can break it off.
async fn start<P: Protocol>(hold: Hold, activator: Arc<dyn Activator<P>>, waiting: Arc<Waiting>) {
    let mut unstarted = Unstarted { hold, waiting, outcome: None };
    let outcome = build(&unstarted.hold, activator).await;
    let key = unstarted.hold.place.key();
    unstarted.outcome = Some(outcome.map_err(|error| Arc::new(ErrorRecord::from(&error.with("key", key)))));
}

async fn build<P: Protocol>(Hold { table, place }: &Hold, activator: Arc<dyn Activator<P>>) -> Result<Arc<Slot>> {
    let room = match table.free_room() {
        Some(room) => room,
        None => Box::pin(table.room()).await?,
    };
    table.watch();
    let Activation { supervisor, spec } = activator.activate(place.key()).await?;
    let seat = Seat::new(table, place, room);
    spawn_seated(&supervisor.0, spec, seat).await
}

/// Settles an activation however it ends: a panic or an abort of its task must not leave callers waiting.
struct Unstarted {
    hold: Hold,
    waiting: Arc<Waiting>,
    outcome: Option<Outcome>,
}

impl Drop for Unstarted {
    fn drop(&mut self) {
        let Hold { table, place } = &self.hold;
        let outcome = self.outcome.take().unwrap_or_else(|| {
            let error = Error::internal("the activation panicked or was dropped").with("key", place.key());
            Err(Arc::new(ErrorRecord::from(&error)))
        });
        table.settle(place, &self.waiting, outcome);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(table) = self.0.upgrade() {
            table.taken.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.tick.notify_one();
    }
}
