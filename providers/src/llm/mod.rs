//! Language models behind HTTP: dialects, profiles, factories.
