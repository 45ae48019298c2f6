//! Conversations, run through the smallest loop that runs tools.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use beluga_actors::tool::builtin::{calculator, clock};
use beluga_actors::tool::typed::{Arguments, FunctionTool};
use beluga_core::{
    AgentName, BoxFuture, CallContext, ChatMessage, ChatModel, Code, Effect, Error, FinishReason, Host, ModelChunk,
    ModelRegistry, ModelRequest, Part, ProviderConfig, ResponseFormat, Result, SessionId, StateAccess, Tool, ToolCall,
    ToolContext, ToolDefinition, ToolOutcome, ToolResult, TurnId,
};
use beluga_providers::offline::{OfflineModel, register};
use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};

use crate::questions::questions;

/// The most rounds a question may take.
const ROUNDS_MAX: usize = 4;

/// A machine whose calendar stands still at 2026-11-20 23:30:00 UTC.
#[derive(Debug)]
struct Machine(Instant);

impl Host for Machine {
    fn now(&self) -> Instant {
        self.0
    }
    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_217_400)
    }
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
    fn random(&self) -> u64 {
        panic!("the offline model draws no numbers")
    }
    fn spawn(&self, _: &'static str, _: BoxFuture<'static, ()>) {
        panic!("the offline model spawns nothing")
    }
    fn spawn_thread(&self, _: &'static str, _: Box<dyn FnOnce() + Send>) -> Result<()> {
        panic!("the offline model spawns nothing")
    }
    fn block(&self, _: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        panic!("the offline model does not block")
    }
}

#[allow(clippy::disallowed_methods)] // A fixed point on the clock, read once.
fn machine() -> Arc<dyn Host> {
    Arc::new(Machine(Instant::now()))
}

/// A conversation with the offline model: the smallest loop that runs tools.
struct Conversation {
    model: OfflineModel,
    tools: Vec<Arc<dyn Tool>>,
    messages: Vec<Arc<ChatMessage>>,
}

/// What came of one question.
struct Outcome {
    text: String,
    /// The calls of each round.
    rounds: Vec<Vec<ToolCall>>,
}

impl Conversation {
    fn new(tools: Vec<Arc<dyn Tool>>) -> Self {
        Self { model: OfflineModel::new(machine()), tools, messages: Vec::new() }
    }

    fn with_calculator_and_clock() -> Self {
        Self::new(vec![Arc::new(calculator), Arc::new(clock(machine()))])
    }

    fn request(&self) -> Arc<ModelRequest> {
        let tools: Vec<ToolDefinition> = self.tools.iter().map(|tool| tool.definition().clone()).collect();
        Arc::new(ModelRequest { messages: self.messages.clone(), tools: tools.into(), ..ModelRequest::default() })
    }

    /// Asks and runs the tools the model wants until it wants none.
    fn ask(&mut self, text: &str) -> Outcome {
        self.messages.push(Arc::new(ChatMessage::user(text)));
        let mut rounds = Vec::new();
        loop {
            let answer = self.model.generate(self.request(), CallContext::new()).now_or_never().unwrap().unwrap();
            let calls: Vec<ToolCall> = answer.message.tool_calls().cloned().collect();
            self.messages.push(Arc::new(answer.message));
            if calls.is_empty() {
                assert_eq!(answer.finish, FinishReason::Stop);
                let text = self.messages.last().unwrap().text();
                return Outcome { text, rounds };
            }
            assert_eq!(answer.finish, FinishReason::ToolCalls);
            assert!(rounds.len() < ROUNDS_MAX, "{text} never ends");
            let results = calls.iter().map(|call| self.run(call)).collect();
            self.messages.push(Arc::new(ChatMessage::tool_results(results)));
            rounds.push(calls);
        }
    }

    fn run(&self, call: &ToolCall) -> ToolResult {
        let tool =
            self.tools.iter().find(|tool| tool.definition().name == call.name).expect("only offered tools are called");
        let arguments = call.parse_arguments().unwrap();
        let validated = Arguments::compile(&tool.definition().input_schema).unwrap().validate(&arguments);
        let cx = ToolContext {
            call: CallContext::new(),
            idempotency_key: format!("s/t/{}", call.id).into(),
            session: SessionId::parse("s").unwrap(),
            turn: TurnId::parse("t").unwrap(),
            agent: AgentName::parse("assistant").unwrap(),
            state: StateAccess::default(),
        };
        let result = validated.and_then(|()| tool.call(arguments, cx).now_or_never().unwrap());
        let (parts, outcome) = match result {
            Ok(output) => (output.parts, ToolOutcome::Ok),
            Err(error) => (vec![Part::text(format!("{}: {}", error.code(), error.message()))], ToolOutcome::Error),
        };
        ToolResult { outcome, ..ToolResult::new(call.id.clone(), call.name.clone(), parts) }
    }
}

