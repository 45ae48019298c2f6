//! The asks in flight, as introspection shows them, and the circles they form.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::System;
use crate::call::NEVER_NS;
use crate::waits::Waiting;

/// An ask that waits for its answer.
///
/// See [`System::asks`] for an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AskInFlight {
    /// The actor whose handler or job asks; `None` for code outside of actors.
    pub from: Option<Arc<str>>,
    /// The actor that is asked.
    pub to: Arc<str>,
    /// The name of the message.
    pub message: &'static str,
    /// For how long it has waited.
    #[serde(rename = "age_ms", serialize_with = "as_millis")]
    pub age: Duration,
    /// How much time is left; `None` without a deadline.
    #[serde(rename = "remaining_ms", serialize_with = "as_optional_millis")]
    pub remaining: Option<Duration>,
    /// Whether a handler asks, which holds its actor up, and no job.
    pub in_handler: bool,
}

/// A circle of handlers that each await the answer of the next: none of them goes on until one ask ends in its time-out.
///
/// The first ask stands first, and the last one asks the actor of the first.
///
/// See [`System::deadlocks`] for an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deadlock {
    /// The asks, each made by the actor that the one before it asked.
    pub asks: Vec<AskInFlight>,
}

impl System {
    /// Returns the asks that wait for their answers, the oldest first.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use beluga_core::Result;
    /// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol, task, time};
    /// # #[derive(Message)]
    /// # #[message(name = "mirror.look")]
    /// # struct Look;
    /// # protocol!(MirrorProtocol: Look);
    /// # struct Mirror;
    /// # impl Actor for Mirror { type Protocol = MirrorProtocol; const KIND: &'static str = "mirror"; }
    /// impl Handler<Look> for Mirror {
    ///     async fn handle(&mut self, _: Look, cx: &mut Cx<Self>) -> Result<()> {
    ///         // A mistake: it takes the next message only when this one is handled.
    ///         cx.myself().ask(Look).with_context(cx.context()).await
    ///     }
    /// }
    ///
    /// # beluga_runtime::testkit::run(1, |system| async move {
    /// let mirror = system.spawn("mirror", || Mirror).await?;
    /// let looking = task::spawn("look", mirror.ask(Look).within(Duration::from_secs(5)).into_future());
    /// time::sleep(Duration::from_secs(1)).await;
    /// let asks = system.asks();
    /// let find = |in_handler| asks.iter().find(|ask| ask.in_handler == in_handler).unwrap();
    /// let (inner, outer) = (find(true), find(false));
    /// assert_eq!((inner.from.as_deref(), &*inner.to), (Some("mirror"), "mirror"));
    /// assert_eq!((outer.from.as_deref(), outer.remaining), (None, Some(Duration::from_secs(4))));
    /// assert!(looking.await?.is_err());
    /// # system.shutdown_gracefully().await
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn asks(&self) -> Vec<AskInFlight> {
        let waits = self.ground().waits.list();
        let names = self.names_of(&waits);
        let now_ns = self.ground().clock.read();
        let mut asks: Vec<_> = waits.iter().map(|wait| shown(wait, &names, now_ns)).collect();
        asks.sort_by_key(|ask| std::cmp::Reverse(ask.age));
        asks
    }

    /// Returns the circles of handlers that await each other. An actor that asks itself is one of one.
    ///
    /// A handler that gives up by itself, because it awaits the ask beside something else, shows until it does.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use beluga_core::Result;
    /// # use beluga_runtime::{Actor, Cx, Handler, Message, protocol, task, time};
    /// # #[derive(Message)]
    /// # #[message(name = "mirror.look")]
    /// # struct Look;
    /// # protocol!(MirrorProtocol: Look);
    /// # struct Mirror;
    /// # impl Actor for Mirror { type Protocol = MirrorProtocol; const KIND: &'static str = "mirror"; }
    /// impl Handler<Look> for Mirror {
    ///     async fn handle(&mut self, _: Look, cx: &mut Cx<Self>) -> Result<()> {
    ///         // A mistake: it takes the next message only when this one is handled.
    ///         cx.myself().ask(Look).with_context(cx.context()).await
    ///     }
    /// }
    ///
    /// # beluga_runtime::testkit::run(1, |system| async move {
    /// let mirror = system.spawn("mirror", || Mirror).await?;
    /// let looking = task::spawn("look", mirror.ask(Look).within(Duration::from_secs(5)).into_future());
    /// time::sleep(Duration::from_secs(1)).await;
    /// let circle = &system.deadlocks()[0].asks;
    /// assert_eq!((circle[0].from.as_deref(), &*circle[0].to, circle[0].message), (Some("mirror"), "mirror", "mirror.look"));
    /// assert!(looking.await?.is_err(), "the time-out ends it");
    /// # system.shutdown_gracefully().await
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn deadlocks(&self) -> Vec<Deadlock> {
        self.keyed_deadlocks().into_iter().map(|(_, deadlock)| deadlock).collect()
    }

