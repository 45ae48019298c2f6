//! The journal's rows: the writer's side of an append, and the readers' side.

use std::path::Path;

use beluga_core::{Append, Error, Group, Mark, StreamKey, TenantId};
use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::checksum::checksum;
use super::failure::{Failure, explain};
use super::heads::{HEADS_MAX, Head, Heads};
use crate::memory::check_head;

/// What the writer knows of the journal between two appends.
#[derive(Debug)]
pub(super) struct Groups {
    heads: Heads,
    /// The place of the next open mark.
    next_place: i64,
}

impl Groups {
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let next_place = connection.query_row("SELECT coalesce(max(place), 0) + 1 FROM marks", [], |row| row.get(0))?;
        Ok(Self { heads: Heads::new(HEADS_MAX), next_place })
    }

    /// Writes a group within the open transaction and returns its version.
    pub(super) fn append(&mut self, connection: &Connection, append: &Append) -> Result<u64, Failure> {
        let mut head = match self.heads.get(&append.stream) {
            Some(head) => head,
            None => load_head(connection, &append.stream)?,
        };
        check_head(append, head.version, head.fence)?;
        if head.id == 0 {
            head.id = insert_stream(connection, &append.stream)?;
        }
        head.version += 1;
        head.fence = append.fence;
        let sum = checksum(head.id, head.version, append.fence, &append.payload);
        connection
            .prepare_cached(
                "INSERT INTO groups (stream, version, fence, checksum, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((head.id, to_sql(head.version), to_sql(append.fence), sum, append.payload.as_ref()))?;
        self.mark(connection, append.mark, &mut head)?;
        self.heads.put(&append.stream, head);
        Ok(head.version)
    }

    /// Forgets what a rolled back append may have changed.
    pub(super) fn rolled_back(&mut self, append: &Append) {
        self.heads.forget(&append.stream);
    }

    fn mark(&mut self, connection: &Connection, mark: Mark, head: &mut Head) -> rusqlite::Result<()> {
        match (mark, head.is_open) {
            (Mark::Open, false) => {
                let place = self.next_place;
                self.next_place += 1;
                connection
                    .prepare_cached("INSERT INTO marks (stream, place) VALUES (?1, ?2)")?
                    .execute((head.id, place))?;
                head.is_open = true;
            }
            (Mark::Close, true) => {
                connection.prepare_cached("DELETE FROM marks WHERE stream = ?1")?.execute([head.id])?;
                head.is_open = false;
            }
            _ => {}
        }
        Ok(())
    }
}

fn load_head(connection: &Connection, stream: &StreamKey) -> rusqlite::Result<Head> {
    let Some(id) = stream_id(connection, stream)? else { return Ok(Head::default()) };
    let last = connection
        .prepare_cached("SELECT version, fence FROM groups WHERE stream = ?1 ORDER BY version DESC LIMIT 1")?
        .query_row([id], |row| Ok((from_sql(row.get(0)?), from_sql(row.get(1)?))))
        .optional()?;
    let (version, fence) = last.unwrap_or_default();
    let is_open = connection.prepare_cached("SELECT 1 FROM marks WHERE stream = ?1")?.exists([id])?;
    Ok(Head { id, version, fence, is_open })
}

fn stream_id(connection: &Connection, stream: &StreamKey) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM streams WHERE tenant = ?1 AND kind = ?2 AND name = ?3")?
        .query_row((stream.tenant.as_str(), &*stream.kind, &*stream.id), |row| row.get(0))
        .optional()
}

fn insert_stream(connection: &Connection, stream: &StreamKey) -> rusqlite::Result<i64> {
    connection.prepare_cached("INSERT INTO streams (tenant, kind, name) VALUES (?1, ?2, ?3)")?.insert((
        stream.tenant.as_str(),
        &*stream.kind,
        &*stream.id,
    ))
}

/// SQLite's integers are signed: the bits are kept. Fences are not compared there, and versions stay far below 2^63.
fn to_sql(number: u64) -> i64 {
    number.cast_signed()
}

fn from_sql(number: i64) -> u64 {
    number.cast_unsigned()
}

/// Reads groups from a version on, and checks that none is missing, moved or changed.
pub(super) fn read(
    connection: &Connection,
    path: &Path,
    stream: &StreamKey,
    from: u64,
    limit: usize,
) -> Result<Vec<Group>, Failure> {
    let Some(id) = stream_id(connection, stream)? else { return Ok(Vec::new()) };
    let mut expected = from.max(1);
    let Ok(first) = i64::try_from(expected) else { return Ok(Vec::new()) };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(
        "SELECT version, fence, checksum, payload FROM groups WHERE stream = ?1 AND version >= ?2
         ORDER BY version LIMIT ?3",
    )?;
    let mut rows = statement.query((id, first, limit))?;
    let mut groups = Vec::new();
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(groups),
            // The structure of the page is damaged: it is told as a damaged row, with what the system says as cause.
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                let cause = explain(error, "journal.read", path);
                return Err(damaged(path, stream, expected, "its page is damaged").with_source(cause).into());
            }
            Err(error) => return Err(error.into()),
        };
        let group = group(id, row).map_err(|what| damaged(path, stream, expected, what))?;
        if group.version != expected {
            return Err(damaged(path, stream, expected, "it is missing").into());
        }
        expected += 1;
        groups.push(group);
    }
}

fn group(stream: i64, row: &Row<'_>) -> Result<Group, &'static str> {
    let (Ok(version), Ok(fence), Ok(sum), Ok(ValueRef::Blob(payload))) =
        (row.get(0).map(from_sql), row.get(1).map(from_sql), row.get::<_, u32>(2), row.get_ref(3))
    else {
        return Err("a column has another type");
    };
    if checksum(stream, version, fence, payload) != sum {
        return Err("its checksum is wrong");
    }
    Ok(Group { version, payload: Bytes::copy_from_slice(payload) })
}

fn damaged(path: &Path, stream: &StreamKey, version: u64, what: &'static str) -> Error {
    Error::decode("a stored group is damaged: stop the node and restore the database from a backup")
        .with_op("journal.read")
        .with("stream", stream)
        .with("version", version)
        .with("what", what)
        .with("path", path.display())
}

/// Returns the marked streams of a kind, oldest mark first.
pub(super) fn open(connection: &Connection, kind: &str, limit: usize) -> Result<Vec<StreamKey>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT s.tenant, s.kind, s.name FROM marks m JOIN streams s ON s.id = m.stream
         WHERE s.kind = ?1 ORDER BY m.place LIMIT ?2",
    )?;
    let mut rows = statement.query((kind, i64::try_from(limit).unwrap_or(i64::MAX)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let tenant: String = row.get(0)?;
        found.push(StreamKey { tenant: TenantId::try_from(tenant)?, kind: row.get(1)?, id: row.get(2)? });
    }
    Ok(found)
}
