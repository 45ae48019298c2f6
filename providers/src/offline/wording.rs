//! Puts answers into words.

use beluga_core::{Code, ToolDefinition, ToolOutcome, ToolResult};
use serde_json::Value;

use super::dates::{Asks, Date};
use super::facts::{self, Fact, Question, Said};
use super::intent::{self, Intent, TRANSFER_PREFIX};
use super::named;

/// The most characters of a tool's answer that are repeated.
const REPEATED_MAX_CHARS: usize = 2000;

/// Says what this is and what it can do with these tools.
pub(super) fn identity(tools: &[&ToolDefinition]) -> String {
    format!(
        "I am Beluga's offline model: rule based, with no language model and no network behind me. {}",
        abilities(tools)
    )
}

fn abilities(tools: &[&ToolDefinition]) -> String {
    let has = |name: &str| tools.iter().any(|tool| tool.name == name);
    let mut able = Vec::new();
    if has("calculator") {
        able.push("calculate (“What is 17% of 2340?”)".to_owned());
    }
    if has("clock") {
        able.push("work with dates (“Which weekday is 90 days after 2026-11-20?”)".to_owned());
    }
    if has("http") {
        able.push("call web addresses (“Get http://127.0.0.1:8080/healthz”)".to_owned());
    }
    if has("core_memory_append") {
        able.push("remember lasting facts (“Remember that my name is Ada.”)".to_owned());
    }
    able.push("recall what you told me in this session (“What is my name?”)".to_owned());
    let agents = agents(tools.iter().map(|tool| tool.name.as_str()));
    if !agents.is_empty() {
        able.push(format!("hand you over to {}", agents.join(" or ")));
    }
    if let Some(tool) = tools.iter().find(|tool| named::is_foreign(tool)) {
        able.push(format!("call a tool by its name (“call {} with {{…}}”)", tool.name));
    }
    let last = able.pop().unwrap_or_default();
    if able.is_empty() { format!("I can {last}.") } else { format!("I can {}, and {last}.", able.join(", ")) }
}

fn agents<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    names.filter(|name| name.starts_with(TRANSFER_PREFIX)).map(intent::agent_words).collect()
}

/// Greets; alone, it also says what this is.
pub(super) fn greeting(alone: bool, tools: &[&ToolDefinition]) -> String {
    if alone { format!("Hello! {}", identity(tools)) } else { "Hello!".to_owned() }
}

/// Refuses what no rule understands.
pub(super) fn refusal(text: &str, tools: &[&ToolDefinition]) -> String {
    format!(
        "I cannot help with “{}”: I am Beluga's offline model and follow fixed rules. {}",
        shortened(text, 200),
        abilities(tools)
    )
}

/// Says that the tool a part needs is not on offer.
pub(super) fn no_tool(intent: &Intent, tool: &str) -> String {
    match intent {
        Intent::Replace { .. } => format!("I cannot change my memory: the tool {tool} is not offered to me."),
        _ => format!("I cannot answer {}: the tool {tool} is not offered to me.", subject(intent)),
    }
}

/// Says that no agent of this name is on offer.
pub(super) fn no_such_agent(target: &str, transfers: &[String]) -> String {
    let agents = agents(transfers.iter().map(String::as_str));
    let target = shortened(target, 60);
    if agents.is_empty() {
        return format!("I cannot hand you over to {target}: no other agent is offered to me.");
    }
    format!("I cannot hand you over to {target}; I can to {}.", agents.join(", "))
}

/// Says that something is kept by the session alone.
pub(super) fn remembered_here(content: &str) -> String {
    format!("I will remember it in this session, which is the only memory I am given: {}.", shortened(content, 200))
}

/// Confirms something told.
pub(super) fn noted(fact: &Fact) -> String {
    match fact {
        Fact::Property { name, value } if name == "name" => format!("Nice to meet you, {value}."),
        fact => format!("I see. {}", facts::told(fact)),
    }
}

/// Says that a question about what was said has no answer.
pub(super) fn not_known(question: &Question) -> String {
    match question {
        Question::Property(name) => format!("You have not told me your {name}."),
        Question::Habit(verb) => format!("You have not told me that you {verb} anything or anywhere."),
        Question::Said(topic) => format!("You have said nothing about {topic} in this session."),
        Question::Known(topic) => format!("I know nothing about {topic}."),
        Question::First | Question::Last => "This is your first message in this session.".to_owned(),
    }
}

/// Names what a part is about.
pub(super) fn subject(intent: &Intent) -> String {
    match intent {
        Intent::Sum(sum) => sum.label.clone(),
        Intent::Date(Date { asks: Asks::Day { label } | Asks::Weekday { label }, .. }) => label.clone(),
        Intent::Date(Date { asks: Asks::Between, .. }) => "how many days lie between".to_owned(),
        Intent::Date(_) => "the date and time".to_owned(),
        Intent::Web(request) => format!("{} {}", request.method, request.url),
        Intent::Direct { tool, .. } => tool.clone(),
        Intent::Handoff { tool: Ok(tool) } => format!("the handoff to {}", intent::agent_words(tool)),
        Intent::Remember(_) | Intent::Replace { .. } => "my memory".to_owned(),
        Intent::Ask(_) => "what was said before".to_owned(),
        _ => "that".to_owned(),
    }
}

