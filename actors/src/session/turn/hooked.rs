//! The agent's hooks: told of the start and the end, and asked for an answer when the turn failed.

use std::sync::Arc;

use beluga_core::{ChatMessage, Code, Error, Result, Usage};

use super::{Turn, results_of_abandoned, step};
use crate::agent::TurnNotice;
use crate::session::record::{Answered, Outcome, Record};

/// What stands between what was shown of a failed step and the answer instead.
const BETWEEN: &str = "\n\n";

impl Turn {
    /// Tells the hooks of a new turn.
    ///
    /// # Errors
    /// A hook refuses it.
    pub(super) fn tell_start(&self) -> Result<()> {
        if self.spec.hooks.is_empty() {
            return Ok(());
        }
        let (notice, input) = (self.turn_notice(), self.input.text());
        self.spec.hooks.iter().try_for_each(|hooks| hooks.on_start(&notice, &input))
    }

    pub(super) fn tell_end(&self, answer: &str) {
        if !self.spec.hooks.is_empty() {
            let notice = self.turn_notice();
            self.spec.hooks.iter().for_each(|hooks| hooks.on_end(&notice, answer));
        }
    }

    /// Ends the turn with an error, unless a hook has an answer instead.
    pub(super) async fn fail(&self, error: Error) -> Result<()> {
        if self.spec.hooks.is_empty() || error.code() == Code::Cancelled {
            return self.end(Err(error)).await;
        }
        let (notice, why) = (self.turn_notice(), error.duplicate());
        let seen = self.spec.hooks.iter().try_fold(error, |error, hooks| match hooks.on_error(&notice, error) {
            Ok(answer) => Err(answer),
            Err(error) => Ok(error),
        });
        match seen {
            Ok(error) => self.end(Err(error)).await,
            Err(answer) => match self.answer_instead(&answer, &why).await {
                // An answer too large for the journal is none.
                Err(error) if error.code() == Code::InvalidInput => self.end(Err(error)).await,
                ended => ended,
            },
        }
    }

    /// Shows and records an answer of the application; calls in flight get the error as their result.
    async fn answer_instead(&self, answer: &str, why: &Error) -> Result<()> {
        let port = step::Port::of(self, self.context.clone(), self.half.clone());
        let between = if self.half.iter().all(|shown| shown.thinking) { "" } else { BETWEEN };
        let told = port.show(&format!("{between}{answer}"), false).await;
        let (shown, journal_failure) = port.finish();
        if let Some(error) = journal_failure {
            return Err(error);
        }
        told?;
        let result: String = shown.iter().filter(|shown| !shown.thinking).map(|shown| shown.text.as_str()).collect();
        let mut message = ChatMessage::assistant(result.as_str());
        message.usage = Some(Usage::default());
        let pending = self.log.open_turn().and_then(|open| open.pending);
        let mut records: Vec<Record> = Vec::new();
        records.extend(results_of_abandoned(&self.log, (&self.turn, &self.agent), pending, why).await?);
        let usage_number = self.log.number(&self.turn, &self.agent).await?;
        records.push(Record::Answered(Answered {
            message: Arc::new(message),
            shown,
            intents: Arc::default(),
            usage_number,
            took_ms: None,
        }));
        self.tell_end(&result);
        self.record_end(records, Outcome::Done { result }).await
    }

    fn turn_notice(&self) -> TurnNotice {
        TurnNotice {
            tenant: self.key.tenant.clone(),
            agent: self.agent.clone(),
            session: self.key.id.clone(),
            turn: self.turn.clone(),
        }
    }
}
