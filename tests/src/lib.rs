//! What the tests share: guests built from source, and a laboratory to run them in.

pub mod guests;
pub mod lab;
pub mod script;
