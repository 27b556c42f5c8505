//! Instrumenting components: what it adds does what it says, what it cannot reach is said, and nothing else changes.

mod hostile;
mod obstacles;
mod real;
mod state;
