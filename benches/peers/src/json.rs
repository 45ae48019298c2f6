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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Case, System};
    use crate::plan::Figure;

    #[test]
    fn a_row_names_its_case_system_workers_and_unit() {
        let row = |case, system, workers, sample| Row {
            case: Case::named(case).unwrap(),
            system,
            workers,
            figure: Figure::of(vec![sample]).unwrap(),
        };
        let text = rows(&[row("tell4", System::Ractor, 2, 570.04), row("idle_bytes", System::Beluga, 1, 9_789.0)]);
        let expected = json!([
            {"case": "tell4", "system": "ractor", "workers": 2, "cpu_ns": 570.0},
            {"case": "idle_bytes", "system": "beluga", "workers": 1, "bytes": 9789.0},
        ]);
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }
}
