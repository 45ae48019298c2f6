//! The messages' rows and their full-text index: the writer's side, and the readers' side.

use std::fmt::Write;

use beluga_core::{Error, MemoryOwner, MemoryQuery, Recollection, Role, SessionId, TurnId};
use rusqlite::{Connection, OptionalExtension, Row};

use super::failure::Failure;
use crate::memory::query_words;

/// How many messages of a forgotten owner are deleted in one transaction.
pub(super) const SWEEP_MESSAGES: u32 = 256;

/// Keeps messages and indexes them within the open transaction; what is known already stays.
pub(super) fn remember(connection: &Connection, owner: &MemoryOwner, entries: &[Recollection]) -> rusqlite::Result<()> {
    let owner = match owner_id(connection, owner)? {
        Some(id) => id,
        None => connection
            .prepare_cached("INSERT INTO owners (tenant, agent) VALUES (?1, ?2)")?
            .insert((owner.tenant.as_str(), owner.agent.as_str()))?,
    };
    let mut insert = connection.prepare_cached(
        "INSERT OR IGNORE INTO messages (owner, session, turn, role, text, at_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut index = connection.prepare_cached("INSERT INTO recall (rowid, owner, text) VALUES (?1, ?2, ?3)")?;
    for entry in entries {
        let values = (
            owner,
            entry.session.as_str(),
            entry.turn.as_str(),
            role_name(entry.role),
            &entry.text,
            entry.at_ms.cast_signed(),
        );
        if insert.execute(values)? == 1 {
            index.execute((connection.last_insert_rowid(), owner_word(owner), &entry.text))?;
        }
    }
    Ok(())
}

/// Hides an owner's messages at once; returns its id, `None` if nothing is known of it.
pub(super) fn hide(connection: &Connection, owner: &MemoryOwner) -> rusqlite::Result<Option<i64>> {
    let Some(id) = owner_id(connection, owner)? else { return Ok(None) };
    connection.prepare_cached("UPDATE owners SET forgotten = 1 WHERE id = ?1")?.execute([id])?;
    Ok(Some(id))
}

/// Returns the hidden owners whose messages are not all deleted yet.
pub(super) fn hidden(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    connection.prepare("SELECT id FROM owners WHERE forgotten = 1")?.query_map([], |row| row.get(0))?.collect()
}

/// Deletes some messages of a hidden owner; returns whether it was the last of them.
pub(super) fn sweep(connection: &Connection, owner: i64) -> rusqlite::Result<bool> {
    let ids: Vec<i64> = connection
        .prepare_cached("SELECT id FROM messages WHERE owner = ?1 LIMIT ?2")?
        .query_map((owner, SWEEP_MESSAGES), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &ids {
        connection.prepare_cached("DELETE FROM recall WHERE rowid = ?1")?.execute([id])?;
        connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([id])?;
    }
    let is_last = ids.len() < SWEEP_MESSAGES as usize;
    if is_last {
        connection.prepare_cached("DELETE FROM owners WHERE id = ?1")?.execute([owner])?;
    }
    Ok(is_last)
}

/// Returns the best matches by words, best first; the newest messages if the text has no word.
pub(super) fn search(connection: &Connection, query: &MemoryQuery) -> Result<Vec<Recollection>, Failure> {
    let words = query_words(&query.text);
    let session = query.session.as_ref();
    let Some(owner) = owner_id(connection, &query.owner)? else { return Ok(Vec::new()) };
    if words.is_empty() {
        return newest(connection, owner, session, query.limit);
    }
    // The owner is a word of the index, so only its own messages are ranked. The plus sign keeps the session from
    // driving the query: it would run the match once per message.
    let sql = if session.is_some() {
        "WITH best AS MATERIALIZED (
            SELECT rowid AS id, bm25(recall, 0.0, 1.0) AS cost FROM recall
            WHERE recall MATCH ?1 AND +rowid IN (SELECT id FROM messages WHERE owner = ?2 AND session = ?3)
            ORDER BY cost LIMIT ?4)
         SELECT m.session, m.turn, m.role, m.text, m.at_ms, -best.cost FROM best JOIN messages m ON m.id = best.id
         ORDER BY best.cost, m.id DESC"
    } else {
        "WITH best AS MATERIALIZED (
            SELECT rowid AS id, bm25(recall, 0.0, 1.0) AS cost FROM recall
            WHERE recall MATCH ?1 ORDER BY cost LIMIT ?4)
         SELECT m.session, m.turn, m.role, m.text, m.at_ms, -best.cost FROM best JOIN messages m ON m.id = best.id
         WHERE m.owner = ?2 AND ?3 IS NULL ORDER BY best.cost, m.id DESC"
    };
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query((match_text(owner, &words), owner, session.map(SessionId::as_str), limit))?;
    collect(rows)
}

