//! Answers: decoded whole and cut, and nothing of them lost.

use std::collections::{BTreeMap, HashMap};
use std::time::SystemTime;

use beluga_core::{AnswerDraft, Error, ModelAnswer, ModelChunk};
use beluga_providers::llm::{AnswerDecoder, AnswerHead, Profile};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::documents::Documents;
use super::exchange::Exchange;
use super::leaves::{Holdings, Leaf, is_ignored, leaves};
use super::report::Report;

/// Bodies up to this long are cut at every position.
const EVERY_POSITION_MAX: usize = 16 * 1024;

/// How many positions of a longer body are drawn.
const DRAWN: u64 = 500;

/// How many positions a quick replay cuts at.
const QUICK: usize = 7;

/// How much of a leaf is shown.
const SHOWN_MAX: usize = 120;

/// What came of a body.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) chunks: Vec<ModelChunk>,
    pub(crate) error: Option<Error>,
}

impl PartialEq for Outcome {
    fn eq(&self, other: &Self) -> bool {
        let of = |outcome: &Self| outcome.error.as_ref().map(|error| (error.to_string(), error.retry()));
        self.chunks == other.chunks && of(self) == of(other)
    }
}

impl Outcome {
    /// Puts the answer together.
    pub(crate) fn answer(&self) -> Result<ModelAnswer, Error> {
        let mut draft = AnswerDraft::default();
        self.chunks.iter().cloned().for_each(|chunk| draft.push(chunk));
        draft.finish()
    }
}

/// One answer as it came over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn of(exchange: &Exchange) -> Result<Self, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in &exchange.headers {
            let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) else {
                return Err(format!("the header {name} is malformed"));
            };
            headers.append(name, value);
        }
        let status = StatusCode::from_u16(exchange.status).map_err(|error| error.to_string())?;
        Ok(Self { status, headers, body: exchange.body.clone() })
    }

    /// Decodes the body from pieces.
    pub(crate) fn decode<'a>(&self, profile: &Profile, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
        let head =
            AnswerHead { status: self.status, headers: self.headers.clone(), wall: SystemTime::UNIX_EPOCH, seed: 1 };
        let mut decoder = AnswerDecoder::new(profile, head);
        let fed = pieces.into_iter().try_for_each(|piece| decoder.feed(piece));
        let error = fed.and_then(|()| decoder.end()).err();
        Outcome { chunks: std::iter::from_fn(|| decoder.pop()).collect(), error }
    }

    /// Decodes the body whole, and checks that no way of cutting it changes anything.
    pub(crate) fn replay(&self, profile: &Profile, cutting: Cutting) -> Result<Outcome, String> {
        let whole = self.decode(profile, [self.body.as_slice()]);
        if self.decode(profile, self.body.chunks(1)) != whole {
            return Err("byte by byte the answer is another".to_owned());
        }
        for at in cuts(&self.body, cutting) {
            let (head, tail) = self.body.split_at(at);
            if self.decode(profile, [head, tail]) != whole {
                return Err(format!("cut at {at} the answer is another"));
            }
        }
        Ok(whole)
    }
}

/// Checks that a refusal of a call that is answered whole becomes an error that says so.
pub(crate) fn refusal(exchange: &Exchange, report: &mut Report) -> Result<(), String> {
    let Answer { status, headers, body } = Answer::of(exchange)?;
    let error = beluga_providers::vendor::refusal(status, &headers, SystemTime::UNIX_EPOCH, &body, None);
    let told = exchange.status.to_string();
    if error.get("status") != Some(told.as_str()) {
        return Err(format!("a refusal with status {told} became {error}"));
    }
    report.errors += 1;
    Ok(())
}

/// How many ways a body is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cutting {
    /// At every position of a short body; at line ends, inside characters and at drawn positions of a long one.
    Thorough,
    /// At a few drawn positions.
    Quick,
}

