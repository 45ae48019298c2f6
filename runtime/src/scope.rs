//! The powers of an actor as a handle that outlives the borrow of a handler.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use beluga_core::{CallContext, Result};

use crate::address::Address;
use crate::incarnation::Incarnation;
use crate::job::{self, Job, JobCx};
use crate::pool::{self, Pool, PoolSpec};
use crate::protocol::Protocol;
use crate::reference::Ref;
use crate::spec::Spec;
use crate::system::System;

/// Starts jobs and children on behalf of one incarnation. Cheap to clone; useless, not harmful, once that has ended.
///
/// ```
/// # use beluga_core::Result;
/// # use beluga_runtime::{Actor, Cx, Handler, Message, Scope, protocol};
/// # #[derive(Message)]
/// # #[message(name = "square.of", reply = u64)]
/// # struct Square(u64);
/// # protocol!(SquareProtocol: Square);
/// # struct Squares;
/// # impl Actor for Squares { type Protocol = SquareProtocol; const KIND: &'static str = "squares"; }
/// /// Knows nothing of the actor that lends it a scope.
/// async fn squared(scope: Scope, n: u64) -> Result<u64> {
///     scope.job("square", "square", scope.context(), |_| async move { Ok(n * n) }).await
/// }
///
/// impl Handler<Square> for Squares {
///     async fn handle(&mut self, Square(n): Square, cx: &mut Cx<Self>) -> Result<u64> {
///         squared(cx.scope(), n).await
///     }
/// }
///
/// # beluga_runtime::testkit::run(1, |system| async move {
/// let squares = system.spawn("squares", || Squares).await?;
/// assert_eq!(squares.ask(Square(7)).await?, 49);
/// # system.shutdown_gracefully().await
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Scope {
    incarnation: Arc<Incarnation>,
    context: CallContext,
    job: Option<(u64, Arc<str>)>,
}

impl Scope {
    pub(crate) fn new(incarnation: Arc<Incarnation>, context: CallContext) -> Self {
        Self { incarnation, context, job: None }
    }

    pub(crate) fn of_job(incarnation: Arc<Incarnation>, context: CallContext, id: u64, path: Arc<str>) -> Self {
        Self { incarnation, context, job: Some((id, path)) }
    }

    /// Returns the context of the message or job it was made for.
    #[must_use]
    pub fn context(&self) -> &CallContext {
        &self.context
    }

    /// Returns the same powers for another context.
    #[must_use]
    pub fn with_context(&self, context: &CallContext) -> Self {
        Self { context: context.clone(), ..self.clone() }
    }

    /// Returns the system.
    #[must_use]
    pub fn system(&self) -> System {
        System::of(&self.incarnation.slot.ground)
    }

    /// Returns the place of the actor.
    #[must_use]
    pub fn address(&self) -> Address {
        Address(Arc::clone(&self.incarnation.slot))
    }

    /// Starts a job of the actor, below the job this scope belongs to if it is one's. See [`Cx::job`](crate::Cx::job).
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
        let parent = self.job.as_ref().map(|(id, path)| (*id, &**path));
        job::start(&self.incarnation, parent, kind.into(), name.as_ref(), context, build)
    }

    /// Starts a child of the actor. See [`Cx::spawn_with`](crate::Cx::spawn_with).
    ///
    /// # Errors
    /// As [`Cx::spawn_with`](crate::Cx::spawn_with).
    pub async fn spawn_with<P: Protocol>(&self, spec: Spec<P>) -> Result<Ref<P>> {
        crate::system::spawn_child(&self.incarnation.slot, Some(self.incarnation.number), spec).await
    }

    /// Starts a pool of workers under the actor. See [`Cx::spawn_pool`](crate::Cx::spawn_pool).
    ///
    /// # Errors
    /// As [`System::spawn_pool`].
    pub async fn spawn_pool<P: Protocol>(&self, spec: PoolSpec<P>) -> Result<Pool<P>> {
        pool::spawn(&self.incarnation.slot, Some(self.incarnation.number), spec).await
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("actor", &self.incarnation.slot).finish_non_exhaustive()
    }
}
