//! The metrics of one node in the Prometheus text format: read from its parts when they are asked for.
//!
//! Nothing is counted twice and nothing is global: actors and turns keep plain counters anyway, and two nodes of one process
//! do not mix. Labels are bounded by what is configured: kinds of actors, lanes, providers, tools. Never a tenant, a session
//! or a message.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use beluga_actors::agent::Agents;
use beluga_actors::budget::{UsageQuery, UsageReport};
use beluga_actors::model::Models;
use beluga_providers::sqlite::Sqlite;
use beluga_runtime::{BreakerState, Census, Troubles};

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct NodeMetrics {
    pub(super) agents: Agents,
    pub(super) models: Models,
    pub(super) sqlite: Option<Sqlite>,
}

impl NodeMetrics {
    /// Renders what the node is doing and has done.
    pub(super) fn render(&self) -> String {
        let mut text = Text::default();
        if let Ok(census) = self.agents.system().census() {
            write_actors(&mut text, &census);
            write_breakers(&mut text, &census);
            write_troubles(&mut text, &self.agents.system().troubles());
        }
        self.write_asks(&mut text);
        self.write_work(&mut text);
        if let Some(sqlite) = &self.sqlite {
            write_journal(&mut text, sqlite);
        }
        text.0
    }

    fn write_asks(&self, text: &mut Text) {
        let system = self.agents.system();
        text.family("beluga_asks_in_flight", "gauge", "Asks that wait for their answers.");
        text.sample("beluga_asks_in_flight", &[], system.asks().len());
    }

    fn write_work(&self, text: &mut Text) {
        let sessions = self.agents.sessions();
        let turns = sessions.turns();
        text.family("beluga_sessions_active", "gauge", "Sessions in memory.");
        text.sample("beluga_sessions_active", &[], sessions.active());
        text.family("beluga_turns_total", "counter", "Turns that ended, by outcome.");
        for (outcome, count) in [("done", turns.done), ("failed", turns.failed), ("cancelled", turns.cancelled)] {
            text.sample("beluga_turns_total", &[("outcome", outcome)], count);
        }
        text.family("beluga_turns_resumed_total", "counter", "Turns that were taken up again after a crash.");
        text.sample("beluga_turns_resumed_total", &[], turns.resumed);
        let models = self.models.totals();
        text.family("beluga_model_calls_total", "counter", "Calls of models, by outcome after all tries.");
        for model in &models {
            let name = model.name.as_str();
            text.sample("beluga_model_calls_total", &[("provider", name), ("outcome", "ok")], model.answered);
            text.sample("beluga_model_calls_total", &[("provider", name), ("outcome", "error")], model.failed);
        }
        text.family("beluga_model_tokens_total", "counter", "Tokens read and written by models.");
        for model in &models {
            let name = model.name.as_str();
            text.sample("beluga_model_tokens_total", &[("provider", name), ("type", "input")], model.input_tokens);
            text.sample("beluga_model_tokens_total", &[("provider", name), ("type", "output")], model.output_tokens);
        }
        if let Some(budgets) = self.agents.budgets() {
            write_spending(text, &budgets.usage(&UsageQuery::default()));
        }
        text.family("beluga_tool_calls_total", "counter", "Calls of tools, by outcome.");
        for tool in self.agents.tools().totals() {
            let name = tool.name.as_str();
            text.sample("beluga_tool_calls_total", &[("tool", name), ("outcome", "ok")], tool.succeeded);
            text.sample("beluga_tool_calls_total", &[("tool", name), ("outcome", "error")], tool.failed);
        }
    }
}

/// Summed over tenants and agents: neither is bounded by the configuration.
fn write_spending(text: &mut Text, report: &UsageReport) {
    let mut models: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for row in &report.usage {
        let (cost, unpriced) = models.entry((&row.provider, &row.model)).or_default();
        *cost = cost.saturating_add(row.cost_micro_usd);
        *unpriced = unpriced.saturating_add(row.unpriced_requests);
    }
    text.family("beluga_model_cost_micro_usd_total", "counter", "Cost of models in millionths of a dollar.");
    for ((provider, model), (cost, _)) in &models {
        text.sample("beluga_model_cost_micro_usd_total", &[("vendor", provider), ("model", model)], cost);
    }
    text.family("beluga_model_unpriced_requests_total", "counter", "Tries whose cost is unknown: no price is.");
    for ((provider, model), (_, unpriced)) in &models {
        text.sample("beluga_model_unpriced_requests_total", &[("vendor", provider), ("model", model)], unpriced);
    }
}

