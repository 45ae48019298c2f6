//! How log lines look and which of them are written.

use std::io::IsTerminal as _;

use beluga_core::{Error, Result};
use beluga_runtime::telemetry::HOP_TARGET;
use tracing::Subscriber;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Makes the layer that writes log lines to standard error.
pub(super) fn layer<S>(filter: &str, format: Option<LogFormat>) -> Result<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let wanted = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| Error::config(format!("the log filter is wrong: {error}")).with_op("telemetry.logs"))?;
    let terminal = std::io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    // Hops are for the exporter; as log scopes they would repeat ids on every line.
    let no_hops = filter_fn(|metadata| metadata.target() != HOP_TARGET);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(terminal);
    Ok(match format {
        LogFormat::Text => lines.with_filter(wanted).with_filter(no_hops).boxed(),
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .with_filter(wanted)
            .with_filter(no_hops)
            .boxed(),
    })
}
