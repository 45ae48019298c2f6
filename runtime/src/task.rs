//! The only room that spawns: tasks, blocking work, own threads, and work that must outlive its waiter.
//!
//! Work of an actor belongs to a job of that actor (killed and awaited with it); what is spawned here belongs to
//! nobody, so it is for the runtime itself and for faces that own their tasks. Panics become errors with their text.
#![allow(clippy::disallowed_methods)] // The room the rule sends everybody to.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};

use beluga_core::{BoxFuture, Error, Result};
use tokio::runtime::Handle;

use crate::time;

/// The longest panic text kept, in bytes.
pub const PANIC_TEXT_MAX_BYTES: usize = 1024;

/// A running task. Dropping the handle detaches the task; [`abort`](Self::abort) or
/// [`abort_on_drop`](Self::abort_on_drop) ends it.
///
/// As a future it gives the task's output, `internal` with the key `panic` if it panicked, or `cancelled` if it was
/// aborted. Cancel safe.
///
/// See [`spawn`] for an example.
pub struct JoinHandle<T> {
    name: Cow<'static, str>,
    inner: tokio::task::JoinHandle<T>,
}

impl<T> JoinHandle<T> {
    /// Returns the name given at the spawn.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Drops the task's future at its next await. Blocking work that has started runs on.
    pub fn abort(&self) {
        self.inner.abort();
    }

    /// Returns whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }

    /// Ties the task to the handle: dropping the result aborts it.
    #[must_use]
    pub fn abort_on_drop(self) -> AbortOnDrop<T> {
        AbortOnDrop(self)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let joined = std::task::ready!(Pin::new(&mut self.inner).poll(cx));
        Poll::Ready(joined.map_err(|error| match error.try_into_panic() {
            Ok(payload) => panicked(&self.name, payload.as_ref()),
            Err(_) => Error::cancelled("the task was aborted").with("task", &self.name),
        }))
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("name", &self.name).field("finished", &self.is_finished()).finish()
    }
}

/// A task that ends when this handle drops. A future like [`JoinHandle`].
///
/// See [`spawn`] for an example.
#[derive(Debug)]
pub struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a future in the background.
///
/// ```
/// use beluga_runtime::task;
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// assert_eq!(task::spawn("sum", async { 1 + 2 }).await?, 3);
///
/// let error = task::spawn("parser", async { if true { panic!("bad byte") } }).await.unwrap_err();
/// assert_eq!((error.get("task"), error.get("panic")), (Some("parser"), Some("bad byte")));
///
/// let tied = task::spawn("idle", std::future::pending::<()>()).abort_on_drop();
/// drop(tied); // And the task with it.
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn<F>(name: impl Into<Cow<'static, str>>, future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    JoinHandle { name: name.into(), inner: tokio::spawn(future) }
}

/// Runs blocking work (more than a millisecond of it) on tokio's blocking pool.
///
/// Paused time does not jump while it runs.
///
/// ```
/// use beluga_runtime::task;
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let digits = task::spawn_blocking("format", || 2_u64.pow(40).to_string().len());
/// assert_eq!(digits.await?, 13);
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside a tokio runtime.
pub fn spawn_blocking<T: Send + 'static>(
    name: impl Into<Cow<'static, str>>,
    run: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    JoinHandle { name: name.into(), inner: tokio::task::spawn_blocking(run) }
}

/// Starts an own OS thread for work that blocks for its whole life, such as a database writer.
///
/// The current runtime, if any, is entered for the thread, so it sees the same (paused) time and may spawn.
///
/// ```
/// use beluga_runtime::task;
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let (answer, asked) = std::sync::mpsc::channel();
/// let thread = task::spawn_thread("writer", move || answer.send(7).unwrap())?;
/// assert_eq!(asked.recv().ok(), Some(7));
/// thread.join().unwrap();
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// `internal` when the operating system refuses the thread.
pub fn spawn_thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<std::thread::JoinHandle<()>> {
    let handle = Handle::try_current().ok();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _entered = handle.as_ref().map(Handle::enter);
            run();
        })
        .map_err(|error| Error::internal("the system refused a thread").with("thread", name).with_source(error))
}

/// Makes work outlive its waiter: once the shield exists, the future runs to its end.
///
/// The waiter polls the future itself; only when the shield is dropped unfinished does the rest move to a task of its
/// own. So a shield that is awaited to the end costs one allocation and no spawn. A panic reaches whoever polls.
///
/// ```
/// use std::time::Duration;
/// use beluga_runtime::{task, time};
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let (written, done) = tokio::sync::oneshot::channel();
/// let write = task::shield(async move {
///     time::sleep(Duration::from_secs(2)).await;
///     written.send(()).ok();
/// });
/// assert!(time::timeout(Duration::from_secs(1), write).await.is_err(), "the waiter has left");
/// assert_eq!(done.await, Ok(()), "the work has not");
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside a tokio runtime.
pub fn shield<F>(future: F) -> Shield<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    Shield { future: Some(Box::pin(future)), handle: Handle::current() }
}

/// The future of [`shield`].
///
/// See [`shield`] for an example.
#[must_use = "a shield that drops at once only moves the work to the background"]
pub struct Shield<T: Send + 'static> {
    future: Option<BoxFuture<'static, T>>,
    handle: Handle,
}

