//! What makes two calls the same.

use std::io::{self, Write};

use beluga_core::{CallContext, Error, ModelInfo, ModelRequest, Result};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The digest of a call; equal digests are taken as equal calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// Returns the key of a call of a model under a policy.
    ///
    /// # Errors
    /// `internal` if a part of the request is no JSON, which no request from outside is.
    pub(super) fn of(context: &CallContext, info: &ModelInfo, policy: &str, request: &ModelRequest) -> Result<Self> {
        let mut hash = Hashing(Sha256::new());
        let model = request.options.model.as_deref().unwrap_or(&info.model);
        for part in [context.tenant().as_str(), &info.provider, model, policy] {
            hash.part(&part)?;
        }
        // A number says where a list ends, so that no two requests have the same bytes.
        hash.part(&request.messages.len())?;
        for message in &request.messages {
            hash.part(&(message.role, &message.parts, &message.notes))?;
        }
        hash.part(&request.tools.len())?;
        for tool in &*request.tools {
            hash.part(&(&tool.name, &tool.description, sorted(&tool.input_schema), &tool.notes))?;
        }
        let mut options = request.options.clone();
        options.metadata.clear();
        hash.part(&sorted(&serde_json::to_value(options).map_err(no_json)?))?;
        Ok(Self(hash.0.finalize().into()))
    }
}

struct Hashing(Sha256);

impl Hashing {
    /// Adds a value as JSON, ended by a byte that no JSON has outside of its strings, and inside only escaped.
    fn part(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut *self, value).map_err(no_json)?;
        self.0.update([0]);
        Ok(())
    }
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn no_json(error: serde_json::Error) -> Error {
    Error::internal("a request is no JSON").with_source(error)
}

/// Returns a value with the keys of its objects in order: the order says nothing in JSON.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
