//! Rankings: places and scores are those of the answer, nothing beside them is lost, and the request comes back.

use beluga_core::{Code, RerankRequest};
use beluga_providers::rerank::{RERANK_FACTS, RerankProfile};
use serde_json::Value;

use super::answer;
use super::exchange::Exchange;
use super::leaves::{Holdings, is_ignored, leaves};
use super::report::Report;
use super::request;

/// Replays one exchange.
pub(crate) fn replay(profile: &RerankProfile, exchange: &Exchange, report: &mut Report) -> Result<(), String> {
    let mut asked = None;
    if !exchange.request.is_empty() {
        asked = replay_request(profile, exchange, report)?;
    }
    if exchange.status == 0 {
        return Ok(());
    }
    if !(200..300).contains(&exchange.status) {
        return answer::refusal(exchange, report);
    }
    let document: Value = serde_json::from_slice(&exchange.body).map_err(|error| format!("no JSON: {error}"))?;
    let decoded = profile.decode(&exchange.body).map_err(|error| error.to_string())?;
    let told = ranked(&document).ok_or("no ranking is found in the document")?;
    let have: Vec<(usize, f64)> = decoded.ranked.iter().map(|ranked| (ranked.index, ranked.score)).collect();
    if have != told {
        return Err("the ranking is not that of the document".to_owned());
    }
    if let Some(asked) = &asked {
        decoded.clone().in_order(asked).map_err(|error| error.to_string())?;
    }
    report.ranked += told.len();
    let mut holdings = Holdings::default();
    holdings.take(&serde_json::to_value(&decoded).map_err(|error| error.to_string())?);
    for leaf in leaves(&document) {
        if let Some(entry) = is_ignored(&leaf, RERANK_FACTS.ignored) {
            *report.ignored.entry((RERANK_FACTS.name, entry)).or_default() += 1;
        } else if holdings.has(&leaf) {
            report.held += 1;
        } else {
            return Err(format!("lost: {} = {}", leaf.path(), leaf.value));
        }
    }
    Ok(())
}

/// Decodes a request and encodes it again from the normal form alone.
fn replay_request(
    profile: &RerankProfile,
    exchange: &Exchange,
    report: &mut Report,
) -> Result<Option<RerankRequest>, String> {
    let decoded = match profile.decode_request(&exchange.request) {
        Ok(decoded) => decoded,
        Err(error) if error.code() == Code::Unsupported => return Ok(None),
        Err(_) if (400..500).contains(&exchange.status) => {
            report.refused += 1;
            return Ok(None);
        }
        Err(error) => return Err(format!("request: {error}")),
    };
    let kept = serde_json::to_value(&decoded).and_then(serde_json::from_value);
    let kept: RerankRequest = kept.map_err(|error| format!("the normal form is no JSON: {error}"))?;
    // What the recorded caller did not say is not said for it.
    let plain_profile = RerankProfile { tells_documents: false, ..*profile };
    let encoded = request::json(&plain_profile.encode("", &kept))?;
    request::same_request(request::json(&exchange.request)?, encoded, RERANK_FACTS.implied)?;
    *report.requests.entry(RERANK_FACTS.name).or_default() += 1;
    for name in decoded.extra.keys() {
        if !RERANK_FACTS.pass_through.contains(&name.as_str()) {
            return Err(format!("request: {name} passes through and is not on the list"));
        }
        *report.passed_through.entry((RERANK_FACTS.name, name.clone())).or_default() += 1;
    }
    Ok(Some(kept))
}

/// Finds places and scores by other means than the decoder's.
fn ranked(document: &Value) -> Option<Vec<(usize, f64)>> {
    let list = document.get("results").or_else(|| document.get("data"))?.as_array()?;
    let one = |item: &Value| {
        let index = usize::try_from(item.get("index")?.as_u64()?).ok()?;
        Some((index, item.get("relevance_score")?.as_f64()?))
    };
    list.iter().map(one).collect()
}
