//! What `#[tool]` expands to: schema, parsing and the answer of a typed tool.