impl<T: Send + 'static> Future for Shield<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        // Taken while it is polled: a future that panicked is not polled again by the drop.
        let Some(mut future) = self.future.take() else { return Poll::Pending };
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => {
                self.future = Some(future);
                Poll::Pending
            }
        }
    }
}

impl<T: Send + 'static> Drop for Shield<T> {
    fn drop(&mut self) {
        if let Some(rest) = self.future.take() {
            self.handle.spawn(rest);
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Shield<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("finished", &self.future.is_none()).finish_non_exhaustive()
    }
}

/// Says that a reply from outside tokio (an own thread) is outstanding. Hold it until the reply was received.
///
/// Paused time jumps to the next timer as soon as every task waits, so the reply would always lose against a time-out.
/// While time is paused the guard parks a task on the blocking pool, which stops the jump; on a running clock it does
/// nothing.
///
/// ```
/// use std::time::Duration;
/// use beluga_runtime::{task, time};
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let (reply, answer) = tokio::sync::oneshot::channel();
/// let outstanding = task::external(); // Without it paused time would jump to the time-out.
/// task::spawn_thread("writer", move || reply.send("written").unwrap())?;
/// let answer = time::timeout(Duration::from_secs(1), answer).await?;
/// drop(outstanding);
/// assert_eq!(answer, Ok("written"));
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
#[must_use]
pub fn external() -> External {
    if !time::is_paused() {
        return External { _parked: None };
    }
    let (parked, released) = mpsc::channel::<()>();
    tokio::task::spawn_blocking(move || {
        // Ends with an error when the guard drops its sender.
        let _ = released.recv();
    });
    External { _parked: Some(parked) }
}

/// The guard of [`external`].
///
/// See [`external`] for an example.
#[derive(Debug)]
pub struct External {
    _parked: Option<mpsc::Sender<()>>,
}

/// Returns the text of a panic, at most [`PANIC_TEXT_MAX_BYTES`] of it.
///
/// ```
/// use beluga_runtime::task::panic_text;
///
/// let payload = std::panic::catch_unwind(|| if true { panic!("bad byte {}", 7) }).unwrap_err();
/// assert_eq!(panic_text(payload.as_ref()), "bad byte 7");
/// ```
#[must_use]
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text");
    let end = (0..=PANIC_TEXT_MAX_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

/// Returns the error of work that panicked: `internal`, with the text under the key `panic`.
///
/// ```
/// use beluga_runtime::task::panicked;
///
/// let error = panicked("parser", &"bad byte");
/// assert_eq!((error.get("task"), error.get("panic")), (Some("parser"), Some("bad byte")));
/// ```
#[must_use]
pub fn panicked(name: &str, payload: &(dyn Any + Send)) -> Error {
    Error::internal("panicked").with("task", name).with("panic", panic_text(payload))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use beluga_core::Code;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_its_text() {
        let error = spawn("parser", async { panic!("bad byte {}", 7) }).await.unwrap_err();
        let _: &Error = &error;
        assert_eq!((error.code(), error.get("panic")), (Code::Internal, Some("bad byte 7")));
        assert_eq!(error.get("task"), Some("parser"));
    }

    #[test]
    fn a_long_panic_text_is_cut_between_characters() {
        let text = "ä".repeat(PANIC_TEXT_MAX_BYTES);
        let payload: Box<dyn Any + Send> = Box::new(format!("x{text}"));
        let kept = panic_text(payload.as_ref());
        assert_eq!(kept.len(), PANIC_TEXT_MAX_BYTES - 1);
    }

    #[tokio::test]
    async fn an_aborted_task_answers_cancelled() {
        let task = spawn("idle", std::future::pending::<()>());
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }

    #[tokio::test]
    async fn a_tied_task_dies_with_its_handle() {
        let (alive, mut dead) = tokio::sync::oneshot::channel::<()>();
        let task = spawn("idle", async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        drop(task.abort_on_drop());
        assert!((&mut dead).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn shielded_work_ends_although_its_waiter_was_dropped() {
        let done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&done);
        let work = shield(async move {
            time::sleep(Duration::from_secs(2)).await;
            flag.store(true, Ordering::SeqCst);
        });
        assert!(time::timeout(Duration::from_secs(1), work).await.is_err());
        assert!(!done.load(Ordering::SeqCst));
        time::sleep(Duration::from_secs(2)).await;
        assert!(done.load(Ordering::SeqCst));
    }

    #[tokio::test(start_paused = true)]
    async fn shielded_work_gives_its_output_to_a_patient_waiter() {
        assert_eq!(shield(async { 7 }).await, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn paused_time_waits_for_a_reply_from_an_own_thread() {
        let (reply, answer) = tokio::sync::oneshot::channel();
        let (start, started) = mpsc::channel::<()>();
        let before = std::time::Instant::now();
        spawn_thread("writer", move || {
            started.recv().unwrap();
            // Long enough for a paused clock to jump, if nothing held it.
            while before.elapsed() < Duration::from_millis(30) {
                std::thread::yield_now();
            }
            reply.send(time::now()).unwrap();
        })
        .unwrap();
        let paused = time::now();
        start.send(()).unwrap();
        let guard = external();
        let seen = time::timeout(Duration::from_secs(1), answer).await.unwrap().unwrap();
        drop(guard);
        assert_eq!(seen, paused, "the thread reads the paused clock");
        let before = time::now();
        time::sleep(Duration::from_secs(9)).await;
        assert_eq!(time::now() - before, Duration::from_secs(9));
    }
}
