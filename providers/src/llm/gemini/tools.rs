//! `tools` and `toolConfig`, both ways.

use std::collections::HashMap;

use beluga_core::{Extra, GenerateOptions, ToolChoice, ToolDefinition, ToolNotes};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value, json};

use super::super::json::take_text;
use super::parts::take_object;
use super::settings::merge;

/// The tools as the vendor takes them: functions that stand together in one object, each tool of its own in another.
pub(super) struct Tools<'a> {
    pub(super) tools: &'a [ToolDefinition],
    pub(super) family: &'static str,
}

enum Entry<'a> {
    Functions(Vec<Function<'a>>),
    Own(&'a str, &'a ToolNotes),
}

struct Function<'a> {
    tool: &'a ToolDefinition,
    extra: Option<&'a Extra>,
}

impl<'a> Tools<'a> {
    /// Returns whether there is nothing to offer.
    pub(super) fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    fn entries(&self) -> Vec<Entry<'a>> {
        let mut entries: Vec<Entry<'a>> = Vec::new();
        for tool in self.tools {
            let notes = tool.notes.as_deref();
            match notes.and_then(|notes| Some((notes.kind.as_deref()?, notes))) {
                Some((kind, notes)) if notes.family == self.family => entries.push(Entry::Own(kind, notes)),
                // A tool that runs at another vendor.
                Some(_) => {}
                None => {
                    let function = Function { tool, extra: notes.and_then(|notes| notes.extra_of(self.family)) };
                    match entries.last_mut() {
                        Some(Entry::Functions(functions)) => functions.push(function),
                        _ => entries.push(Entry::Functions(vec![function])),
                    }
                }
            }
        }
        entries
    }
}

impl Serialize for Tools<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for entry in self.entries() {
            match entry {
                Entry::Functions(functions) => {
                    list.serialize_element(&HashMap::from([("functionDeclarations", functions)]))?
                }
                Entry::Own(kind, notes) => list.serialize_element(&HashMap::from([(kind, &notes.extra)]))?,
            }
        }
        list.end()
    }
}

impl Serialize for Function<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_map(None)?;
        fields.serialize_entry("name", &self.tool.name)?;
        if !self.tool.description.is_empty() {
            fields.serialize_entry("description", &self.tool.description)?;
        }
        // A function without arguments has no schema.
        if self.tool.input_schema.as_object().is_some_and(|schema| !schema.is_empty()) {
            fields.serialize_entry("parametersJsonSchema", &self.tool.input_schema)?;
        }
        for (name, value) in self.extra.into_iter().flatten() {
            fields.serialize_entry(name, value)?;
        }
        fields.end()
    }
}

/// Writes which tools may be called. The caller's own fields win.
pub(super) fn write_choice(options: &GenerateOptions, has_tools: bool) -> Map<String, Value> {
    let calling = match &options.tool_choice {
        _ if !has_tools => None,
        ToolChoice::Auto => None,
        ToolChoice::None => Some(json!({"mode": "NONE"})),
        ToolChoice::Required => Some(json!({"mode": "ANY"})),
        ToolChoice::Tool(name) => Some(json!({"mode": "ANY", "allowedFunctionNames": [name]})),
        ToolChoice::Among { tools, required } => {
            Some(json!({"mode": if *required { "ANY" } else { "VALIDATED" }, "allowedFunctionNames": tools}))
        }
    };
    let mut fields: Map<String, Value> =
        calling.into_iter().map(|calling| ("functionCallingConfig".to_owned(), calling)).collect();
    if let Some(Value::Object(own)) = options.extra.get("toolConfig") {
        merge(&mut fields, own);
    }
    fields
}

/// Reads the tools; `None` for what is no list of tools.
pub(super) fn read(tools: &Value, family: &str) -> Option<Vec<ToolDefinition>> {
    let mut found = Vec::new();
    for tool in tools.as_array()? {
        for (kind, value) in tool.as_object()? {
            match value {
                Value::Null => {}
                Value::Array(functions) if kind == "functionDeclarations" => {
                    for function in functions {
                        found.push(read_function(function.as_object()?.clone(), family)?);
                    }
                }
                Value::Object(settings) => found.push(own(kind, settings.clone(), family)),
                _ => return None,
            }
        }
    }
    Some(found)
}

fn read_function(mut fields: Map<String, Value>, family: &str) -> Option<ToolDefinition> {
    let name = take_text(&mut fields, "name")?;
    let description = take_text(&mut fields, "description").unwrap_or_default();
    let input_schema = take_object(&mut fields, "parametersJsonSchema").map_or_else(|| json!({}), Value::Object);
    let notes = ToolNotes { extra: fields, ..ToolNotes::of(family) }.boxed();
    Some(ToolDefinition { name, description, input_schema, notes, ..ToolDefinition::default() })
}

fn own(kind: &str, settings: Extra, family: &str) -> ToolDefinition {
    let notes = ToolNotes { kind: Some(kind.to_owned()), extra: settings, ..ToolNotes::of(family) }.boxed();
    ToolDefinition { name: kind.to_owned(), input_schema: json!({}), notes, ..ToolDefinition::default() }
}

/// Reads which tools may be called; what has no word goes to `extra`.
pub(super) fn read_choice(mut fields: Map<String, Value>, options: &mut GenerateOptions, extra: &mut Extra) {
    if let Some(mut calling) = take_object(&mut fields, "functionCallingConfig") {
        let names: Option<Vec<String>> = match calling.get("allowedFunctionNames") {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(names) => {
                names.as_array().and_then(|list| list.iter().map(|name| name.as_str().map(str::to_owned)).collect())
            }
        };
        let mode = calling.get("mode").and_then(Value::as_str).unwrap_or("AUTO");
        let choice = match (mode, names.as_deref()) {
            ("AUTO", Some([])) => Some(ToolChoice::Auto),
            ("NONE", Some([])) => Some(ToolChoice::None),
            ("ANY", Some([])) => Some(ToolChoice::Required),
            ("ANY", Some([name])) => Some(ToolChoice::Tool(name.clone())),
            ("ANY", Some(names)) => Some(ToolChoice::Among { tools: names.to_vec(), required: true }),
            ("VALIDATED", Some(names)) if !names.is_empty() => {
                Some(ToolChoice::Among { tools: names.to_vec(), required: false })
            }
            _ => None,
        };
        if let Some(choice) = choice {
            options.tool_choice = choice;
            calling.shift_remove("mode");
            calling.shift_remove("allowedFunctionNames");
        }
        super::parts::nest(&mut fields, "functionCallingConfig", calling);
    }
    super::parts::nest(extra, "toolConfig", fields);
}