/// Puts the result of a call into words.
pub(super) fn result(intent: &Intent, result: &ToolResult, said: &Said<'_>) -> String {
    let text = result.text();
    let text = text.trim();
    match result.outcome {
        ToolOutcome::Ok => {}
        // An error of the server is an answer all the same.
        ToolOutcome::Error if matches!(intent, Intent::Web(_)) && text.starts_with("HTTP ") => {}
        ToolOutcome::Error => return format!("I could not work out {}: {}.", subject(intent), reason(text)),
        ToolOutcome::Unknown => {
            return format!("It is not known whether {} took effect: {}.", subject(intent), reason(text));
        }
    }
    match intent {
        Intent::Sum(sum) => format!("{} is {text}{}.", sum.label, sum.suffix),
        Intent::Date(date) => dated(date, text),
        Intent::Web(request) => answered(&format!("{} {}", request.method, request.url), text),
        Intent::Direct { tool, .. } => format!("{tool} says: {}", shortened(text, REPEATED_MAX_CHARS)),
        Intent::Remember(content) => format!("I have put it into my memory: {}.", shortened(content, 200)),
        Intent::Replace { new, .. } if new.is_empty() => "I have removed it from my memory.".to_owned(),
        Intent::Replace { .. } => "I have changed my memory.".to_owned(),
        Intent::Ask(question) => recalled(question, text, said),
        _ => shortened(text, REPEATED_MAX_CHARS),
    }
}

/// Removes the error code in front of a tool's message and the full stop behind it.
fn reason(text: &str) -> String {
    let message = match text.split_once(": ") {
        Some((code, message)) if Code::parse(code).is_some() => message,
        _ => text,
    };
    shortened(message.trim_end_matches('.'), REPEATED_MAX_CHARS)
}

fn dated(date: &Date, text: &str) -> String {
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    let field = |name: &str| answer.get(name).and_then(Value::as_str);
    let told = match &date.asks {
        Asks::Day { label } => {
            field("weekday").zip(field("date")).map(|(weekday, date)| format!("{label} is {weekday}, {date}."))
        }
        Asks::Weekday { label } => field("weekday").map(|weekday| format!("{label} is a {weekday}.")),
        Asks::Today => {
            field("weekday").zip(field("date")).map(|(weekday, date)| format!("Today is {weekday}, {date}."))
        }
        Asks::Time => field("time").zip(field("timezone")).map(|(time, zone)| {
            let (weekday, date) = (field("weekday").unwrap_or_default(), field("date").unwrap_or_default());
            format!("It is {time} on {weekday}, {date} ({zone}).")
        }),
        Asks::Between => answer.get("days").and_then(Value::as_i64).map(|days| {
            let (from, to) = (field("date").unwrap_or_default(), field("until").unwrap_or_default());
            let noun = if days.abs() == 1 { "day" } else { "days" };
            format!("From {from} to {to} it is {days} {noun}.")
        }),
    };
    told.unwrap_or_else(|| format!("The clock says: {}", shortened(text, REPEATED_MAX_CHARS)))
}

/// Says what a web address answered: `HTTP 200 OK`, headers, an empty line, the body.
fn answered(subject: &str, text: &str) -> String {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let Some(status) = head.lines().next().and_then(|line| line.strip_prefix("HTTP ")) else {
        return format!("{subject} answered: {}", shortened(text, REPEATED_MAX_CHARS));
    };
    match body.trim() {
        "" => format!("{subject} answered {status}."),
        body => format!("{subject} answered {status}: {}", shortened(body, REPEATED_MAX_CHARS)),
    }
}

/// Answers from what a search of earlier conversations found, and from this session.
fn recalled(question: &Question, text: &str, said: &Said<'_>) -> String {
    let hits: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    let spoken: Vec<&str> = hits
        .iter()
        .filter(|hit| hit.get("role").and_then(Value::as_str) == Some("user"))
        .filter_map(|hit| hit.get("text").and_then(Value::as_str))
        .collect();
    let wanted = |fact: &Fact| match (question, fact) {
        (Question::Property(wanted), Fact::Property { name, .. }) => wanted == name,
        (Question::Habit(wanted), Fact::Habit { verb, .. }) => wanted == verb,
        _ => false,
    };
    if let Some(fact) = spoken.iter().flat_map(|text| facts::facts(text)).find(wanted) {
        return facts::told(&fact);
    }
    let quotes = spoken.iter().filter(|text| !facts::asks(text)).take(QUOTES_MAX);
    let quotes: Vec<String> = quotes.map(|text| format!("“{}”", shortened(text.trim(), 300))).collect();
    let here = said.answer(question);
    match (here, quotes.is_empty()) {
        (Some(here), true) => here,
        (Some(here), false) => format!("{here} Before that you said: {}.", quotes.join(", ")),
        (None, false) if matches!(question, Question::Said(_) | Question::Known(_)) => {
            format!("You once said: {}.", quotes.join(", "))
        }
        (None, _) => not_known(question),
    }
}

/// The most earlier messages that are quoted.
const QUOTES_MAX: usize = 3;

fn shortened(text: &str, limit_chars: usize) -> String {
    match text.char_indices().nth(limit_chars) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