fn write_actors(text: &mut Text, census: &Census) {
    text.family("beluga_actors", "gauge", "Live actors.");
    for (kind, of_kind) in &census.actors {
        text.sample("beluga_actors", &[("kind", kind)], of_kind.live);
    }
    text.family("beluga_actor_restarts_total", "counter", "Actors that were built anew.");
    for (kind, of_kind) in &census.actors {
        text.sample("beluga_actor_restarts_total", &[("kind", kind)], of_kind.restarts);
    }
    text.family("beluga_mailbox_messages", "gauge", "Messages that wait, of all actors of a kind.");
    for (kind, of_kind) in &census.actors {
        let lanes = of_kind.lanes;
        let lanes = [
            ("control", lanes.control),
            ("interrupt", lanes.interrupt),
            ("normal", lanes.normal),
            ("bulk", lanes.bulk),
        ];
        for (lane, waiting) in lanes {
            text.sample("beluga_mailbox_messages", &[("kind", kind), ("lane", lane)], waiting);
        }
    }
    text.family("beluga_jobs", "gauge", "Running jobs; a running turn is one.");
    for (kind, running) in &census.jobs {
        text.sample("beluga_jobs", &[("kind", kind)], running);
    }
    text.family("beluga_actors_paused", "gauge", "Actors whose messages are held back by an operator.");
    text.sample("beluga_actors_paused", &[], census.paused);
    text.family(
        "beluga_actors_gated",
        "gauge",
        "Actors that refuse callers because they failed too often; 64 at most.",
    );
    text.sample("beluga_actors_gated", &[], census.gated.len());
    text.family("beluga_dead_letters_total", "counter", "Messages that were not handled.");
    text.sample("beluga_dead_letters_total", &[], census.dead_letters);
}

fn write_breakers(text: &mut Text, census: &Census) {
    text.family("beluga_breaker_state", "gauge", "Circuit breakers: 0 closed, 1 half open, 2 open.");
    for (name, kind, breaker) in &census.breakers {
        let state = match breaker.state {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open => 2,
        };
        text.sample("beluga_breaker_state", &[("actor", name), ("kind", kind)], state);
    }
    text.family("beluga_breaker_opened_total", "counter", "How often a breaker has opened.");
    for (name, kind, breaker) in &census.breakers {
        text.sample("beluga_breaker_opened_total", &[("actor", name), ("kind", kind)], breaker.opened);
    }
}

/// Labelled by the kind of the actor, and deadlocks by nothing: a circle has several.
fn write_troubles(text: &mut Text, troubles: &Troubles) {
    text.family("beluga_stuck_handlers", "gauge", "Handlers that have been awaiting for too long.");
    for (kind, of_kind) in &troubles.by_kind {
        text.sample("beluga_stuck_handlers", &[("kind", kind)], of_kind.stuck);
    }
    text.family("beluga_blocked_workers", "gauge", "Threads that have been in one piece of code for too long.");
    for (kind, of_kind) in &troubles.by_kind {
        text.sample("beluga_blocked_workers", &[("kind", kind)], of_kind.blocked);
    }
    text.family("beluga_deadlocks", "gauge", "Circles of handlers that await each other.");
    text.sample("beluga_deadlocks", &[], troubles.counts().deadlocks);
}

fn write_journal(text: &mut Text, sqlite: &Sqlite) {
    let health = sqlite.health();
    text.family("beluga_journal_healthy", "gauge", "Whether the journal takes writes.");
    text.sample("beluga_journal_healthy", &[], u8::from(health.is_healthy()));
    text.family("beluga_journal_queue_writes", "gauge", "Writes that wait for the writer or are being committed.");
    text.sample("beluga_journal_queue_writes", &[], health.pending);
    text.family("beluga_journal_queue_bytes", "gauge", "Their bytes.");
    text.sample("beluga_journal_queue_bytes", &[], health.pending_bytes);
    text.family("beluga_journal_groups_total", "counter", "Append groups committed.");
    text.sample("beluga_journal_groups_total", &[], health.groups);
    text.family("beluga_journal_commits_total", "counter", "Transactions committed.");
    text.sample("beluga_journal_commits_total", &[], health.commits);
    text.family("beluga_journal_syncs_total", "counter", "Transactions synced to the disk.");
    text.sample("beluga_journal_syncs_total", &[], health.syncs);
}

/// Text in the exposition format, version 0.0.4
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/>, read 2026-11).
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.0.push(if place == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"");
            text.chars().for_each(|letter| self.push_escaped(letter));
            self.0.push('"');
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn push_escaped(&mut self, letter: char) {
        match letter {
            '"' => self.0.push_str("\\\""),
            '\\' => self.0.push_str("\\\\"),
            '\n' => self.0.push_str("\\n"),
            other => self.0.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_counted_by_kind_those_that_are_not_listed_included() {
        let mut troubles = Troubles::default();
        troubles.by_kind.entry("session").or_default().stuck = 70;
        troubles.by_kind.entry("tool").or_default().blocked = 1;
        troubles.left_out.deadlocks = 2;
        let mut text = Text::default();
        write_troubles(&mut text, &troubles);
        for line in [
            "beluga_stuck_handlers{kind=\"session\"} 70\n",
            "beluga_blocked_workers{kind=\"tool\"} 1\n",
            "beluga_deadlocks 2\n",
        ] {
            assert!(text.0.contains(line), "{line} is missing in\n{}", text.0);
        }
    }

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        let mut text = Text::default();
        text.sample("m", &[("a", "x\"} 1\n\\"), ("b", "y")], 2);
        assert_eq!(text.0, "m{a=\"x\\\"} 1\\n\\\\\",b=\"y\"} 2\n");
    }
}
