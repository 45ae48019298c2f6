//! What the writer remembers of streams: a bounded cache of their heads.

use std::collections::HashMap;

use beluga_core::StreamKey;

/// How many streams' heads are remembered at most; others are read again from the file.
pub(super) const HEADS_MAX: usize = 100_000;

/// The end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head {
    /// Its id in the file; 0 while it has no row.
    pub(super) id: i64,
    /// Its last version.
    pub(super) version: u64,
    /// The highest fence seen.
    pub(super) fence: u64,
    /// Whether its open mark is set.
    pub(super) is_open: bool,
}

/// The heads in two generations: when the young one is full it becomes the old one, and the old one is dropped. So the
/// streams used lately stay, at the cost of one move per generation and nothing per use.
#[derive(Debug)]
pub(super) struct Heads {
    young: HashMap<StreamKey, Head>,
    old: HashMap<StreamKey, Head>,
    generation_max: usize,
}

impl Heads {
    pub(super) fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation_max: (max / 2).max(1) }
    }

    pub(super) fn get(&mut self, stream: &StreamKey) -> Option<Head> {
        if let Some(head) = self.young.get(stream) {
            return Some(*head);
        }
        let (stream, head) = self.old.remove_entry(stream)?;
        self.insert(stream, head);
        Some(head)
    }

    pub(super) fn put(&mut self, stream: &StreamKey, head: Head) {
        if let Some(known) = self.young.get_mut(stream) {
            *known = head;
        } else {
            self.old.remove(stream);
            self.insert(stream.clone(), head);
        }
    }

    /// Forgets a head that may be wrong, after a rollback.
    pub(super) fn forget(&mut self, stream: &StreamKey) {
        self.young.remove(stream);
        self.old.remove(stream);
    }

    fn insert(&mut self, stream: StreamKey, head: Head) {
        if self.young.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(stream, head);
    }
}

#[cfg(test)]
mod tests {
    use beluga_core::TenantId;

    use super::*;

    fn stream(n: u64) -> StreamKey {
        StreamKey { tenant: TenantId::default(), kind: "session".into(), id: n.to_string().into() }
    }

    fn head(version: u64) -> Head {
        Head { id: 1, version, ..Head::default() }
    }

    #[test]
    fn the_number_of_heads_is_bounded_and_the_used_one_stays() {
        let mut heads = Heads::new(10);
        heads.put(&stream(0), head(1));
        for n in 1..1000 {
            heads.put(&stream(n), head(n));
            assert_eq!(heads.get(&stream(0)), Some(head(1)), "after {n}");
            assert!(heads.young.len() + heads.old.len() <= 10);
        }
        assert_eq!(heads.get(&stream(1)), None);
    }

    #[test]
    fn a_newer_head_replaces_the_one_of_the_old_generation() {
        let mut heads = Heads::new(4);
        heads.put(&stream(0), head(1));
        heads.put(&stream(1), head(1));
        heads.put(&stream(2), head(1));
        heads.put(&stream(0), head(2));
        assert_eq!(heads.get(&stream(0)), Some(head(2)));
        heads.forget(&stream(0));
        assert_eq!(heads.get(&stream(0)), None);
    }
}
