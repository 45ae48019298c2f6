//! Keeping what belongs to the question.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use beluga_core::{BoxFuture, CallContext, ChatMessage, Code, Error, Result, Role};

use super::group::Groups;
use super::{ContextManager, Fit, Messages};

/// The most exchanges that are compared with the question, the newest ones; older ones are left out.
pub const CANDIDATES_MAX: usize = 256;

/// How much of the budget the newest take before anything is compared, as one part of so many.
const RECENT_PART: u64 = 4;

/// Says how near texts are to a query: an embedder, a reranker, or words.
pub trait Similarity: fmt::Debug + Send + Sync + 'static {
    /// Returns one score a text, in their order; the higher, the nearer.
    ///
    /// # Errors
    /// What it asks answers.
    fn scores(&self, query: String, texts: Vec<String>, cx: CallContext) -> BoxFuture<'_, Result<Vec<f32>>>;
}

/// Nearness by words in common (Jaccard 1912): needs no model, and knows no synonyms.
#[derive(Debug, Clone, Copy, Default)]
pub struct WordOverlap;

impl Similarity for WordOverlap {
    fn scores(&self, query: String, texts: Vec<String>, _cx: CallContext) -> BoxFuture<'_, Result<Vec<f32>>> {
        Box::pin(async move {
            let query = words(&query);
            let score = |text: &String| {
                let text = words(text);
                let common = query.intersection(&text).count();
                common as f32 / (query.len() + text.len() - common).max(1) as f32
            };
            Ok(texts.iter().map(score).collect())
        })
    }
}

fn words(text: &str) -> HashSet<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Keeps the newest in a quarter of the budget, and in the rest the earlier exchanges nearest to the last question.
#[derive(Debug, Clone)]
pub struct Semantic {
    similarity: Arc<dyn Similarity>,
}

impl Semantic {
    /// Compares with this.
    #[must_use]
    pub fn new(similarity: impl Similarity) -> Self {
        Self { similarity: Arc::new(similarity) }
    }

    async fn choose(&self, fit: &Fit) -> Result<Messages> {
        let Some(groups) = Groups::of(fit) else { return Ok(Arc::clone(&fit.messages)) };
        let recent = (fit.budget_tokens / RECENT_PART).max(groups.least());
        if recent > fit.budget_tokens {
            // Says what does not fit.
            groups.newest(fit.budget_tokens)?;
        }
        let mut kept = groups.newest(recent)?;
        let mut exchanges = exchanges(&groups, &kept);
        let above = exchanges.len().saturating_sub(CANDIDATES_MAX);
        exchanges.drain(..above);
        let texts: Vec<String> = exchanges.iter().map(|range| text_of(fit, &groups, range)).collect();
        let query = fit.messages.iter().rev().find(|message| message.role == Role::User);
        let query = query.map(|message| message.text()).unwrap_or_default();
        let wanted = texts.len();
        let scores = self.similarity.scores(query, texts, fit.context.clone()).await?;
        if scores.len() != wanted {
            return Err(Error::new(Code::Decode, "a similarity answers one score a text")
                .with("texts", wanted)
                .with("scores", scores.len()));
        }
        let mut ranked: Vec<(f32, Range<usize>)> = scores.into_iter().zip(exchanges).collect();
        // Of equally near ones the newer.
        ranked.sort_by(|(a, earlier), (b, later)| b.total_cmp(a).then(later.start.cmp(&earlier.start)));
        let mut tokens = groups.tokens(|index| kept.get(index) == Some(&true));
        for (_, range) in ranked {
            let more = groups.tokens(|index| range.contains(&index));
            if tokens.saturating_add(more) <= fit.budget_tokens {
                tokens = tokens.saturating_add(more);
                kept.get_mut(range).into_iter().flatten().for_each(|kept| *kept = true);
            }
        }
        Ok(Arc::new(groups.pick(&fit.messages, &kept)))
    }
}

/// Returns the exchanges that are not kept yet, as ranges of groups: a question with all that came of it.
fn exchanges(groups: &Groups, kept: &[bool]) -> Vec<Range<usize>> {
    let mut exchanges: Vec<Range<usize>> = Vec::new();
    for (index, (group, kept)) in groups.all.iter().zip(kept).enumerate() {
        match exchanges.last_mut() {
            _ if *kept => {}
            Some(last) if last.end == index && !group.opens => last.end += 1,
            _ if group.opens => exchanges.push(index..index + 1),
            // What nobody asked for has no exchange to stand in.
            _ => {}
        }
    }
    exchanges
}

fn text_of(fit: &Fit, groups: &Groups, range: &Range<usize>) -> String {
    let inside = groups.all.get(range.clone()).unwrap_or_default();
    let messages = inside.iter().filter_map(|group| fit.messages.get(group.range.clone())).flatten();
    messages.map(|message: &Arc<ChatMessage>| message.text()).collect::<Vec<_>>().join("\n")
}

impl ContextManager for Semantic {
    fn name(&self) -> &'static str {
        "semantic"
    }

    fn fit(&self, request: Fit) -> BoxFuture<'_, Result<Messages>> {
        Box::pin(async move { if request.fits() { Ok(request.messages) } else { self.choose(&request).await } })
    }
}
