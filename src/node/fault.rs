//! The fault switch of the crash tests: `BELUGA_FAULT=before:N` or `after:N` ends the process around the N-th append.
//!
//! Compiled with the feature `fault-injection` only, which no default build has. The process aborts on the store's own
//! thread: no destructor runs, nothing is flushed, no socket is closed by its owner, as with `kill -9`.

use std::sync::Arc;

use beluga_core::{Error, Result};
use beluga_providers::sqlite::{AppendPoint, SqliteOptions};

use crate::config::Environment;

/// The variable that names the point.
const VARIABLE: &str = "BELUGA_FAULT";

/// Makes the process abort at the point the environment names; without one nothing changes.
///
/// # Errors
/// `config` if the variable names no point.
pub(super) fn inject(options: SqliteOptions, environment: &Environment) -> Result<SqliteOptions> {
    let Some(text) = environment.get(VARIABLE) else { return Ok(options) };
    let (point, append) =
        parse(text).ok_or_else(|| Error::config(format!("{VARIABLE}: must be before:N or after:N, with N from 1")))?;
    tracing::warn!(?point, append, "this process aborts at an append of its journal");
    Ok(options.fault(Arc::new(move |at, number| {
        if (at, number) == (point, append) {
            std::process::abort();
        }
    })))
}

fn parse(text: &str) -> Option<(AppendPoint, u64)> {
    let (point, append) = text.split_once(':')?;
    let point = match point {
        "before" => AppendPoint::Before,
        "after" => AppendPoint::After,
        _ => return None,
    };
    append.parse().ok().filter(|append| *append > 0).map(|append| (point, append))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_before_or_after_an_append_from_one() {
        assert_eq!(parse("before:1"), Some((AppendPoint::Before, 1)));
        assert_eq!(parse("after:12"), Some((AppendPoint::After, 12)));
        for wrong in ["", "before", "before:", "before:0", "at:1", "after:-1", "after:x"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
