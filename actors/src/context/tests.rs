//! The laws of context managers over random conversations, and what each manager does.

use std::collections::HashSet;

use beluga_core::{Foreign, Media, MediaSource, Role, Thinking, ToolCall, ToolResult};
use proptest::prelude::*;

use super::*;
use crate::testkit::{Answer, FunctionModel, ScriptedModel};

fn call(id: &str) -> Part {
    Part::ToolCall(ToolCall::new(id, "look", "{\"at\": \"the sky\"}"))
}

fn result(id: &str, words: usize) -> ToolResult {
    ToolResult::new(id, "look", vec![Part::text("blue ".repeat(words))])
}

/// One turn: a question, rounds of tools with as many calls each, and an answer.
fn turn(number: usize, rounds: &[usize], words: usize, odd: u8) -> Vec<ChatMessage> {
    let mut question = ChatMessage::user(format!("question {number} {}", "word ".repeat(words)));
    if odd.is_multiple_of(5) {
        question.parts.push(Part::Image(Media::new(MediaSource::Url("http://127.0.0.1/a.png".into()), "image/png")));
    }
    let mut said = vec![question];
    for (round, calls) in rounds.iter().enumerate() {
        let thinking = Part::Thinking(Thinking::new("hm ".repeat(words), "anthropic"));
        let ids: Vec<String> = (0..*calls).map(|call| format!("{number}.{round}.{call}")).collect();
        let mut parts: Vec<Part> = ids.iter().map(|id| call(id)).collect();
        if odd.is_multiple_of(2) {
            parts.insert(0, thinking);
        } else {
            // Some vendors' thinking is a message of its own.
            said.push(ChatMessage::new(Role::Assistant, vec![thinking]));
        }
        if odd.is_multiple_of(3) {
            let value = serde_json::json!({"id": number});
            let foreign = Foreign { family: "anthropic".into(), kind: "server_tool_use".into(), value, notes: None };
            parts.push(Part::Foreign(foreign));
        }
        said.push(ChatMessage::new(Role::Assistant, parts));
        if odd.is_multiple_of(7) {
            said.extend(ids.iter().map(|id| ChatMessage::tool_results(vec![result(id, words)])));
        } else {
            said.push(ChatMessage::tool_results(ids.iter().map(|id| result(id, words)).collect()));
        }
    }
    said.push(ChatMessage::assistant(format!("answer {number}")));
    said
}

fn conversations() -> impl Strategy<Value = Vec<ChatMessage>> {
    let turns = prop::collection::vec((prop::collection::vec(1_usize..4, 0..4), 0_usize..40, any::<u8>()), 1..9);
    // The last turn may be under way.
    (turns, 0_usize..6).prop_map(|(turns, open)| {
        let mut said: Vec<ChatMessage> =
            turns.iter().enumerate().flat_map(|(n, (rounds, words, odd))| turn(n, rounds, *words, *odd)).collect();
        let last = said.iter().rposition(|message| message.role == Role::User).unwrap();
        said.truncate((last + 1 + open).min(said.len()));
        said
    })
}

fn fit(messages: Vec<ChatMessage>, budget_tokens: u64) -> Fit {
    Fit {
        messages: Arc::new(messages.into_iter().map(Arc::new).collect()),
        budget_tokens,
        tokenizer: Arc::new(TokenEstimate),
        context: CallContext::new(),
    }
}

fn fitted(manager: &dyn ContextManager, request: &Fit) -> Result<Messages> {
    futures_util::FutureExt::now_or_never(manager.fit(request.clone())).expect("nothing waits here")
}

fn managers() -> Vec<Box<dyn ContextManager>> {
    let writer = || FunctionModel::new(|_| Answer::text("They spoke of the sky. ".repeat(99)));
    vec![
        Box::new(Truncate),
        Box::new(Sliding::new(3)),
        Box::new(Summarise::new(writer())),
        Box::new(Semantic::new(WordOverlap)),
        Box::new(Adaptive::new().from(1.5, Semantic::new(WordOverlap)).from(3.0, Summarise::new(writer()))),
    ]
}

fn ids(messages: &[Arc<ChatMessage>]) -> (HashSet<String>, HashSet<String>) {
    let calls = messages.iter().flat_map(|message| message.tool_calls()).map(|call| call.id.clone());
    let results = messages.iter().flat_map(|message| message.results()).map(|result| result.call_id.clone());
    (calls.collect(), results.collect())
}

