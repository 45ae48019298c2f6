//! What each part of a message wants.

use beluga_core::ToolDefinition;
use serde_json::Value;

use super::clause::Clause;
use super::dates::{self, Date};
use super::facts::{self, Fact, Question};
use super::named;
use super::sums::{self, Sum};
use super::web::{self, Request};

/// The prefix of a handoff's tool.
pub(super) const TRANSFER_PREFIX: &str = "transfer_to_";

/// What a part wants.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Intent {
    /// Arithmetic.
    Sum(Sum),
    /// A calendar question.
    Date(Date),
    /// A request to a web address.
    Web(Request),
    /// Another agent: the tool, or the words if no tool fits them.
    Handoff {
        tool: Result<String, String>,
    },
    /// A tool by its name, with arguments.
    Direct {
        tool: String,
        arguments: Value,
    },
    /// Something to keep in core memory.
    Remember(String),
    /// Something to change in core memory; an empty `new` forgets it.
    Replace {
        old: String,
        new: String,
    },
    /// A question about what was said.
    Ask(Question),
    /// Something told.
    Told(Fact),
    Greeting,
    /// The question what this is.
    Identity,
    Thanks,
    /// Nothing that is understood; `asks` says whether it is a request at all.
    Unknown {
        text: String,
        asks: bool,
    },
}

/// Returns the parts of a text that are certain to be apart.
pub(super) fn clauses(text: &str) -> Vec<Clause<'_>> {
    Clause::sentences(text).iter().flat_map(Clause::parts).collect()
}

/// What a message may be about.
#[derive(Clone, Copy)]
struct Offer<'a> {
    tools: &'a [&'a ToolDefinition],
    /// The handoffs' tools.
    transfers: &'a [String],
}

/// Reads what a message wants, in its order; requests to tools and web addresses come first.
pub(super) fn read(text: &str, tools: &[&ToolDefinition], transfers: &[String]) -> Vec<Intent> {
    let offer = Offer { tools, transfers };
    let (mut intents, text) = named::take(text, tools);
    let (requests, text) = web::take(&text);
    intents.extend(requests.into_iter().map(Intent::Web));
    for sentence in Clause::sentences(&text) {
        match whole_sentence(&sentence, transfers) {
            Some(intent) => intents.push(intent),
            None => sentence.parts().iter().for_each(|part| read_part(part, offer, &mut intents)),
        }
    }
    let understood = intents.iter().any(|intent| !matches!(intent, Intent::Unknown { .. }));
    // Beside something understood, what asks for nothing is small talk.
    intents.retain(|intent| !understood || !matches!(intent, Intent::Unknown { asks: false, .. }));
    intents
}

/// Reads a part: as one want, or as several between connectors, the shortest first.
fn read_part(part: &Clause<'_>, offer: Offer<'_>, intents: &mut Vec<Intent>) {
    let mut found = Vec::new();
    let mut rest = part.clone();
    while rest.tokens.len() <= TOKENS_MAX {
        if let Some(intent) = one(&rest, offer) {
            found.push(intent);
            intents.append(&mut found);
            return;
        }
        let halved = rest.halves().find_map(|(left, right)| Some((one(&left, offer)?, right)));
        let Some((intent, right)) = halved else { break };
        found.push(intent);
        rest = right;
    }
    intents.push(Intent::Unknown { text: part.text.to_owned(), asks: part.is_request() });
}

/// The longest part that is read, in tokens.
const TOKENS_MAX: usize = 200;

