//! The tables, one a file.

mod checkpoints;
mod components;
mod effects_escaped;
mod events;
mod files;
mod files_history;
mod http;
mod kv;
mod kv_history;
mod messages;
mod of_runs;
mod runs;
mod spaces;
mod transactions;
mod versions;

use super::table::Table;

/// All tables.
pub const ALL: [&Table; 13] = [
    &runs::TABLE,
    &transactions::TABLE,
    &events::TABLE,
    &files::TABLE,
    &files_history::TABLE,
    &kv::TABLE,
    &kv_history::TABLE,
    &http::TABLE,
    &messages::TABLE,
    &spaces::TABLE,
    &checkpoints::TABLE,
    &components::TABLE,
    &effects_escaped::TABLE,
];
