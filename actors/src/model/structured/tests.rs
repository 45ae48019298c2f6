//! Structured answers of scripted models.

use beluga_core::{ChatMessage, ModelInfo, PARTIAL, ResponseFormat, SchemaSupport, StrictSchema, ToolChoice};
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::testkit::{Answer, ScriptedModel};

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct City {
    name: String,
    #[serde(default)]
    #[schemars(range(max = 40_000_000))]
    people: u32,
}

fn oslo() -> City {
    City { name: "Oslo".into(), people: 709_000 }
}

fn request() -> ModelRequest {
    ModelRequest { messages: vec![ChatMessage::user("Which city?").into()], ..ModelRequest::default() }
}

fn scripted(schema: SchemaSupport, supports_tools: bool, answers: Vec<Answer>) -> ScriptedModel {
    let model = ScriptedModel::new(answers);
    let info = ModelInfo { schema, supports_tools, ..model.info() };
    model.with_info(info)
}

fn generate(structured: &Structured<City>) -> Result<StructuredAnswer<City>> {
    structured.generate(request(), CallContext::new()).now_or_never().expect("nothing waits here")
}

#[test]
fn a_schema_that_is_enforced_is_made_strict_and_nulls_are_taken_out() {
    let rules = StrictSchema { all_required: true, refused: vec!["maximum".into(), "default".into()] };
    let answer = Answer::text(json!({"name": "Oslo", "people": null}).to_string());
    let model = scripted(SchemaSupport::Enforced(Arc::new(rules)), true, vec![answer]);
    let answer = generate(&model.clone().structured()).unwrap();
    assert_eq!(answer.output, City { name: "Oslo".into(), people: 0 });
    let asked = &model.requests()[0];
    let Some(ResponseFormat::JsonSchema { schema, strict: true, .. }) = &asked.options.format else {
        panic!("{:?}", asked.options.format)
    };
    assert_eq!(schema["required"], json!(["name", "people"]));
    assert!(asked.tools.is_empty() && !schema.to_string().contains("maximum"), "{schema}");
}

#[test]
fn beluga_checks_what_the_vendor_does_not() {
    let rules = StrictSchema { all_required: false, refused: vec!["maximum".into()] };
    let answers =
        [50_000_000, 709_000].map(|people| Answer::text(json!({"name": "Oslo", "people": people}).to_string()));
    let model = scripted(SchemaSupport::Enforced(Arc::new(rules)), true, answers.into());
    assert_eq!(generate(&model.clone().structured()).unwrap().tries, 2);
    let told = model.requests()[1].messages.last().unwrap().text();
    assert!(told.contains("people: ") && !told.contains("50000000"), "{told}");
}

#[test]
fn a_model_without_schemas_calls_a_tool() {
    let wrong = Answer::call("answer", json!({"people": 709_000}));
    let right = Answer::call("answer", json!({"name": "Oslo", "people": 709_000}));
    let model = scripted(SchemaSupport::None, true, vec![wrong, right]);
    assert_eq!(generate(&model.clone().structured()).unwrap().output, oslo());
    let asked = model.requests();
    assert_eq!(asked[0].options.tool_choice, ToolChoice::Tool("answer".into()));
    assert_eq!(asked[0].tools[0].input_schema["required"], json!(["name"]));
    let told = asked[1].messages.last().unwrap();
    let results: Vec<_> = told.results().collect();
    assert!(results.len() == 1 && results[0].is_error() && results[0].text().contains("name: missing"));
}

#[test]
fn a_model_without_tools_is_told_in_words() {
    let model = scripted(
        SchemaSupport::None,
        false,
        vec![Answer::text("```json\n{\"name\": \"Oslo\", \"people\": 709000}\n```")],
    );
    assert_eq!(generate(&model.clone().structured()).unwrap().output, oslo());
    let asked = &model.requests()[0];
    assert!(asked.tools.is_empty() && asked.options.format.is_none());
    assert!(asked.messages[0].text().contains("\"required\":[\"name\"]"), "{}", asked.messages[0].text());
}

#[test]
fn giving_up_tells_what_was_wrong_with_the_last_text() {
    let answers = vec![Answer::text("One."), Answer::text("Two."), Answer::text("Three.")];
    let model = scripted(SchemaSupport::Taken, true, answers);
    let error = generate(&model.clone().structured().retries(1)).unwrap_err();
    assert_eq!((error.code(), error.get(PARTIAL)), (Code::Decode, Some("Two.")));
    assert_eq!(model.remaining(), 1);
}

#[test]
fn what_is_known_is_shown_while_it_comes() {
    let pieces = ["Here: {\"na", "me\": \"Os", "lo\", \"people\"", ": 709", "000}"];
    let model = scripted(SchemaSupport::Taken, true, vec![Answer::pieces(pieces)]);
    let items = model.structured::<City>().stream(request(), CallContext::new());
    let items: Vec<_> = items.collect::<Vec<_>>().now_or_never().unwrap();
    let partial: Vec<Value> = items
        .iter()
        .filter_map(|item| match item {
            Ok(StructuredItem::Partial(value)) => Some(value.clone()),
            _ => None,
        })
        .collect();
    let whole = json!({"name": "Oslo", "people": 709_000});
    assert_eq!(partial, [json!({}), json!({"name": "Os"}), json!({"name": "Oslo"}), whole]);
}

#[test]
fn a_request_with_tools_is_refused() {
    let model = ScriptedModel::new([]);
    let mut request = request();
    request.tools = [crate::tool::typed::support::definition::<City>("a", "b", beluga_core::Effect::Pure, None)].into();
    let error = model.structured::<City>().generate(request, CallContext::new()).now_or_never().unwrap().unwrap_err();
    assert_eq!(error.code(), Code::InvalidInput);
}
