//! Google's embeddings (Gemini API reference, models.batchEmbedContents, as known in 2026-11).

use beluga_core::{CallNotes, EmbedRequest, Embeddings, Error, Extra, Result, Usage};
use serde::Deserialize;
use serde_json::{Value, json};

use super::dialect::{Body, EmbedFacts, Grammar, WireCall, take_request};
use super::openai::parse;
use super::profile::EmbedProfile;
use super::vector::{Vector, keep_items};
use crate::llm::{Ignored, fault};

/// The one value of the dialect.
pub(super) struct Google;

static FACTS: EmbedFacts = EmbedFacts {
    name: "google-embeddings",
    ignored: &[Ignored { path: "embeddings[].values[]", value: None, why: "compared as a vector" }],
    implied: &[],
    pass_through: &["taskType", "title"],
};

#[derive(Deserialize)]
struct Answer {
    embeddings: Vec<Item>,
    #[serde(default, rename = "usageMetadata")]
    usage: Option<Value>,
    #[serde(flatten)]
    rest: Extra,
}

#[derive(Deserialize)]
struct Item {
    values: Vector,
    #[serde(flatten)]
    rest: Extra,
}

#[derive(Deserialize)]
struct Batch {
    requests: Vec<Single>,
}

#[derive(Deserialize)]
struct Single {
    content: Texts,
    // JSON of protocol buffers takes either spelling (ProtoJSON, as known in 2026-11).
    #[serde(default, rename = "outputDimensionality", alias = "output_dimensionality")]
    dimensions: Option<Value>,
    #[serde(default, rename = "taskType", alias = "task_type")]
    task: Option<Value>,
    #[serde(flatten)]
    rest: Extra,
}

#[derive(Deserialize)]
struct Texts {
    parts: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    text: String,
}

impl Grammar for Google {
    fn facts(&self) -> &'static EmbedFacts {
        &FACTS
    }

    fn path(&self, model: &str) -> String {
        format!("/models/{}:batchEmbedContents", crate::vendor::segment(bare(model)))
    }

    fn encode(&self, call: &WireCall<'_>) -> Vec<u8> {
        let single = |text: &String| {
            let mut body = Body::new(&call.request.extra);
            body.put("model", format!("models/{}", bare(call.model)));
            body.put("content", json!({"parts": [{"text": text}]}));
            body.put_request(call);
            body.into_value()
        };
        let requests: Vec<Value> = call.texts.iter().map(single).collect();
        json!({ "requests": requests }).to_string().into_bytes()
    }

    fn decode(&self, body: &[u8]) -> Result<Embeddings> {
        let Answer { embeddings, usage, mut rest } =
            serde_json::from_slice(body).map_err(|error| fault::garbage(&error))?;
        let (vectors, items) = embeddings.into_iter().map(|item| (item.values.0, item.rest)).unzip();
        keep_items(&mut rest, "embeddings", items);
        let input_tokens = usage.as_ref().and_then(|usage| usage.get("promptTokenCount")?.as_u64()).unwrap_or_default();
        Ok(Embeddings {
            vectors,
            usage: Usage { input_tokens, ..Usage::default() },
            calls: vec![CallNotes { raw_usage: usage, extra: rest, ..CallNotes::default() }],
        })
    }

    fn decode_request(&self, profile: &EmbedProfile, path: &str, body: &[u8]) -> Result<EmbedRequest> {
        let Batch { requests } = parse(body)?;
        let mut texts = Vec::with_capacity(requests.len());
        let mut said: Option<Extra> = None;
        for Single { content, dimensions, task, mut rest } in requests {
            let [Text { text }] = <[Text; 1]>::try_from(content.parts)
                .map_err(|_| Error::unsupported("a content has not exactly one part"))?;
            texts.push(text);
            // It is that of the path.
            rest.shift_remove("model");
            let further = [("outputDimensionality", dimensions), ("taskType", task)];
            rest.extend(further.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
            match &said {
                Some(said) if *said != rest => return Err(Error::unsupported("each text is embedded in its own way")),
                Some(_) => {}
                None => said = Some(rest),
            }
        }
        let model = path.rsplit_once("models/").and_then(|(_, rest)| rest.split(':').next()).map(str::to_owned);
        let mut request = EmbedRequest { texts, model, ..EmbedRequest::default() };
        let mut extra = said.unwrap_or_default();
        take_request(profile, &mut extra, &mut request);
        Ok(EmbedRequest { extra, ..request })
    }
}

/// Returns a model's name without the collection some write before it.
fn bare(model: &str) -> &str {
    model.strip_prefix("models/").unwrap_or(model)
}

#[cfg(test)]
mod tests {
    use beluga_core::EmbedKind;

    use super::super::profiles::GOOGLE;
    use super::*;

    #[test]
    fn either_spelling_is_read_and_one_is_written() {
        let body = br#"{"requests":[{"model":"models/m","content":{"parts":[{"text":"a"}]},
            "output_dimensionality":8,"task_type":"RETRIEVAL_QUERY","title":null}]}"#;
        let request = GOOGLE.decode_request("/v1beta/models/m:batchEmbedContents", body).unwrap();
        assert_eq!((request.dimensions, request.kind), (Some(8), Some(EmbedKind::Query)));
        assert_eq!((request.model.as_deref(), request.extra.len()), (Some("m"), 0));
        let written: Value = serde_json::from_slice(&GOOGLE.encode("other", &request)).unwrap();
        assert_eq!(
            written,
            json!({"requests": [{"model": "models/m", "content": {"parts": [{"text": "a"}]},
                "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8}]})
        );
    }

    #[test]
    fn texts_that_are_embedded_each_in_its_own_way_are_no_one_request() {
        let body = br#"{"requests":[{"content":{"parts":[{"text":"a"}]},"title":"x"},
            {"content":{"parts":[{"text":"b"}]},"title":"y"}]}"#;
        let error = GOOGLE.decode_request("/models/m:batchEmbedContents", body).unwrap_err();
        assert_eq!(error.code(), beluga_core::Code::Unsupported);
    }
}
