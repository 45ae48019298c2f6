//! What each thread is polling, so that another one can see whether it goes on.
//!
//! A thread takes a seat in each system it works for, a cache line of its own, and writes it with plain stores when a
//! poll begins and when it ends: no clock, no lock, nothing per message. Whoever samples brings the clock, and marks
//! the poll it sees; the next poll overwrites the mark, so a mark that is still there proves that the poll is the
//! same. The seat is free again when the thread ends.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::clock::Clock;
use crate::ground::IN_JOB;

/// How many threads of one system are watched beyond two for each worker of its runtime: workers are replaced while
/// they block in place, and any thread may poll. Those that find no seat are not watched.
pub(crate) const SPARE_SEATS: usize = 64;

/// The threads that work for one system.
pub(crate) struct Beats {
    seats: Box<[Beat]>,
    /// Who sits there, and what was seen of it last. As long as `seats`.
    threads: Mutex<Box<[Option<Watched>]>>,
}

/// What one thread is doing: the actor whose code is being polled, with the marks of a job and of a sample; 0 between
/// two polls. Written by this thread; a sample only adds its mark.
#[repr(align(128))]
#[derive(Default)]
pub(crate) struct Beat(AtomicU64);

/// Marks a poll that a sample has seen.
const SEEN: u64 = 1 << 62;

/// A thread on its seat.
struct Watched {
    /// Its name and its number.
    thread: Arc<str>,
    /// Its number, which no other thread of the process has ever had.
    number: u64,
    /// When its poll was seen first, on the system's clock; 0 for not at all.
    since_ns: u64,
}

/// A thread that has been in one poll for too long.
pub(super) struct Blocked {
    pub(super) thread: Arc<str>,
    /// The actor whose code it polls.
    pub(super) actor: u64,
    pub(super) is_job: bool,
    /// For how long it was seen in this poll, at least.
    pub(super) age: Duration,
    /// The thread, and since when: no other poll has both.
    pub(super) key: (u64, u64),
}

impl Beats {
    pub(crate) fn new() -> Arc<Self> {
        let workers = Handle::try_current().map_or(0, |runtime| runtime.metrics().num_workers());
        let seats = SPARE_SEATS + 2 * workers;
        Arc::new(Self {
            seats: std::iter::repeat_with(Beat::default).take(seats).collect(),
            threads: Mutex::new(std::iter::repeat_with(|| None).take(seats).collect()),
        })
    }

    /// Notes that this thread begins to poll the code of an actor. Whoever gets the beat notes the end of the poll.
    #[inline]
    pub(crate) fn begin(self: &Arc<Self>, current: u64) -> Option<&Beat> {
        let own = OWN.get();
        let seat = if own.of == self.address() { own.seat } else { self.turn_to() };
        let beat = self.seats.get(seat)?;
        beat.0.store(current, Ordering::Relaxed);
        Some(beat)
    }

    /// Looks at all threads, and returns those that have been seen in one poll for at least `limit`, the oldest first.
    pub(super) fn sample(&self, clock: &Clock, limit: Duration) -> Vec<Blocked> {
        let mut threads = self.threads.lock();
        let before_ns = clock.read();
        let mut blocked = Vec::new();
        let seated = self.seats.iter().zip(threads.iter_mut());
        for (beat, watched) in seated.filter_map(|(beat, watched)| Some((beat, watched.as_mut()?))) {
            let current = beat.0.load(Ordering::Relaxed);
            if current & SEEN == 0 {
                watched.since_ns = 0;
                if current != 0 {
                    // In vain if the poll ends meanwhile: then the next sample marks the next one.
                    let _ = beat.0.compare_exchange(current, current | SEEN, Ordering::Relaxed, Ordering::Relaxed);
                }
                continue;
            }
            let age = Duration::from_nanos(before_ns.saturating_sub(watched.since_ns));
            if age >= limit {
                let (actor, is_job) = (current & !(IN_JOB | SEEN), current & IN_JOB != 0);
                let (thread, key) = (Arc::clone(&watched.thread), (watched.number, watched.since_ns));
                blocked.push(Blocked { thread, actor, is_job, age, key });
            }
        }
        // Read after the marks: a poll that is marked has lasted at least since then.
        let after_ns = clock.read();
        for watched in threads.iter_mut().flatten().filter(|watched| watched.since_ns == 0) {
            watched.since_ns = after_ns;
        }
        blocked.sort_by_key(|blocked| std::cmp::Reverse(blocked.age));
        blocked
    }

