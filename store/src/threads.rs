//! The store's threads have names, for those who look at the process from outside.

use std::thread::{Builder, JoinHandle};

/// Starts a thread. Like [`std::thread::spawn`] it panics if the machine has none left.
pub(crate) fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().name(name.to_owned()).spawn(f).expect("a thread can be started")
}