    /// Returns the deadlocks with what tells them apart: who made the oldest ask, and when.
    pub(crate) fn keyed_deadlocks(&self) -> Vec<((u64, u64), Deadlock)> {
        let waits = &self.ground().waits;
        // An ask that ended between two looks is in no circle.
        let identity = |wait: &Waiting| (wait.from(), wait.to, wait.since_ns, wait.message());
        let first: BTreeSet<_> = waits.list().iter().map(identity).collect();
        let mut edges: HashMap<u64, Vec<Waiting>> = HashMap::new();
        let blocking = |wait: &Waiting| wait.in_handler() && wait.from() != 0 && wait.to != 0;
        for wait in waits.list() {
            if blocking(&wait) && first.contains(&identity(&wait)) {
                edges.entry(wait.from()).or_default().push(wait);
            }
        }
        let circles = circles(&edges);
        let names = self.names_of(circles.iter().flatten().copied());
        let now_ns = self.ground().clock.read();
        let show = |circle: Vec<&Waiting>| {
            let key = circle.first().map_or((0, 0), |oldest| (oldest.from(), oldest.since_ns));
            (key, Deadlock { asks: circle.into_iter().map(|wait| shown(wait, &names, now_ns)).collect() })
        };
        circles.into_iter().map(show).collect()
    }

    /// Finds the names of the actors that ask or are asked.
    fn names_of<'a>(&self, waits: impl IntoIterator<Item = &'a Waiting>) -> HashMap<u64, Arc<str>> {
        let wanted: BTreeSet<u64> =
            waits.into_iter().flat_map(|wait| [wait.from(), wait.to]).filter(|id| *id != 0).collect();
        if wanted.is_empty() {
            return HashMap::new();
        }
        self.ground()
            .slots()
            .into_iter()
            .filter(|slot| wanted.contains(&slot.id()))
            .map(|slot| (slot.id(), Arc::clone(slot.name())))
            .collect()
    }
}

fn shown(wait: &Waiting, names: &HashMap<u64, Arc<str>>, now_ns: u64) -> AskInFlight {
    let to = names.get(&wait.to).cloned();
    let to = to.or_else(|| wait.to_key.as_ref().map(|key| Arc::from(key.name())));
    AskInFlight {
        from: names.get(&wait.from()).cloned(),
        to: to.unwrap_or_else(|| Arc::from("an actor that ended")),
        message: wait.message(),
        age: Duration::from_nanos(now_ns.saturating_sub(wait.since_ns)),
        remaining: (wait.deadline_ns != NEVER_NS)
            .then(|| Duration::from_nanos(wait.deadline_ns.saturating_sub(now_ns))),
        in_handler: wait.in_handler(),
    }
}

/// Finds one circle through each group of actors that await each other, each starting with its oldest ask.
fn circles(edges: &HashMap<u64, Vec<Waiting>>) -> Vec<Vec<&Waiting>> {
    let mut done = BTreeSet::new();
    let mut found = Vec::new();
    let mut starts: Vec<u64> = edges.keys().copied().collect();
    starts.sort_unstable();
    for start in starts {
        let mut path: Vec<(&Waiting, usize)> = Vec::new();
        let mut at = start;
        let mut next = 0;
        loop {
            let on_path = path.iter().position(|(wait, _)| wait.from() == at);
            let step = if done.contains(&at) { None } else { edges.get(&at).and_then(|waits| waits.get(next)) };
            match (on_path.filter(|_| next == 0), step) {
                (Some(first), _) => {
                    let mut circle: Vec<&Waiting> = path.iter().skip(first).map(|(wait, _)| *wait).collect();
                    let oldest =
                        circle.iter().enumerate().min_by_key(|(_, wait)| wait.since_ns).map_or(0, |(index, _)| index);
                    circle.rotate_left(oldest);
                    done.extend(circle.iter().map(|wait| wait.from()));
                    found.push(circle);
                    break;
                }
                (None, Some(wait)) => {
                    path.push((wait, next));
                    (at, next) = (wait.to, 0);
                }
                (None, None) => {
                    done.insert(at);
                    let Some((wait, index)) = path.pop() else { break };
                    (at, next) = (wait.from(), index + 1);
                }
            }
        }
        done.extend(path.iter().map(|(wait, _)| wait.from()));
    }
    found
}

pub(crate) fn as_millis<S: Serializer>(age: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

fn as_optional_millis<S: Serializer>(age: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match age {
        Some(age) => as_millis(age, serializer),
        None => serializer.serialize_none(),
    }
}
