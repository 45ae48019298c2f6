//! Names, groups and topics against plain maps: who is found, who is a member, who gets what, while actors come and go.

use std::collections::BTreeMap;

use beluga_core::{Code, Error, Result};
use beluga_runtime::testkit::{self, kill, quiet_panics};
use beluga_runtime::{
    Actor, Address, Backoff, Cx, Handler, Intensity, Message, Ref, Restart, Serves, Spec, System, protocol,
};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use crate::fixture::{GRACE, Journal, News, NewsProtocol, settle};

#[derive(Debug, Clone, Message)]
#[message(name = "press.page")]
struct Page(u64);

protocol!(PressProtocol: News, Page);

/// Reads news only.
struct Reader(String, Journal);

impl Actor for Reader {
    type Protocol = NewsProtocol;
    const KIND: &'static str = "reader";
}

impl Handler<News> for Reader {
    async fn handle(&mut self, News(n): News, _cx: &mut Cx<Self>) -> Result<()> {
        self.1.note(format!("{} {n}", self.0));
        Ok(())
    }
}

/// Reads both.
struct Press(String, Journal);

impl Actor for Press {
    type Protocol = PressProtocol;
    const KIND: &'static str = "press";
}

impl Handler<News> for Press {
    async fn handle(&mut self, News(n): News, _cx: &mut Cx<Self>) -> Result<()> {
        self.1.note(format!("{} {n}", self.0));
        Ok(())
    }
}

