//! Answers with a type.

use beluga_actors::testkit::{Answer, ScriptedModel};
use beluga_core::{Code, Effect, ResponseFormat, Role};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::kit::{Node, Witness, session, shout};
use beluga_actors::agent::OutputItem;
use futures_util::StreamExt;

/// A city as the model describes it.
#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct City {
    name: String,
    #[schemars(range(min = 1))]
    people: u32,
    #[serde(default)]
    river: Option<String>,
}

fn oslo() -> City {
    City { name: "Oslo".into(), people: 709_000, river: None }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_parsed_into_its_type() {
    let answer = json!({"name": "Oslo", "people": 709_000}).to_string();
    let script = [Answer::call("shout", json!({"word": "x"})), Answer::text(format!("```json\n{answer}\n```"))];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent.tool(shout("shout", Effect::Pure, &Witness::default()))).await;
    let city: City = agent.ask("Which city?").output().await.unwrap();
    assert_eq!(city, oslo());
    for request in model.requests() {
        let Some(ResponseFormat::JsonSchema { name, schema, strict: false, .. }) = &request.options.format else {
            panic!("{:?}", request.options.format)
        };
        assert_eq!((name.as_str(), &schema["required"]), ("City", &json!(["name", "people"])));
        let prompt = &request.messages[0];
        assert!(prompt.role == Role::System && prompt.text().contains("\"minimum\":1"), "{}", prompt.text());
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_wrong_answer_is_sent_back_with_what_is_wrong() {
    let script = [
        Answer::text("It is Oslo."),
        Answer::text(json!({"name": "Oslo", "people": 0}).to_string()),
        Answer::text(json!({"name": "Oslo", "people": 709_000}).to_string()),
        Answer::text("plain"),
    ];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent).await;
    assert_eq!(agent.ask("Which city?").session(session("s")).output::<City>().await.unwrap(), oslo());
    let said = |call: usize| model.requests()[call].messages.last().unwrap().text();
    assert!(said(1).contains("no JSON at line 1"), "{}", said(1));
    assert!(said(2).contains("people: ") && !said(2).contains("Oslo"), "{}", said(2));
    assert_eq!(agent.ask("And now?").session(session("s")).await.unwrap().result, "plain");
    let last = model.requests()[3].clone();
    assert_eq!((last.options.format.clone(), last.messages[0].role), (None, Role::User), "the form is of one question");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_fits_is_an_error_without_its_values() {
    let script = (0..3).map(|_| Answer::text(json!({"name": "secret", "people": "many"}).to_string()));
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent).await;
    let error = agent.ask("Which city?").output::<City>().await.unwrap_err();
    assert_eq!((error.code(), error.get("tries")), (Code::Decode, Some("3")));
    assert!(error.message().contains("people") && !error.to_string().contains("secret"), "{error}");
    model.assert_exhausted();
    let error = agent.ask("Which city?").output::<Vec<City>>().await.unwrap_err();
    assert_eq!(error.code(), Code::Config);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_an_answer_is_shown_while_it_comes() {
    let pieces = ["{\"name\": \"Os", "lo\", \"people\": 709", "000}"];
    let script = [Answer::call("shout", json!({"word": "x"})), Answer::text("Oslo."), Answer::pieces(pieces)];
    let (node, model) = (Node::start().await, ScriptedModel::new(script));
    let agent = node.agent(&model, |agent| agent.tool(shout("shout", Effect::Pure, &Witness::default()))).await;
    let items: Vec<_> = agent.ask("Which city?").output::<City>().stream().map(Result::unwrap).collect().await;
    let name = |name: &str| OutputItem::Partial(json!({"name": name}));
    let whole = OutputItem::Partial(json!({"name": "Oslo", "people": 709_000}));
    assert_eq!(items, [name("Os"), name("Oslo"), whole, OutputItem::Done(oslo())]);
    model.assert_exhausted();
    node.stop().await;
}
