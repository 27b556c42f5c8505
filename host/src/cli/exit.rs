//! Exit codes: the one table. They are stable; scripts may depend on them.

use reel_abi::limits::LimitKind;
use reel_abi::outcome::Outcome;

/// How the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// All is well.
    pub const OK: Self = Self(0);
    /// The command line makes no sense.
    pub const USAGE: Self = Self(2);
    /// A replay did something else than the log says.
    pub const DIVERGED: Self = Self(10);
    /// A run cannot be replayed.
    pub const NO_REPLAY: Self = Self(11);
    /// `verify` found problems.
    pub const PROBLEMS: Self = Self(12);
    /// `retry`, or the check of a deployment: a run would become something else than it should.
    pub const OTHERWISE: Self = Self(13);
    /// The run, event, space, version, tag, path or key that was asked for does not exist, or not any more.
    pub const NOT_FOUND: Self = Self(66);
    /// What was to be made is there already, and is something else.
    pub const EXISTS: Self = Self(67);
    /// The program dropped its own transaction.
    pub const ABORTED: Self = Self(118);
    /// Other transactions committed first, and the run could not be executed again, or was too often.
    pub const CONFLICT: Self = Self(119);
    /// The database cannot be opened, read or written.
    pub const DATABASE: Self = Self(120);
    /// The guest or its settings are not fit to run.
    pub const UNFIT: Self = Self(121);
    /// The run reached one of its limits.
    pub const LIMIT: Self = Self(122);
    /// The guest trapped.
    pub const TRAP: Self = Self(123);
    /// The run reached its deadline.
    pub const DEADLINE: Self = Self(124);
    /// The host could not go on, or the run's writes have not reached the host directory.
    pub const HOST: Self = Self(125);
    /// SIGINT or SIGTERM.
    pub const INTERRUPTED: Self = Self(130);

    /// The code for the end of a guest: its own if it has one.
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Exit { code } => match (*code, *code as u8) {
                // The system passes eight bits on; a failure shall not become a success by that.
                (1.., 0) => Self(1),
                (_, low) => Self(low),
            },
            Outcome::Aborted { .. } => Self::ABORTED,
            Outcome::Trap { .. } => Self::TRAP,
            Outcome::Limit { kind: LimitKind::Deadline, .. } => Self::DEADLINE,
            Outcome::Limit { .. } => Self::LIMIT,
            Outcome::Interrupted => Self::INTERRUPTED,
            Outcome::HostFailure { .. } => Self::HOST,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// The table for `--help`.
pub const HELP: &str = "\
Exit codes:
  0         success; `run` and `resume` pass the guest's own exit code on
  2         the command line makes no sense
  10, 11    replay: diverged, cannot be replayed
  12        verify: problems were found
  13        retry, deploy --check: runs would become something else than they should
  66        no such run, event, space, version, tag, path or key; or it is no longer kept
  67        the space or tag that was to be made is there already
  118       the program dropped its own transaction
  119       other transactions came first, and the run could not be executed again, or was ten times
  120       the database is locked, damaged, of a newer format, or cannot be read or written
  121       the guest cannot be run: no WebAssembly, missing imports, no access to a directory
  122, 124  the run reached a limit, its deadline
  123       the guest trapped
  125       the host failed, or writes to a host directory are still in the outbox
  130       interrupted by SIGINT or SIGTERM";
