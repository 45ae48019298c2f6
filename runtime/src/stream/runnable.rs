//! Something that can be run with an input: composed as a pipe or in parallel.

use std::sync::Arc;

use beluga_core::{BoxFuture, BoxStream, CallContext, Error, Result};
use futures_core::Stream;
use futures_util::{StreamExt, stream};

use crate::service::one;

/// How many branches of [`parallel`] run at once.
pub const PARALLEL_MAX: usize = 64;

/// A step from an input to an output. Cancelled by its context, and by dropping what it returned.
///
/// See [`runnable_fn`] for an example.
pub trait Runnable<In>: Send + Sync + 'static {
    /// What it gives.
    type Out: Send + 'static;

    /// Runs to the end and gives the whole output.
    fn invoke(&self, input: In, context: CallContext) -> BoxFuture<'static, Result<Self::Out>>;

    /// Runs and gives the output in pieces. By default one piece, the whole.
    fn stream(&self, input: In, context: CallContext) -> BoxStream<'static, Result<Self::Out>> {
        one(self.invoke(input, context))
    }
}

/// A runnable as compositions hold it.
///
/// See [`runnable_fn`] for an example.
pub type SharedRunnable<In, Out> = Arc<dyn Runnable<In, Out = Out>>;

impl<In, R: Runnable<In> + ?Sized> Runnable<In> for Arc<R> {
    type Out = R::Out;

    fn invoke(&self, input: In, context: CallContext) -> BoxFuture<'static, Result<R::Out>> {
        (**self).invoke(input, context)
    }

    fn stream(&self, input: In, context: CallContext) -> BoxStream<'static, Result<R::Out>> {
        (**self).stream(input, context)
    }
}

/// Makes a runnable of an async function.
///
/// ```
/// use beluga_core::CallContext;
/// use beluga_runtime::stream::{Runnable, pipe, runnable_fn};
///
/// # futures_util::FutureExt::now_or_never(async {
/// let double = runnable_fn(|number: u32, _| async move { Ok(number * 2) });
/// let show = runnable_fn(|number: u32, _| async move { Ok(format!("<{number}>")) });
/// assert_eq!(pipe(double, show).invoke(21, CallContext::new()).await.unwrap(), "<42>");
/// # }).unwrap();
/// ```
pub fn runnable_fn<In, Out, F, Fut>(run: F) -> SharedRunnable<In, Out>
where
    In: 'static,
    Out: Send + 'static,
    F: Fn(In, CallContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Out>> + Send + 'static,
{
    Arc::new(Function(run))
}

struct Function<F>(F);

impl<In, Out, F, Fut> Runnable<In> for Function<F>
where
    Out: Send + 'static,
    F: Fn(In, CallContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Out>> + Send + 'static,
{
    type Out = Out;

    fn invoke(&self, input: In, context: CallContext) -> BoxFuture<'static, Result<Out>> {
        Box::pin((self.0)(input, context))
    }
}

/// Feeds the output of the first into the second. As a stream, only the second one streams.
///
/// See [`runnable_fn`] for an example.
pub fn pipe<In, Middle, Out>(
    first: SharedRunnable<In, Middle>,
    second: SharedRunnable<Middle, Out>,
) -> SharedRunnable<In, Out>
where
    In: Send + 'static,
    Middle: Send + 'static,
    Out: Send + 'static,
{
    Arc::new(Pipe { first, second })
}

struct Pipe<In, Middle, Out> {
    first: SharedRunnable<In, Middle>,
    second: SharedRunnable<Middle, Out>,
}

impl<In, Middle, Out> Runnable<In> for Pipe<In, Middle, Out>
where
    In: Send + 'static,
    Middle: Send + 'static,
    Out: Send + 'static,
{
    type Out = Out;

    fn invoke(&self, input: In, context: CallContext) -> BoxFuture<'static, Result<Out>> {
        let (first, second) = (self.first.invoke(input, context.clone()), Arc::clone(&self.second));
        Box::pin(async move { second.invoke(first.await?, context).await })
    }

    fn stream(&self, input: In, context: CallContext) -> BoxStream<'static, Result<Out>> {
        let (first, second) = (self.first.invoke(input, context.clone()), Arc::clone(&self.second));
        let streams = stream::once(async move {
            match first.await {
                Ok(middle) => second.stream(middle, context),
                Err(error) => one(std::future::ready(Err(error))),
            }
        });
        Box::pin(streams.flatten().fuse())
    }
}

/// What all branches of [`parallel`] gave, in their order.
///
/// See [`parallel`] for an example.
#[derive(Debug)]
pub struct ParallelOutput<Out> {
    /// One result per branch.
    pub results: Vec<Result<Out>>,
}

impl<Out> ParallelOutput<Out> {
    /// Returns the error of the first branch that failed, by order of the branches.
    #[must_use]
    pub fn first_error(&self) -> Option<&Error> {
        self.results.iter().find_map(|result| result.as_ref().err())
    }

    /// Returns the outputs of all branches.
    ///
    /// # Errors
    /// The first branch's error.
    pub fn into_outputs(self) -> Result<Vec<Out>> {
        self.results.into_iter().collect()
    }
}

