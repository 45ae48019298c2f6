//! The contract of a reranker: a query and documents in, the documents that answer it best out.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::BoxFuture;
use crate::context::CallContext;
use crate::embedder::CallNotes;
use crate::error::{Error, Result};
use crate::item::Content;
use crate::notes::Extra;
use crate::usage::Usage;

/// The most documents of one request, whatever the vendor takes.
pub const RERANK_DOCUMENTS_MAX: usize = 10_000;

/// The most bytes of query and documents of one request.
pub const RERANK_MAX_BYTES: usize = 32 * 1024 * 1024;

/// Scores how well each of a few documents answers a query, by reading both together: slower and better than comparing
/// vectors, so it comes after a search.
///
/// Laws (tested over every implementation under these names):
/// - `best_first`: scores never rise along a ranking; equal ones stand in the order of their documents;
/// - `each_document_once`: a place is one of the request's and comes at most once;
/// - `top_n_is_kept`: no more than [`RerankRequest::top_n`] are told, and all documents without it;
/// - `nothing_is_free`: a request without documents, or for none of them, is answered without asking anybody;
/// - `too_much_is_refused`: above [`RERANK_DOCUMENTS_MAX`] or [`RERANK_MAX_BYTES`] nothing is sent, `invalid_input`;
/// - `cancel_ends`: a cancelled context ends the call with `cancelled`, a passed deadline with `timeout`;
/// - `drop_cancels`: dropping the future ends the call, down to the request in flight.
///
/// Scores are the model's own: some lie between 0 and 1, some are logarithms. They compare within one ranking only.
pub trait Reranker: fmt::Debug + Send + Sync + 'static {
    /// Returns what the reranker is.
    fn info(&self) -> RerankerInfo;

    /// Ranks the documents of a request. Lazy: nothing is sent before the future is polled.
    ///
    /// # Errors
    /// `invalid_input` for a request out of bounds; what the vendor answers.
    fn rerank(&self, request: Arc<RerankRequest>, cx: CallContext) -> BoxFuture<'static, Result<Ranking>>;
}

impl<R: Reranker + ?Sized> Reranker for Arc<R> {
    fn info(&self) -> RerankerInfo {
        (**self).info()
    }

    fn rerank(&self, request: Arc<RerankRequest>, cx: CallContext) -> BoxFuture<'static, Result<Ranking>> {
        (**self).rerank(request, cx)
    }
}

/// What a reranker is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RerankerInfo {
    /// The provider as OpenTelemetry names it.
    pub provider: String,
    /// The vendor's model id.
    pub model: String,
}

/// One call of a reranker. Immutable and shared: a retry sends the same request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RerankRequest {
    /// What is looked for.
    pub query: String,
    /// What was found, in any order.
    pub documents: Vec<String>,
    /// How many of the best are wanted; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_n: Option<usize>,
    /// The model; the reranker's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Fields of the vendor's own, by their wire names. They go before what is said above.
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra,
}

impl RerankRequest {
    /// Makes a request for all documents.
    #[must_use]
    pub fn new<T: Into<String>>(query: impl Into<String>, documents: impl IntoIterator<Item = T>) -> Self {
        let documents = documents.into_iter().map(Into::into).collect();
        Self { query: query.into(), documents, ..Self::default() }
    }

    /// Checks the bounds every reranker has.
    ///
    /// # Errors
    /// `invalid_input` names the bound.
    pub fn check(&self) -> Result<()> {
        let count = self.documents.len();
        if count > RERANK_DOCUMENTS_MAX {
            let what = format!("{count} documents to rank; at most {RERANK_DOCUMENTS_MAX} at once");
            return Err(Error::invalid_input(what));
        }
        let bytes = self.documents.iter().fold(self.query.len(), |sum, text| sum.saturating_add(text.len()));
        if bytes > RERANK_MAX_BYTES {
            return Err(Error::invalid_input(format!("{bytes} bytes to rank; at most {RERANK_MAX_BYTES} at once")));
        }
        Ok(())
    }
}

/// The documents of a request, best first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Ranking {
    /// Places and scores.
    pub ranked: Vec<Ranked>,
    /// What it cost: input tokens, as far as the vendor tells. Some bill searches; those stand in the raw usage.
    pub usage: Usage,
    /// What the vendor said beside the ranking.
    #[serde(default)]
    pub notes: CallNotes,
}

