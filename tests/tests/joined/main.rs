//! Calls from guest to guest are parts of the caller's transaction: both commit or neither.

mod bounds;
mod callers;
mod crashes;
mod isolation;
mod together;
