//! Logs, traces and metrics of a process: what the binary sets up once at its start.
//!
//! **Logs** go to standard error: text for people on a terminal, one JSON object per line otherwise. **Traces** are
//! exported over OTLP/HTTP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set; span ids are the ones calls carry
//! ([`beluga_runtime::telemetry`]), so logs, traces and other nodes agree. **Metrics** are kept for `/metrics`.
//!
//! The subscriber and the recorder are the process's own, so only a binary calls [`init`]; an embedding service keeps
//! its own. Content and secrets are in none of the three.

mod export;
mod logs;
mod metrics;

use std::time::Duration;

use beluga_core::{Error, Result};
use beluga_runtime::telemetry::Sampler;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Environment;

pub use logs::LogFormat;
pub use metrics::Metrics;

/// How long the last spans may take to leave at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// What is set up.
#[derive(Debug, Clone)]
pub struct TelemetrySettings {
    /// Which lines are logged: a level, or directives such as `info,beluga_actors=debug`.
    pub filter: String,
    /// How lines look; by the terminal if absent.
    pub format: Option<LogFormat>,
}

/// The telemetry of the process; [`shutdown`](Self::shutdown) sends what is left.
#[derive(Debug)]
pub struct Telemetry {
    exporter: Option<export::Exporter>,
    metrics: Metrics,
    sampler: Sampler,
}

/// Sets up logs, traces and metrics. To be called once, before an async runtime is entered.
///
/// Tracing follows OpenTelemetry's variables: `OTEL_EXPORTER_OTLP_ENDPOINT` (or `…_TRACES_ENDPOINT`) turns it on,
/// `OTEL_SERVICE_NAME` names the service (default `beluga`), `OTEL_TRACES_SAMPLER_ARG` is the share of new traces that
/// is recorded (default 1), `OTEL_SDK_DISABLED=true` turns it off.
///
/// # Errors
/// `config` if the filter or the endpoint is wrong, or the process has a subscriber or a recorder already.
pub fn init(settings: &TelemetrySettings, environment: &Environment) -> Result<Telemetry> {
    let exporter = export::Exporter::from_environment(environment)?;
    let subscriber = tracing_subscriber::registry()
        .with(logs::layer(&settings.filter, settings.format)?)
        .with(exporter.as_ref().map(export::Exporter::layer));
    subscriber
        .try_init()
        .map_err(|error| Error::config("the process has a tracing subscriber already").with_source(error))?;
    let metrics = Metrics::install()?;
    let ratio = match &exporter {
        Some(_) => environment.get("OTEL_TRACES_SAMPLER_ARG").and_then(|share| share.parse().ok()).unwrap_or(1.0),
        None => 0.0,
    };
    Ok(Telemetry { exporter, metrics, sampler: Sampler::new(ratio) })
}

impl Telemetry {
    /// Returns the metrics, for `/metrics`.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns which share of new traces is recorded: none without an exporter.
    #[must_use]
    pub fn sampler(&self) -> Sampler {
        self.sampler
    }

    /// Sends what was recorded, for at most five seconds. Blocks; to be called outside the async runtime.
    pub fn shutdown(self) {
        if let Some(exporter) = self.exporter {
            exporter.shutdown(FLUSH_TIMEOUT);
        }
    }
}