    /// What tells it from other systems, as long as somebody holds it at least weakly.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Gives this thread its seat, and makes it the one that is found at once.
    #[cold]
    fn turn_to(self: &Arc<Self>) -> usize {
        // Refused while the thread ends, when nobody asks any more what it does.
        let taken = TAKEN.try_with(|taken| taken.borrow_mut().in_system(self));
        let seat = taken.unwrap_or(UNWATCHED);
        if taken.is_ok() {
            OWN.set(Own { of: self.address(), seat });
        }
        seat
    }

    /// Takes a free seat for this thread.
    fn take_seat(&self) -> usize {
        let mut threads = self.threads.lock();
        let Some((seat, free)) = threads.iter_mut().enumerate().find(|(_, watched)| watched.is_none()) else {
            return UNWATCHED;
        };
        let thread = thread::current();
        let digits: String = format!("{:?}", thread.id()).chars().filter(char::is_ascii_digit).collect();
        *free = Some(Watched {
            thread: Arc::from(format!("{}#{digits}", thread.name().unwrap_or("thread"))),
            number: digits.parse().unwrap_or(0),
            since_ns: 0,
        });
        seat
    }

    fn leave_seat(&self, seat: usize) {
        if let (Some(beat), Some(watched)) = (self.seats.get(seat), self.threads.lock().get_mut(seat)) {
            beat.end();
            *watched = None;
        }
    }
}

impl Beat {
    /// Notes that the poll is over. A poll inside a poll ends the watch of the outer one.
    #[inline]
    pub(crate) fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl fmt::Debug for Beats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Beats").field("seats", &self.seats.len()).finish_non_exhaustive()
    }
}

/// The seat of a thread that has none.
const UNWATCHED: usize = usize::MAX;

thread_local! {
    /// Without a destructor, so that a poll reads it as it reads a variable.
    static OWN: Cell<Own> = const { Cell::new(Own { of: 0, seat: UNWATCHED }) };
    static TAKEN: RefCell<Taken> = const { RefCell::new(Taken(Vec::new())) };
}

/// The seat of this thread in the system it worked for last.
#[derive(Clone, Copy)]
struct Own {
    /// The address of the system's beats. [`TAKEN`] holds them weakly, so no other system can have it meanwhile.
    of: usize,
    seat: usize,
}

/// All seats of this thread; bounded by the systems of the process.
struct Taken(Vec<(Weak<Beats>, usize)>);

