//! The embedded store: journal, recall and state in one SQLite file.
