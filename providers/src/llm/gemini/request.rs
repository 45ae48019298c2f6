//! Requests that come in.

use std::sync::Arc;

use beluga_core::{ChatMessage, Error, Extra, GenerateOptions, MessageNotes, ModelRequest, Part, Result, Role};
use serde_json::{Map, Value};

use super::super::dialect::WireRequest;
use super::super::json::take_text;
use super::super::profile::Profile;
use super::parts::take_object;
use super::{SPELLING, made_up_id, parts, settings, spelling, tools};

/// Decodes a request; the model and whether it streams stand in the path.
///
/// # Errors
/// `invalid_input` if it is no request of the dialect.
pub(super) fn decode(profile: &Profile, path: &str, body: &[u8]) -> Result<WireRequest> {
    let mut value: Value = serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        wrong("the request is no JSON").with_source(Error::decode(place))
    })?;
    let spelled = spelling::normalise(&mut value);
    let Value::Object(mut fields) = value else { return Err(wrong("the request is no object")) };
    let (model, verb) = target(path);
    let mut options = GenerateOptions { model: model.clone(), ..GenerateOptions::default() };
    let mut extra = Extra::new();
    let mut messages = Vec::new();
    let mut ids = Ids::default();
    if let Some(system) = take_object(&mut fields, "systemInstruction") {
        messages.push(Arc::new(message(system, true, profile.name, &mut ids)?));
    }
    let Some(Value::Array(contents)) = fields.shift_remove("contents") else {
        return Err(wrong("contents are no list"));
    };
    for content in contents {
        let Value::Object(content) = content else { return Err(wrong("a content is no object")) };
        messages.push(Arc::new(message(content, false, profile.name, &mut ids)?));
    }
    if let Some(config) = take_object(&mut fields, "generationConfig") {
        settings::read(config, model.as_deref().unwrap_or_default(), &mut options, &mut extra);
    }
    let mut offered = Vec::new();
    if let Some(list) = fields.get("tools").filter(|list| !list.is_null()) {
        offered = tools::read(list, profile.name).ok_or_else(|| wrong("tools are no list of tools"))?;
        fields.shift_remove("tools");
    }
    if let Some(choice) = take_object(&mut fields, "toolConfig") {
        tools::read_choice(choice, &mut options, &mut extra);
    }
    if !profile.unsupported.contains(&"labels") {
        options.metadata.extend(settings::take_labels(&mut fields).into_iter().flatten());
    }
    extra.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
    if !spelled.is_empty() {
        extra.insert(SPELLING.to_owned(), spelled.into());
    }
    options.extra = extra;
    let request = ModelRequest { messages, tools: offered.into(), options, ..ModelRequest::default() };
    Ok(WireRequest { request, stream: verb == "streamGenerateContent" })
}

/// Returns the model and the verb a path ends with, as in `/v1beta/models/gemini-3-pro:generateContent`.
fn target(path: &str) -> (Option<String>, &str) {
    let (rest, verb) = path.rsplit_once(':').unwrap_or((path, ""));
    let model = rest.rsplit_once("/models/").map(|(_, model)| model).filter(|model| !model.is_empty());
    let decoded = |model: &str| {
        let pairs = format!("m={}", model.replace('+', "%2B"));
        url::form_urlencoded::parse(pairs.as_bytes()).next().map(|(_, model)| model.into_owned())
    };
    (model.and_then(decoded), verb)
}

/// Ids of calls and results that come without: a result belongs to the first open call of its name.
#[derive(Default)]
struct Ids {
    open: Vec<(String, String)>,
    count: usize,
}

impl Ids {
    fn make(&mut self, name: &str, is_call: bool) -> String {
        if !is_call && let Some(at) = self.open.iter().position(|(have, _)| have == name) {
            return self.open.remove(at).1;
        }
        let id = made_up_id(0, self.count);
        self.count += 1;
        if is_call {
            self.open.push((name.to_owned(), id.clone()));
        }
        id
    }
}

fn message(mut content: Map<String, Value>, is_system: bool, family: &str, ids: &mut Ids) -> Result<ChatMessage> {
    let word = take_text(&mut content, "role");
    let Some(Value::Array(list)) = content.shift_remove("parts") else { return Err(wrong("parts are no list")) };
    let mut said = Vec::with_capacity(list.len());
    for part in list {
        let Value::Object(part) = part else { return Err(wrong("a part is no object")) };
        said.push(parts::read(part, family, &mut |name, is_call| ids.make(name, is_call)));
    }
    let are_results = !said.is_empty() && said.iter().all(|part| matches!(part, Part::ToolResult(_)));
    let role = match word.as_deref() {
        _ if is_system => Role::System,
        Some("model") => Role::Assistant,
        _ if are_results => Role::Tool,
        _ => Role::User,
    };
    let role_word = match (role, word) {
        (Role::System, word) => word,
        (Role::Assistant, _) => None,
        (_, Some(word)) if word == "user" => None,
        (_, word) => Some(word.unwrap_or_default()),
    };
    let mut message = ChatMessage::new(role, said);
    message.notes = MessageNotes { role_word, extra: content, ..MessageNotes::of(family) }.boxed();
    Ok(message)
}

fn wrong(what: &'static str) -> Error {
    Error::invalid_input(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_model_and_verb() {
        let model = |path: &str| target(path).0.unwrap_or_default();
        assert_eq!(model("/v1beta/models/gemini-3-pro:generateContent"), "gemini-3-pro");
        assert_eq!(model("/v1/projects/p/locations/l/publishers/google/models/a%20b+c:streamGenerateContent"), "a b+c");
        assert_eq!(target("/nothing"), (None, ""));
    }

    #[test]
    fn results_without_ids_belong_to_the_calls_of_their_names_in_order() {
        let mut ids = Ids::default();
        let calls: Vec<String> = ["a", "b", "a"].iter().map(|name| ids.make(name, true)).collect();
        let results: Vec<String> = ["b", "a", "a", "c"].iter().map(|name| ids.make(name, false)).collect();
        assert_eq!(results[..3], [calls[1].clone(), calls[0].clone(), calls[2].clone()]);
        assert!(!calls.contains(&results[3]));
    }
}
