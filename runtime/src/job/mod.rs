//! Jobs: supervised work of an actor that must not block its mailbox. One task each, listed in the tree.
//!
//! A job belongs to the incarnation that started it: it is killed and awaited when that ends. Its context cancels it:
//! the future is dropped at its next await (what must run to its end goes through
//! [`task::shield`](crate::task::shield)). A panic becomes the error of whoever awaits it. A job may start jobs; they end
//! with it. At most [`JOBS_MAX`] live per actor.

mod table;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use beluga_core::{CallContext, Cancelled, Code, Error, Result};
use futures_util::FutureExt;
use futures_util::future::{AbortHandle, AbortRegistration, Abortable};
use pin_project_lite::pin_project;

use crate::incarnation::Incarnation;
use crate::scope::Scope;
use crate::system::System;
use crate::task;

pub(crate) use table::{JobRecord, Jobs};

/// The most jobs one actor may have at a time.
pub const JOBS_MAX: usize = 16_384;

/// What a job's future is built with: its own context, and the power to start jobs below it.
///
/// See [`Job`] for an example.
#[derive(Debug)]
pub struct JobCx {
    name: Arc<str>,
    scope: Scope,
}

impl JobCx {
    /// Returns the context the job was started with.
    #[must_use]
    pub fn context(&self) -> &CallContext {
        self.scope.context()
    }

    /// Returns the system.
    #[must_use]
    pub fn system(&self) -> System {
        self.scope.system()
    }

    /// Returns the job's path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a handle of the same powers that may be moved around.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope.clone()
    }

    /// Starts a job below this one; it ends with it. See [`Cx::job`](crate::Cx::job).
    pub fn job<T, F, Fut>(
        &self,
        kind: impl Into<Cow<'static, str>>,
        name: impl AsRef<str>,
        context: &CallContext,
        build: F,
    ) -> Job<T>
    where
        T: Send + 'static,
        F: FnOnce(JobCx) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        self.scope.job(kind, name, context, build)
    }
}

/// A running job. As a future it gives the job's result; dropping it detaches the job, which stays with its actor.
///
/// Besides what the job itself answers: `internal` with the key `panic` if it panicked, `cancelled` if its context
/// was cancelled, `unknown_outcome` if it was killed. Cancel safe.
///
/// ```
/// # use std::time::Duration;
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Handler, JobCx, Message, protocol, time};
/// # #[derive(Message)]
/// # #[message(name = "sum.of", reply = u64)]
/// # struct Sum(Vec<u64>);
/// # protocol!(SumProtocol: Sum);
/// # struct Sums;
/// # impl Actor for Sums { type Protocol = SumProtocol; const KIND: &'static str = "sums"; }
/// impl Handler<Sum> for Sums {
///     async fn handle(&mut self, Sum(numbers): Sum, cx: &mut Cx<Self>) -> Result<u64> {
///         let sum = cx.job("sum", "all", cx.context(), |job: JobCx| async move {
///             let (left, right) = numbers.split_at(numbers.len() / 2);
///             // A job may start jobs; they end with it.
///             let (left, right) = (left.to_vec(), right.to_vec());
///             let left = job.job("sum", "left", job.context(), |_| async move { Ok(left.iter().sum::<u64>()) });
///             Ok(left.await? + right.iter().sum::<u64>())
///         });
///         sum.await
///     }
/// }
///
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let sums = system.spawn("sums", || Sums).await?;
/// assert_eq!(sums.ask(Sum(vec![1, 2, 3, 4])).await?, 10);
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[must_use = "awaiting a job tells how it ended; drop it to detach"]
pub struct Job<T> {
    name: Arc<str>,
    state: State<T>,
}

enum State<T> {
    Running { task: task::JoinHandle<Ending<T>>, abort: AbortHandle },
    Refused(Option<Error>),
}

enum Ending<T> {
    Done(Result<T>),
    Cancelled,
    Killed,
}

impl<T> Job<T> {
    /// Returns the job's path.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Kills the job at its next await; whoever awaits it gets `unknown_outcome`.
    pub fn abort(&self) {
        if let State::Running { abort, .. } = &self.state {
            abort.abort();
        }
    }

    /// Returns whether the job has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.state {
            State::Running { task, .. } => task.is_finished(),
            State::Refused(_) => true,
        }
    }
}

impl<T> Unpin for Job<T> {}

impl<T> Future for Job<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = &mut *self;
        Poll::Ready(match &mut this.state {
            State::Refused(error) => Err(error.take().unwrap_or_else(|| killed(&this.name))),
            State::Running { task, .. } => match ready!(Pin::new(task).poll(cx)) {
                Ok(ending) => ending.outcome(&this.name),
                Err(error) if error.code() == Code::Cancelled => Err(killed(&this.name)),
                Err(error) => Err(panicked(&this.name, error.get("panic").unwrap_or_default())),
            },
        })
    }
}

impl<T> Ending<T> {
    fn outcome(self, name: &str) -> Result<T> {
        match self {
            Ending::Done(result) => result,
            Ending::Cancelled => Err(Error::cancelled("the job's call was cancelled").with("job", name)),
            Ending::Killed => Err(killed(name)),
        }
    }
}

fn killed(name: &str) -> Error {
    Error::unknown_outcome("the job was killed").with("job", name)
}

