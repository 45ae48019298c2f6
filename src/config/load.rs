//! From sources to a checked value: file, then environment over it, then the schema, then the type's own rules.

use std::path::Path as FilePath;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check::Check;
use super::document::Document;
use super::environment::{self, Environment};
use super::problem::{ConfigError, Problem};
use super::schema::Schema;

/// The largest configuration file, in bytes.
pub const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// A type that can be loaded: its schema gives types, bounds and defaults, [`check`](Self::check) the rest.
///
/// Unknown keys are errors where the type says `#[serde(deny_unknown_fields)]`.
pub trait Settings: DeserializeOwned + JsonSchema {
    /// Notes what is wrong between fields. Called with what could be read, even if other fields were wrong.
    fn check(&self, check: &mut Check<'_>) {
        let _ = check;
    }

    /// Fills in what the sources left open. Called on a value that passed every check.
    #[must_use]
    fn completed(self, environment: &Environment) -> Self {
        let _ = environment;
        self
    }
}

/// Where settings come from: at most one TOML text, and the environment over it.
#[derive(Debug, Clone)]
pub struct Sources {
    origin: String,
    text: String,
    environment: Environment,
}

impl Sources {
    /// Makes sources without a text: defaults and the environment.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        Self { origin: "the environment".to_owned(), text: String::new(), environment }
    }

    /// Takes a TOML text; `origin` names it in problems.
    #[must_use]
    pub fn text(mut self, origin: impl Into<String>, text: impl Into<String>) -> Self {
        self.origin = origin.into();
        self.text = text.into();
        self
    }

    /// Reads a TOML file.
    ///
    /// # Errors
    /// The file cannot be read, is no UTF-8, or is larger than [`FILE_MAX_BYTES`].
    pub fn file(self, path: &FilePath) -> Result<Self, ConfigError> {
        let origin = path.display().to_string();
        let whole = |message: String| ConfigError::whole(origin.clone(), message, None);
        let size = std::fs::metadata(path).map_err(|error| whole(format!("cannot be read: {error}")))?.len();
        if size > FILE_MAX_BYTES {
            return Err(whole(format!("has {size} bytes; at most {FILE_MAX_BYTES} are read")));
        }
        let bytes = std::fs::read(path).map_err(|error| whole(format!("cannot be read: {error}")))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| whole(format!("is no UTF-8 text: bad byte at {}", error.utf8_error().valid_up_to())))?;
        Ok(self.text(origin, text))
    }

    /// Returns the TOML text; empty without one.
    #[must_use]
    pub fn toml(&self) -> &str {
        &self.text
    }

    /// Returns the environment.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// Loads a checked value. Overrides: a variable `BELUGA__A__B` sets `a.b`, whatever the file says.
///
/// ```
/// use beluga::config::{Environment, Settings, Sources, load};
///
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Pool {
///     #[serde(default = "four")]
///     #[schemars(range(min = 1, max = 64))]
///     workers: u32,
///     name: String,
/// }
/// fn four() -> u32 { 4 }
/// impl Settings for Pool {}
///
/// let sources = Sources::new(Environment::default());
/// let pool: Pool = load(&sources.clone().text("pool.toml", "name = 'a'")).unwrap();
/// assert_eq!((pool.workers, pool.name.as_str()), (4, "a"));
///
/// let error = load::<Pool>(&sources.text("pool.toml", "workers = 99\nnmae = 'a'")).err().unwrap();
/// let paths: Vec<&str> = error.problems.iter().map(|problem| problem.path.as_str()).collect();
/// assert_eq!(paths, ["workers", "nmae", "name"]);
/// ```
///
/// # Errors
/// Every problem of the whole document, in its order.
pub fn load<T: Settings>(sources: &Sources) -> Result<T, ConfigError> {
    let refuse = |problems| ConfigError { origin: sources.origin.clone(), problems };
    let schema = Schema::of::<T>().map_err(|message| ConfigError::whole(sources.origin.clone(), message, None))?;
    let mut document = Document::parse(&sources.text).map_err(refuse)?;
    apply_overrides(&mut document, &schema, &sources.environment).map_err(refuse)?;
    let (mut problems, wrong) = schema.problems(&document);
    let mut sound: Value = document.root.clone();
    wrong.iter().for_each(|path| path.remove_from(&mut sound));
    match serde_json::from_value::<T>(sound) {
        Ok(value) => {
            let mut check = Check::new(&document, &sources.environment);
            value.check(&mut check);
            for problem in check.into_problems() {
                // What the schema refused is not refused again because it now has its default.
                if !problems.iter().any(|known| problem.path.starts_with(&known.path)) {
                    problems.push(problem);
                }
            }
            if problems.is_empty() {
                return Ok(value.completed(&sources.environment));
            }
        }
        Err(error) if problems.is_empty() => {
            problems.push(Problem { path: String::new(), place: None, message: error.to_string(), hint: None });
        }
        Err(_) => {}
    }
    Document::sort(&mut problems);
    Err(refuse(problems))
}

fn apply_overrides(document: &mut Document, schema: &Schema, environment: &Environment) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    let mut root = std::mem::take(&mut document.root);
    for (name, segments, text) in environment.overrides() {
        let value = environment::read_value(text, schema.wants_text(&segments));
        match environment::set(&mut root, &segments, |path| schema.keys(path), value) {
            Some(path) => document.forget_place(&path),
            None => problems.push(Problem {
                path: segments.join("."),
                place: None,
                message: format!("{name} goes through a value that is no table"),
                hint: None,
            }),
        }
    }
    document.root = root;
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}
