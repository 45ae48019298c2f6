//! What a settings type says of itself beyond its schema, and where it says it.

use super::document::{Document, Path};
use super::environment::Environment;
use super::problem::Problem;

/// Collects the problems a [`Settings`](super::Settings) finds in itself.
///
/// Paths are given as keys; [`at`](Self::at) puts a list index into them as `[0]`.
#[derive(Debug)]
pub struct Check<'a> {
    document: &'a Document,
    environment: &'a Environment,
    problems: Vec<Problem>,
}

impl<'a> Check<'a> {
    pub(super) fn new(document: &'a Document, environment: &'a Environment) -> Self {
        Self { document, environment, problems: Vec::new() }
    }

    /// Returns the environment the settings are read with.
    #[must_use]
    pub fn environment(&self) -> &'a Environment {
        self.environment
    }

    /// Notes a problem with the value under these keys.
    pub fn problem(&mut self, keys: &[&str], message: impl Into<String>, hint: Option<String>) {
        self.note(&Path::of(keys), message.into(), hint);
    }

    /// Notes a problem with one entry of the list under these keys.
    pub fn at(&mut self, keys: &[&str], index: usize, message: impl Into<String>, hint: Option<String>) {
        self.note(&Path::of(keys).index(index), message.into(), hint);
    }

    /// Checks that a variable is set; a problem under these keys otherwise.
    pub fn variable(&mut self, keys: &[&str], name: &str) {
        if self.environment.get(name).is_none() {
            let hint = "set it, or remove the setting; secrets are read from the environment only".to_owned();
            self.problem(keys, format!("the environment variable {name} is not set"), Some(hint));
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    fn note(&mut self, path: &Path, message: String, hint: Option<String>) {
        let place = self.document.place(path);
        self.problems.push(Problem { path: path.to_string(), place, message, hint });
    }
}
