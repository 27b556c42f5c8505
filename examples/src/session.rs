//! A shown session: each command as it could be typed, and what it prints.

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A directory in which commands are run.
pub struct Session {
    reel: PathBuf,
    dir: PathBuf,
}

/// What a command did.
pub struct Done {
    command: String,
    code: Option<i32>,
    /// What it printed.
    pub stdout: String,
}

impl Session {
    /// Makes the directory anew, with the guest and the batches in it.
    pub fn begin(reel: PathBuf, dir: PathBuf, guest: &Path) -> Result<Self> {
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
        let batches = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests/ledger/batches");
        fs::create_dir_all(dir.join("batches"))?;
        for batch in fs::read_dir(batches)? {
            let batch = batch?;
            fs::copy(batch.path(), dir.join("batches").join(batch.file_name()))?;
        }
        fs::copy(guest, dir.join("ledger.wasm"))?;
        Ok(Self { reel, dir })
    }

    /// Prints a sentence.
    pub fn say(&self, text: &str) {
        println!("\n{}", if io::stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() });
    }

    /// Runs a command, shown before it as it would be typed. Its output goes where this program's goes.
    pub fn reel(&self, args: &[&str]) -> Result<Done> {
        let command = format!("reel {}", args.join(" "));
        println!("$ {command}");
        let mut reel = Command::new(&self.reel);
        reel.args(args).current_dir(&self.dir).env_remove("REEL_DB").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = reel.spawn().context("reel cannot be started")?;
        let (mut stdout, mut piece) = (Vec::new(), [0; 4096]);
        let mut pipe = child.stdout.take().context("reel has no output")?;
        loop {
            // Shown as it comes, so that it stays in order with what goes to stderr.
            let count = pipe.read(&mut piece)?;
            if count == 0 {
                break;
            }
            io::stdout().write_all(&piece[..count])?;
            io::stdout().flush()?;
            stdout.extend_from_slice(&piece[..count]);
        }
        Ok(Done { command, code: child.wait()?.code(), stdout: String::from_utf8(stdout)? })
    }

    /// Moves files into another directory, shown as a command.
    pub fn mv(&self, names: &[&str], to: &str) -> Result<()> {
        println!("$ mv {} {to}/", names.join(" "));
        fs::create_dir_all(self.dir.join(to))?;
        for name in names {
            let path = self.dir.join(name);
            let last = path.file_name().context("a path without a name")?;
            fs::rename(&path, self.dir.join(to).join(last))?;
        }
        Ok(())
    }

    /// Says where all this is.
    pub fn farewell(&self) {
        let (reel, dir) = (self.reel.display(), self.dir.display());
        self.say("That was the tour. Its files and database are still there; go on with, for example:");
        println!("cd {dir}\n{reel} log 3\n{reel} show 3@0\n{reel} --help");
    }
}

impl Done {
    /// Holds the exit code against what it should be.
    pub fn ends_with(self, code: i32) -> Result<Self> {
        ensure!(self.code == Some(code), "`{}` should end with exit code {code}, not {:?}", self.command, self.code);
        Ok(self)
    }
}
