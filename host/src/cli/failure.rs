//! The error page: what failed, where, why, and what to do.

use std::error::Error;
use std::io;
use std::path::Path;

use reel_store::{AppendError, OpenError, ReadError};

use super::dates;
use super::escape::SafeLines;
use super::exit::Exit;
use super::io::Io;
use super::style::Paint;
use crate::runtime::prepare::PrepareError;
use crate::runtime::replay::ReplayError;
use crate::runtime::run::RunError;

/// How the operating system says that a disk is full, in whatever chain of causes.
const FULL: &str = "No space left on device";

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    /// Nothing when there is nobody to tell: the reader of a pipe has gone.
    what: Option<String>,
    place: Option<String>,
    causes: Vec<String>,
    hint: Option<String>,
}

impl Failure {
    /// A failure with an exit code and what failed.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: Some(what.into()), place: None, causes: Vec::new(), hint: None }
    }

    /// The command line makes no sense.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::USAGE, what)
    }

    /// Something asked for does not exist.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(Exit::NOT_FOUND, what)
    }

    /// Something of the host's files went wrong.
    pub fn file(exit: Exit, doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(exit, format!("cannot {doing} {}: {}", path.display(), plain(error)))
    }

    /// An error with its chain of causes.
    pub fn of(exit: Exit, error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(exit, error.to_string());
        let mut shown = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            let text = cause.to_string();
            if !shown.contains(&text) {
                failure.causes.push(text.clone());
                shown = text;
            }
            next = cause.source();
        }
        failure
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    /// Says where, if that was not said.
    #[must_use]
    pub fn or_at(self, place: &str) -> Self {
        if self.place.is_none() && self.exit == Exit::UNFIT { self.at(place) } else { self }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With another exit code.
    #[must_use]
    pub fn with_exit(mut self, exit: Exit) -> Self {
        if self.what.is_some() {
            self.exit = exit;
        }
        self
    }

    /// The code to end with.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What failed, in one sentence.
    pub fn words(&self) -> &str {
        self.what.as_deref().unwrap_or_default()
    }

    /// Whether nobody reads any more.
    pub fn is_silent(&self) -> bool {
        self.what.is_none()
    }

    /// Writes the page.
    pub fn show(&self, io: &mut Io<'_>) {
        let Some(what) = &self.what else { return };
        let paint = Paint(io.look.err_colour);
        let mut page = format!("{} {}\n", paint.error("error:"), SafeLines(what));
        if let Some(place) = &self.place {
            page.push_str(&format!("  at {}\n", SafeLines(place)));
        }
        for cause in &self.causes {
            page.push_str(&format!("  because {}\n", SafeLines(cause)));
        }
        let full = (self.exit == Exit::DATABASE && page.contains(FULL))
            .then_some("free some space; what was committed before is safe");
        if let Some(hint) = self.hint.as_deref().or(full) {
            page.push_str(&format!("{} {}\n", paint.hint("hint:"), SafeLines(hint)));
        }
        drop(io.err.write_all(page.as_bytes()));
    }
}

