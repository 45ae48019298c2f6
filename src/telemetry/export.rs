//! Exports hop spans over OTLP/HTTP, with the ids the calls carry.
//!
//! A hop is a plain `tracing` span whose fields hold its identity; this layer reads them when it closes and hands the
//! span to OpenTelemetry's batch processor, which sends from a thread of its own. The bridge `tracing-opentelemetry`
//! is not used: it makes ids of its own from the ambient span.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use beluga_core::{Error, Result};
use beluga_runtime::telemetry::HOP_TARGET;
use beluga_runtime::telemetry::names::field;
use beluga_runtime::time;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::config::Environment;

/// Sends the spans of hops to a collector.
#[derive(Debug, Clone)]
pub(super) struct Exporter(Arc<BatchSpanProcessor>);

impl Exporter {
    /// Makes the exporter the environment asks for; `None` if it asks for none.
    pub(super) fn from_environment(environment: &Environment) -> Result<Option<Self>> {
        let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let disabled = environment.get("OTEL_SDK_DISABLED").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
        if disabled || endpoints.iter().all(|name| environment.get(name).is_none()) {
            return Ok(None);
        }
        // The exporter's HTTP client takes the process's TLS; a second call finds it set, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder().with_http().build().map_err(|error| {
            Error::config("the OTLP exporter cannot be set up").with_op("telemetry.export").with_source(error)
        })?;
        let name = environment.get("OTEL_SERVICE_NAME").unwrap_or("beluga").to_owned();
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        processor.set_resource(&Resource::builder().with_service_name(name).with_attribute(version).build());
        Ok(Some(Self(Arc::new(processor))))
    }

    /// Makes the layer that feeds this exporter.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let scope = InstrumentationScope::builder("beluga").with_version(env!("CARGO_PKG_VERSION")).build();
        HopLayer { sink: self.clone(), scope }.with_filter(filter_fn(is_hop))
    }

    /// Sends what is left and ends; blocks for at most `limit`.
    pub(super) fn shutdown(&self, limit: Duration) {
        if let Err(error) = self.0.shutdown_with_timeout(limit) {
            tracing::warn!(%error, "the last spans were not exported");
        }
    }
}

fn is_hop(metadata: &Metadata<'_>) -> bool {
    metadata.target() == HOP_TARGET
}

/// Collects the fields of hop spans and exports each when it closes.
struct HopLayer {
    sink: Exporter,
    scope: InstrumentationScope,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for HopLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut open = OpenHop::new(time::wall());
        attributes.record(&mut open);
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<OpenHop>() {
            values.record(open);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let open = span.extensions_mut().remove::<OpenHop>();
        if let Some(data) = open.and_then(|open| open.close(time::wall(), self.scope.clone())) {
            self.sink.0.on_end(data);
        }
    }
}

/// A hop that has not ended.
#[derive(Debug)]
struct OpenHop {
    started: SystemTime,
    trace_id: Option<u128>,
    span_id: Option<u64>,
    parent: u64,
    name: String,
    kind: SpanKind,
    failed: bool,
    description: String,
    attributes: Vec<KeyValue>,
}

impl OpenHop {
    fn new(started: SystemTime) -> Self {
        Self {
            started,
            trace_id: None,
            span_id: None,
            parent: 0,
            name: String::new(),
            kind: SpanKind::Internal,
            failed: false,
            description: String::new(),
            attributes: Vec::new(),
        }
    }

    /// Makes the finished span; `None` without an identity, which no hop lacks.
    fn close(self, ended: SystemTime, scope: InstrumentationScope) -> Option<SpanData> {
        let trace_id = TraceId::from(self.trace_id?);
        let span_id = SpanId::from(self.span_id?);
        let status = if self.failed { Status::Error { description: self.description.into() } } else { Status::Unset };
        Some(SpanData {
            span_context: SpanContext::new(trace_id, span_id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: SpanId::from(self.parent),
            parent_span_is_remote: self.parent != 0 && self.kind == SpanKind::Server,
            span_kind: self.kind,
            name: Cow::Owned(self.name),
            start_time: self.started,
            end_time: ended,
            attributes: self.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: scope,
        })
    }

    fn text(&mut self, name: &'static str, value: String) {
        match name {
            field::TRACE_ID => self.trace_id = u128::from_str_radix(&value, 16).ok(),
            field::SPAN_ID => self.span_id = u64::from_str_radix(&value, 16).ok(),
            field::PARENT_SPAN_ID => self.parent = u64::from_str_radix(&value, 16).unwrap_or_default(),
            field::OTEL_NAME => self.name = value,
            field::OTEL_KIND => self.kind = kind(&value),
            field::OTEL_STATUS_CODE => self.failed = value == "ERROR",
            field::OTEL_STATUS_DESCRIPTION => self.description = value,
            _ => self.attribute(name, value),
        }
    }

    fn attribute(&mut self, name: &'static str, value: impl Into<Value>) {
        self.attributes.push(KeyValue::new(name, value));
    }
}

fn kind(text: &str) -> SpanKind {
    match text {
        "server" => SpanKind::Server,
        "client" => SpanKind::Client,
        "producer" => SpanKind::Producer,
        "consumer" => SpanKind::Consumer,
        _ => SpanKind::Internal,
    }
}

impl Visit for OpenHop {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.attribute(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.attribute(field.name(), value),
            Err(_) => self.attribute(field.name(), value.to_string()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.attribute(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.attribute(field.name(), value);
    }
}
