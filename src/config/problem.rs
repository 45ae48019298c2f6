//! What is wrong with a configuration: every problem at once, each with its place and a hint.

use std::fmt;

/// One problem of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the wrong field, such as `agents.support.handoffs[0]`; empty for the document as a whole.
    pub path: String,
    /// Line and column in the file, from 1; absent where the value came from elsewhere or is missing.
    pub place: Option<(usize, usize)>,
    /// What is wrong. Never the value of a secret.
    pub message: String,
    /// What would help.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n    hint: {hint}")?;
        }
        Ok(())
    }
}

/// Why a configuration was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or another word for where the settings come from.
    pub origin: String,
    /// Every problem found, in the order of the file.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// Makes the error of one problem with the source as a whole.
    #[must_use]
    pub fn whole(origin: impl Into<String>, message: impl Into<String>, hint: Option<&str>) -> Self {
        let problem =
            Problem { path: String::new(), place: None, message: message.into(), hint: hint.map(str::to_owned) };
        Self { origin: origin.into(), problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(f, "{count} {noun} in {}", self.origin)?;
        for problem in &self.problems {
            write!(f, "\n  {}", self.origin)?;
            if let Some((line, column)) = problem.place {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for beluga_core::Error {
    fn from(error: ConfigError) -> Self {
        beluga_core::Error::config(error.to_string()).with_op("config.load")
    }
}