/// Runs all branches with the same input, at most [`PARALLEL_MAX`] at once, each with a context of its own below the
/// caller's.
///
/// A failed branch does not end the others: all results are given. As a stream it gives one output per branch as each
/// ends, as a [`ParallelOutput`] of one result.
///
/// ```
/// use beluga_core::{CallContext, Error};
/// use beluga_runtime::stream::{Runnable, parallel, runnable_fn};
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let double = runnable_fn(|n: u32, _| async move { Ok(n * 2) });
/// let refuse = runnable_fn(|_: u32, _| async move { Err::<u32, _>(Error::invalid_input("no")) });
/// let output = parallel(vec![double, refuse]).invoke(4, CallContext::new()).await?;
/// assert_eq!(output.results[0].as_ref().ok(), Some(&8), "one that fails does not end the others");
/// assert_eq!(output.first_error().map(Error::message), Some("no"));
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
pub fn parallel<In, Out>(branches: Vec<SharedRunnable<In, Out>>) -> SharedRunnable<In, ParallelOutput<Out>>
where
    In: Clone + Send + Sync + 'static,
    Out: Send + 'static,
{
    Arc::new(Parallel { branches: branches.into() })
}

struct Parallel<In, Out> {
    branches: Arc<[SharedRunnable<In, Out>]>,
}

impl<In, Out> Parallel<In, Out>
where
    In: Clone + Send + Sync + 'static,
    Out: Send + 'static,
{
    /// The runs of the branches, none of them started.
    fn runs(
        &self,
        input: In,
        context: CallContext,
    ) -> impl Stream<Item = BoxFuture<'static, Result<Out>>> + Send + use<In, Out> {
        let branches = Arc::clone(&self.branches);
        stream::iter(0..branches.len())
            .filter_map(move |index| std::future::ready(branches.get(index).cloned()))
            .map(move |branch| branch.invoke(input.clone(), context.child()))
    }
}

impl<In, Out> Runnable<In> for Parallel<In, Out>
where
    In: Clone + Send + Sync + 'static,
    Out: Send + 'static,
{
    type Out = ParallelOutput<Out>;

    fn invoke(&self, input: In, context: CallContext) -> BoxFuture<'static, Result<Self::Out>> {
        let results = self.runs(input, context).buffered(PARALLEL_MAX).collect();
        Box::pin(async move { Ok(ParallelOutput { results: results.await }) })
    }

    fn stream(&self, input: In, context: CallContext) -> BoxStream<'static, Result<Self::Out>> {
        let ended = self.runs(input, context).buffer_unordered(PARALLEL_MAX);
        Box::pin(ended.map(|result| Ok(ParallelOutput { results: vec![result] })).fuse())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use beluga_core::Code;

    use super::*;
    use crate::time;

    struct Letters;

    impl Runnable<String> for Letters {
        type Out = String;

        fn invoke(&self, input: String, _: CallContext) -> BoxFuture<'static, Result<String>> {
            Box::pin(std::future::ready(Ok(input)))
        }

        fn stream(&self, input: String, _: CallContext) -> BoxStream<'static, Result<String>> {
            let letters: Vec<_> = input.chars().map(|letter| Ok(letter.to_string())).collect();
            Box::pin(stream::iter(letters))
        }
    }

    fn after(seconds: u64, result: fn(u64) -> Result<u64>) -> SharedRunnable<(), u64> {
        runnable_fn(move |(), _| async move {
            time::sleep(Duration::from_secs(seconds)).await;
            result(seconds)
        })
    }

    #[tokio::test]
    async fn a_pipe_streams_only_its_last_stage() {
        let letters = pipe(Arc::new(Letters), Arc::new(Letters));
        let pieces: Vec<_> =
            letters.stream("abc".into(), CallContext::new()).map(|piece| piece.unwrap()).collect().await;
        assert_eq!(pieces, ["a", "b", "c"]);
        assert_eq!(letters.invoke("abc".into(), CallContext::new()).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn an_error_of_the_first_stage_ends_the_pipe() {
        let broken = runnable_fn(|_: String, _| async { Err(Error::not_found("nothing")) });
        let pipe = pipe::<_, String, _>(broken, Arc::new(Letters));
        assert_eq!(pipe.invoke(String::new(), CallContext::new()).await.unwrap_err().code(), Code::NotFound);
        let items: Vec<_> = pipe.stream(String::new(), CallContext::new()).collect().await;
        assert_eq!((items.len(), items[0].as_ref().unwrap_err().code()), (1, Code::NotFound));
    }

    #[tokio::test(start_paused = true)]
    async fn parallel_gives_all_results_in_order_and_the_first_error() {
        let fail = |_| Err(Error::timeout("late"));
        let all = parallel(vec![after(3, Ok), after(1, fail), after(2, Ok)]);
        let started = time::now();
        let output = all.invoke((), CallContext::new()).await.unwrap();
        assert_eq!(time::now() - started, Duration::from_secs(3));
        assert_eq!(output.first_error().map(Error::code), Some(Code::Timeout));
        assert_eq!(
            output.results.iter().map(|result| result.as_ref().ok().copied()).collect::<Vec<_>>(),
            [Some(3), None, Some(2)]
        );
        assert_eq!(output.into_outputs().unwrap_err().code(), Code::Timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn parallel_streams_results_as_they_come() {
        let all = parallel(vec![after(3, Ok), after(1, Ok)]);
        let order: Vec<_> =
            all.stream((), CallContext::new()).map(|output| output.unwrap().into_outputs().unwrap()).collect().await;
        assert_eq!(order, [[1], [3]]);
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_the_caller_cancels_every_branch() {
        let waits = || {
            runnable_fn(|(), context: CallContext| async move {
                time::within(&context, std::future::pending::<u64>()).await
            })
        };
        let context = CallContext::new();
        let run = parallel(vec![waits(), waits()]).invoke((), context.clone());
        let cancel = async { context.cancel_token().cancel() };
        let (output, ()) = tokio::join!(run, cancel);
        assert!(output.unwrap().results.iter().all(|result| result.as_ref().unwrap_err().is_cancelled()));
    }
}
