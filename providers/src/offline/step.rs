//! Decides the answer to a request: the tool calls that are still to be made, or the final text.

use beluga_core::{ChatMessage, ModelRequest, Role, ToolCall, ToolChoice, ToolDefinition, ToolResult};
use serde_json::{Value, json};

use super::facts::{Question, Said};
use super::intent::{self, Intent, TRANSFER_PREFIX};
use super::web::Request;
use super::wording;

/// The most calls one answer makes; what is beyond them is called in the next round.
pub(super) const CALLS_MAX: usize = 16;

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Text(String),
    Calls(Vec<ToolCall>),
}

/// One part of the answer.
enum Step {
    Say(String),
    Call { name: String, arguments: String, intent: Intent },
}

/// Answers a request. The same request gives the same answer.
pub(super) fn answer(request: &ModelRequest) -> Answer {
    let turn = Turn::of(request);
    let text = turn.text.as_str();
    let intents = intent::read(text, &turn.tools, &turn.transfers());
    if intents.is_empty() {
        return Answer::Text(wording::identity(&turn.tools));
    }
    let intents = match turn.after_handoff(intents) {
        Ok(intents) => intents,
        Err(text) => return Answer::Text(text),
    };
    let said = Said::of(turn.before.iter().copied(), text);
    let alone = intents.len() == 1;
    let steps: Vec<Step> = intents.into_iter().map(|intent| turn.step(intent, alone, &said)).collect();
    let missing = turn.missing(&steps);
    if !missing.is_empty() {
        return Answer::Calls(missing);
    }
    let told = steps.iter().map(|step| match step {
        Step::Say(text) => text.clone(),
        Step::Call { name, arguments, intent } => match turn.result(name, arguments) {
            Some(result) => wording::result(intent, result, &said),
            None => format!("{} was not answered.", wording::subject(intent)),
        },
    });
    let mut sentences: Vec<String> = Vec::new();
    for text in told {
        if !text.is_empty() && !sentences.contains(&text) {
            sentences.push(text);
        }
    }
    Answer::Text(sentences.join(" "))
}

/// A request, cut at the message that is being answered.
struct Turn<'a> {
    /// What the user wrote last.
    text: String,
    /// Everything before it.
    before: Vec<&'a ChatMessage>,
    /// The calls made since, with their results.
    calls: Vec<(&'a ToolCall, Option<&'a ToolResult>)>,
    /// The tools that may be called.
    tools: Vec<&'a ToolDefinition>,
    /// Counts the user's messages, for ids that differ from turn to turn.
    number: usize,
}

impl<'a> Turn<'a> {
    fn of(request: &'a ModelRequest) -> Self {
        let messages: Vec<&ChatMessage> = request.messages.iter().map(|message| &**message).collect();
        let last = messages.iter().rposition(|message| message.role == Role::User);
        let (before, since) = messages.split_at_checked(last.unwrap_or(0)).unwrap_or((&[], &[]));
        let results: Vec<&ToolResult> = since.iter().flat_map(|message| message.results()).collect();
        let result_of = |call: &ToolCall| results.iter().find(|result| result.call_id == call.id).copied();
        let calls = since.iter().flat_map(|message| message.tool_calls()).map(|call| (call, result_of(call))).collect();
        let offered = |tool: &&ToolDefinition| match &request.options.tool_choice {
            ToolChoice::None => false,
            ToolChoice::Tool(name) => tool.name == *name,
            ToolChoice::Among { tools, .. } => tools.contains(&tool.name),
            ToolChoice::Auto | ToolChoice::Required => true,
        };
        Self {
            text: last.and_then(|at| messages.get(at)).map(|message| message.text()).unwrap_or_default(),
            before: before.to_vec(),
            calls,
            tools: request.tools.iter().filter(offered).collect(),
            number: messages.iter().filter(|message| message.role == Role::User).count(),
        }
    }

