//! Numbers as people read them at a glance.

/// Writes a length of time in at most six letters: `340ms`, `2.5s`, `1m01s`, `2h05m`, `3d04h`.
pub(super) fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0 => format!("{millis}ms"),
        1..60 => format!("{seconds}.{}s", millis % 1_000 / 100),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Writes a rate or a count in at most five letters: `0`, `0.4`, `12`, `3.4k`, `120k`, `2.0M`.
pub(super) fn rate(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        _ if value < 9.95 => format!("{value:.1}"),
        _ if value < 999.5 => format!("{value:.0}"),
        _ if value < 99_950.0 => format!("{:.1}k", value / 1e3),
        _ if value < 999_500.0 => format!("{:.0}k", value / 1e3),
        _ => format!("{:.1}M", value / 1e6),
    }
}

/// Writes a count with its noun: `1 job`, `2 jobs`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Writes the depths of the four lanes; nothing for empty ones.
pub(super) fn lanes([control, interrupt, normal, bulk]: [u64; 4]) -> String {
    if control + interrupt + normal + bulk == 0 {
        return String::new();
    }
    format!("{control}/{interrupt}/{normal}/{bulk}")
}

/// Cuts a text to a number of letters, without control characters.
pub(super) fn cut(text: &str, letters: usize) -> String {
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    if text.chars().count() <= letters {
        return text.chars().map(clean).collect();
    }
    text.chars().take(letters.saturating_sub(1)).map(clean).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_rates_are_short() {
        let spans = [0, 340, 2_540, 59_999, 61_000, 7_500_000, 273_600_000].map(span);
        assert_eq!(spans, ["0ms", "340ms", "2.5s", "59.9s", "1m01s", "2h05m", "3d04h"]);
        let rates = [0.0, 0.04, 0.44, 9.96, 12.4, 999.6, 3_421.0, 120_000.0, 2_000_000.0].map(rate);
        assert_eq!(rates, ["0", "0.0", "0.4", "10", "12", "1.0k", "3.4k", "120k", "2.0M"]);
        assert_eq!((counted(1, "job"), counted(0, "job")), ("1 job".to_owned(), "0 jobs".to_owned()));
        assert_eq!((lanes([0; 4]), lanes([1, 0, 12, 0])), (String::new(), "1/0/12/0".to_owned()));
        assert_eq!((cut("ab\u{1b}[31m", 20), cut("abcdef", 4)), ("ab [31m".to_owned(), "abc…".to_owned()));
    }
}
