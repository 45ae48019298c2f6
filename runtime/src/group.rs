//! Groups of one system: who is a member of what. Bounded tables; the system removes members that ended.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use beluga_core::{Error, Result};
use parking_lot::RwLock;

use crate::naming::check_name;

/// The most groups (or topics) of one system.
pub const GROUPS_MAX: usize = 100_000;

/// The most members of one group (or subscribers of one topic).
pub const MEMBERS_MAX: usize = 100_000;

/// The groups of one system: `K` identifies a member (a slot id), `R` is what is kept for it (a ref).
///
/// Members keep the order in which they joined. A group exists as long as it has members. Reading the members shares a
/// list that the next change copies, so a broadcast holds no lock.
///
/// ```
/// use beluga_runtime::Groups;
///
/// let groups = Groups::new();
/// assert!(groups.join("tools", 1, "clock")?);
/// assert!(groups.join("tools", 2, "calculator")?);
/// assert!(!groups.join("tools", 1, "clock")?, "a member already");
/// let targets: Vec<&str> = groups.members("tools").iter().map(|member| member.target).collect();
/// assert_eq!(targets, ["clock", "calculator"]);
/// groups.leave_all(&1);
/// assert_eq!(groups.list(), [("tools".into(), 1)]);
/// # Ok::<(), beluga_core::Error>(())
/// ```
///
/// Actors join with [`System::join`](crate::System::join).
pub struct Groups<K, R> {
    tables: RwLock<Tables<K, R>>,
    groups_max: usize,
    members_max: usize,
}

struct Tables<K, R> {
    groups: HashMap<Arc<str>, Arc<Vec<Member<K, R>>>>,
    /// The groups of each member, so that the end of an actor costs only what it joined.
    joined: HashMap<K, Vec<Arc<str>>>,
}

/// A member of a group.
///
/// See [`Groups`] for an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member<K, R> {
    /// Who it is.
    pub id: K,
    /// What was kept for it.
    pub target: R,
}

impl<K: Eq + Hash + Clone, R: Clone> Groups<K, R> {
    /// Makes empty tables with the bounds [`GROUPS_MAX`] and [`MEMBERS_MAX`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_bounds(GROUPS_MAX, MEMBERS_MAX)
    }

    /// Makes empty tables with other bounds.
    #[must_use]
    pub fn with_bounds(groups_max: usize, members_max: usize) -> Self {
        let tables = Tables { groups: HashMap::new(), joined: HashMap::new() };
        Self { tables: RwLock::new(tables), groups_max, members_max }
    }

    /// Adds a member; returns false if it was one already.
    ///
    /// # Errors
    /// `invalid_input` for a malformed name, `overloaded` if a bound is hit.
    pub fn join(&self, group: &str, id: K, target: R) -> Result<bool> {
        self.join_checked(group, id, target, |_| Ok(()))
    }

    /// Adds a member if `check` agrees to the members there are.
    pub(crate) fn join_checked(
        &self,
        group: &str,
        id: K,
        target: R,
        check: impl FnOnce(&[Member<K, R>]) -> Result<()>,
    ) -> Result<bool> {
        check_name(group)?;
        let mut tables = self.tables.write();
        let Tables { groups, joined } = &mut *tables;
        let name = match groups.get_key_value(group) {
            Some((name, members)) => {
                check(members)?;
                if joined.get(&id).is_some_and(|names| names.contains(name)) {
                    return Ok(false);
                }
                if members.len() >= self.members_max {
                    return Err(full("the group is full", group, self.members_max));
                }
                Arc::clone(name)
            }
            None if groups.len() >= self.groups_max => {
                return Err(full("there are too many groups", group, self.groups_max));
            }
            None => Arc::from(group),
        };
        joined.entry(id.clone()).or_default().push(Arc::clone(&name));
        Arc::make_mut(groups.entry(name).or_default()).push(Member { id, target });
        Ok(true)
    }

    /// Removes a member from one group; returns whether it was one.
    pub fn leave(&self, group: &str, id: &K) -> bool {
        let mut tables = self.tables.write();
        let Some(groups) = tables.joined.get_mut(id) else { return false };
        let Some(index) = groups.iter().position(|name| &**name == group) else { return false };
        groups.swap_remove(index);
        if groups.is_empty() {
            tables.joined.remove(id);
        }
        tables.remove_member(group, id);
        true
    }

    /// Removes a member from all its groups, as when it ended.
    pub fn leave_all(&self, id: &K) {
        if !self.tables.read().joined.contains_key(id) {
            return;
        }
        let mut tables = self.tables.write();
        for group in tables.joined.remove(id).unwrap_or_default() {
            tables.remove_member(&group, id);
        }
    }

    /// Returns the members in the order they joined; an unknown group has none.
    #[must_use]
    pub fn members(&self, group: &str) -> Arc<Vec<Member<K, R>>> {
        self.tables.read().groups.get(group).cloned().unwrap_or_default()
    }

    /// Returns the names of all groups and their sizes, sorted.
    #[must_use]
    pub fn list(&self) -> Vec<(Arc<str>, usize)> {
        let tables = self.tables.read();
        let mut list: Vec<_> = tables.groups.iter().map(|(name, members)| (Arc::clone(name), members.len())).collect();
        list.sort_unstable();
        list
    }
}

