//! Calls of tools by their name: an application's own tools, which no rule here knows.

use beluga_core::ToolDefinition;
use serde_json::{Map, Value, json};

use super::clause::Clause;
use super::intent::{Intent, TRANSFER_PREFIX};

/// The tools the rules know by themselves.
pub(super) const OWN: [&str; 6] =
    ["calculator", "clock", "http", "core_memory_append", "core_memory_replace", "recall_search"];

/// Returns whether a tool is the application's own.
pub(super) fn is_foreign(tool: &ToolDefinition) -> bool {
    !OWN.contains(&tool.name.as_str()) && !tool.name.starts_with(TRANSFER_PREFIX)
}

/// Reads a part that names a foreign tool which needs at most one argument: `what is the weather in Oslo`.
pub(super) fn read(part: &Clause<'_>, tools: &[&ToolDefinition]) -> Option<Intent> {
    tools.iter().filter(|tool| is_foreign(tool)).find_map(|tool| {
        let words = tool.name.to_lowercase();
        let mut words = words.split(['_', '-']).filter(|word| !word.is_empty()).peekable();
        words.peek()?;
        if !words.all(|word| part.has(&[word])) {
            return None;
        }
        Some(Intent::Direct { tool: tool.name.clone(), arguments: only_argument(part, tool)? })
    })
}

/// Fills the one argument a tool needs with what is asked about.
fn only_argument(part: &Clause<'_>, tool: &ToolDefinition) -> Option<Value> {
    let required: Vec<&str> = required(tool).collect();
    let [name] = required.as_slice() else {
        return required.is_empty().then(|| json!({}));
    };
    let kind = tool.input_schema.get("properties")?.get(*name)?.get("type")?.as_str()?;
    let value = match kind {
        "string" => {
            let prepositions = ["in", "of", "for", "about", "to", "at", "on"];
            let last = part.tokens.iter().rposition(|token| token.is_word(&prepositions))?;
            let text = part.text.get(part.tokens.get(last)?.range.end..)?.trim();
            (!text.is_empty()).then(|| Value::String(text.to_owned()))?
        }
        "integer" | "number" => {
            let mut numbers = part.tokens.iter().filter_map(|token| token.number());
            let number = numbers.next().filter(|_| numbers.next().is_none())?;
            serde_json::from_str(number).ok()?
        }
        _ => return None,
    };
    let mut arguments = Map::new();
    arguments.insert((*name).to_owned(), value);
    Some(Value::Object(arguments))
}

fn required(tool: &ToolDefinition) -> impl Iterator<Item = &str> {
    let names = tool.input_schema.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str)
}

/// Takes `call NAME with {…}` out of a text, for the tools on offer.
pub(super) fn take(text: &str, tools: &[&ToolDefinition]) -> (Vec<Intent>, String) {
    let mut intents = Vec::new();
    let mut rest = text.to_owned();
    for tool in tools {
        for lead in ["call ", "use ", "run ", "invoke ", "call the tool ", "use the tool ", "call the ", "use the "] {
            let phrase = format!("{lead}{}", tool.name);
            // Lowering ASCII alone keeps every byte in its place.
            let Some(at) = rest.to_ascii_lowercase().find(&phrase.to_ascii_lowercase()) else { continue };
            let behind = rest.get(at + phrase.len()..).unwrap_or_default();
            let Some((arguments, length)) = arguments_behind(behind, tool) else { continue };
            intents.push(Intent::Direct { tool: tool.name.clone(), arguments });
            rest.replace_range(at..at + phrase.len() + length, ". ");
            break;
        }
    }
    (intents, rest)
}

/// Reads the arguments of a direct call, and how many bytes they take.
fn arguments_behind(behind: &str, tool: &ToolDefinition) -> Option<(Value, usize)> {
    if behind.starts_with(|next: char| next.is_alphanumeric() || matches!(next, '_' | '-' | '.')) {
        return None;
    }
    let lead = ["tool", "with", "arguments", "the", ":", "("];
    let mut json = behind.trim_start();
    while let Some(shorter) = lead.iter().find_map(|word| json.strip_prefix(word)) {
        json = shorter.trim_start();
    }
    let skipped = behind.len() - json.len();
    let mut values = serde_json::Deserializer::from_str(json).into_iter::<Map<String, Value>>();
    if let Some(Ok(arguments)) = json.starts_with('{').then(|| values.next()).flatten() {
        return Some((Value::Object(arguments), skipped + values.byte_offset()));
    }
    let needs_none = required(tool).next().is_none();
    let ends = behind.trim_start().is_empty() || behind.starts_with(['.', '!', '?', ',']);
    (needs_none && ends).then(|| (Value::Object(Map::new()), 0))
}
