//! The figures for programs.

use serde_json::{Value, json};

use crate::case::Unit;
use crate::plan::Row;

/// Returns the medians as an array of `{case, system, workers, cpu_ns}` or `{case, system, workers, bytes}`.
pub(crate) fn rows(rows: &[Row]) -> String {
    let array: Vec<Value> = rows
        .iter()
        .map(|row| {
            let key = if row.case.unit() == Unit::Bytes { "bytes" } else { "cpu_ns" };
            let rounded = (row.figure.median * 10.0).round() / 10.0;
            json!({"case": row.case.name, "system": row.system.name(), "workers": row.workers, key: rounded})
        })
        .collect();
    format!("{:#}\n", Value::from(array))
}
