//! The process's metrics in the Prometheus text format.

use std::time::Duration;

use beluga_core::{Error, Result};
use beluga_runtime::telemetry::names::metric;
use beluga_runtime::{task, time};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// How often old samples are folded into their buckets, so that an unread node does not grow.
const UPKEEP: Duration = Duration::from_secs(5);

/// The metrics of the process. Clones are the same.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    pub(super) fn install() -> Result<Self> {
        let wrong = |error| Error::config("the metrics cannot be set up").with_source(error);
        let handle = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("duration_seconds".to_owned()), &metric::DURATION_BUCKETS_SECONDS)
            .map_err(wrong)?
            .set_buckets_for_metric(Matcher::Suffix("duration".to_owned()), &metric::DURATION_BUCKETS_SECONDS)
            .map_err(wrong)?
            .install_recorder()
            .map_err(wrong)?;
        Ok(Self(handle))
    }

    /// Renders all metrics.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds old samples from time to time until the handle drops. Needs an async runtime.
    #[must_use = "dropping it ends the upkeep"]
    pub fn upkeep(&self) -> task::AbortOnDrop<()> {
        let handle = self.0.clone();
        let work = async move {
            let mut tick = time::interval(UPKEEP);
            loop {
                tick.tick().await;
                handle.run_upkeep();
            }
        };
        task::spawn("metrics.upkeep", work).abort_on_drop()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
