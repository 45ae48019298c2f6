//! The tables, and the steps that lead from one version of them to the next.

/// Marks the file as Beluga's: "Blga" in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x426c_6761;

/// One step per schema version; `user_version` counts the steps taken. A step is never changed once released.
pub(super) const STEPS: &[&str] = &[V1];

/// Groups lie in the order they came, so that a batch of many streams fills few pages; an index leads from a stream to
/// its groups. Keyed by stream, every group of a batch would write a page of its own, for half as much CPU time again
/// (benches/journal.rs).
/// Version and fence of a stream are those of its last group. `journal` is for people.
///
/// An owner is forgotten in two steps: `forgotten` hides it at once, then its messages are deleted in small batches.
const V1: &str = "
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    UNIQUE (tenant, kind, name)
) STRICT;
CREATE TABLE groups (
    id INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    version INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    payload BLOB NOT NULL,
    UNIQUE (stream, version)
) STRICT;
CREATE TABLE marks (stream INTEGER PRIMARY KEY, place INTEGER NOT NULL) STRICT;
CREATE VIEW journal AS
    SELECT g.id, s.tenant, s.kind, s.name, g.version, g.fence, g.payload
    FROM groups g JOIN streams s ON s.id = g.stream;

CREATE TABLE state (
    tenant TEXT NOT NULL,
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (tenant, scope, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE owners (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    forgotten INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX owners_known ON owners (tenant, agent) WHERE forgotten = 0;
CREATE TABLE messages (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL,
    session TEXT NOT NULL,
    turn TEXT NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    UNIQUE (owner, session, turn, role)
) STRICT;
CREATE INDEX messages_by_age ON messages (owner, at_ms);
CREATE VIRTUAL TABLE recall USING fts5 (
    owner, text, content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2'
);
";