impl Content for Ranking {
    fn weight(&self) -> Option<u64> {
        Some(self.usage.total_tokens())
    }
}

/// A document's place in the request, and how well it answers the query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// The place, from 0.
    pub index: usize,
    /// The score; higher is better.
    pub score: f64,
    /// The vendor's other fields, such as the document itself.
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra,
}

impl Ranking {
    /// Brings what a vendor answered into the order the contract promises, and checks it against its request.
    ///
    /// ```
    /// use beluga_core::{Ranked, Ranking, RerankRequest};
    ///
    /// let request = RerankRequest { top_n: Some(1), ..RerankRequest::new("panda", ["hi", "a bear"]) };
    /// let ranked = |index, score| Ranked { index, score, extra: Default::default() };
    /// let ranking = Ranking { ranked: vec![ranked(0, -8.3), ranked(1, 0.8)], ..Ranking::default() };
    /// assert_eq!(ranking.in_order(&request).unwrap().ranked[0].index, 1);
    /// ```
    ///
    /// # Errors
    /// `decode` if a place is not the request's or comes twice, a score is no number, or too few documents are ranked.
    pub fn in_order(mut self, request: &RerankRequest) -> Result<Self> {
        let count = request.documents.len();
        let wanted = request.top_n.unwrap_or(count).min(count);
        let mut seen = vec![false; count];
        for ranked in &self.ranked {
            let place = seen.get_mut(ranked.index);
            let fits = place.is_some_and(|seen| !std::mem::replace(seen, true));
            if !fits || !ranked.score.is_finite() {
                let index = ranked.index;
                return Err(Error::decode(format!("place {index} of {count} documents cannot be ranked")));
            }
        }
        if self.ranked.len() < wanted {
            let have = self.ranked.len();
            return Err(Error::decode(format!("{have} documents are ranked of {wanted}")));
        }
        self.ranked.sort_by(|one, other| other.score.total_cmp(&one.score).then(one.index.cmp(&other.index)));
        self.ranked.truncate(wanted);
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn ranking(entries: &[(usize, f64)]) -> Ranking {
        let ranked = |&(index, score): &(usize, f64)| Ranked { index, score, extra: Extra::new() };
        Ranking { ranked: entries.iter().map(ranked).collect(), ..Ranking::default() }
    }

    fn places(ranking: &Ranking) -> Vec<usize> {
        ranking.ranked.iter().map(|ranked| ranked.index).collect()
    }

    #[test]
    fn the_best_come_first_and_equals_in_the_order_of_their_documents() {
        let request = RerankRequest::new("q", ["a", "b", "c"]);
        let ordered = ranking(&[(2, 0.5), (0, -1.0), (1, 0.5)]).in_order(&request).unwrap();
        assert_eq!(places(&ordered), [1, 2, 0]);
        let best = RerankRequest { top_n: Some(2), ..request };
        assert_eq!(places(&ranking(&[(2, 0.5), (0, -1.0), (1, 0.7)]).in_order(&best).unwrap()), [1, 2]);
        let beyond = RerankRequest { top_n: Some(9), ..best };
        assert_eq!(places(&ranking(&[(2, 0.5), (0, -1.0), (1, 0.7)]).in_order(&beyond).unwrap()), [1, 2, 0]);
    }

    #[test]
    fn a_ranking_that_breaks_the_contract_is_refused() {
        let request = RerankRequest::new("q", ["a", "b"]);
        for wrong in [&[(0, 1.0), (2, 1.0)][..], &[(0, 1.0), (0, 0.5)], &[(0, f64::NAN), (1, 0.0)], &[(1, 0.0)]] {
            assert_eq!(ranking(wrong).in_order(&request).unwrap_err().code(), Code::Decode, "{wrong:?}");
        }
    }

    #[test]
    fn a_request_out_of_bounds_names_the_bound() {
        let many = RerankRequest::new("q", vec![""; RERANK_DOCUMENTS_MAX + 1]);
        assert!(many.check().unwrap_err().message().contains("at most 10000"));
        assert!(RerankRequest::new("q", ["x".repeat(RERANK_MAX_BYTES)]).check().is_err());
    }
}