/// Returns what is wrong with what a manager kept.
fn broken_law(request: &Fit, kept: &[Arc<ChatMessage>]) -> Option<String> {
    let place = |message: &Arc<ChatMessage>| request.messages.iter().position(|have| Arc::ptr_eq(have, message));
    let places: Vec<usize> = kept.iter().filter_map(place).collect();
    let tokens = request.tokenizer.count_messages(kept);
    if tokens > request.budget_tokens {
        return Some(format!("{tokens} tokens are above {}", request.budget_tokens));
    }
    if !places.is_sorted() || kept.len() - places.len() > 1 {
        return Some("the order is another".into());
    }
    let ((calls, results), (all_calls, all_results)) = (ids(kept), ids(&request.messages));
    let is_torn =
        |id: &String| all_calls.contains(id) && all_results.contains(id) && calls.contains(id) != results.contains(id);
    if let Some(id) = calls.union(&results).find(|id| is_torn(id)) {
        return Some(format!("the call {id} is torn from its result"));
    }
    for (index, message) in request.messages.iter().enumerate() {
        let next = request.messages.get(index + 1);
        let leads = message.role == Role::Assistant && next.is_some_and(|next| next.tool_calls().next().is_some());
        if leads && places.contains(&index) != places.contains(&(index + 1)) {
            return Some(format!("the thinking {index} is torn from its call"));
        }
    }
    let question = request.messages.iter().rposition(|message| message.role == Role::User).unwrap();
    if !places.contains(&question) || !places.contains(&(request.messages.len() - 1)) {
        return Some("the newest is left out".into());
    }
    (kept[0].role != Role::User).then(|| "it begins with an answer".into())
}

proptest! {
    #[test]
    fn the_laws_hold_over_random_conversations(said in conversations(), budget in 20_u64..4_000) {
        let request = fit(said, budget);
        for manager in managers() {
            match fitted(manager.as_ref(), &request) {
                Ok(kept) => {
                    let law = broken_law(&request, &kept);
                    prop_assert!(law.is_none(), "{}: {}", manager.name(), law.unwrap());
                    if request.tokens() <= budget && manager.name() != "sliding" {
                        prop_assert!(Arc::ptr_eq(&kept, &request.messages), "{} copies what fits", manager.name());
                    }
                }
                Err(error) => prop_assert_eq!(error.code(), beluga_core::Code::ContextLength),
            }
        }
    }

    #[test]
    fn the_bound_without_counting_is_one(said in conversations()) {
        let request = fit(said, 0);
        prop_assert!(request.tokens() <= at_most(&request.messages));
    }
}

#[test]
fn what_must_stay_and_does_not_fit_is_told() {
    let request = fit(turn(0, &[], 900, 1), 50);
    let error = fitted(&Truncate, &request).unwrap_err();
    assert_eq!(error.code(), beluga_core::Code::ContextLength);
}

#[test]
fn a_window_slides_by_turns() {
    let request = fit((0..5).flat_map(|number| turn(number, &[1], 2, 1)).collect(), 10_000);
    let kept = fitted(&Sliding::new(2), &request).unwrap();
    assert!(kept[0].text().starts_with("question 3"), "{}", kept[0].text());
}

#[test]
fn a_summary_is_made_once_and_goes_into_the_next() {
    let model = ScriptedModel::new([Answer::text("First."), Answer::text("Second.")]);
    let manager = Summarise::new(model.clone());
    let mut said: Vec<Arc<ChatMessage>> = (0..8).flat_map(|number| turn(number, &[], 30, 1)).map(Arc::new).collect();
    let mut request = fit(Vec::new(), 250);
    request.messages = Arc::new(said.clone());
    let first = fitted(&manager, &request).unwrap();
    assert!(first[0].text().ends_with("First."), "{}", first[0].text());
    assert!(model.requests()[0].messages[1].text().starts_with("user: question 0"));
    said.extend(turn(8, &[], 5, 1).into_iter().map(Arc::new));
    request.messages = Arc::new(said.clone());
    let second = fitted(&manager, &request).unwrap();
    assert!(second[0].text().ends_with("First.") && model.requests().len() == 1, "it still fits");
    said.extend((9..14).flat_map(|number| turn(number, &[], 30, 1)).map(Arc::new));
    request.messages = Arc::new(said);
    let third = fitted(&manager, &request).unwrap();
    assert!(third[0].text().ends_with("Second."));
    let told = model.requests()[1].messages[1].text();
    assert!(told.contains("First.") && !told.contains("question 0"), "{told}");
}

#[test]
fn the_exchange_that_belongs_to_the_question_is_kept() {
    let ask = |text: &str| [ChatMessage::user(text.to_owned()), ChatMessage::assistant("Noted ".repeat(20))];
    let topics = ["my cat is called Miso", "the train leaves at nine", "the rent is due on Monday", "it rains"];
    let mut said: Vec<ChatMessage> = topics.iter().flat_map(|topic| ask(topic)).collect();
    said.push(ChatMessage::user("What is my cat called?"));
    let kept = fitted(&Semantic::new(WordOverlap), &fit(said, 60)).unwrap();
    assert_eq!(kept[0].text(), "my cat is called Miso");
    assert_eq!(kept.len(), 3);
}