/// The words of an operating system error without its number.
pub fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// Writing data failed. A reader that has gone is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { exit: Exit::OK, what: None, place: None, causes: Vec::new(), hint: None };
        }
        Self::new(Exit::HOST, format!("cannot write the output: {}", plain(&error)))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match &error {
            OpenError::NotFound { dir } => Self::new(Exit::DATABASE, format!("no database in {}", dir.display()))
                .hint("the first `reel run` makes one; `--db DIR` or REEL_DB name another place"),
            OpenError::Locked { dir, owner } => {
                let owner = if owner.is_empty() { "no name given" } else { owner };
                Self::new(Exit::DATABASE, format!("the database {} is in use by another process", dir.display()))
                    .at(owner)
                    .hint("wait for it to end, or give `--wait SECONDS`")
            }
            OpenError::Newer { .. } => Self::of(Exit::DATABASE, &error),
            OpenError::Corrupt { .. } => Self::of(Exit::DATABASE, &error),
            OpenError::Io { .. } => Self::of(Exit::DATABASE, &error),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Pruned { what, policy, at } => pruned(&what, &policy, at.0),
            ReadError::NoSuchHead(_) => Self::of(Exit::NOT_FOUND, &error),
            ReadError::Corrupt { ref file, .. } => damaged(file, &error),
            ReadError::Io { .. } | ReadError::Chain(_) => Self::of(Exit::DATABASE, &error),
        }
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        match &error {
            AppendError::Pruned { what, policy, at } => pruned(what, policy, at.0),
            AppendError::NoSuchSpace(_) | AppendError::NoSuchVersion { .. } | AppendError::NoSuchTag(_) => {
                Self::of(Exit::NOT_FOUND, &error)
            }
            AppendError::Exists { space, head } => {
                let what = format!("there is a space {space} already, at version {}", head.version);
                Self::new(Exit::EXISTS, what)
                    .hint(format!("choose another name, or give that one up with `reel spaces --remove {space}`"))
            }
            AppendError::Moved { space, expected, head } => {
                let (expected, head) = (expected.version, head.version);
                let what = format!("space {space} went on from version {expected} to {head} in this very moment");
                Self::new(Exit::CONFLICT, what)
                    .hint(format!("nothing was done; look at it (`reel history {space}`) and decide again"))
            }
            AppendError::Conflict { .. } => Self::of(Exit::CONFLICT, &error),
            AppendError::Corrupt { file, .. } => damaged(file, &error),
            AppendError::Invalid(_) | AppendError::Io { .. } | AppendError::Refused(_) => {
                Self::of(Exit::DATABASE, &error)
            }
        }
    }
}

/// A file of the database is damaged. What is derived from the log is no loss.
fn damaged(file: &Path, error: &(dyn Error + 'static)) -> Failure {
    let page = Failure::of(Exit::DATABASE, error);
    match file.file_name().is_some_and(|name| name == "state.redb") {
        true => page.hint("nothing is lost: when the database is opened next, this file is made again from the log"),
        false => page,
    }
}

/// Retention has removed what is needed.
fn pruned(what: &str, policy: &str, at: u64) -> Failure {
    Failure::not_found(format!("{what} is not kept any more"))
        .at(format!("`{policy}` removed it at {} (UTC)", dates::short(at)))
        .hint("`reel history` shows which versions are left; tags keep theirs from being removed")
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        let exit = match &error {
            PrepareError::Compile(_)
            | PrepareError::MissingImports(_)
            | PrepareError::NotACommand(_)
            | PrepareError::NotAHandler(_) => Exit::UNFIT,
            PrepareError::Engine(_) => Exit::HOST,
            PrepareError::Keep(_) | PrepareError::Read(_) | PrepareError::Damaged(..) => Exit::DATABASE,
        };
        let failure = Self::of(exit, &error);
        match &error {
            PrepareError::MissingImports(_) => {
                failure.hint("`reel inspect` lists all imports; this build provides WASI 0.2 and preview 1")
            }
            PrepareError::NotACommand(_) => {
                failure.hint("only programs with a `main` can be run; `reel deploy` takes those with other functions")
            }
            PrepareError::Damaged(..) => failure.hint("`reel verify` tells how far the damage goes"),
            _ => failure,
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Prepare(error) => error.into(),
            RunError::Read(error) => error.into(),
            RunError::Append(_) => Self::of(Exit::DATABASE, &error),
            RunError::Log(_) => Self::of(Exit::DATABASE, &error),
        }
    }
}

impl From<ReplayError> for Failure {
    fn from(error: ReplayError) -> Self {
        let page = match error {
            ReplayError::NoSuchRun(run) => return no_such_run(run),
            ReplayError::NoSuchEvent { .. } => return Self::not_found(error.to_string()),
            ReplayError::Prepare(error) => error.into(),
            ReplayError::Read(error) => error.into(),
            ReplayError::Run(error) => return error.into(),
            ReplayError::Wake(error) => error.into(),
            ReplayError::Failed(_) | ReplayError::Over(_) => Self::of(Exit::NO_REPLAY, &error),
        };
        page.with_exit(Exit::NO_REPLAY)
    }
}

/// There is no such run.
pub fn no_such_run(run: reel_abi::id::RunId) -> Failure {
    Failure::not_found(format!("there is no run {run} in this database")).hint("`reel runs` lists them")
}