/// Returns the newest messages of one session, oldest first.
pub(super) fn all(
    connection: &Connection,
    owner: &MemoryOwner,
    session: &SessionId,
    limit: usize,
) -> Result<Vec<Recollection>, Failure> {
    let Some(owner) = owner_id(connection, owner)? else { return Ok(Vec::new()) };
    let mut found = newest(connection, owner, Some(session), limit)?;
    found.reverse();
    Ok(found)
}

fn newest(
    connection: &Connection,
    owner: i64,
    session: Option<&SessionId>,
    limit: usize,
) -> Result<Vec<Recollection>, Failure> {
    // The plus sign makes it read the session's messages and sort them, not walk all of the owner's by age.
    let sql = if session.is_some() {
        "SELECT session, turn, role, text, at_ms, 0.0 FROM messages
         WHERE owner = ?1 AND session = ?2 ORDER BY +at_ms DESC, id DESC LIMIT ?3"
    } else {
        "SELECT session, turn, role, text, at_ms, 0.0 FROM messages
         WHERE owner = ?1 AND ?2 IS NULL ORDER BY at_ms DESC, id DESC LIMIT ?3"
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    collect(statement.query((owner, session.map(SessionId::as_str), limit))?)
}

fn collect(mut rows: rusqlite::Rows<'_>) -> Result<Vec<Recollection>, Failure> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(recollection(row)?);
    }
    Ok(found)
}

fn recollection(row: &Row<'_>) -> Result<Recollection, Failure> {
    let role: String = row.get(2)?;
    Ok(Recollection {
        session: SessionId::try_from(row.get::<_, String>(0)?)?,
        turn: TurnId::try_from(row.get::<_, String>(1)?)?,
        role: parse_role(&role)
            .ok_or_else(|| Error::decode("a stored message has an unknown role").with("role", role))?,
        text: row.get(3)?,
        at_ms: row.get::<_, i64>(4)?.cast_unsigned(),
        score: row.get(5)?,
    })
}

fn owner_id(connection: &Connection, owner: &MemoryOwner) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM owners WHERE tenant = ?1 AND agent = ?2 AND forgotten = 0")?
        .query_row((owner.tenant.as_str(), owner.agent.as_str()), |row| row.get(0))
        .optional()
}

fn owner_word(owner: i64) -> String {
    format!("o{owner}")
}

/// Returns the full-text query: the owner's word and any of the words, each of them quoted.
fn match_text(owner: i64, words: &[String]) -> String {
    let mut text = format!("(owner : \"{}\") AND (text : (", owner_word(owner));
    for (n, word) in words.iter().enumerate() {
        let or = if n == 0 { "" } else { " OR " };
        // Words have no quote sign; writing to a string cannot fail.
        let _ = write!(text, "{or}\"{word}\"");
    }
    text.push_str("))");
    text
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

fn parse_role(name: &str) -> Option<Role> {
    [Role::System, Role::User, Role::Assistant, Role::Tool].into_iter().find(|role| role_name(*role) == name)
}
