//! What the author of a guest imports. Nothing of it is needed: an ordinary WASI program is a guest, and its exit code decides whether its
//! transaction commits. This crate gives the decision a name.
//!
//! Savepoints, commit points and scans will come with the interfaces in `wit/` that define them; nothing here pretends to have them.

use std::fmt::Display;
use std::io::Write;

/// Ends the program so that nothing it has written is kept: the reason goes to standard error (and so into the log), the exit code is 1.
///
/// ```no_run
/// let (debit, credit) = (100, 90);
/// if debit != credit {
///     reel_guest::abort(format_args!("the batch is off by {}", debit - credit));
/// }
/// ```
pub fn abort(reason: impl Display) -> ! {
    // If standard error is gone, the exit code still says it.
    let _ = writeln!(std::io::stderr(), "{reason}");
    std::process::exit(1)
}