    fn tool(&self, name: &str) -> Option<&'a ToolDefinition> {
        self.tools.iter().find(|tool| tool.name == name).copied()
    }

    /// Returns the names of the handoffs on offer, and of those already made in this turn.
    fn transfers(&self) -> Vec<String> {
        let offered = self.tools.iter().map(|tool| tool.name.as_str());
        let made = self.calls.iter().map(|(call, _)| call.name.as_str());
        let mut names: Vec<String> =
            offered.chain(made).filter(|name| name.starts_with(TRANSFER_PREFIX)).map(str::to_owned).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Returns what is left to do around a handoff: the handoff alone before it; behind it the rest, for whoever took
    /// over. `Err` is the whole answer, where another agent gave it.
    fn after_handoff(&self, intents: Vec<Intent>) -> Result<Vec<Intent>, String> {
        let is_handoff = |intent: &Intent| matches!(intent, Intent::Handoff { .. });
        let made = self.calls.iter().rev().find(|(call, _)| call.name.starts_with(TRANSFER_PREFIX));
        let Some((call, result)) = made else {
            let handoff = intents.iter().find(|intent| matches!(intent, Intent::Handoff { tool: Ok(_) })).cloned();
            return Ok(handoff.map_or(intents, |handoff| vec![handoff]));
        };
        let agent = intent::agent_words(&call.name);
        let Some(result) = result.filter(|result| !result.is_error()) else { return Ok(intents) };
        let text = result.text();
        if !text.contains("takes over") {
            return Err(format!("{agent} says: {}", text.trim()));
        }
        let rest: Vec<Intent> = intents.into_iter().filter(|intent| !is_handoff(intent)).collect();
        if rest.is_empty() { Err(format!("You are with {agent} now. How can I help?")) } else { Ok(rest) }
    }

    fn result(&self, name: &str, arguments: &str) -> Option<&'a ToolResult> {
        self.calls.iter().find(|(call, _)| call.name == name && call.arguments == arguments)?.1
    }

    /// Returns the calls not made yet, each once.
    fn missing(&self, steps: &[Step]) -> Vec<ToolCall> {
        let mut missing: Vec<ToolCall> = Vec::new();
        for step in steps {
            let Step::Call { name, arguments, .. } = step else { continue };
            let made = self.calls.iter().map(|(call, _)| *call).chain(&missing);
            if made.into_iter().any(|call| call.name == *name && call.arguments == *arguments)
                || missing.len() == CALLS_MAX
            {
                continue;
            }
            let id = format!("offline_{}_{}", self.number, self.calls.len() + missing.len() + 1);
            missing.push(ToolCall::new(id, name.clone(), arguments.clone()));
        }
        missing
    }

    fn step(&self, intent: Intent, alone: bool, said: &Said<'_>) -> Step {
        match &intent {
            Intent::Sum(sum) => self.call("calculator", &json!({"expression": sum.expression}), intent),
            Intent::Date(date) => self.call("clock", &date.arguments.clone(), intent),
            Intent::Web(request) => self.call("http", &self.http_arguments(request), intent),
            Intent::Direct { tool, arguments } => self.call(&tool.clone(), &arguments.clone(), intent),
            Intent::Handoff { tool: Ok(tool) } => {
                let arguments = self.handoff_arguments(tool);
                self.call(&tool.clone(), &arguments, intent)
            }
            Intent::Handoff { tool: Err(target) } => Step::Say(wording::no_such_agent(target, &self.transfers())),
            Intent::Remember(content) => match self.tool("core_memory_append") {
                Some(_) => self.call("core_memory_append", &json!({"block": "human", "content": content}), intent),
                None => Step::Say(wording::remembered_here(content)),
            },
            Intent::Replace { old, new } => {
                self.call("core_memory_replace", &json!({"block": "human", "old": old, "new": new}), intent)
            }
            Intent::Ask(question) => self.recollect(question.clone(), said),
            Intent::Told(fact) => Step::Say(wording::noted(fact)),
            Intent::Greeting => Step::Say(wording::greeting(alone, &self.tools)),
            Intent::Identity => Step::Say(wording::identity(&self.tools)),
            Intent::Thanks => Step::Say("You are welcome.".to_owned()),
            Intent::Unknown { text, .. } => Step::Say(wording::refusal(text, &self.tools)),
        }
    }

    fn call(&self, name: &str, arguments: &Value, intent: Intent) -> Step {
        let made = self.calls.iter().any(|(call, _)| call.name == name);
        if self.tool(name).is_none() && !made {
            return Step::Say(wording::no_tool(&intent, name));
        }
        Step::Call { name: name.to_owned(), arguments: arguments.to_string(), intent }
    }

    /// Answers from the session, and searches earlier ones where that may tell more.
    fn recollect(&self, question: Question, said: &Said<'_>) -> Step {
        let query = match &question {
            Question::Property(name) => Some(name.clone()),
            Question::Habit(verb) => Some(verb.clone()),
            Question::Said(topic) | Question::Known(topic) => Some(topic.clone()),
            Question::First | Question::Last => None,
        };
        let here = said.answer(&question);
        let searches = here.is_none() || matches!(question, Question::Known(_));
        match query.filter(|_| searches && self.tool("recall_search").is_some()) {
            Some(query) => self.call("recall_search", &json!({"query": query}), Intent::Ask(question)),
            None => Step::Say(here.unwrap_or_else(|| wording::not_known(&question))),
        }
    }

    /// A body that is JSON is sent as such, where the tool takes more than text.
    fn http_arguments(&self, request: &Request) -> Value {
        let mut arguments = json!({"url": request.url, "method": request.method});
        let kinds = self.tool("http").and_then(|tool| tool.input_schema.pointer("/properties/body/type"));
        let takes_objects =
            kinds.and_then(Value::as_array).is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"));
        if let (Some(body), Value::Object(arguments)) = (&request.body, &mut arguments) {
            let json = serde_json::from_str(body)
                .ok()
                .filter(|json: &Value| takes_objects && (json.is_object() || json.is_array()));
            arguments.insert("body".to_owned(), json.unwrap_or_else(|| Value::String(body.clone())));
        }
        arguments
    }

    /// Tells the other agent why, where its tool asks for it.
    fn handoff_arguments(&self, tool: &str) -> Value {
        let schema = self.tool(tool).map(|tool| &tool.input_schema);
        let properties = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        let named = properties.into_iter().flat_map(|properties| properties.keys());
        let reasons = named.filter(|name| ["reason", "message", "input", "task", "question"].contains(&name.as_str()));
        let text: String = self.text.chars().take(REASON_MAX_CHARS).collect();
        Value::Object(reasons.map(|name| (name.clone(), Value::String(text.clone()))).collect())
    }
}

/// The longest reason given for a handoff.
const REASON_MAX_CHARS: usize = 500;
