//! Names of one system: a bounded table from name to ref. It knows nothing of actors; the system registers and removes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::sync::Arc;

use beluga_core::{Error, Result};
use parking_lot::RwLock;

/// The longest name of an actor, group or topic, in bytes.
pub const NAME_MAX_BYTES: usize = 256;

/// The most names one system holds, unless it asks for another bound.
pub const NAMES_MAX: usize = 1_000_000;

/// The names of one system, generic over what a name stands for.
///
/// ```
/// use beluga_core::Code;
/// use beluga_runtime::Names;
///
/// let names = Names::new(100);
/// names.register("clock", 1)?;
/// assert_eq!(names.register("clock", 2).unwrap_err().code(), Code::Conflict);
/// assert_eq!(names.get("clock"), Some(1));
/// assert_eq!(names.remove("clock", |known| *known == 2), None, "another one has the name by now");
/// assert_eq!(names.len(), 1);
/// # Ok::<(), beluga_core::Error>(())
/// ```
///
/// Actors of a system are found with [`System::get`](crate::System::get).
pub struct Names<R> {
    entries: RwLock<HashMap<Arc<str>, R>>,
    max: usize,
}

impl<R: Clone> Names<R> {
    /// Makes an empty table for at most `max` names.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { entries: RwLock::default(), max }
    }

    /// Gives a name to a ref.
    ///
    /// # Errors
    /// `invalid_input` for a malformed name, `conflict` if it is taken, `overloaded` if the table is full.
    pub fn register(&self, name: &str, target: R) -> Result<()> {
        check_name(name)?;
        self.enter(Arc::from(name), target)
    }

    /// Gives a name that was checked to a ref.
    pub(crate) fn enter(&self, name: Arc<str>, target: R) -> Result<()> {
        let mut entries = self.entries.write();
        let is_full = entries.len() >= self.max;
        match entries.entry(name) {
            Entry::Occupied(taken) => Err(Error::conflict("the name is taken").with("name", taken.key())),
            Entry::Vacant(_) if is_full => {
                Err(Error::overloaded("the table of names is full").with("names_max", self.max))
            }
            Entry::Vacant(vacant) => {
                vacant.insert(target);
                Ok(())
            }
        }
    }

    /// Returns the ref of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<R> {
        self.entries.read().get(name).cloned()
    }

    /// Removes a name if `is_same` recognises its ref, so that a late removal does not hit the name's next owner.
    pub fn remove(&self, name: &str, is_same: impl FnOnce(&R) -> bool) -> Option<R> {
        let mut entries = self.entries.write();
        // Mostly it is the same: then the name is looked for once.
        let (name, target) = entries.remove_entry(name)?;
        if is_same(&target) {
            return Some(target);
        }
        entries.insert(name, target);
        None
    }

    /// Returns all names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.entries.read().keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Returns how many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.read().len()
    }

    /// Returns whether there is no name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<R: Clone> Default for Names<R> {
    fn default() -> Self {
        Self::new(NAMES_MAX)
    }
}

impl<R> fmt::Debug for Names<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("len", &self.entries.read().len()).field("max", &self.max).finish()
    }
}

/// Checks a name of an actor, group or topic.
///
/// ```
/// use beluga_runtime::check_name;
///
/// assert!(check_name("session 7").is_ok());
/// assert!(check_name("").is_err() && check_name("a\nb").is_err());
/// ```
///
/// # Errors
/// `invalid_input` unless it is 1 to [`NAME_MAX_BYTES`] bytes without control characters.
pub fn check_name(name: &str) -> Result<()> {
    let has_control = || {
        if name.is_ascii() {
            name.bytes().any(|byte| byte.is_ascii_control())
        } else {
            name.chars().any(char::is_control)
        }
    };
    if name.is_empty() || name.len() > NAME_MAX_BYTES || has_control() {
        let shown: String = name.chars().take(NAME_MAX_BYTES).flat_map(char::escape_default).collect();
        return Err(Error::invalid_input(format!("a name has 1 to {NAME_MAX_BYTES} bytes and no control characters"))
            .with("name", shown));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use beluga_core::Code;

    use super::*;

    #[test]
    fn a_taken_name_is_a_conflict_and_a_removed_one_is_free() {
        let names = Names::new(10);
        names.register("counter", 1).unwrap();
        assert_eq!(names.register("counter", 2).unwrap_err().code(), Code::Conflict);
        assert_eq!(names.get("counter"), Some(1));
        assert_eq!(names.remove("counter", |target| *target == 1), Some(1));
        names.register("counter", 2).unwrap();
        assert_eq!(names.remove("counter", |target| *target == 1), None, "a late removal misses the next owner");
        assert_eq!(names.get("counter"), Some(2));
    }

    #[test]
    fn a_full_table_answers_overloaded() {
        let names = Names::new(1);
        names.register("a", ()).unwrap();
        assert_eq!(names.register("b", ()).unwrap_err().code(), Code::Overloaded);
        assert_eq!(names.names(), [Arc::from("a")]);
    }

    #[test]
    fn malformed_names_are_refused() {
        let names = Names::default();
        for name in ["", "a\nb", "\0", &"x".repeat(257)] {
            assert_eq!(names.register(name, ()).unwrap_err().code(), Code::InvalidInput, "{name:?}");
        }
        assert!(names.is_empty());
    }
}
