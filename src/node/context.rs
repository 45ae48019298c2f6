//! Makes an agent's window of `[agents.X.context]`.

use std::sync::Arc;

use beluga_actors::context::{Adaptive, ContextWindow, Semantic, Sliding, Summarise, Truncate, WordOverlap};
use beluga_core::{ChatModel, Error, ModelInfo, Result, TokenEstimate, Tokenizer};
use beluga_providers::tokenizer::tokenizer;

use super::facts::{self, Common};
use super::models::ModelSet;
use crate::config::{AgentSettings, Config, ContextSettings, ContextStrategy, SLIDING_TURNS_DEFAULT};

/// From how many times its budget on the adaptive strategy has a conversation summarised.
const SUMMARISE_FROM_FILL: f64 = 2.0;

/// Makes the window of an agent; what has to be summarised goes to the agent's own model unless another is named.
///
/// # Errors
/// `config` if the budget is to be that of a model whose context is not known; what the models answer.
pub(super) fn window(
    agent: &str,
    settings: &AgentSettings,
    context: &ContextSettings,
    config: &Config,
    models: &ModelSet,
) -> Result<ContextWindow> {
    let own = settings.model.as_deref().unwrap_or_default();
    let known = known(settings, config, models)?;
    let tokens = match (context.tokens, &known) {
        (Some(tokens), _) => tokens,
        (None, Ok(common)) => common.prompt_tokens,
        (None, Err(info)) => return Err(unknown(agent, info)),
    };
    let summarise = || models.get(context.model.as_deref().unwrap_or(own)).map(Summarise::new);
    let window = match context.strategy {
        ContextStrategy::Truncate => ContextWindow::new(Truncate, tokens),
        ContextStrategy::Sliding => {
            let turns = context.turns.unwrap_or(SLIDING_TURNS_DEFAULT);
            ContextWindow::new(Sliding::new(turns as usize), tokens)
        }
        ContextStrategy::Summarise => ContextWindow::new(summarise()?, tokens),
        ContextStrategy::Semantic => ContextWindow::new(Semantic::new(WordOverlap), tokens),
        ContextStrategy::Adaptive => {
            ContextWindow::new(Adaptive::new().from(SUMMARISE_FROM_FILL, summarise()?), tokens)
        }
    };
    let counts: Arc<dyn Tokenizer> = match (&context.tokenizer, known.ok().and_then(|common| common.tokenizer)) {
        (Some(name), _) => tokenizer(name)?,
        // A family's own tokenizer where it is compiled in; the estimate says that it is one.
        (None, Some(name)) => tokenizer(&name).unwrap_or_else(|_| Arc::new(TokenEstimate)),
        (None, None) => Arc::new(TokenEstimate),
    };
    Ok(window.with_tokenizer(counts))
}

/// Returns what is known of all models an agent may ask, or the first of which nothing is known.
fn known(
    settings: &AgentSettings,
    config: &Config,
    models: &ModelSet,
) -> Result<std::result::Result<Common, ModelInfo>> {
    let mut asked = Vec::new();
    for name in settings.model.iter().chain(&settings.fallback) {
        match config.routers.get(name) {
            Some(router) => {
                for route in &router.routes {
                    asked.push(models.get(route.provider())?.info());
                }
            }
            None => asked.push(models.get(name)?.info()),
        }
    }
    Ok(facts::common(&facts::table(config), &asked))
}

fn unknown(agent: &str, info: &ModelInfo) -> Error {
    let model = info.model.escape_debug();
    Error::config(format!(
        "agents.{agent}.context.tokens: how much the model \"{model}\" of {} reads is not known; \
         write it here, or in [models.\"{model}\"] as context_tokens",
        info.provider
    ))
    .with_op("node.agents")
}
