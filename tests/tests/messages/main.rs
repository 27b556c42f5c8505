//! Messages: sent with a commit, taken with a call, once, in the order of their key, whatever fails meanwhile.

mod fire;
mod handlers;
mod laws;
mod look;
#[path = "../residents/side.rs"]
#[allow(dead_code, reason = "the tests of residents use the rest of it")]
mod side;
mod standard;
mod times;
