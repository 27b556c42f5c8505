//! What the examples need beside `reel`: HTTP, as far as their clients and servers have it.

pub mod http;
