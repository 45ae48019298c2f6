//! SQLite's result codes as errors that say what to do.

use std::path::Path;

use beluga_core::{Code, Error};
use rusqlite::ffi::{ErrorCode, SQLITE_IOERR_SHMSIZE};

/// Why a statement inside a transaction did not happen.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request is refused; the transaction goes on.
    Refused(Error),
    /// SQLite failed; the transaction is rolled back.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Failure::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Refused(error)
    }
}

impl Failure {
    /// Returns the error for the caller.
    pub(super) fn explain(self, op: &'static str, path: &Path) -> Error {
        match self {
            Failure::Refused(error) => error,
            Failure::Sql(error) => explain(error, op, path),
        }
    }
}

/// Turns an SQLite error into one that names the file and what to do.
pub(super) fn explain(error: rusqlite::Error, op: &'static str, path: &Path) -> Error {
    let (code, message) = match error.sqlite_error_code() {
        _ if is_full(&error) => {
            (Code::Overloaded, "the disk, or the size limit of the store, is full: free space or raise the limit")
        }
        Some(ErrorCode::DatabaseCorrupt) => (
            Code::Internal,
            "the database file is damaged: stop the node, copy the file with its -wal, and recover the copy with sqlite3 .recover",
        ),
        Some(ErrorCode::NotADatabase) => {
            (Code::Config, "the file is not an SQLite database: move it away or configure another path")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            (Code::Config, "the database file is read-only: let this user write the file and its directory")
        }
        Some(ErrorCode::CannotOpen) => (
            Code::Config,
            "the database file cannot be opened: let this user read and write the file and its directory",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            (Code::Unavailable, "another program holds the database: close it")
        }
        Some(ErrorCode::SystemIoFailure) => {
            (Code::Internal, "the system failed to read or write the database file: check the disk and the system log")
        }
        Some(ErrorCode::OutOfMemory) => (Code::Overloaded, "SQLite got no memory"),
        _ => (Code::Internal, "SQLite failed"),
    };
    Error::new(code, message).with_op(op).with("path", path.display()).with_source(error)
}

/// Returns whether the writer cannot trust its file after this error.
pub(super) fn is_fatal(error: &rusqlite::Error) -> bool {
    !is_full(error)
        && matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::ReadOnly
                    | ErrorCode::CannotOpen
            )
        )
}

/// The log's index in shared memory has its own code when it cannot grow.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
        || error.sqlite_extended_error_code() == Some(SQLITE_IOERR_SHMSIZE)
}
