//! One look as plain text, for pipes and files.

use super::snapshot::Numbers;
use super::text::{counted, cut, lanes, span};
use super::view::{Seen, View};

/// The widest name, in letters; longer ones are cut.
const NAME_MAX_CHARS: usize = 60;

/// Writes the whole snapshot: header, table, asks, troubles.
pub(super) fn write(seen: &Seen) -> String {
    let snapshot = &seen.snapshot;
    let rows = View::default().rows(seen);
    let names: Vec<String> =
        rows.iter().map(|row| cut(&format!("{}{}", "  ".repeat(row.indent), row.name), NAME_MAX_CHARS)).collect();
    let wide = names.iter().map(|name| name.chars().count()).max().unwrap_or_default().max(4);
    let mut text = header(&snapshot.numbers);
    let mut line = |name: &str, cells: [&str; 8]| {
        let [kind, state, handled, queue, oldest, handler, restarts, breaker] = cells;
        let row = format!(
            "{name:<wide$}  {kind:<14} {state:<8} {handled:>9} {queue:>12} {oldest:>7} {handler:>7} {restarts:>8}  {breaker}"
        );
        text.push_str(row.trim_end());
        text.push('\n');
    };
    line("NAME", ["KIND", "STATE", "HANDLED", "QUEUE", "OLDEST", "HANDLER", "RESTARTS", "BREAKER"]);
    for (row, name) in rows.iter().zip(&names) {
        let Some(node) = snapshot.nodes.get(row.place) else { continue };
        let age = |age: Option<u64>| age.map(span).unwrap_or_default();
        let handled = if node.is_job() { String::new() } else { node.handled.to_string() };
        let restarts = if node.restarts > 0 { node.restarts.to_string() } else { String::new() };
        let (oldest, handler) = (age(node.oldest_ms), age(node.handler_ms));
        let (kind, queue) = (cut(&node.kind, 14), lanes(node.lanes));
        let breaker = node.breaker.as_deref().unwrap_or_default();
        line(name, [&kind, node.shown_state(), &handled, &queue, &oldest, &handler, &restarts, breaker]);
    }
    for ask in asks(seen) {
        text.push_str(&format!("ask       {ask}\n"));
    }
    for trouble in &snapshot.troubles {
        text.push_str(&format!("{}\n", cut(trouble, usize::MAX)));
    }
    text
}

/// Writes the numbers of a node on one line.
fn header(numbers: &Numbers) -> String {
    let optional = |number: Option<u64>, noun: &str, rest: &str| {
        number.map(|number| format!(", {}{rest}", counted(number, noun))).unwrap_or_default()
    };
    let uptime = numbers.uptime.map(|up| format!(" up {}", span(millis(up)))).unwrap_or_default();
    format!(
        "{}{uptime}: {}, {}, {} waiting, {} paused, {}, {} gated, {} open{}{}\n",
        cut(&numbers.name, NAME_MAX_CHARS),
        counted(numbers.actors, "actor"),
        counted(numbers.jobs, "job"),
        numbers.waiting,
        numbers.paused,
        counted(numbers.restarts, "restart"),
        numbers.gated,
        counted(numbers.open_breakers, "breaker"),
        optional(numbers.asks_in_flight, "ask", " in flight"),
        optional(numbers.dead_letters, "dead letter", ""),
    )
}

/// Writes the asks in flight, a line each.
pub(super) fn asks(seen: &Seen) -> impl Iterator<Item = String> {
    seen.snapshot.asks.iter().map(|ask| {
        let from = if ask.from.is_empty() { "outside" } else { &ask.from };
        let left = ask.remaining_ms.map(|left| format!(", {} left", span(left))).unwrap_or_default();
        let held = if ask.in_handler { ", holds its handler" } else { "" };
        cut(&format!("{from} → {} {} for {}{left}{held}", ask.to, ask.message, span(ask.age_ms)), usize::MAX)
    })
}

/// Returns whole milliseconds.
pub(super) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing::seen;
    use super::*;

    #[test]
    fn a_snapshot_is_written_in_columns() {
        let text = write(&seen());
        let expected = "\
beluga up 1m01s: 12 actors, 1 job, 4 waiting, 1 paused, 2 restarts, 0 gated, 1 breaker open, 2 asks in flight, 4 dead letters
NAME                     KIND           STATE      HANDLED        QUEUE  OLDEST HANDLER RESTARTS  BREAKER
beluga                   system         running          0
  tools                  tools          running          0
    clock                tool           running         18
    http                 tool           paused           5      1/0/3/0    1.2s   1m01s        2  open
      execution          execution      running                                    2.5s
  agents (+7 not shown)  agents         running          0
ask       outside → agents agent.ask for 3.0s, 27.0s left
ask       agents → tools/http tool.execute for 1.2s, holds its handler
breaker   tools/http is open
";
        assert_eq!(text, expected);
    }
}
