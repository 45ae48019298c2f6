//! `generationConfig`, both ways.

use beluga_core::{Effort, Extra, GenerateOptions, Reasoning, ResponseFormat, ThinkingSwitch};
use serde_json::{Map, Value, json};

use super::parts::{nest, take_object};
use super::takes_levels;

/// The type of an answer in JSON.
const JSON: &str = "application/json";

/// The name of a schema that came without one.
const SCHEMA_NAME: &str = "answer";

/// What efforts are in tokens, where a model takes no level.
const BUDGET_LOW: u32 = 1024;
const BUDGET_MEDIUM: u32 = 8192;
const BUDGET_HIGH: u32 = 24_576;

/// Writes the configuration. The caller's own fields win.
pub(super) fn write(options: &GenerateOptions, max_tokens: Option<u32>, model: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value);
        }
    };
    put("temperature", options.temperature.map(Value::from));
    put("topP", options.top_p.map(Value::from));
    put("topK", options.top_k.map(Value::from));
    put("maxOutputTokens", options.max_tokens.or(max_tokens).map(Value::from));
    put("stopSequences", (!options.stop.is_empty()).then(|| json!(options.stop)));
    put("candidateCount", options.candidates.map(Value::from));
    put("seed", options.seed.map(Value::from));
    put("presencePenalty", options.presence_penalty.map(Value::from));
    put("frequencyPenalty", options.frequency_penalty.map(Value::from));
    put("responseLogprobs", options.logprobs.map(Value::from));
    put("logprobs", options.top_logprobs.map(Value::from));
    let modalities: Vec<String> = options.modalities.iter().map(|word| word.to_ascii_uppercase()).collect();
    put("responseModalities", (!modalities.is_empty()).then(|| json!(modalities)));
    put("responseMimeType", options.format.as_ref().map(|_| json!(JSON)));
    if let Some(ResponseFormat::JsonSchema { schema, .. }) = &options.format {
        put("responseJsonSchema", Some(schema.clone()));
    }
    let own = options.extra.get("generationConfig").and_then(Value::as_object);
    let names_level = own.and_then(|own| own.get("thinkingConfig")?.get("thinkingLevel")).is_some();
    let thinking = options.reasoning.as_ref().map(|reasoning| thinking(reasoning, model, names_level));
    put("thinkingConfig", thinking.filter(|thinking| !thinking.is_empty()).map(Value::Object));
    if let Some(own) = own {
        merge(&mut fields, own);
    }
    fields
}

/// Adds the caller's fields to ours.
pub(super) fn merge(ours: &mut Map<String, Value>, own: &Map<String, Value>) {
    for (name, value) in own {
        match (ours.get_mut(name), value) {
            (Some(Value::Object(ours)), Value::Object(own)) => merge(ours, own),
            _ => drop(ours.insert(name.clone(), value.clone())),
        }
    }
}

/// Writes how much is thought; the effort not at all where the caller names the level.
fn thinking(reasoning: &Reasoning, model: &str, names_level: bool) -> Map<String, Value> {
    let mut fields = Map::new();
    let is_asked = reasoning.effort.as_ref().is_some_and(|effort| *effort != Effort::None)
        || matches!(reasoning.switch, Some(ThinkingSwitch::Enabled | ThinkingSwitch::Adaptive))
        || reasoning.budget_tokens.is_some_and(|budget| budget > 0);
    if reasoning.shown.unwrap_or(is_asked) {
        fields.insert("includeThoughts".to_owned(), json!(true));
    }
    let amount = match (reasoning.budget_tokens, &reasoning.switch, &reasoning.effort) {
        (Some(budget), _, _) => Some(("thinkingBudget", json!(budget))),
        (None, Some(ThinkingSwitch::Adaptive), _) => Some(("thinkingBudget", json!(-1))),
        (None, Some(ThinkingSwitch::Disabled), _) | (None, _, Some(Effort::None)) => Some(("thinkingBudget", json!(0))),
        (None, _, _) if names_level => None,
        (None, _, Some(effort)) if takes_levels(model) => Some(("thinkingLevel", json!(level(effort)))),
        (None, _, Some(effort)) => Some(("thinkingBudget", json!(budget(effort)))),
        (None, _, None) => None,
    };
    fields.extend(amount.map(|(name, value)| (name.to_owned(), value)));
    fields
}

fn level(effort: &Effort) -> &str {
    match effort {
        Effort::ExtraHigh | Effort::Max => Effort::High.as_str(),
        effort => effort.as_str(),
    }
}

fn budget(effort: &Effort) -> u32 {
    match effort {
        Effort::None => 0,
        Effort::Minimal | Effort::Low => BUDGET_LOW,
        Effort::Medium | Effort::Other(_) => BUDGET_MEDIUM,
        Effort::High | Effort::ExtraHigh | Effort::Max => BUDGET_HIGH,
    }
}

/// Reads the configuration into the options; what has no field of its own goes to `extra`.
pub(super) fn read(mut fields: Map<String, Value>, model: &str, options: &mut GenerateOptions, extra: &mut Extra) {
    options.temperature = take(&mut fields, "temperature", Value::as_f64);
    options.top_p = take(&mut fields, "topP", Value::as_f64);
    options.top_k = take(&mut fields, "topK", count);
    options.max_tokens = take(&mut fields, "maxOutputTokens", count);
    options.stop = take(&mut fields, "stopSequences", texts).unwrap_or_default();
    options.candidates = take(&mut fields, "candidateCount", count);
    options.seed = take(&mut fields, "seed", Value::as_i64);
    options.presence_penalty = take(&mut fields, "presencePenalty", Value::as_f64);
    options.frequency_penalty = take(&mut fields, "frequencyPenalty", Value::as_f64);
    options.logprobs = take(&mut fields, "responseLogprobs", Value::as_bool);
    options.top_logprobs = take(&mut fields, "logprobs", count);
    options.modalities = take(&mut fields, "responseModalities", |value| {
        let words = texts(value)?;
        let are_capital = words.iter().all(|word| *word == word.to_ascii_uppercase());
        (are_capital && !words.is_empty()).then(|| words.iter().map(|word| word.to_ascii_lowercase()).collect())
    })
    .unwrap_or_default();
    options.format = format(&mut fields);
    if let Some(mut thinking) = take_object(&mut fields, "thinkingConfig") {
        options.reasoning = Some(reasoning(&mut thinking, model));
        nest(&mut fields, "thinkingConfig", thinking);
    }
    nest(extra, "generationConfig", fields);
}

