//! What the tests share: guests built from source, and a laboratory to run them in.

#[path = "../guests/chaos/src/lib.rs"]
pub mod chaos;
pub mod cutting;
pub mod guests;
pub mod lab;
pub mod puppet;
pub mod reel;
pub mod script;
pub mod web;

pub use reel::reel;
