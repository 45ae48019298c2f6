//! The tools every node has: calculator and clock.
