//! The agents of a node by name: what sessions look their definition up in.

use std::collections::BTreeMap;
use std::sync::Arc;

use beluga_core::{AgentName, Error, Result};
use beluga_runtime::{Address, Ref};
use parking_lot::RwLock;

use super::message::AgentProtocol;
use super::spec::AgentSpec;

/// The agents by name.
#[derive(Debug, Default)]
pub(crate) struct AgentTable(RwLock<BTreeMap<AgentName, Entry>>);

#[derive(Debug, Clone)]
struct Entry {
    spec: Arc<AgentSpec>,
    actor: Ref<AgentProtocol>,
}

impl AgentTable {
    /// Adds an agent.
    ///
    /// # Errors
    /// `conflict` if the name is taken.
    pub(crate) fn add(&self, spec: Arc<AgentSpec>, actor: Ref<AgentProtocol>) -> Result<()> {
        let mut entries = self.0.write();
        if entries.contains_key(&spec.name) {
            return Err(Error::conflict(format!("an agent \"{}\" is there already", spec.name)));
        }
        entries.insert(spec.name.clone(), Entry { spec, actor });
        Ok(())
    }

    /// Replaces the definition of an agent; turns that run go on with the old one.
    ///
    /// # Errors
    /// `not_found` if there is none of this name.
    pub(crate) fn replace(&self, spec: Arc<AgentSpec>) -> Result<()> {
        let mut entries = self.0.write();
        match entries.get_mut(&spec.name) {
            Some(entry) => entry.spec = spec,
            None => return Err(unknown(&spec.name, &entries)),
        }
        Ok(())
    }

    /// Removes an agent and returns its actor.
    pub(crate) fn remove(&self, name: &AgentName) -> Option<Ref<AgentProtocol>> {
        self.0.write().remove(name).map(|entry| entry.actor)
    }

    pub(crate) fn spec(&self, name: &AgentName) -> Result<Arc<AgentSpec>> {
        self.entry(name).map(|entry| entry.spec)
    }

    pub(crate) fn actor(&self, name: &AgentName) -> Result<Ref<AgentProtocol>> {
        self.entry(name).map(|entry| entry.actor)
    }

    pub(crate) fn address(&self, name: &AgentName) -> Result<Address> {
        self.entry(name)?.actor.address()
    }

    pub(crate) fn names(&self) -> Vec<AgentName> {
        self.0.read().keys().cloned().collect()
    }

    fn entry(&self, name: &AgentName) -> Result<Entry> {
        let entries = self.0.read();
        entries.get(name).cloned().ok_or_else(|| unknown(name, &entries))
    }
}

fn unknown(name: &AgentName, entries: &BTreeMap<AgentName, Entry>) -> Error {
    let known: Vec<&str> = entries.keys().map(AgentName::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Error::not_found(format!("no agent \"{name}\"; known: {known}"))
}
