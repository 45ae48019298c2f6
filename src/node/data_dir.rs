//! The data directory and its lock: one process owns it, and says where it can be reached.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use beluga_core::{Error, Result, Retry};
use beluga_runtime::time;
use serde::{Deserialize, Serialize};

/// The file whose lock means ownership. The lock is the operating system's: it ends with the process, however it ends.
const LOCK_FILE: &str = "node.lock";

/// The largest content of the lock file that is read, in bytes.
const LOCK_MAX_BYTES: u64 = 4096;

/// How often a claim is tried again while it waits.
const CLAIM_PAUSE: Duration = Duration::from_millis(25);

/// Who owns a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The process.
    pub pid: u32,
    /// Where it answers HTTP; absent if it does not.
    pub url: Option<String>,
}

/// A data directory this process owns until the value drops.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    lock: File,
}

/// The outcome of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The directory is ours now.
    Ours(DataDir),
    /// Another process has it. It may have said nothing of itself yet.
    Theirs(Option<Owner>),
}

impl DataDir {
    /// Claims a directory, making it if it is not there. A lock left by a dead process does not count.
    ///
    /// # Errors
    /// `config` if the directory cannot be made or written.
    pub fn claim(path: &Path) -> Result<Claim> {
        create(path).map_err(|error| refuse(path, "cannot be made", error))?;
        let file = path.join(LOCK_FILE);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&file)
            .map_err(|error| refuse(path, "cannot be written", error))?;
        match lock.try_lock() {
            Ok(()) => {
                let directory = Self { path: path.to_path_buf(), lock };
                directory.write(None)?;
                Ok(Claim::Ours(directory))
            }
            Err(TryLockError::WouldBlock) => Ok(Claim::Theirs(read(&mut lock))),
            Err(TryLockError::Error(error)) => Err(refuse(path, "cannot be locked", error)),
        }
    }

    /// Claims a directory, waiting up to `patience` for an owner that cannot be reached to end.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub async fn claim_within(path: &Path, patience: Duration) -> Result<Claim> {
        let end = time::now() + patience;
        loop {
            let claim = Self::claim(path)?;
            let reachable = matches!(&claim, Claim::Ours(_) | Claim::Theirs(Some(Owner { url: Some(_), .. })));
            if reachable || time::now() >= end {
                return Ok(claim);
            }
            time::sleep(CLAIM_PAUSE).await;
        }
    }

    /// Claims a directory as its next node: waits up to `patience` for a predecessor that is on its way out, since the
    /// lock of a killed process goes a moment after the kill.
    ///
    /// # Errors
    /// As [`claim`](Self::claim).
    pub async fn claim_after(path: &Path, patience: Duration) -> Result<Claim> {
        let end = time::now() + patience;
        loop {
            let claim = Self::claim(path)?;
            if matches!(claim, Claim::Ours(_)) || time::now() >= end {
                return Ok(claim);
            }
            time::sleep(CLAIM_PAUSE).await;
        }
    }

    /// Returns who owns a directory; `None` if nobody does. Makes nothing.
    #[must_use]
    pub fn owner(path: &Path) -> Option<Owner> {
        let mut lock = OpenOptions::new().read(true).open(path.join(LOCK_FILE)).ok()?;
        match lock.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read(&mut lock),
            _ => None,
        }
    }

    /// Returns the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down where this process answers HTTP, for others that want the directory.
    ///
    /// # Errors
    /// `config` if the lock file cannot be written.
    pub fn publish(&self, url: &str) -> Result<()> {
        self.write(Some(url.to_owned()))
    }

    /// Returns the error for a process that needs a directory another one owns.
    #[must_use]
    pub fn taken(path: &Path, owner: Option<&Owner>) -> Error {
        let pid = owner.map_or_else(|| "unknown".to_owned(), |owner| owner.pid.to_string());
        Error::unavailable(
            "the data directory is in use by another process; wait for it, or choose another with --data",
        )
        .with_retry(Retry::After(Duration::from_secs(1)))
        .with("directory", path.display())
        .with("pid", pid)
    }

    fn write(&self, url: Option<String>) -> Result<()> {
        let owner = Owner { pid: std::process::id(), url };
        let text = serde_json::to_string(&owner).unwrap_or_default();
        let mut lock = &self.lock;
        let written = lock.rewind().and_then(|()| lock.write_all(text.as_bytes()));
        let length = u64::try_from(text.len()).unwrap_or_default();
        written.and_then(|()| self.lock.set_len(length)).map_err(|error| refuse(&self.path, "cannot be written", error))
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // Best effort: the lock itself ends with the file handle.
        let _ = self.lock.set_len(0);
    }
}

fn read(lock: &mut File) -> Option<Owner> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.take(LOCK_MAX_BYTES).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Makes the directory for the owner's eyes only: it holds conversations.
fn create(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

fn refuse(path: &Path, what: &'static str, error: std::io::Error) -> Error {
    Error::config(format!("the data directory {what}: {error}")).with("directory", path.display()).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner_that_can_be_found() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        assert_eq!(DataDir::owner(&path), None);
        let Claim::Ours(ours) = DataDir::claim(&path).unwrap() else { panic!("nobody else wants it") };
        ours.publish("http://127.0.0.1:1").unwrap();
        let owner = Owner { pid: std::process::id(), url: Some("http://127.0.0.1:1".to_owned()) };
        assert_eq!(DataDir::owner(&path), Some(owner.clone()));
        assert!(matches!(DataDir::claim(&path).unwrap(), Claim::Theirs(Some(found)) if found == owner));
        drop(ours);
        assert_eq!(DataDir::owner(&path), None);
        assert!(matches!(DataDir::claim(&path).unwrap(), Claim::Ours(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_successor_waits_a_moment_for_its_predecessor() {
        let root = tempfile::tempdir().unwrap();
        let Claim::Ours(predecessor) = DataDir::claim(root.path()).unwrap() else { panic!("nobody else wants it") };
        let leaving = async {
            time::sleep(Duration::from_millis(500)).await;
            drop(predecessor);
        };
        let (claim, ()) = tokio::join!(DataDir::claim_after(root.path(), Duration::from_secs(1)), leaving);
        assert!(matches!(claim.unwrap(), Claim::Ours(_)));

        let _stays = DataDir::claim(root.path()).unwrap();
        let before = time::now();
        let claim = DataDir::claim_after(root.path(), Duration::from_secs(1)).await;
        assert!(matches!(claim.unwrap(), Claim::Theirs(_)));
        assert_eq!(time::now() - before, Duration::from_secs(1));
    }

    #[test]
    fn what_a_dead_process_left_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(LOCK_FILE), r#"{"pid":1,"url":"http://127.0.0.1:9"}"#).unwrap();
        assert_eq!(DataDir::owner(root.path()), None);
        assert!(matches!(DataDir::claim(root.path()).unwrap(), Claim::Ours(_)));
    }

    #[test]
    fn a_place_that_is_no_directory_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        assert_eq!(DataDir::claim(&file).unwrap_err().code(), beluga_core::Code::Config);
    }
}
