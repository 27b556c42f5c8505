//! Limits on the command line: one flag for each of [`reel_abi::limits::Limits`], which the run's begin event records.

use clap::Args;
use reel_abi::limits::Limits;

use super::failure::Failure;
use super::units::{Count, Size, Span};
use crate::engine::config::STACK_MAX_BYTES;

macro_rules! default {
    ($unit:ident, $field:ident) => {
        $unit(Limits::default().$field)
    };
}

/// Bounds of a run.
#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "Limits (reaching one ends the run, which is rolled back; the guest is told instead where that is said)"
)]
pub struct LimitArgs {
    /// All linear memories together
    #[arg(long, value_name = "BYTES", default_value_t = default!(Size, memory_bytes))]
    memory: Size,
    /// Elements of all tables together
    #[arg(long, value_name = "COUNT", default_value_t = default!(Count, table_elements))]
    table_elements: Count,
    /// Wall-clock time of the whole run
    #[arg(long, value_name = "TIME", default_value_t = Span { millis: Limits::default().deadline_millis })]
    deadline: Span,
    /// Host calls
    #[arg(long, value_name = "COUNT", default_value_t = default!(Count, host_calls))]
    host_calls: Count,
    /// Events as they are encoded, before compression
    #[arg(long, value_name = "BYTES", default_value_t = default!(Size, logged_bytes))]
    logged_bytes: Size,
    /// File content, stdout, stderr, keys and values written; in buckets, a write beyond it fails
    #[arg(long, value_name = "BYTES", default_value_t = default!(Size, written_bytes))]
    written_bytes: Size,
    /// Files, streams and the like open at once
    #[arg(long, value_name = "COUNT", default_value_t = default!(Count, open_handles))]
    open_handles: Count,
    /// The guest's stack
    #[arg(long, value_name = "BYTES", default_value_t = default!(Size, stack_bytes))]
    stack: Size,
    /// Files and directories of the space, and as many keys in its buckets, where a write beyond it fails
    #[arg(long, value_name = "COUNT", default_value_t = default!(Count, space_files))]
    space_files: Count,
    /// One file; a write beyond it fails
    #[arg(long, value_name = "BYTES", default_value_t = default!(Size, file_bytes))]
    file_bytes: Size,
}

/// Least stack that an engine is set up for.
const STACK_MIN_BYTES: u64 = 16 << 10;

impl LimitArgs {
    /// The limits.
    pub fn limits(&self) -> Result<Limits, Failure> {
        if !(STACK_MIN_BYTES..=STACK_MAX_BYTES).contains(&self.stack.0) {
            let (least, most) = (Size(STACK_MIN_BYTES), Size(STACK_MAX_BYTES));
            return Err(Failure::usage(format!("--stack {}: from {least} to {most} are possible", self.stack)));
        }
        Ok(Limits {
            memory_bytes: self.memory.0,
            table_elements: self.table_elements.0,
            deadline_millis: self.deadline.millis,
            host_calls: self.host_calls.0,
            logged_bytes: self.logged_bytes.0,
            written_bytes: self.written_bytes.0,
            open_handles: self.open_handles.0,
            stack_bytes: self.stack.0,
            space_files: self.space_files.0,
            file_bytes: self.file_bytes.0,
        })
    }
}
