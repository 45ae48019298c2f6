//! The one registry: names to implementations, filled by explicit calls, never by link-time magic.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Result};

/// Maps names to entries of one sort. A second entry of a name is an error.
///
/// ```
/// use beluga_core::{Code, Registry};
///
/// let mut planets = Registry::new("planet");
/// planets.add("earth", 3).unwrap();
/// assert_eq!(planets.add("earth", 4).unwrap_err().code(), Code::Conflict);
/// assert_eq!(*planets.get("earth").unwrap(), 3);
/// let error = planets.get("pluto").unwrap_err();
/// assert_eq!(error.to_string(), "not_found: no planet \"pluto\"; known: earth (name: pluto)");
/// ```
#[derive(Clone)]
pub struct Registry<T> {
    sort: &'static str,
    entries: BTreeMap<String, T>,
    absent: BTreeMap<&'static str, &'static str>,
}

impl<T> Registry<T> {
    /// Makes an empty registry; `sort` names what it holds, for errors.
    #[must_use]
    pub fn new(sort: &'static str) -> Self {
        Self { sort, entries: BTreeMap::new(), absent: BTreeMap::new() }
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// `conflict` if the name is taken.
    pub fn add(&mut self, name: impl Into<String>, entry: T) -> Result<()> {
        let name = name.into();
        if self.entries.contains_key(&name) {
            return Err(Error::conflict(format!("a {} \"{name}\" is registered already", self.sort)));
        }
        self.entries.insert(name, entry);
        Ok(())
    }

    /// Notes that a name exists but was not compiled in, so that [`get`](Self::get) can name the feature.
    pub fn note_absent(&mut self, name: &'static str, feature: &'static str) {
        self.absent.insert(name, feature);
    }

    /// Returns an entry.
    ///
    /// # Errors
    /// `unsupported` names the feature if the entry was not compiled in; `not_found` lists what there is.
    pub fn get(&self, name: &str) -> Result<&T> {
        if let Some(entry) = self.entries.get(name) {
            return Ok(entry);
        }
        let sort = self.sort;
        if let Some(feature) = self.absent.get(name) {
            return Err(Error::unsupported(format!("{sort} \"{name}\" needs the Cargo feature \"{feature}\"")));
        }
        let known: Vec<&str> = self.names().collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(Error::not_found(format!("no {sort} \"{}\"; known: {known}", name.escape_debug()))
            .with("name", name.escape_debug()))
    }

    /// Removes and returns an entry.
    pub fn remove(&mut self, name: &str) -> Option<T> {
        self.entries.remove(name)
    }

    /// Returns the names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Returns names and entries, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }
}

impl<T> fmt::Debug for Registry<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("sort", &self.sort).field("names", &self.entries.keys()).finish()
    }
}
