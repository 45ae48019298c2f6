//! Hot reload: watches the file, waits until it is quiet, checks it, and hands over the typed value.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use beluga_core::{Error, Result};
use beluga_runtime::{task, time};
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::load::{Settings, Sources, load};

/// How long a file must be quiet before it is read.
pub const DEBOUNCE: Duration = Duration::from_millis(200);

/// Watches one configuration file until it is dropped.
///
/// The directory is watched, not the file: editors replace files. A version that does not load is logged and ignored;
/// the callback sees valid values only, one after another, and none twice for the same text.
#[derive(Debug)]
pub struct Watcher {
    _system: notify::RecommendedWatcher,
    _loop: task::AbortOnDrop<()>,
}

impl Watcher {
    /// Starts to watch. `loaded` is what is in force: a file that differs from its text is looked at once at the start,
    /// so that no edit falls between loading and watching. `apply` is called with each new value that passed every check.
    ///
    /// # Errors
    /// `config` when the directory cannot be watched.
    pub fn start<T>(path: &Path, loaded: &Sources, mut apply: impl FnMut(T) + Send + 'static) -> Result<Self>
    where
        T: Settings + Send + 'static,
    {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let name: OsString = path.file_name().unwrap_or_default().to_owned();
        let changed = Arc::new(Notify::new());
        let signal = Arc::clone(&changed);
        let refuse = |error: notify::Error| {
            Error::config("the configuration cannot be watched")
                .with("directory", directory.display())
                .with_source(error)
        };
        let mut system = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let ours = event.is_ok_and(|event| {
                !event.kind.is_access() && event.paths.iter().any(|path| path.file_name() == Some(&name))
            });
            if ours {
                signal.notify_one();
            }
        })
        .map_err(refuse)?;
        system.watch(&directory, RecursiveMode::NonRecursive).map_err(refuse)?;
        let path = path.to_path_buf();
        let environment = loaded.environment().clone();
        let mut last = Some(loaded.toml().as_bytes().to_vec());
        changed.notify_one();
        let watching = task::spawn("config.watch", async move {
            loop {
                changed.notified().await;
                while time::timeout(DEBOUNCE, changed.notified()).await.is_ok() {}
                let current = std::fs::read(&path).ok();
                if current.is_none() || current == last {
                    continue;
                }
                last = current;
                let sources = Sources::new(environment.clone()).file(&path);
                match sources.and_then(|sources| load::<T>(&sources)) {
                    Ok(value) => apply(value),
                    Err(error) => tracing::error!(%error, "the new configuration is wrong; the old one stays in force"),
                }
            }
        });
        Ok(Self { _system: system, _loop: watching.abort_on_drop() })
    }
}