/// Reads what reaches to the end of its sentence, whatever words are in it.
fn whole_sentence(sentence: &Clause<'_>, transfers: &[String]) -> Option<Intent> {
    if let Some(intent) = ask_agent(sentence, transfers) {
        return Some(intent);
    }
    for phrase in ["remember that", "note that", "keep in mind that", "don't forget that", "remember"] {
        let leads = |at: usize| sentence.text.get(..at).is_some_and(|before| before.split_whitespace().count() <= 2);
        let content = sentence.behind(phrase).filter(|content| !content.is_empty());
        let Some(content) = content.filter(|content| leads(sentence.text.len() - content.len() - phrase.len())) else {
            continue;
        };
        let asks = sentence.has(&["do", "can", "could", "what", "who"]);
        return (!asks).then(|| Intent::Remember(content.to_owned()));
    }
    if sentence.has(&["memory"]) && sentence.has(&["replace", "change"]) {
        let rest = sentence.behind("replace").or_else(|| sentence.behind("change"))?;
        let end = [" in your memory", " in your core memory", " in memory", " in core memory"];
        let rest = end.iter().find_map(|end| rest.strip_suffix(end)).unwrap_or(rest);
        let (old, new) = [" with ", " by ", " to "].iter().find_map(|between| rest.split_once(between))?;
        return Some(Intent::Replace { old: quoted(old), new: quoted(new) });
    }
    let forgotten = sentence.behind("forget that").filter(|_| !sentence.has(&["don't", "not", "never"]));
    forgotten.map(|old| Intent::Replace { old: quoted(old), new: String::new() })
}

fn quoted(text: &str) -> String {
    text.trim().trim_matches(['"', '“', '”', '\'']).to_owned()
}

/// Reads one part as one want.
fn one(part: &Clause<'_>, offer: Offer<'_>) -> Option<Intent> {
    handoff(part, offer.transfers)
        .or_else(|| facts::question(part).map(Intent::Ask))
        .or_else(|| dates::read(part).map(Intent::Date))
        .or_else(|| sums::read(part).map(Intent::Sum))
        .or_else(|| talk(part))
        .or_else(|| named::read(part, offer.tools))
        .or_else(|| facts::statement(part).map(Intent::Told))
}

const HANDOFF_PHRASES: &[&str] = &[
    "hand me over to",
    "hand me to",
    "hand over to",
    "hand off to",
    "hand this to",
    "hand it to",
    "transfer me to",
    "transfer this to",
    "transfer to",
    "connect me to",
    "connect me with",
    "put me through to",
    "pass me to",
    "forward me to",
    "let me talk to",
    "let me speak to",
    "let me speak with",
    "talk to",
    "speak to",
    "speak with",
    "switch to",
    "switch me to",
];

/// Phrases that are said of people too; they count only where an agent of that name is on offer.
const WEAK_PHRASES: &[&str] = &["talk to", "speak to", "speak with", "switch to"];

fn handoff(part: &Clause<'_>, transfers: &[String]) -> Option<Intent> {
    let (phrase, target) = HANDOFF_PHRASES.iter().find_map(|phrase| Some((*phrase, part.behind(phrase)?)))?;
    match transfer_tool(target, transfers) {
        Some(tool) => Some(Intent::Handoff { tool: Ok(tool) }),
        None if WEAK_PHRASES.contains(&phrase) => None,
        None => Some(Intent::Handoff { tool: Err(target.to_owned()) }),
    }
}

/// Reads `ask billing what I owe`, where an agent of that name is on offer.
fn ask_agent(sentence: &Clause<'_>, transfers: &[String]) -> Option<Intent> {
    let asks = sentence.tokens.iter().take(2).any(|token| token.is_word(&["ask"]));
    let target = sentence.behind("ask").filter(|_| asks)?;
    let tool = transfers.iter().find(|tool| names(target, tool) && agent_words(tool).len() < target.len())?;
    Some(Intent::Handoff { tool: Ok(tool.clone()) })
}

/// Returns the tool of the agent these words begin with; the longest name wins.
fn transfer_tool(target: &str, transfers: &[String]) -> Option<String> {
    transfers.iter().filter(|tool| names(target, tool)).max_by_key(|tool| tool.len()).cloned()
}

fn names(target: &str, tool: &str) -> bool {
    let target: Vec<String> =
        words(target).into_iter().filter(|word| word != "the" && word != "an" && word != "a").collect();
    let agent = words(&agent_words(tool));
    !agent.is_empty() && target.starts_with(&agent)
}

/// Returns an agent's name as it is spoken.
pub(super) fn agent_words(tool: &str) -> String {
    tool.strip_prefix(TRANSFER_PREFIX).unwrap_or(tool).replace(['_', '-'], " ")
}