fn tool(name: &str, schema: Value, answer: impl Fn(&Value) -> Result<String> + Send + Sync + 'static) -> Arc<dyn Tool> {
    let run = move |arguments: Value, _cx| std::future::ready(answer(&arguments));
    Arc::new(FunctionTool::new(name, "For a test.", run).with_schema(schema).with_effect(Effect::Pure))
}

fn fields(names: &[&str]) -> Value {
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!({"type": "string"}))).collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

#[test]
fn two_hundred_generated_questions_are_answered_through_real_tools() {
    let seed = 20_261_120;
    let mut wrong = Vec::new();
    for question in questions(seed, 200) {
        let outcome = Conversation::with_calculator_and_clock().ask(&question.text);
        let calls: usize = outcome.rounds.iter().map(Vec::len).sum();
        let complete = question.expected.iter().all(|expected| outcome.text.contains(expected.as_str()));
        if !complete || outcome.rounds.len() != 1 || calls != question.expected.len() {
            wrong.push(format!("{}\n  expected {:?}\n  answered {}", question.text, question.expected, outcome.text));
        }
    }
    assert!(wrong.is_empty(), "seed {seed}: {} of 200 wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_question_in_two_parts_is_answered_by_two_calls_at_once() {
    let mut conversation = Conversation::with_calculator_and_clock();
    let outcome = conversation.ask("What is 17% of 2340, and which weekday is 90 days after 2026-11-20?");
    let names: Vec<&str> = outcome.rounds[0].iter().map(|call| call.name.as_str()).collect();
    assert_eq!((outcome.rounds.len(), names), (1, vec!["calculator", "clock"]));
    assert_eq!(outcome.text, "17% of 2340 is 397.8. 90 days after 2026-11-20 is Thursday, 2027-02-18.");
}

#[test]
fn a_question_about_the_present_reads_the_clock() {
    let mut conversation = Conversation::with_calculator_and_clock();
    assert_eq!(conversation.ask("What is the date today?").text, "Today is Friday, 2026-11-20.");
    assert_eq!(
        conversation.ask("What time is it in Tokyo?").text,
        "It is 08:30:00 on Saturday, 2026-11-21 (Asia/Tokyo)."
    );
    assert_eq!(
        conversation.ask("How many days until 2026-12-25?").text,
        "From 2026-11-20 to 2026-12-25 it is 35 days."
    );
}

#[test]
fn a_tools_error_is_reported_plainly() {
    let mut conversation = Conversation::with_calculator_and_clock();
    let text = conversation.ask("What is 5 / 0, and what is 2 + 2?").text;
    assert_eq!(text, "I could not work out 5 / 0: division by zero at character 3. 2 + 2 is 4.");
    let text = conversation.ask("Which weekday is 2026-02-30?").text;
    assert_eq!(text, "I could not work out 2026-02-30: date: the calendar has no such date.");
}

#[test]
fn without_a_tool_it_refuses_instead_of_guessing() {
    let mut conversation = Conversation::new(Vec::new());
    let outcome = conversation.ask("What is 17% of 2340?");
    assert_eq!(outcome.text, "I cannot answer 17% of 2340: the tool calculator is not offered to me.");
    assert!(outcome.rounds.is_empty());
    let text = conversation.ask("Write a poem about the sea.").text;
    assert!(text.starts_with("I cannot help with “Write a poem about the sea”: I am Beluga's offline model"), "{text}");
    assert!(conversation.ask("Hello!").text.contains("rule based"));
}

#[test]
fn what_was_said_in_the_session_is_remembered() {
    let mut conversation = Conversation::with_calculator_and_clock();
    assert_eq!(conversation.ask("My name is Ada. What is 2 + 3?").text, "Nice to meet you, Ada. 2 + 3 is 5.");
    conversation.ask("I live in Paris and my favourite colour is blue.");
    assert_eq!(conversation.ask("What is my name?").text, "Your name is Ada.");
    assert_eq!(conversation.ask("where do I live?").text, "You live in Paris.");
    assert_eq!(
        conversation.ask("What's my favourite colour, and what is 3 * 3?").text,
        "Your favourite colour is blue. 3 * 3 is 9."
    );
    assert_eq!(
        conversation.ask("What was my first question?").text,
        "Your first message was: “My name is Ada. What is 2 + 3?”"
    );
    assert!(
        conversation
            .ask("What did I say about Paris?")
            .text
            .contains("“I live in Paris and my favourite colour is blue.”")
    );
    assert_eq!(conversation.ask("What is my dog's name?").text, "You have not told me your dog's name.");
}

#[test]
fn core_and_recall_memory_are_used_where_they_are_offered() {
    let append = tool("core_memory_append", fields(&["block", "content"]), |_| Ok("Remembered.".into()));
    let search = tool("recall_search", fields(&["query"]), |arguments| match arguments["query"].as_str() {
        Some("name") => Ok(json!([
            {"session": "s0", "turn": "t0", "role": "user", "text": "What is my name?"},
            {"session": "s0", "turn": "t0", "role": "user", "text": "Hi, my name is Grace."},
        ])
        .to_string()),
        _ => Ok("Nothing was found.".into()),
    });
    let mut conversation = Conversation::new(vec![append, search]);
    let outcome = conversation.ask("Please remember that I like tea.");
    assert_eq!(outcome.rounds[0][0].parse_arguments().unwrap(), json!({"block": "human", "content": "I like tea"}));
    assert_eq!(outcome.text, "I have put it into my memory: I like tea.");
    let outcome = conversation.ask("What is my name?");
    assert_eq!((outcome.rounds.len(), outcome.text.as_str()), (1, "Your name is Grace."));
    assert_eq!(conversation.ask("What do you know about whales?").text, "I know nothing about whales.");
    conversation.messages.insert(0, Arc::new(ChatMessage::system("Help.\n\n# Core memory: human\nmy cat is Tom")));
    let outcome = conversation.ask("What is my cat?");
    assert_eq!((outcome.rounds.len(), outcome.text.as_str()), (0, "Your cat is Tom."));
}

#[test]
fn it_hands_over_when_told_to_and_goes_on_for_whoever_took_over() {
    let transfer = tool("transfer_to_billing", fields(&["reason"]), |_| Ok("The agent \"billing\" takes over.".into()));
    let mut conversation = Conversation::new(vec![transfer, Arc::new(calculator)]);
    let outcome = conversation.ask("Hand me to billing, please.");
    assert_eq!(outcome.rounds[0][0].name, "transfer_to_billing");
    assert_eq!(outcome.text, "You are with billing now. How can I help?");
    let outcome = conversation.ask("Transfer me to billing. What is 19% of 200?");
    let rounds: Vec<usize> = outcome.rounds.iter().map(Vec::len).collect();
    assert_eq!((rounds, outcome.text.as_str()), (vec![1, 1], "19% of 200 is 38."));
    assert_eq!(conversation.ask("Transfer me to sales").text, "I cannot hand you over to sales; I can to billing.");
    let returns = tool("transfer_to_billing", fields(&["reason"]), |_| Ok("You owe 5 euros.".into()));
    let text = Conversation::new(vec![returns]).ask("Ask billing what I owe.").text;
    assert_eq!(text, "billing says: You owe 5 euros.");
}

#[test]
fn web_addresses_go_to_the_http_tool() {
    let mut schema = fields(&["url", "method"]);
    schema["properties"]["body"] = json!({"type": ["string", "object", "array"]});
    let http = tool("http", schema, |arguments| match arguments["method"].as_str() {
        Some("GET") => Ok("HTTP 200 OK\ncontent-type: text/plain\n\npong\n".into()),
        Some("POST") => Ok("HTTP 204 No Content\n".into()),
        _ => Err(Error::invalid_input("127.0.0.1:1 is not on the allow-list")),
    });
    let mut conversation = Conversation::new(vec![http]);
    assert_eq!(
        conversation.ask("Get http://127.0.0.1:1/ping.").text,
        "GET http://127.0.0.1:1/ping answered 200 OK: pong"
    );
    let outcome = conversation.ask("POST {\"a\": 1} to http://127.0.0.1:1/x");
    assert_eq!(outcome.rounds[0][0].parse_arguments().unwrap()["body"], json!({"a": 1}));
    assert_eq!(outcome.text, "POST http://127.0.0.1:1/x answered 204 No Content.");
    let outcome = conversation.ask("send 'a b' to http://127.0.0.1:1/x");
    assert_eq!(outcome.rounds[0][0].parse_arguments().unwrap()["body"], json!("a b"));
    assert_eq!(
        conversation.ask("delete http://127.0.0.1:1/x").text,
        "I could not work out DELETE http://127.0.0.1:1/x: 127.0.0.1:1 is not on the allow-list."
    );
}

#[test]
fn any_tool_can_be_called_by_its_name() {
    let mut schema = fields(&["city"]);
    schema["required"] = json!(["city"]);
    let weather = tool("weather", schema, |arguments| Ok(format!("fine in {}", arguments["city"])));
    let mut conversation = Conversation::new(vec![weather]);
    let text = conversation.ask("Call weather with {\"city\": \"Oslo\"}, please.").text;
    assert_eq!(text, "weather says: fine in \"Oslo\"");
    let text = conversation.ask("Hi! What is the weather in Rio de Janeiro?").text;
    assert_eq!(text, "Hello! weather says: fine in \"Rio de Janeiro\"");
}

#[test]
fn an_answer_streams_word_by_word_and_keeps_the_laws() {
    let mut conversation = Conversation::new(Vec::new());
    conversation.messages.push(Arc::new(ChatMessage::user("Hello")));
    let stream = conversation.model.stream(conversation.request(), CallContext::new());
    let chunks: Vec<_> = stream.map(Result::unwrap).collect().now_or_never().unwrap();
    let texts = chunks.iter().filter(|chunk| matches!(chunk, ModelChunk::Text { .. })).count();
    assert!(texts > 10, "{texts} pieces");
    assert!(matches!(chunks.first(), Some(ModelChunk::Started { model: Some(model), .. }) if model == "rules-1"));
    let [.., ModelChunk::Usage(usage), ModelChunk::Finished { reason: FinishReason::Stop, .. }] = chunks.as_slice()
    else {
        panic!("usage and the end come last: {chunks:?}");
    };
    assert_eq!((usage.input_tokens, usage.output_tokens), (1, u64::try_from(texts).unwrap()));

    let cx = CallContext::new();
    let mut stream = conversation.model.stream(conversation.request(), cx.clone());
    assert!(stream.next().now_or_never().unwrap().unwrap().is_ok());
    cx.cancel_token().cancel();
    assert_eq!(stream.next().now_or_never().unwrap().unwrap().unwrap_err().code(), Code::Cancelled);
    assert!(stream.next().now_or_never().unwrap().is_none(), "nothing follows an error");
}

#[test]
fn a_delayed_chunk_ends_with_its_call() {
    let mut conversation = Conversation::new(Vec::new());
    conversation.messages.push(Arc::new(ChatMessage::user("Hello")));
    let model = conversation.model.clone().with_chunk_delay(Duration::from_secs(1));
    let cx = CallContext::new();
    let mut stream = model.stream(conversation.request(), cx.clone());
    assert!(stream.next().now_or_never().is_none(), "this machine's sleep never ends");
    cx.cancel_token().cancel();
    assert_eq!(stream.next().now_or_never().unwrap().unwrap().unwrap_err().code(), Code::Cancelled);
}

#[test]
fn limits_stops_and_formats_are_honoured_or_refused() {
    let mut conversation = Conversation::new(Vec::new());
    conversation.messages.push(Arc::new(ChatMessage::user("Who are you?")));
    let answer = |change: &dyn Fn(&mut ModelRequest)| {
        let mut request = Arc::unwrap_or_clone(conversation.request());
        change(&mut request);
        conversation.model.generate(Arc::new(request), CallContext::new()).now_or_never().unwrap()
    };
    let short = answer(&|request| request.options.max_tokens = Some(3)).unwrap();
    assert_eq!((short.message.text().as_str(), short.finish), ("I am Beluga's", FinishReason::Length));
    let stopped = answer(&|request| request.options.stop = vec![" model".into()]).unwrap();
    assert_eq!((stopped.message.text().as_str(), stopped.finish), ("I am Beluga's offline", FinishReason::Stop));
    let error = answer(&|request| request.options.format = Some(ResponseFormat::JsonObject)).unwrap_err();
    assert_eq!(error.code(), Code::Unsupported);
}

#[test]
fn any_text_gets_an_answer() {
    let long = ["3 + ", "(", "3 + 4, ", "and 2 days ", "my a is b and ", "http://a.b ", "remember "]
        .map(|text| text.repeat(9000));
    let odd =
        ["", " ", "?", "\0\u{1}", "of of of", "and and and", "http://", "call calculator with {", "💥 + 💥", "−−−5"];
    for text in odd.into_iter().chain(long.iter().map(String::as_str)) {
        let outcome = Conversation::with_calculator_and_clock().ask(text);
        assert!(!outcome.text.is_empty(), "{:?}", text.get(..10));
    }
}

#[test]
fn it_is_registered_as_the_kind_offline() {
    let mut registry = ModelRegistry::new("provider");
    register(&mut registry).unwrap();
    let factory = registry.get("offline").unwrap();
    assert!(factory.variables().key_optional);
    let mut config = ProviderConfig::new("offline");
    config.options.insert("chunk_delay_ms".into(), json!(5));
    let model = factory.build(&config, machine()).unwrap();
    assert_eq!((model.info().provider.as_str(), model.info().model.as_str()), ("beluga.offline", "rules-1"));
    for (name, value) in [("chunk_delay_ms", json!(-1)), ("temperature", json!(1))] {
        let mut config = ProviderConfig::new("offline");
        config.options.insert(name.into(), value);
        assert_eq!(factory.build(&config, machine()).unwrap_err().code(), Code::Config);
    }
}
