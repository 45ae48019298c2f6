//! The rule-based model that needs nothing.
