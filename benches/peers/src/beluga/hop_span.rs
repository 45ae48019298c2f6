//! What recording a hop costs.

use std::fmt;
use std::hint::black_box;

use beluga_core::CallContext;
use beluga_runtime::telemetry::names::attribute;
use beluga_runtime::telemetry::{HOP_TARGET, HopKind, Identity, Sampler};
use beluga_runtime::{SystemRandom, hop};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Takes the fields of hops over into memory of its own, as an exporter must, and forgets them when they close.
struct Collector;

#[derive(Default)]
struct Fields(Vec<(&'static str, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let span = context.span(id).expect("it was just opened");
        assert_eq!(span.metadata().target(), HOP_TARGET);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(fields) = context.span(id).expect("it is open").extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let fields = context.span(&id).expect("it is still there").extensions_mut().remove::<Fields>();
        black_box(fields.expect("it was put there").0);
    }
}

/// Opens and closes so many sampled hops, one after the other.
pub(crate) fn hop_spans(operations: u64) {
    let random = SystemRandom::seeded(1);
    let context = Sampler::new(1.0).start(None, &random).apply(CallContext::new());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(Collector), || {
        for _ in 0..operations {
            let identity = Identity::child_of(&context, &random);
            let (call, hop) = hop!(
                context.clone(),
                identity,
                HopKind::Internal,
                "execute_tool clock",
                { attribute::TOOL_NAME } = "clock"
            );
            assert!(hop.is_recording(), "a sampled hop is recorded");
            black_box(call);
        }
    });
}