/// Returns where a body is cut in two.
fn cuts(body: &[u8], cutting: Cutting) -> Vec<usize> {
    if cutting == Cutting::Quick {
        return (1..=QUICK).map(|nth| body.len() * nth / (QUICK + 1)).collect();
    }
    if body.len() <= EVERY_POSITION_MAX {
        return (0..=body.len()).collect();
    }
    let is_delicate = |at: &usize| {
        let around = [body.get(at.wrapping_sub(1)), body.get(*at)];
        let is_inside = body.get(*at).is_some_and(|byte| byte & 0xC0 == 0x80);
        is_inside || around.into_iter().flatten().any(|byte| matches!(byte, b'\r' | b'\n'))
    };
    let mut cuts: Vec<usize> = (0..body.len()).filter(is_delicate).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..DRAWN {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        cuts.push(usize::try_from(state >> 33).unwrap_or_default() % body.len());
    }
    cuts
}

/// How the leaves of a body were accounted for.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// In the normal form, in raw usage or in extra fields.
    pub(crate) held: usize,
    /// On the dialect's list of what says nothing, by its entries.
    pub(crate) ignored: BTreeMap<&'static str, usize>,
    /// Counters that a later event of the same answer replaced.
    pub(crate) superseded: usize,
}

/// Checks that every leaf of a body is held, or says nothing.
pub(crate) fn account(profile: &Profile, documents: &Documents, answer: &ModelAnswer) -> Result<Account, String> {
    let mut holdings = Holdings::default();
    holdings.take(&serde_json::to_value(answer).map_err(|error| error.to_string())?);
    let ignored = profile.dialect.facts().ignored;
    let mut account = Account::default();
    let found: Vec<Leaf<'_>> = documents.all().iter().flat_map(leaves).collect();
    // Where a counter was told last.
    let mut last: HashMap<String, usize> = HashMap::new();
    for (at, leaf) in found.iter().enumerate().filter(|(_, leaf)| is_counter(leaf)) {
        last.insert(counter(leaf), at);
    }
    let mut pieces: Vec<(&Leaf<'_>, String)> = Vec::new();
    for (at, leaf) in found.iter().enumerate() {
        if holdings.has(leaf) {
            account.held += 1;
        } else if let Some(entry) = is_ignored(leaf, ignored) {
            *account.ignored.entry(entry).or_default() += 1;
        } else if is_counter(leaf) && last.get(&counter(leaf)).is_some_and(|last| *last > at) {
            account.superseded += 1;
        } else if let Value::String(text) = leaf.value {
            // A piece counts by what it is a piece of.
            match pieces.iter_mut().find(|(first, _)| first.way == leaf.way) {
                Some((_, joined)) => joined.push_str(text),
                None => pieces.push((leaf, text.clone())),
            }
            account.held += 1;
        } else {
            return Err(format!("lost: {} = {}", leaf.path(), shown(&leaf.value.to_string())));
        }
    }
    // A piece that is held by chance, such as a blank, is missing in the middle: all pieces of the way are looked at.
    for (leaf, joined) in pieces {
        let all: String =
            found.iter().filter(|other| other.way == leaf.way).filter_map(|other| other.value.as_str()).collect();
        // Some vendors tell all that was said so far, each time.
        let grows = || {
            let told = found.iter().filter(|other| other.way == leaf.way).filter_map(|other| other.value.as_str());
            told.into_iter().all(|told| holdings.begins_with(told))
        };
        // Pieces of documents that are held as such.
        let is_document = || {
            let mut documents = serde_json::Deserializer::from_str(&all).into_iter::<Value>();
            documents.all(|inner| inner.is_ok_and(|inner| leaves(&inner).iter().all(|leaf| holdings.has(leaf))))
        };
        if !holdings.contains(&all) && !holdings.contains(&joined) && !grows() && !is_document() {
            return Err(format!("lost: {} = {}", leaf.path(), shown(&all)));
        }
    }
    Ok(account)
}

/// Returns whether a leaf is a number that a later event may replace: one of usage, or one that stands in no list.
fn is_counter(leaf: &Leaf<'_>) -> bool {
    let path = leaf.path();
    leaf.value.is_number() && (path.to_ascii_lowercase().contains("usage") || !path.contains("[]"))
}

/// Returns a counter's name, wherever its object stands: a stream tells it at the start and again at the end.
fn counter(leaf: &Leaf<'_>) -> String {
    let path = leaf.path();
    let start = path.to_ascii_lowercase().find("usage").unwrap_or_default();
    path.get(start..).unwrap_or_default().to_owned()
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