impl<K: Eq + Hash + Clone, R: Clone> Tables<K, R> {
    fn remove_member(&mut self, group: &str, id: &K) {
        let Some(members) = self.groups.get_mut(group) else { return };
        let members = Arc::make_mut(members);
        members.retain(|member| member.id != *id);
        if members.is_empty() {
            self.groups.remove(group);
        }
    }
}

impl<K: Eq + Hash + Clone, R: Clone> Default for Groups<K, R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, R> fmt::Debug for Groups<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").field("len", &self.tables.read().groups.len()).finish_non_exhaustive()
    }
}

fn full(message: &'static str, group: &str, bound: usize) -> Error {
    Error::overloaded(message).with("group", group).with("bound", bound)
}

#[cfg(test)]
mod tests {
    use beluga_core::Code;

    use super::*;

    fn ids(groups: &Groups<u32, &'static str>, group: &str) -> Vec<u32> {
        groups.members(group).iter().map(|member| member.id).collect()
    }

    #[test]
    fn members_keep_their_order_and_join_once() {
        let groups = Groups::new();
        assert!(groups.join("tools", 2, "b").unwrap());
        assert!(groups.join("tools", 1, "a").unwrap());
        assert!(!groups.join("tools", 2, "b").unwrap());
        assert_eq!(ids(&groups, "tools"), [2, 1]);
        assert!(groups.leave("tools", &2));
        assert!(!groups.leave("tools", &2));
        assert_eq!(ids(&groups, "tools"), [1]);
    }

    #[test]
    fn an_ended_member_leaves_everything_and_empty_groups_vanish() {
        let groups = Groups::new();
        for group in ["a", "b", "c"] {
            groups.join(group, 1, "x").unwrap();
        }
        groups.join("b", 2, "y").unwrap();
        groups.leave_all(&1);
        assert_eq!(groups.list(), [(Arc::from("b"), 1)]);
        groups.leave_all(&2);
        assert!(groups.list().is_empty());
        assert!(groups.tables.read().joined.is_empty());
    }

    #[test]
    fn a_list_in_hand_does_not_change() {
        let groups = Groups::new();
        groups.join("a", 1, "x").unwrap();
        let seen = groups.members("a");
        groups.leave_all(&1);
        assert_eq!(seen.len(), 1);
        assert!(groups.members("a").is_empty());
    }

    #[test]
    fn both_bounds_answer_overloaded() {
        let groups = Groups::with_bounds(1, 1);
        groups.join("a", 1, "x").unwrap();
        assert_eq!(groups.join("a", 2, "y").unwrap_err().code(), Code::Overloaded);
        assert_eq!(groups.join("b", 2, "y").unwrap_err().code(), Code::Overloaded);
        assert_eq!(groups.join("", 2, "y").unwrap_err().code(), Code::InvalidInput);
    }
}
