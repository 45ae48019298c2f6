//! Opening the file: who may have it, whether it is ours, and which version it has.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use beluga_core::{Error, Result};
use rusqlite::{Connection, OpenFlags};

use super::failure::explain;
use super::options::SqliteOptions;
use super::schema::{APPLICATION_ID, STEPS};

const OP: &str = "sqlite.open";

/// How often the lock is tried: a process that is just ending, or a store that was just dropped, still has it.
const LOCK_TRIES: u32 = 50;
/// How long between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// How long a statement waits for another program, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// After how many pages in the log it is copied back into the database file.
const CHECKPOINT_PAGES: u32 = 4_000;
/// How large the log file stays after a burst, in bytes.
const LOG_KEPT_BYTES: u32 = 64 * 1024 * 1024;
/// The writer's page cache, in KiB.
const WRITER_CACHE_KIB: u32 = 16 * 1024;
/// The page cache of one reader, in KiB.
const READER_CACHE_KIB: u32 = 2 * 1024;
/// How many prepared statements a connection keeps.
const STATEMENTS: usize = 64;

/// The writer's connection, with the lock that makes it the only one.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// Released by the operating system when it drops, or when the process dies.
    pub(super) lock: File,
}

/// Opens the file for the writer, creates or migrates it, and takes the lock. Blocks.
///
/// # Errors
/// `config` when the file is locked, foreign, newer, read-only or not a database; `overloaded` when the disk is full;
/// `internal` when it is damaged.
pub(super) fn open_writer(path: &Path, options: &SqliteOptions) -> Result<Opened> {
    check_path(path)?;
    let lock = lock(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| explain(error, OP, path);
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    let version = identify(&connection, path)?;
    tune_writer(&connection, options).map_err(failed)?;
    use_log(&connection, path)?;
    migrate(&mut connection, version).map_err(failed)?;
    if version == 0 {
        sync_directory(path)?;
    }
    Ok(Opened { connection, lock })
}

/// Opens one more connection that only reads. Blocks.
///
/// # Errors
/// As SQLite says.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(&format!(
        "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;
         PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{READER_CACHE_KIB};"
    ))?;
    Ok(connection)
}

fn check_path(path: &Path) -> Result<()> {
    let wrong = |message: &'static str| Err(Error::config(message).with_op(OP).with("path", path.display()));
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
            return wrong("the data directory does not exist: create it or configure another path");
        }
        _ => {}
    }
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => wrong("the path of the database is a directory: name a file"),
        Ok(found) if found.permissions().readonly() => {
            wrong("the database file is read-only: let this user write the file and its directory")
        }
        _ => Ok(()),
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-lock");
    PathBuf::from(name)
}

/// Takes the lock file and writes the process id into it.
fn lock(path: &Path) -> Result<File> {
    let failed = |error: std::io::Error| {
        Error::config("the lock file beside the database cannot be written: let this user write the directory")
            .with_op(OP)
            .with("path", lock_path(path).display())
            .with_source(error)
    };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(lock_path(path)).map_err(failed)?;
    for _ in 1..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => {
                // The id is only for the message of whoever comes second.
                file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(failed)?;
                return Ok(file);
            }
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    let mut owner = String::new();
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut owner));
    Err(Error::config("another process has the database open and one process owns a data directory: stop it, use it by its address, or configure another directory")
        .with_op(OP)
        .with("path", path.display())
        .with("process", if owner.is_empty() { "unknown" } else { owner.trim() }))
}

/// Returns the schema version, 0 for an empty file.
fn identify(connection: &Connection, path: &Path) -> Result<usize> {
    let failed = |error| explain(error, OP, path);
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let is_empty = number("SELECT count(*) FROM sqlite_schema")? == 0;
    if is_empty && application == 0 && version == 0 {
        return Ok(0);
    }
    if application != i64::from(APPLICATION_ID) {
        return Err(Error::config("the file is the database of another program: configure another path")
            .with_op(OP)
            .with("path", path.display())
            .with("application_id", application));
    }
    match usize::try_from(version) {
        Ok(version) if version <= STEPS.len() => Ok(version),
        _ => Err(Error::config("the database was written by a newer Beluga: start that one, or restore a backup")
            .with_op(OP)
            .with("path", path.display())
            .with("schema", version)
            .with("known", STEPS.len())),
    }
}

fn tune_writer(connection: &Connection, options: &SqliteOptions) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(&format!(
        "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{WRITER_CACHE_KIB};"
    ))?;
    let pages = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    if let Some(max_bytes) = options.max_bytes {
        let page_bytes = pages("PRAGMA page_size")?.max(1);
        let max_pages = (i64::try_from(max_bytes).unwrap_or(i64::MAX) / page_bytes).clamp(1, i64::from(u32::MAX - 1));
        pages(&format!("PRAGMA max_page_count = {max_pages}"))?;
    }
    Ok(())
}

/// Switches to the write-ahead log.
fn use_log(connection: &Connection, path: &Path) -> Result<()> {
    let failed = |error| explain(error, OP, path);
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(Error::config(
            "the file system cannot share memory between connections, as a network one cannot: configure a local path",
        )
        .with_op(OP)
        .with("path", path.display())
        .with("journal_mode", mode));
    }
    let set = |sql: String| connection.query_row(&sql, [], |_| Ok(())).map_err(failed);
    set(format!("PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}"))?;
    set(format!("PRAGMA journal_size_limit = {LOG_KEPT_BYTES}"))
}

/// Takes the missing steps, each in its own transaction.
fn migrate(connection: &mut Connection, version: usize) -> rusqlite::Result<()> {
    for (step, sql) in STEPS.iter().enumerate().skip(version) {
        // A new file is durable before anything is acknowledged from it.
        connection.execute_batch("PRAGMA synchronous = FULL")?;
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction
            .execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}", step + 1))?;
        transaction.commit()?;
    }
    Ok(())
}

/// Makes the names of new files durable.
fn sync_directory(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !cfg!(unix) {
        return Ok(());
    }
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(|error| {
        Error::internal("the data directory cannot be synced")
            .with_op(OP)
            .with("path", parent.display())
            .with_source(error)
    })
}
