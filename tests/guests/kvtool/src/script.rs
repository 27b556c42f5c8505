//! Where operations come from: first the arguments, then standard input.

use std::collections::VecDeque;
use std::io::BufRead;

/// The operations that are still to come.
pub struct Script(VecDeque<String>);

impl Script {
    /// With these before those of standard input.
    pub fn new(arguments: Vec<String>) -> Self {
        Self(arguments.into())
    }

    /// Waits for the next one; nothing at the end of the input.
    pub fn next(&mut self) -> Option<String> {
        if let Some(operation) = self.0.pop_front() {
            return Some(operation);
        }
        let mut line = String::new();
        match std::io::stdin().lock().read_line(&mut line) {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }
}