impl Taken {
    /// Returns the seat in a system. What is held of systems that are gone is dropped: [`OWN`] names another one then.
    fn in_system(&mut self, beats: &Arc<Beats>) -> usize {
        if let Some((_, seat)) = self.0.iter().find(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(beats))) {
            return *seat;
        }
        self.0.retain(|(of, _)| of.strong_count() > 0);
        let seat = beats.take_seat();
        self.0.push((Arc::downgrade(beats), seat));
        seat
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        OWN.set(Own { of: 0, seat: UNWATCHED });
        for (beats, seat) in self.0.drain(..) {
            if let Some(beats) = beats.upgrade() {
                beats.leave_seat(seat);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{task, time};

    const LIMIT: Duration = Duration::from_secs(1);

    fn new() -> (Arc<Beats>, Clock) {
        (Beats::new(), Clock::since(time::now()))
    }

    fn blocked(beats: &Beats, clock: &Clock) -> Vec<(u64, bool, Duration)> {
        let blocked = beats.sample(clock, LIMIT).into_iter();
        blocked.map(|blocked| (blocked.actor, blocked.is_job, blocked.age)).collect()
    }

    fn taken(beats: &Beats) -> usize {
        beats.threads.lock().iter().flatten().count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_poll_that_two_samples_see_a_limit_apart_is_blocked_until_it_ends() {
        let (beats, clock) = new();
        let beat = beats.begin(7 | IN_JOB).unwrap();
        time::sleep(LIMIT * 5).await;
        assert!(blocked(&beats, &clock).is_empty(), "the first sample cannot know");
        time::sleep(LIMIT / 2).await;
        assert!(blocked(&beats, &clock).is_empty());
        time::sleep(LIMIT / 2).await;
        assert_eq!(blocked(&beats, &clock), [(7, true, LIMIT)]);
        beat.end();
        assert!(blocked(&beats, &clock).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn many_short_polls_of_one_actor_are_not_blocked() {
        let (beats, clock) = new();
        for _ in 0..5 {
            let beat = beats.begin(7).unwrap();
            assert!(blocked(&beats, &clock).is_empty());
            beat.end();
            let beat = beats.begin(7).unwrap();
            time::sleep(LIMIT * 2).await;
            assert!(blocked(&beats, &clock).is_empty());
            beat.end();
            assert!(blocked(&beats, &clock).is_empty());
            time::sleep(LIMIT * 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_has_a_seat_in_each_system_it_works_for() {
        let (one, clock) = new();
        let (two, _) = new();
        let first = one.begin(1).unwrap();
        two.begin(2).unwrap().end();
        let second = two.begin(3).unwrap();
        assert!(blocked(&one, &clock).is_empty() && blocked(&two, &clock).is_empty());
        time::sleep(LIMIT).await;
        assert_eq!((blocked(&one, &clock)[0].0, blocked(&two, &clock)[0].0), (1, 3));
        first.end();
        assert_eq!((blocked(&one, &clock).len(), blocked(&two, &clock).len()), (0, 1));
        second.end();
        one.begin(1).unwrap().end();
        assert_eq!((taken(&one), taken(&two)), (1, 1));
    }

    /// Runs something on a thread of its own, and gives what lets it end. It has run when this returns.
    fn on_thread(name: &str, run: impl FnOnce() + Send + 'static) -> (mpsc::Sender<()>, thread::JoinHandle<()>) {
        let (release, released) = mpsc::channel::<()>();
        let (done, has_run) = mpsc::channel();
        let thread = task::spawn_thread(name, move || {
            run();
            done.send(()).unwrap();
            released.recv().unwrap_err();
        });
        has_run.recv().unwrap();
        (release, thread.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_ends_leaves_its_seat_to_the_next_one() {
        let (beats, clock) = new();
        for (name, actor) in [("first", 7), ("second", 8)] {
            let of_thread = Arc::clone(&beats);
            let (release, thread) = on_thread(name, move || assert!(of_thread.begin(actor).is_some()));
            assert!(blocked(&beats, &clock).is_empty());
            time::sleep(LIMIT).await;
            let seen = beats.sample(&clock, LIMIT);
            assert!(seen.len() == 1 && seen[0].thread.starts_with(name) && seen[0].actor == actor);
            drop(release);
            thread.join().unwrap();
            assert_eq!((blocked(&beats, &clock).len(), taken(&beats)), (0, 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_without_a_seat_works_unwatched() {
        let (beats, _) = new();
        let seats = beats.seats.len();
        let enter = |index: usize| {
            let of_thread = Arc::clone(&beats);
            on_thread("worker", move || assert_eq!(of_thread.begin(7).is_some(), index < seats))
        };
        let threads: Vec<_> = (0..=seats).map(enter).collect();
        assert_eq!(taken(&beats), seats);
        for (release, thread) in threads {
            drop(release);
            thread.join().unwrap();
        }
        assert_eq!(taken(&beats), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thread_forgets_the_systems_that_are_gone() {
        for _ in 0..100 {
            new().0.begin(1).unwrap().end();
        }
        TAKEN.with_borrow(|taken| assert!(taken.0.len() <= 1, "{}", taken.0.len()));
    }
}
