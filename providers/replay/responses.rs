//! Other forms of answers of OpenAI's Responses.

use serde_json::{Value, json};

/// Returns the response that the last event of a stream tells whole, with the items as they were told one by one: what is
/// encrypted is encrypted anew each time.
pub(crate) fn whole(events: &[Value]) -> Option<Value> {
    let last = events.iter().rev().find(|event| event.get("response").is_some())?;
    let is_last = ["response.completed", "response.incomplete"].contains(&last.get("type")?.as_str()?);
    let mut whole = last.get("response").filter(|_| is_last).cloned()?;
    let items: Vec<Value> = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| event["item"].clone())
        .collect();
    if let Some(output) =
        whole.get_mut("output").filter(|output| output.as_array().is_some_and(|all| all.len() == items.len()))
    {
        *output = Value::Array(items);
    }
    Some(whole)
}

/// Makes the shortest stream of a whole response: its items, and itself.
pub(crate) fn stream(whole: &Value) -> Option<String> {
    let mut events = Vec::new();
    for (index, item) in whole.get("output")?.as_array()?.iter().enumerate() {
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    let kind = format!("response.{}", whole.get("status")?.as_str()?);
    events.insert(
        0,
        json!({"type": "response.created", "response": {"id": whole.get("id"), "model": whole.get("model")}}),
    );
    events.push(json!({"type": kind, "response": whole}));
    Some(events.iter().map(|event| format!("data: {event}\n\n")).collect())
}