fn words(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn talk(part: &Clause<'_>) -> Option<Intent> {
    const IDENTITY: &[&str] = &[
        "who are you",
        "what are you",
        "what can you do",
        "what can you",
        "can you do",
        "what is this",
        "your name",
        "how do you work",
        "are you a bot",
        "are you real",
        "are you an ai",
        "help me",
        "introduce yourself",
        "how are you",
    ];
    let first = part.tokens.first()?;
    let greets = first.is_word(&["hello", "hi", "hey", "greetings", "hallo", "howdy"])
        || (first.is_word(&["good"]) && part.has(&["morning", "afternoon", "evening", "day"]));
    let identity =
        IDENTITY.iter().any(|phrase| part.has_phrase(phrase)) || (first.is_word(&["help"]) && part.tokens.len() == 1);
    if identity {
        return Some(Intent::Identity);
    }
    if greets && part.tokens.len() <= 4 {
        return Some(Intent::Greeting);
    }
    first.is_word(&["thanks", "thank", "cheers"]).then_some(Intent::Thanks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kinds(text: &str) -> Vec<String> {
        let transfers = ["transfer_to_billing".to_owned(), "transfer_to_tech-support".to_owned()];
        let tool = ToolDefinition {
            name: "weather".into(),
            description: String::new(),
            input_schema: json!({"properties": {"city": {"type": "string"}}, "required": ["city"]}),
            effect: beluga_core::Effect::Pure,
            timeout: None,
            notes: None,
        };
        let name = |intent: &Intent| match intent {
            Intent::Sum(sum) => sum.expression.clone(),
            Intent::Date(date) => date.arguments["operation"].as_str().unwrap().to_owned(),
            Intent::Web(request) => request.method.to_owned(),
            Intent::Handoff { tool } => format!("{tool:?}"),
            Intent::Direct { arguments, .. } => arguments.to_string(),
            Intent::Remember(text) => format!("remember {text}"),
            Intent::Replace { old, new } => format!("{old} -> {new}"),
            Intent::Unknown { text, .. } => format!("? {text}"),
            other => format!("{other:?}"),
        };
        read(text, &[&tool], &transfers).iter().map(name).collect()
    }

    #[test]
    fn a_message_is_read_part_by_part() {
        for (text, expected) in [
            ("What is 17% of 2340, and which weekday is 90 days after 2026-11-20?", vec!["17% of 2340", "date_add"]),
            ("3 + 4 and 90 days after 2026-11-20", vec!["3 + 4", "date_add"]),
            ("What is the sum of 3 and 4 and the product of 5 and 6", vec!["3 + 4", "5 * 6"]),
            ("2 weeks and 3 days after 2026-11-20, then 5 * 5", vec!["date_add", "5 * 5"]),
            ("I bought apples. What is 2 + 2?", vec!["2 + 2"]),
            ("What is 2 + 2? Who won the war?", vec!["2 + 2", "? Who won the war"]),
            ("Write me a poem", vec!["? Write me a poem"]),
            ("Get http://127.0.0.1:9/x and tell me 2 + 2", vec!["GET", "2 + 2"]),
            ("Hello!", vec!["Greeting"]),
            ("How is the weather in New Oslo, and what is 1 + 1?", vec!["{\"city\":\"New Oslo\"}", "1 + 1"]),
            ("Please call weather with {\"city\": \"Oslo\"} and what is 1+1?", vec!["{\"city\":\"Oslo\"}", "1 + 1"]),
            ("Remember that my name is Ada and I like tea.", vec!["remember my name is Ada and I like tea"]),
            ("Replace Ada with \"Bob\" in your memory", vec!["Ada -> Bob"]),
            ("forget that my name is Ada", vec!["my name is Ada -> "]),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn agents_are_handed_to_only_where_they_are_named() {
        for (text, expected) in [
            ("Hand me to billing, please.", "Ok(\"transfer_to_billing\")"),
            ("I want to talk to the tech support team", "Ok(\"transfer_to_tech-support\")"),
            ("Ask billing what I owe and when.", "Ok(\"transfer_to_billing\")"),
            ("transfer me to sales", "Err(\"sales\")"),
        ] {
            assert_eq!(kinds(text), [expected], "{text}");
        }
        assert!(kinds("I like to talk to people")[0].starts_with("Told"), "people are no agent");
    }
}
