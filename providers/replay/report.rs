//! What a replay found.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Counts and complaints, over files.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    /// Skipped exchanges, by method and path.
    pub(crate) skipped: BTreeMap<String, usize>,
    /// The first difference of each file that has one.
    pub(crate) differences: Vec<(String, String)>,
    /// Leaves of answers that the normal form, raw usage or extra fields hold.
    pub(crate) held: usize,
    /// Counters that a later event replaced.
    pub(crate) superseded: usize,
    /// Leaves that say nothing, by dialect and entry of its list.
    pub(crate) ignored: BTreeMap<(&'static str, &'static str), usize>,
    /// Requests that came back the same, by dialect.
    pub(crate) requests: BTreeMap<&'static str, usize>,
    /// Requests that neither the vendor nor the dialect takes.
    pub(crate) refused: usize,
    /// Fields that passed through, by dialect and name.
    pub(crate) passed_through: BTreeMap<(&'static str, String), usize>,
    /// Answers whose other form agrees.
    pub(crate) agreed: usize,
    /// Answers that were errors, and came out as such.
    pub(crate) errors: usize,
    /// Vectors that were compared number by number.
    pub(crate) vectors: usize,
    /// Documents whose place and score were compared.
    pub(crate) ranked: usize,
}

impl Report {
    /// Adds what another found.
    pub(crate) fn add(&mut self, other: Report) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.differences.extend(other.differences);
        self.held += other.held;
        self.superseded += other.superseded;
        self.refused += other.refused;
        self.agreed += other.agreed;
        self.errors += other.errors;
        self.vectors += other.vectors;
        self.ranked += other.ranked;
        sum(&mut self.skipped, other.skipped);
        sum(&mut self.ignored, other.ignored);
        sum(&mut self.requests, other.requests);
        sum(&mut self.passed_through, other.passed_through);
    }

    fn skips(&self) -> usize {
        self.skipped.values().sum()
    }

    /// Returns the report as lines, the counts last.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.differences.iter().map(|(file, difference)| format!("FAILED {file}: {difference}")).collect();
        lines.extend(self.skipped.iter().map(|(path, count)| format!("skipped {count} × {path}")));
        lines.extend(
            self.ignored.iter().map(|((dialect, entry), count)| format!("ignored {count} × {dialect}: {entry}")),
        );
        for (dialect, count) in &self.requests {
            let names = self.passed_through.iter().filter(|((of, _), _)| of == dialect);
            let names: Vec<String> = names.map(|((_, name), count)| format!("{name} × {count}")).collect();
            lines.push(format!(
                "{count} requests of {dialect} came back the same; {} names passed through: {}",
                names.len(),
                names.join(", ")
            ));
        }
        lines.push(format!("{} leaves of answers held, {} counters superseded", self.held, self.superseded));
        lines.push(format!(
            "{} answers agree with their other form, {} were errors, {} requests were refused on both sides",
            self.agreed, self.errors, self.refused
        ));
        lines.push(format!("{} vectors and {} ranked documents compared", self.vectors, self.ranked));
        lines.push(format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skips()));
        lines
    }

    /// Returns the report as JSON.
    pub(crate) fn json(&self) -> Value {
        let by = |map: &BTreeMap<(&'static str, &'static str), usize>| -> Vec<Value> {
            map.iter()
                .map(|((dialect, path), count)| json!({"dialect": dialect, "path": path, "count": count}))
                .collect()
        };
        let passed: Vec<Value> = self
            .passed_through
            .iter()
            .map(|((dialect, name), count)| json!({"dialect": dialect, "name": name, "count": count}))
            .collect();
        json!({
            "passed": self.passed,
            "failed": self.failed,
            "skipped": self.skips(),
            "skipped_paths": self.skipped,
            "differences": self.differences.iter().map(|(file, difference)| json!({"file": file, "difference": difference}))
                .collect::<Vec<_>>(),
            "leaves_held": self.held,
            "counters_superseded": self.superseded,
            "leaves_ignored": by(&self.ignored),
            "requests_same": self.requests,
            "requests_refused": self.refused,
            "passed_through": passed,
            "forms_agreed": self.agreed,
            "errors": self.errors,
            "vectors": self.vectors,
            "documents_ranked": self.ranked,
        })
    }
}

fn sum<K: Ord>(into: &mut BTreeMap<K, usize>, from: BTreeMap<K, usize>) {
    for (key, count) in from {
        *into.entry(key).or_default() += count;
    }
}