impl Handler<Page> for Press {
    async fn handle(&mut self, Page(n): Page, _cx: &mut Cx<Self>) -> Result<()> {
        self.1.note(format!("{} {n}", self.0));
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum AnyRef {
    Reader(Ref<NewsProtocol>),
    Press(Ref<PressProtocol>),
}

/// What is done to the system. Actors are named by when they were spawned; the gone ones stay in the list.
#[derive(Debug, Clone)]
enum Op {
    /// Spawns under a name, as a reader or press, to come back after a kill or not.
    Spawn(usize, bool, bool),
    Stop(usize),
    Kill(usize),
    Join(usize, usize),
    Leave(usize, usize),
    /// Subscribes to news, or (press only) to pages.
    Subscribe(usize, usize, bool),
    Unsubscribe(usize, usize),
    Broadcast(usize),
    Publish(usize, bool),
}

const NAMES: [&str; 5] = ["a", "b", "c", "a/x", "b/x"];
const GROUPS: [&str; 3] = ["one", "two", "three"];

struct Known {
    name: &'static str,
    actor: AnyRef,
    address: Address,
    is_temporary: bool,
    is_alive: bool,
}

#[derive(Default)]
struct Model {
    known: Vec<Known>,
    groups: BTreeMap<usize, Vec<usize>>,
    /// Whether pages or news, and the subscribers.
    topics: BTreeMap<usize, (bool, Vec<usize>)>,
    number: u64,
}

impl Model {
    fn living(&self, name: &str) -> Option<usize> {
        self.known.iter().position(|known| known.is_alive && known.name == name)
    }

    /// The actor, and what is below it, is gone.
    fn ended(&mut self, index: usize) {
        self.below(index);
        self.known[index].is_alive = false;
        self.groups.values_mut().for_each(|members| members.retain(|member| *member != index));
        self.topics.values_mut().for_each(|(_, members)| members.retain(|member| *member != index));
        self.topics.retain(|_, (_, members)| !members.is_empty());
    }

    fn below(&mut self, index: usize) {
        let prefix = format!("{}/", self.known[index].name);
        let below: Vec<usize> = (0..self.known.len()).collect();
        for child in below {
            if self.known[child].is_alive && self.known[child].name.starts_with(&prefix) {
                self.ended(child);
            }
        }
    }
}

struct World {
    system: System,
    journal: Journal,
    model: Model,
}

fn code<T>(outcome: &Result<T>) -> Option<Code> {
    outcome.as_ref().err().map(Error::code)
}

impl World {
    async fn spawn_as<A, F>(&self, name: &str, is_temporary: bool, factory: F) -> Result<Ref<A::Protocol>>
    where
        A: Serves,
        F: Fn() -> A + Send + Sync + 'static,
    {
        let restart = if is_temporary { Restart::Temporary } else { Restart::Permanent };
        let spec = |name: &str| {
            Spec::new(name, factory)
                .restart(restart)
                .backoff(Backoff { initial: std::time::Duration::ZERO, ..Backoff::default() })
                .intensity(Intensity { max_restarts: 1_000, ..Intensity::default() })
        };
        match name.split_once('/') {
            None => self.system.spawn_with(spec(name)).await,
            // By the last actor of that name, alive or not.
            Some((parent, child)) => match self.model.known.iter().rev().find(|known| known.name == parent) {
                Some(parent) => self.system.spawn_under(&parent.address, spec(child)).await,
                None => Err(Error::unavailable("nobody had that name yet")),
            },
        }
    }

    async fn spawn(&mut self, name: &'static str, is_press: bool, is_temporary: bool) -> Result<(), TestCaseError> {
        let expected = match name.split_once('/') {
            Some((parent, _)) if self.model.living(parent).is_none() => Some(Code::Unavailable),
            _ => self.model.living(name).map(|_| Code::Conflict),
        };
        let journal = self.journal.clone();
        let spawned = if is_press {
            let factory = move || Press(name.to_owned(), journal.clone());
            self.spawn_as(name, is_temporary, factory).await.map(AnyRef::Press)
        } else {
            let factory = move || Reader(name.to_owned(), journal.clone());
            self.spawn_as(name, is_temporary, factory).await.map(AnyRef::Reader)
        };
        prop_assert_eq!(code(&spawned), expected, "spawning {}", name);
        if let Ok(actor) = spawned {
            let address = match &actor {
                AnyRef::Reader(actor) => actor.address(),
                AnyRef::Press(actor) => actor.address(),
            };
            let address = address.unwrap();
            self.model.known.push(Known { name, actor, address, is_temporary, is_alive: true });
        }
        Ok(())
    }

    fn join(&mut self, index: usize, group: usize) -> Result<(), TestCaseError> {
        let known = &self.model.known[index];
        let joined = match &known.actor {
            AnyRef::Reader(actor) => self.system.join(GROUPS[group], actor),
            AnyRef::Press(actor) => self.system.join(GROUPS[group], actor),
        };
        if !known.is_alive {
            prop_assert_eq!(code(&joined), Some(Code::NotSent));
            return Ok(());
        }
        let members = self.model.groups.entry(group).or_default();
        let is_new = !members.contains(&index);
        prop_assert_eq!(joined.unwrap(), is_new);
        if is_new {
            members.push(index);
        }
        Ok(())
    }

    fn leave(&mut self, index: usize, group: usize) -> Result<(), TestCaseError> {
        let left = match &self.model.known[index].actor {
            AnyRef::Reader(actor) => self.system.leave(GROUPS[group], actor),
            AnyRef::Press(actor) => self.system.leave(GROUPS[group], actor),
        };
        let members = self.model.groups.entry(group).or_default();
        prop_assert_eq!(left, members.contains(&index));
        members.retain(|member| *member != index);
        Ok(())
    }

    fn subscribe(&mut self, index: usize, topic: usize, pages: bool) -> Result<(), TestCaseError> {
        let known = &self.model.known[index];
        let (subscribed, pages) = match (&known.actor, pages) {
            (AnyRef::Reader(actor), _) => (self.system.subscribe::<_, News>(GROUPS[topic], actor), false),
            (AnyRef::Press(actor), false) => (self.system.subscribe::<_, News>(GROUPS[topic], actor), false),
            (AnyRef::Press(actor), true) => (self.system.subscribe::<_, Page>(GROUPS[topic], actor), true),
        };
        if self.model.topics.get(&topic).is_some_and(|(carried, _)| *carried != pages) {
            prop_assert_eq!(code(&subscribed), Some(Code::Conflict));
        } else if !known.is_alive {
            prop_assert_eq!(code(&subscribed), Some(Code::NotSent));
        } else {
            let (_, members) = self.model.topics.entry(topic).or_insert((pages, Vec::new()));
            prop_assert_eq!(subscribed.unwrap(), !members.contains(&index));
            if !members.contains(&index) {
                members.push(index);
            }
        }
        Ok(())
    }

    fn unsubscribe(&mut self, index: usize, topic: usize) -> Result<(), TestCaseError> {
        let left = match &self.model.known[index].actor {
            AnyRef::Reader(actor) => self.system.unsubscribe(GROUPS[topic], actor),
            AnyRef::Press(actor) => self.system.unsubscribe(GROUPS[topic], actor),
        };
        let was = self.model.topics.get(&topic).is_some_and(|(_, members)| members.contains(&index));
        prop_assert_eq!(left, was);
        if let Some((_, members)) = self.model.topics.get_mut(&topic) {
            members.retain(|member| *member != index);
        }
        self.model.topics.retain(|_, (_, members)| !members.is_empty());
        Ok(())
    }

    /// Compares who got a number with who should have, in the order of their names.
    async fn expect_readers(&self, mut readers: Vec<usize>) -> Result<(), TestCaseError> {
        settle().await;
        let mut seen = self.journal.read();
        self.journal.clear();
        seen.sort();
        readers.sort_by_key(|index| self.model.known[*index].name);
        let number = self.model.number;
        let expected: Vec<String> =
            readers.iter().map(|index| format!("{} {number}", self.model.known[*index].name)).collect();
        prop_assert_eq!(seen, expected);
        Ok(())
    }

    async fn broadcast(&mut self, group: usize) -> Result<(), TestCaseError> {
        self.model.number += 1;
        let news = News(self.model.number);
        let members = self.model.groups.get(&group).cloned().unwrap_or_default();
        let (readers, press): (Vec<usize>, Vec<usize>) =
            members.iter().partition(|index| matches!(self.model.known[**index].actor, AnyRef::Reader(_)));
        let published = self.system.broadcast::<NewsProtocol, _>(GROUPS[group], &news);
        prop_assert_eq!((published.delivered, published.refused), (readers.len(), 0));
        self.expect_readers(readers).await?;
        let published = self.system.broadcast::<PressProtocol, _>(GROUPS[group], &news);
        prop_assert_eq!((published.delivered, published.refused), (press.len(), 0));
        self.expect_readers(press).await
    }

    async fn publish(&mut self, topic: usize, pages: bool) -> Result<(), TestCaseError> {
        self.model.number += 1;
        let number = self.model.number;
        let published = if pages {
            self.system.publish(GROUPS[topic], &Page(number))
        } else {
            self.system.publish(GROUPS[topic], &News(number))
        };
        let (carried, members) = self.model.topics.get(&topic).cloned().unwrap_or((pages, Vec::new()));
        if carried != pages {
            prop_assert_eq!(code(&published), Some(Code::Conflict));
            return self.expect_readers(Vec::new()).await;
        }
        let published = published.unwrap();
        prop_assert_eq!((published.delivered, published.refused), (members.len(), 0));
        self.expect_readers(members).await
    }

    async fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let known = self.model.known.len();
        let pick = |index: usize| index.checked_rem(known);
        match *op {
            Op::Spawn(name, is_press, is_temporary) => self.spawn(NAMES[name], is_press, is_temporary).await?,
            Op::Broadcast(group) => self.broadcast(group).await?,
            Op::Publish(topic, pages) => self.publish(topic, pages).await?,
            Op::Stop(index) => {
                let Some(index) = pick(index) else { return Ok(()) };
                let address = self.model.known[index].address.clone();
                address.stop();
                address.gone().await;
                if self.model.known[index].is_alive {
                    self.model.ended(index);
                }
            }
            Op::Kill(index) => {
                let Some(index) = pick(index) else { return Ok(()) };
                let name = self.model.known[index].name;
                let living = self.model.living(name);
                prop_assert_eq!(kill(&self.system, name), living.is_some());
                settle().await;
                match living {
                    Some(index) if self.model.known[index].is_temporary => self.model.ended(index),
                    Some(index) => self.model.below(index),
                    None => {}
                }
            }
            Op::Join(index, group) => pick(index).map_or(Ok(()), |index| self.join(index, group))?,
            Op::Leave(index, group) => pick(index).map_or(Ok(()), |index| self.leave(index, group))?,
            Op::Subscribe(index, topic, pages) => {
                pick(index).map_or(Ok(()), |index| self.subscribe(index, topic, pages))?;
            }
            Op::Unsubscribe(index, topic) => pick(index).map_or(Ok(()), |index| self.unsubscribe(index, topic))?,
        }
        self.compare()
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let living: Vec<&Known> =
            NAMES.iter().filter_map(|it| Some(&self.model.known[self.model.living(it)?])).collect();
        let mut names: Vec<&str> = living.iter().map(|known| known.name).collect();
        names.sort_unstable();
        let seen = self.system.names();
        prop_assert_eq!(seen.iter().map(|name| &**name).collect::<Vec<_>>(), names);
        for name in NAMES {
            let living = self.model.living(name).map(|index| &self.model.known[index]);
            prop_assert_eq!(self.system.find(name), living.map(|known| known.address.clone()));
            let is_reader = living.is_some_and(|known| matches!(known.actor, AnyRef::Reader(_)));
            let is_press = living.is_some_and(|known| matches!(known.actor, AnyRef::Press(_)));
            prop_assert_eq!(self.system.get::<NewsProtocol>(name).is_some(), is_reader);
            prop_assert_eq!(self.system.get::<PressProtocol>(name).is_some(), is_press);
        }
        for known in &self.model.known {
            prop_assert_eq!(known.address.is_gone(), !known.is_alive);
        }
        for (index, group) in GROUPS.iter().enumerate() {
            let members = self.model.groups.get(&index).cloned().unwrap_or_default();
            let expected: Vec<&str> = members
                .iter()
                .map(|member| &self.model.known[*member])
                .filter(|known| matches!(known.actor, AnyRef::Reader(_)))
                .map(|known| known.name)
                .collect();
            let seen = self.system.members::<NewsProtocol>(group);
            prop_assert_eq!(seen.iter().map(Ref::name).collect::<Vec<_>>(), expected, "group {}", group);
        }
        Ok(())
    }
}

fn op() -> impl Strategy<Value = Op> {
    let (actor, group) = (0..64_usize, 0..GROUPS.len());
    let both = || (actor.clone(), group.clone());
    prop_oneof![
        6 => (0..NAMES.len(), any::<bool>(), any::<bool>()).prop_map(|(name, press, temp)| Op::Spawn(name, press, temp)),
        2 => actor.clone().prop_map(Op::Stop),
        2 => actor.clone().prop_map(Op::Kill),
        5 => both().prop_map(|(actor, group)| Op::Join(actor, group)),
        1 => both().prop_map(|(actor, group)| Op::Leave(actor, group)),
        5 => (both(), any::<bool>()).prop_map(|((actor, topic), pages)| Op::Subscribe(actor, topic, pages)),
        1 => both().prop_map(|(actor, topic)| Op::Unsubscribe(actor, topic)),
        2 => group.clone().prop_map(Op::Broadcast),
        2 => (group.clone(), any::<bool>()).prop_map(|(topic, pages)| Op::Publish(topic, pages)),
    ]
}

async fn run(system: System, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let mut world = World { system: system.clone(), journal: Journal::default(), model: Model::default() };
    let mut outcome = Ok(());
    for (step, op) in ops.iter().enumerate() {
        outcome = world.apply(op).await.map_err(|error| TestCaseError::fail(format!("step {step}, {op:?}: {error}")));
        if outcome.is_err() {
            break;
        }
    }
    system.shutdown(GRACE).await.unwrap();
    outcome
}

proptest! {
    #![proptest_config(super::config(128))]

    #[test]
    fn names_groups_and_topics_do_what_their_model_does(ops in prop::collection::vec(op(), 1..60)) {
        quiet_panics();
        testkit::run(12, |system| run(system, ops))?;
    }
}