fn format(fields: &mut Map<String, Value>) -> Option<ResponseFormat> {
    if fields.get("responseMimeType").and_then(Value::as_str) != Some(JSON) {
        return None;
    }
    fields.shift_remove("responseMimeType");
    let Some(schema) = fields.shift_remove("responseJsonSchema").filter(|schema| !schema.is_null()) else {
        return Some(ResponseFormat::JsonObject);
    };
    let text = |name: &str| schema.get(name).and_then(Value::as_str).map(str::to_owned);
    let name = text("title").unwrap_or_else(|| SCHEMA_NAME.to_owned());
    Some(ResponseFormat::JsonSchema { name, description: text("description"), schema, strict: true })
}

/// Takes what the normal form has a word for; the rest stays.
fn reasoning(fields: &mut Map<String, Value>, model: &str) -> Reasoning {
    let mut found = Reasoning { shown: Some(false), ..Reasoning::default() };
    if let Some(shown) = take(fields, "includeThoughts", Value::as_bool) {
        found.shown = Some(shown);
    }
    if take(fields, "thinkingBudget", |value| (value.as_i64() == Some(-1)).then_some(())).is_some() {
        found.switch = Some(ThinkingSwitch::Adaptive);
    } else {
        found.budget_tokens = take(fields, "thinkingBudget", count);
    }
    let is_free = found.budget_tokens.is_none() && found.switch.is_none();
    if let Some(word) = fields.get("thinkingLevel").and_then(Value::as_str) {
        let effort = Effort::from_word(&word.to_ascii_lowercase());
        // Written again as it came only if it is told as we tell it.
        if is_free && takes_levels(model) && level(&effort) == word && effort != Effort::None {
            fields.shift_remove("thinkingLevel");
        }
        found.effort = Some(effort);
    }
    found
}

/// Takes a field that `read` understands; another one stays where it is.
fn take<T>(fields: &mut Map<String, Value>, name: &str, read: impl Fn(&Value) -> Option<T>) -> Option<T> {
    let found = read(fields.get(name)?)?;
    fields.shift_remove(name);
    Some(found)
}

fn count(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

/// Takes a table of texts.
pub(super) fn take_labels(fields: &mut Map<String, Value>) -> Option<Vec<(String, String)>> {
    take(fields, "labels", |value| {
        value.as_object()?.iter().map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "gemini-3-pro";
    const OLD: &str = "gemini-2.5-flash";

    fn asked(reasoning: Reasoning, model: &str) -> Value {
        let options = GenerateOptions { reasoning: Some(reasoning), ..GenerateOptions::default() };
        write(&options, None, model).remove("thinkingConfig").unwrap_or_default()
    }

    #[test]
    fn an_effort_is_a_level_or_a_budget_as_the_model_takes_it() {
        let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };
        assert_eq!(asked(effort(Effort::High), NEW), json!({"includeThoughts": true, "thinkingLevel": "high"}));
        assert_eq!(asked(effort(Effort::Max), NEW), json!({"includeThoughts": true, "thinkingLevel": "high"}));
        assert_eq!(asked(effort(Effort::Low), OLD), json!({"includeThoughts": true, "thinkingBudget": BUDGET_LOW}));
        assert_eq!(asked(effort(Effort::None), OLD), json!({"thinkingBudget": 0}));
        let hidden = Reasoning { shown: Some(false), budget_tokens: Some(5), ..Reasoning::default() };
        assert_eq!(asked(hidden, OLD), json!({"thinkingBudget": 5}));
    }

    #[test]
    fn a_configuration_comes_back_as_it_was() {
        for (model, config) in [
            (
                OLD,
                json!({"temperature": 0.5, "topK": 40.5, "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": true}}),
            ),
            (OLD, json!({"thinkingConfig": {"thinkingLevel": "low"}, "responseMimeType": "text/x.enum"})),
            (NEW, json!({"thinkingConfig": {"thinkingLevel": "HIGH"}, "responseModalities": ["Text"], "seed": 7})),
            (
                NEW,
                json!({"thinkingConfig": {"thinkingLevel": "low", "thinkingBudget": 9}, "responseModalities": ["IMAGE"]}),
            ),
            (NEW, json!({"responseMimeType": JSON, "responseJsonSchema": {"type": "object", "title": "T"}})),
            (NEW, json!({"responseMimeType": JSON, "speechConfig": {"a": 1}, "stopSequences": ["x"], "logprobs": 3})),
            (NEW, json!({"responseJsonSchema": {"type": "object"}, "maxOutputTokens": 9, "candidateCount": 2})),
        ] {
            let (mut options, mut extra) = (GenerateOptions::default(), Extra::new());
            let Value::Object(fields) = config.clone() else { panic!() };
            read(fields, model, &mut options, &mut extra);
            options.extra = extra;
            assert_eq!(Value::Object(write(&options, None, model)), config);
        }
    }
}
