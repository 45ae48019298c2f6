//! How fast something goes: the difference of two snapshots.

use std::collections::HashMap;

use super::snapshot::Snapshot;

/// Messages per second, by actor and in all.
#[derive(Debug, Default)]
pub(super) struct Rates {
    by_actor: HashMap<u64, f64>,
    /// Handled by all actors that are shown.
    pub(super) messages: f64,
    /// Not handled; `None` if the node does not count them.
    pub(super) dead_letters: Option<f64>,
}

impl Rates {
    /// Compares two snapshots of one process. `None` if they are of different ones, or of one moment: numbers of actors
    /// begin anew in each process.
    pub(super) fn between(before: &Snapshot, now: &Snapshot) -> Option<Self> {
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
        if seconds <= 0.0 || now.numbers.uptime < before.numbers.uptime || now.numbers.name != before.numbers.name {
            return None;
        }
        let actors = |snapshot: &Snapshot| -> HashMap<u64, u64> {
            let actors = snapshot.nodes.iter().filter(|node| !node.is_job());
            actors.map(|node| (node.id, node.handled)).collect()
        };
        let earlier = actors(before);
        // An actor that was not there is new, unless the node did not show all.
        let is_whole = before.left_out == 0;
        let by_actor: HashMap<u64, f64> = actors(now)
            .into_iter()
            .map(|(id, handled)| {
                let since = earlier.get(&id).copied().unwrap_or(if is_whole { 0 } else { handled });
                (id, rate(since, handled, seconds))
            })
            .collect();
        let dead = before.numbers.dead_letters.zip(now.numbers.dead_letters);
        Some(Self {
            messages: by_actor.values().sum(),
            by_actor,
            dead_letters: dead.map(|(before, now)| rate(before, now, seconds)),
        })
    }

    /// Returns the rate of an actor; 0 for one that was not compared.
    pub(super) fn of(&self, id: u64) -> f64 {
        self.by_actor.get(&id).copied().unwrap_or_default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate is shown to two digits")]
fn rate(before: u64, now: u64, seconds: f64) -> f64 {
    now.saturating_sub(before) as f64 / seconds
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::Documents;
    use super::super::testing::{at, documents};
    use super::*;
    use serde_json::json;

    fn later(change: impl FnOnce(&mut Documents)) -> Snapshot {
        let mut documents = documents();
        documents.system["uptime_ms"] = json!(63_000);
        change(&mut documents);
        Snapshot::read(documents, at(2_000))
    }

    fn whole(mut documents: Documents) -> Documents {
        documents.tree["children"][1]["truncated"] = json!(0);
        documents
    }

    #[test]
    fn rates_are_differences_by_the_second() {
        let before = Snapshot::read(documents(), at(0));
        let now = later(|documents| {
            documents.tree["children"][0]["children"][0]["handled"] = json!(30);
            documents.system["dead_letters"] = json!(9);
        });
        let rates = Rates::between(&before, &now).unwrap();
        assert_eq!((rates.of(3), rates.of(4), rates.of(99)), (10.0, 0.0, 0.0));
        assert_eq!((rates.messages, rates.dead_letters), (10.0, Some(2.5)));
    }

    #[test]
    fn a_new_actor_counts_from_nothing_if_all_are_shown() {
        let add = |documents: &mut Documents| {
            let new = json!({"id": 50, "name": "new", "handled": 8});
            documents.tree["children"].as_array_mut().unwrap().push(new);
        };
        let before = Snapshot::read(whole(documents()), at(0));
        assert_eq!(Rates::between(&before, &later(add)).unwrap().of(50), 4.0);
        let bounded = Snapshot::read(documents(), at(0));
        assert_eq!(Rates::between(&bounded, &later(add)).unwrap().of(50), 0.0, "it may have been left out before");
    }

    #[test]
    fn two_processes_are_not_compared() {
        let before = Snapshot::read(documents(), at(0));
        assert!(Rates::between(&before, &later(|documents| documents.system["uptime_ms"] = json!(10))).is_none());
        assert!(Rates::between(&before, &later(|documents| documents.system["name"] = json!("other"))).is_none());
        assert!(Rates::between(&before, &before).is_none());
        let smaller = later(|documents| documents.tree["children"][0]["children"][0]["handled"] = json!(1));
        assert_eq!(Rates::between(&before, &smaller).unwrap().of(3), 0.0, "a rate is never negative");
    }
}
