//! Many inputs for one runnable.

use std::time::Duration;

use beluga_core::{CallContext, Result};
use futures_util::{StreamExt, stream};

use super::runnable::{Runnable, SharedRunnable};
use crate::random::SystemRandom;
use crate::service::RetryConfig;
use crate::time;

/// How a batch is run.
///
/// See [`batch`](batch()) for an example.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchConfig {
    /// How many inputs run at once; 0 counts as 1.
    pub max_concurrency: usize,
    /// How many inputs are worked on before the next ones begin; 0 counts as all.
    pub batch_size: usize,
    /// The most time of one try of one input.
    pub timeout: Option<Duration>,
    /// Tries after retryable errors, for each input.
    pub retry: Option<RetryConfig>,
}

impl Default for BatchConfig {
    /// Returns 8 at once, batches of 64, neither time-out nor retry.
    fn default() -> Self {
        Self { max_concurrency: 8, batch_size: 64, timeout: None, retry: None }
    }
}

/// Runs every input and gives one result for each, in the order of the inputs.
///
/// A failed input does not end the others. Once the context is cancelled or expired, the remaining inputs fail with
/// that error and are not run.
///
/// ```
/// use beluga_core::{CallContext, Error};
/// use beluga_runtime::SystemRandom;
/// use beluga_runtime::stream::{BatchConfig, batch, runnable_fn};
///
/// # beluga_runtime::testkit::run(1, |_system| async move {
/// let half = runnable_fn(|n: u32, _| async move {
///     if n % 2 == 0 { Ok(n / 2) } else { Err(Error::invalid_input("it is odd")) }
/// });
/// let config = BatchConfig { max_concurrency: 2, ..BatchConfig::default() };
/// let halves = batch(&half, vec![2, 3, 4], &config, &CallContext::new(), &SystemRandom::seeded(1)).await;
/// let halves: Vec<Option<u32>> = halves.into_iter().map(Result::ok).collect();
/// assert_eq!(halves, [Some(1), None, Some(2)]);
/// # Ok::<(), beluga_core::Error>(())
/// # }).unwrap();
/// ```
pub async fn batch<In, Out>(
    runnable: &SharedRunnable<In, Out>,
    inputs: Vec<In>,
    config: &BatchConfig,
    context: &CallContext,
    random: &SystemRandom,
) -> Vec<Result<Out>>
where
    In: Clone + Send + 'static,
    Out: Send + 'static,
{
    let mut results = Vec::with_capacity(inputs.len());
    let batch_size = if config.batch_size == 0 { usize::MAX } else { config.batch_size };
    let mut inputs = inputs.into_iter();
    loop {
        let chunk: Vec<In> = inputs.by_ref().take(batch_size).collect();
        if chunk.is_empty() {
            return results;
        }
        let runs = stream::iter(chunk).map(|input| run(runnable, input, config, context, random));
        let mut ended = std::pin::pin!(runs.buffered(config.max_concurrency.max(1)));
        while let Some(result) = ended.next().await {
            results.push(result);
        }
    }
}

async fn run<In, Out>(
    runnable: &SharedRunnable<In, Out>,
    input: In,
    config: &BatchConfig,
    context: &CallContext,
    random: &SystemRandom,
) -> Result<Out>
where
    In: Clone + Send + 'static,
    Out: Send + 'static,
{
    let mut failed = 0;
    loop {
        context.check(time::now())?;
        let own = context.child();
        let own = match config.timeout {
            Some(timeout) => own.with_timeout(time::now(), timeout),
            None => own,
        };
        let error = match time::within(&own, runnable.invoke(input.clone(), own.clone())).await.flatten() {
            Ok(output) => return Ok(output),
            Err(error) => error,
        };
        let Some(retry) = config.retry.as_ref().filter(|retry| retry.allows(&error)) else { return Err(error) };
        failed += 1;
        match retry.wait(&error, failed, context, random) {
            Some(wait) => time::within(context, time::sleep(wait)).await?,
            None => return Err(error.with("tries", failed).exhausted()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use beluga_core::{Code, Error, Retry};

    use super::*;
    use crate::stream::runnable_fn;

    async fn run_all(
        runnable: SharedRunnable<u64, u64>,
        inputs: Vec<u64>,
        config: BatchConfig,
        context: CallContext,
    ) -> (Vec<Result<u64, Code>>, Duration) {
        let started = time::now();
        let results = batch(&runnable, inputs, &config, &context, &SystemRandom::seeded(1)).await;
        (results.into_iter().map(|result| result.map_err(|error| error.code())).collect(), time::now() - started)
    }

    /// Waits as many seconds as its input says.
    fn sleeper() -> SharedRunnable<u64, u64> {
        runnable_fn(|seconds: u64, _| async move {
            time::sleep(Duration::from_secs(seconds)).await;
            Ok(seconds)
        })
    }

    #[tokio::test(start_paused = true)]
    async fn results_keep_the_order_of_the_inputs() {
        let (results, took) = run_all(sleeper(), vec![3, 1, 2], BatchConfig::default(), CallContext::new()).await;
        assert_eq!((results, took.as_secs()), (vec![Ok(3), Ok(1), Ok(2)], 3));
    }

    #[tokio::test(start_paused = true)]
    async fn concurrency_and_batch_size_are_both_kept() {
        let config = BatchConfig { max_concurrency: 2, ..BatchConfig::default() };
        assert_eq!(run_all(sleeper(), vec![1; 6], config, CallContext::new()).await.1.as_secs(), 3);
        let config = BatchConfig { batch_size: 3, ..BatchConfig::default() };
        let inputs = vec![5, 1, 1, 5, 1, 1];
        assert_eq!(run_all(sleeper(), inputs, config, CallContext::new()).await.1.as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_input_times_out_alone() {
        let config = BatchConfig { timeout: Some(Duration::from_secs(2)), ..BatchConfig::default() };
        let (results, took) = run_all(sleeper(), vec![1, 9, 1], config, CallContext::new()).await;
        assert_eq!((results, took.as_secs()), (vec![Ok(1), Err(Code::Timeout), Ok(1)], 2));
    }

    #[tokio::test(start_paused = true)]
    async fn each_input_is_tried_again_on_its_own() {
        let tries = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&tries);
        let flaky = runnable_fn(move |input: u64, _| {
            let try_number = if input == 1 { count.fetch_add(1, Ordering::SeqCst) } else { 9 };
            async move {
                match input {
                    1 if try_number < 2 => Err(Error::unavailable("moving")),
                    2 => Err(Error::invalid_input("two")),
                    3 => Err(Error::unavailable("gone")),
                    _ => Ok(input),
                }
            }
        });
        let config = BatchConfig { retry: Some(RetryConfig::default()), ..BatchConfig::default() };
        let results = batch(&flaky, vec![0, 1, 2, 3], &config, &CallContext::new(), &SystemRandom::seeded(1)).await;
        assert_eq!((results[0].as_ref().unwrap(), results[1].as_ref().unwrap()), (&0, &1));
        assert_eq!(results[2].as_ref().unwrap_err().retry(), Retry::Never);
        assert_eq!(results[3].as_ref().unwrap_err().retry(), Retry::Exhausted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_batch_runs_nothing_more() {
        let config = BatchConfig { max_concurrency: 1, ..BatchConfig::default() };
        let context = CallContext::new().with_timeout(time::now(), Duration::from_secs(3));
        let (results, took) = run_all(sleeper(), vec![2, 2, 2], config, context).await;
        assert_eq!((results, took.as_secs()), (vec![Ok(2), Err(Code::Timeout), Err(Code::Timeout)], 3));
    }
}