fn panicked(name: &str, text: &str) -> Error {
    Error::internal(format!("panicked: {text}")).with("job", name).with("panic", text)
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("name", &self.name).field("finished", &self.is_finished()).finish()
    }
}

/// Starts a job of an incarnation, below another job or directly.
pub(crate) fn start<T, F, Fut>(
    incarnation: &Arc<Incarnation>,
    parent: Option<(u64, &str)>,
    kind: Cow<'static, str>,
    name: &str,
    context: &CallContext,
    build: F,
) -> Job<T>
where
    T: Send + 'static,
    F: FnOnce(JobCx) -> Fut,
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    match prepare(incarnation, parent, kind, name, context, build) {
        Ok((path, running, abort)) => {
            Job { name: path, state: State::Running { task: task::spawn("job", running), abort } }
        }
        Err((path, error)) => Job { name: path, state: State::Refused(Some(error)) },
    }
}

/// Starts a job of an incarnation; what comes after it runs in the same task, however the job ended.
pub(crate) fn start_then<T, F, Fut, Then, After>(
    incarnation: &Arc<Incarnation>,
    kind: Cow<'static, str>,
    name: &str,
    context: &CallContext,
    build: F,
    then: Then,
) where
    T: Send + 'static,
    F: FnOnce(JobCx) -> Fut,
    Fut: Future<Output = Result<T>> + Send + 'static,
    Then: FnOnce(Result<T>) -> After + Send + 'static,
    After: Future<Output = ()> + Send + 'static,
{
    let prepared = prepare(incarnation, None, kind, name, context, build);
    let stats = Arc::clone(&incarnation.slot);
    drop(task::spawn("job", async move {
        let outcome = match prepared {
            Ok((path, running, _)) => match AssertUnwindSafe(running).catch_unwind().await {
                Ok(ending) => ending.outcome(&path),
                Err(payload) => {
                    stats.stats.job_panics.fetch_add(1, Ordering::Relaxed);
                    Err(panicked(&path, &task::panic_text(payload.as_ref())))
                }
            },
            Err((_, error)) => Err(error),
        };
        then(outcome).await;
    }));
}

type Prepared<F> = (Arc<str>, Running<Pin<Box<F>>>, AbortHandle);

/// Enters a job in its actor's table and builds its future.
fn prepare<T, F, Fut>(
    incarnation: &Arc<Incarnation>,
    parent: Option<(u64, &str)>,
    kind: Cow<'static, str>,
    name: &str,
    context: &CallContext,
    build: F,
) -> Result<Prepared<Fut>, (Arc<str>, Error)>
where
    T: Send + 'static,
    F: FnOnce(JobCx) -> Fut,
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    let above = parent.map_or(&**incarnation.slot.name(), |(_, path)| path);
    let path: Arc<str> = Arc::from([above, "/", name].concat());
    let (abort, registration) = AbortHandle::new_pair();
    let bound = !context.cancel_token().same(incarnation.context().cancel_token());
    let record =
        JobRecord { kind, path: Arc::clone(&path), parent: parent.map(|(id, _)| id), since: crate::time::now(), bound };
    let id = match incarnation.jobs.insert(record, abort.clone()) {
        Ok(id) => id,
        Err(error) => return Err((path, error.with("actor", incarnation.slot.name()))),
    };
    let entry = Entry { incarnation: Arc::clone(incarnation), id };
    let scope = Scope::of_job(Arc::clone(incarnation), context.clone(), id, Arc::clone(&path));
    // Boxed where it is made: on its way into its task, and when that ends, it would be copied half a dozen times.
    let future = Box::pin(build(JobCx { name: Arc::clone(&path), scope }));
    Ok((path, Running::new(future, registration, context, entry), abort))
}

pin_project! {
    /// The task of a job. The entry drops last, so the tree shows a job as long as anything of it lives.
    struct Running<F> {
        #[pin]
        future: Abortable<F>,
        cancelled: Option<Cancelled>,
        entry: Entry,
    }
}

impl<F: Future> Running<F> {
    fn new(future: F, registration: AbortRegistration, context: &CallContext, entry: Entry) -> Self {
        Self {
            future: Abortable::new(future, registration),
            cancelled: Some(context.cancel_token().cancelled()),
            entry,
        }
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Running<F> {
    type Output = Ending<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ending<T>> {
        let this = self.project();
        let slot = &this.entry.incarnation.slot;
        let _current = crate::ground::enter_job(&slot.ground.beats, slot.id());
        if let Poll::Ready(ended) = this.future.poll(cx) {
            return Poll::Ready(ended.map_or(Ending::Killed, Ending::Done));
        }
        // Looked at after the work: a job that ends itself on its cancellation keeps its own answer.
        if this.cancelled.as_mut().is_some_and(|cancelled| Pin::new(cancelled).poll(cx).is_ready()) {
            return Poll::Ready(Ending::Cancelled);
        }
        Poll::Pending
    }
}

/// A job's line in the table of its actor.
struct Entry {
    incarnation: Arc<Incarnation>,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.incarnation.slot.stats.job_panics.fetch_add(1, Ordering::Relaxed);
        }
        if self.incarnation.jobs.remove(self.id) {
            self.incarnation.slot.jobs_ended();
        }
    }
}
