//! `reel retry`: what would have become of recorded runs with changed code.

mod choose;
mod json;
mod page;
mod work;

use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

pub use choose::{ChooseArgs, RunsArg};
pub use work::{To, retry};

use super::brought::Brought;
use super::database::Opened;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::program;
use super::units::Span;

/// Execute recorded runs again with changed code, each on the state of its time, and tell what would have become of them. Nothing is changed, and
/// nobody is asked: others answer as they answered then, and a request that was never made is stopped
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  reel retry 6 --with fixed.wasm
  reel retry --failed --since 7d --guest shop --with fixed.wasm --expect fixed
  reel retry last:1000 --guest shop --with fixed.wasm --allow fixed
What becomes of a run:
  same         it ends, writes, sends, answers and says the same
  fixed        it had failed, and ends well
  broken       it had ended well, and fails
  outcome      it ends in another way, as well or badly as before
  effects      it writes, sends or answers something else
  output       it says something else, and nothing more
  new-request  it wants to ask others what it had not asked them; it is stopped, and they are not asked
  cannot       it cannot be told, and why
Exit code 0: all runs are the same, or as --expect and --allow say; 13: some are not; 11: of some it cannot be told, and no others are wrong.")]
pub struct Args {
    /// Runs: 12, 10..20, last, or last:1000 for so many of the newest that are meant; all that are meant if there is a choice below
    #[arg(value_name = "RUNS")]
    runs: Vec<RunsArg>,
    /// The changed binary
    #[arg(long, value_name = "NEW.wasm")]
    with: PathBuf,
    #[command(flatten)]
    choice: ChooseArgs,
    /// What each run must become, instead of the same; several with commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',', conflicts_with = "allow")]
    expect: Vec<Word>,
    /// What runs may become beside the same; several with commas
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    allow: Vec<Word>,
    #[command(flatten)]
    how: HowArgs,
    /// Tell of runs that stay the same too
    #[arg(long)]
    all: bool,
    /// One JSON object a line, for each run and for all of them
    #[arg(long)]
    json: bool,
}

/// How runs are executed again.
#[derive(Debug, Clone, clap::Args)]
pub struct HowArgs {
    /// How long a run may compute, if its own limits do not say less
    #[arg(long, value_name = "TIME", default_value = "60s")]
    deadline: Span,
    /// Runs at once [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroU8>,
}

impl Default for HowArgs {
    fn default() -> Self {
        Self { deadline: Span { millis: 60_000 }, jobs: None }
    }
}

/// A run that may compute without end has a year.
const NO_DEADLINE: Duration = Duration::from_secs(366 * 24 * 3600);

impl HowArgs {
    fn jobs(&self) -> usize {
        self.jobs.map_or_else(cores, |jobs| usize::from(jobs.get()))
    }

    fn deadline(&self) -> Duration {
        match self.deadline.millis {
            0 => NO_DEADLINE,
            millis => Duration::from_millis(millis),
        }
    }
}

/// What can become of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Word {
    /// It ends, writes, sends, answers and says the same
    Same,
    /// It had failed, and ends well
    Fixed,
    /// It had ended well, and fails
    Broken,
    /// It ends in another way
    Outcome,
    /// It writes, sends or answers something else
    Effects,
    /// It says something else
    Output,
    /// It asks others for something else
    NewRequest,
    /// It cannot be told
    Cannot,
}

impl Word {
    fn is_word(self, word: &str) -> bool {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.is_some_and(|value| value.get_name() == word)
    }
}

/// What is asked of all runs together.
pub struct Wish<'a> {
    /// The runs.
    pub runs: &'a [RunsArg],
    /// Which of them.
    pub choice: &'a ChooseArgs,
    /// What they may become.
    pub allowed: Vec<Word>,
    /// How they are executed.
    pub how: &'a HowArgs,
    /// Tell of those too that stay the same.
    pub all: bool,
    /// As JSON.
    pub json: bool,
    /// Where it is told.
    pub to: To,
}

/// How many runs became what.
#[derive(Debug, Default)]
pub struct Tally {
    /// By word, in the order in which they came up.
    counts: Vec<(&'static str, u64)>,
    /// Runs that are not as they should be.
    wrong: u64,
    /// Of how many of those it cannot be told what they are.
    untold: u64,
    /// Runs that were overtaken, and are left out.
    overtaken: u64,
    /// Nanoseconds that all of it took.
    took: u64,
    /// Runs that were not executed, because somebody wanted no more.
    missing: u64,
}

impl Tally {
    fn add(&mut self, word: &'static str, is_allowed: bool) {
        match self.counts.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((word, 1)),
        }
        self.wrong += u64::from(!is_allowed);
        self.untold += u64::from(!is_allowed && word == "cannot");
    }

    fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    /// The code that says it.
    pub fn exit(&self) -> Exit {
        match (self.missing, self.wrong) {
            (1.., _) => Exit::INTERRUPTED,
            (0, 0) => Exit::OK,
            (0, wrong) if wrong == self.untold => Exit::NO_REPLAY,
            (0, _) => Exit::OTHERWISE,
        }
    }
}

impl Args {
    /// What it needs of the place where it was given.
    pub fn bring(&self) -> Result<Brought, Failure> {
        if self.runs.is_empty() && !self.choice.is_given() {
            return Err(Failure::usage(
                "which runs? Name them, or choose them by --guest, --failed, --since or --where",
            )
            .hint("`reel retry last:1000 --with NEW.wasm` takes the newest"));
        }
        Ok(Brought::default().with(Some(program::load(&self.with)?)))
    }
}

/// Executes the runs; the exit code says whether they are as they should be.
pub fn execute(args: &Args, mut brought: Brought, database: &Opened, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let program = brought.take_program()?;
    let allowed = match args.expect.is_empty() {
        true => [&[Word::Same], args.allow.as_slice()].concat(),
        false => args.expect.clone(),
    };
    let wish = Wish {
        runs: &args.runs,
        choice: &args.choice,
        allowed,
        how: &args.how,
        all: args.all,
        json: args.json,
        to: To::Data,
    };
    let place = program.name();
    let tally = retry(&wish, program.bytes, database, io).map_err(|failure| failure.or_at(&place))?;
    Ok(tally.exit())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).min(32)
}
