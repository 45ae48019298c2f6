//! Which troubles begin and which are over between two looks, and the lines that say so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::look::{Found, Key};
use super::troubles::{BlockedWorker, StuckHandler, TROUBLES_LISTED_MAX};
use crate::system::Deadlock;

/// The most asks of a circle that one line names.
const ASKS_NAMED_MAX: usize = 16;

/// The most troubles of one sort that are open in the log; others begin and end without a line.
const OPEN_MAX: usize = 1024;

/// The troubles of one sort whose beginning was logged and whose end was not.
#[derive(Debug)]
pub(super) struct Open<T> {
    troubles: BTreeMap<Key, T>,
}

/// What changed from one look to the next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Changes<T> {
    pub(super) begun: Vec<T>,
    /// As they were seen last.
    pub(super) over: Vec<T>,
}

impl<T> Default for Open<T> {
    fn default() -> Self {
        Self { troubles: BTreeMap::new() }
    }
}

impl<T: Clone> Open<T> {
    /// Takes in a look. Of many that begin at once only the oldest are logged.
    pub(super) fn update(&mut self, found: &[Found<T>]) -> Changes<T> {
        let keys: BTreeSet<Key> = found.iter().map(|found| found.key).collect();
        let over = self.troubles.extract_if(.., |key, _| !keys.contains(key)).map(|(_, trouble)| trouble).collect();
        let mut begun = Vec::new();
        for Found { key, trouble } in found.iter().take(TROUBLES_LISTED_MAX) {
            let is_full = self.troubles.len() >= OPEN_MAX;
            match self.troubles.get_mut(key) {
                Some(known) => known.clone_from(trouble),
                None if is_full => {}
                None => {
                    self.troubles.insert(*key, trouble.clone());
                    begun.push(trouble.clone());
                }
            }
        }
        Changes { begun, over }
    }
}

/// Logs the stuck handlers that are new, and those that are no longer.
pub(super) fn stuck(system: &str, changes: &Changes<StuckHandler>) {
    for StuckHandler { actor, kind, message, age } in &changes.begun {
        tracing::warn!(system, %actor, kind, message, age_ms = age.as_millis(), "a handler is stuck");
    }
    for StuckHandler { actor, kind, message, age } in &changes.over {
        tracing::warn!(system, %actor, kind, message, age_ms = age.as_millis(), "a handler is no longer stuck");
    }
}

/// Logs the blocked threads that are new, and those that go on.
pub(super) fn blocked(system: &str, changes: &Changes<BlockedWorker>) {
    for BlockedWorker { thread, actor, kind, is_job, age } in &changes.begun {
        tracing::warn!(system, %thread, %actor, kind, is_job, age_ms = age.as_millis(), "a thread is blocked");
    }
    for BlockedWorker { thread, actor, kind, is_job, age } in &changes.over {
        tracing::warn!(system, %thread, %actor, kind, is_job, age_ms = age.as_millis(), "a thread is no longer blocked");
    }
}

/// Logs the deadlocks that are new, and those that have come undone.
pub(super) fn deadlocks(system: &str, changes: &Changes<Deadlock>) {
    for deadlock in &changes.begun {
        tracing::warn!(system, circle = circle(deadlock), age_ms = age_ms(deadlock), "handlers await each other");
    }
    for deadlock in &changes.over {
        let circle = circle(deadlock);
        tracing::warn!(system, circle, age_ms = age_ms(deadlock), "handlers no longer await each other");
    }
}

fn age_ms(deadlock: &Deadlock) -> u128 {
    deadlock.asks.first().map_or(0, |ask| ask.age.as_millis())
}

/// Writes a circle as `a –m.x→ b –m.y→ a`.
fn circle(deadlock: &Deadlock) -> String {
    let mut text = String::new();
    for ask in deadlock.asks.iter().take(ASKS_NAMED_MAX) {
        let _ = write!(text, "{} –{}→ ", ask.from.as_deref().unwrap_or("an actor that ended"), ask.message);
    }
    match deadlock.asks.len().checked_sub(ASKS_NAMED_MAX) {
        Some(more @ 1..) => {
            let _ = write!(text, "{more} more");
        }
        _ => text.push_str(deadlock.asks.last().map_or("", |ask| &ask.to)),
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::system::AskInFlight;

    fn found(keys: impl IntoIterator<Item = u64>) -> Vec<Found<u64>> {
        keys.into_iter().map(|key| Found { key: (key, 1), trouble: key }).collect()
    }

    #[test]
    fn a_trouble_begins_once_and_is_over_once() {
        let mut open = Open::default();
        assert_eq!(open.update(&found([1, 2])), Changes { begun: vec![1, 2], over: vec![] });
        assert_eq!(open.update(&found([1, 2])), Changes { begun: vec![], over: vec![] });
        assert_eq!(open.update(&found([2, 3])), Changes { begun: vec![3], over: vec![1] });
        assert_eq!(open.update(&found([])), Changes { begun: vec![], over: vec![2, 3] });
    }

    #[test]
    fn an_open_trouble_is_not_over_because_others_take_its_place_in_the_list() {
        let mut open = Open::default();
        open.update(&found([500]));
        let many = u64::try_from(TROUBLES_LISTED_MAX).unwrap();
        let changes = open.update(&found((0..many).chain([500])));
        assert_eq!((changes.begun.len(), changes.over.len()), (TROUBLES_LISTED_MAX, 0));
    }

    #[test]
    fn the_log_keeps_a_bounded_number_of_open_troubles() {
        let mut open = Open::default();
        let listed = u64::try_from(TROUBLES_LISTED_MAX).unwrap();
        let all = u64::try_from(OPEN_MAX * 2).unwrap();
        let mut begun = 0;
        for end in (listed..=all).step_by(TROUBLES_LISTED_MAX) {
            // The list moves on while everything it has shown stays a trouble.
            begun += open.update(&found((0..end).rev())).begun.len();
        }
        assert_eq!((begun, open.troubles.len()), (OPEN_MAX, OPEN_MAX));
    }

    #[test]
    fn a_circle_reads_from_its_oldest_ask_round_to_its_start_and_a_long_one_is_cut() {
        let ask = |from: usize, to: usize| AskInFlight {
            from: Some(Arc::from(format!("a{from}"))),
            to: Arc::from(format!("a{to}")),
            message: "m.x",
            age: Duration::from_secs(1),
            remaining: None,
            in_handler: true,
        };
        let pair = Deadlock { asks: vec![ask(0, 1), ask(1, 0)] };
        assert_eq!(circle(&pair), "a0 –m.x→ a1 –m.x→ a0");
        let long = Deadlock { asks: (0..20).map(|index| ask(index, (index + 1) % 20)).collect() };
        assert!(circle(&long).ends_with("a15 –m.x→ 4 more"), "{}", circle(&long));
    }
}
