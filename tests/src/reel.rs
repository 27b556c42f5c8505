//! The program `reel` as a user has it: a binary, run in a directory of its own, with both streams and the exit code looked at.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use tempfile::TempDir;

/// The path of the binary, built once a process in the profile of the tests.
pub fn reel() -> PathBuf {
    static REEL: OnceLock<PathBuf> = OnceLock::new();
    REEL.get_or_init(|| programs(&["reel"]).join("reel")).clone()
}

/// Builds programs of the workspace in the profile of the tests, and says in which directory they lie.
pub fn programs(names: &[&str]) -> PathBuf {
    let this = std::env::current_exe().expect("a test knows where it is");
    // target/<profile>/deps/<test>
    let profile = this.parent().and_then(Path::parent).expect("tests lie in a directory of the profile").to_owned();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    // The whole workspace, so that features are those of the tests and nothing is compiled twice.
    command.args(["build", "--quiet", "--workspace"]).args(names.iter().flat_map(|name| ["--bin", name]));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    if profile.file_name() != Some(OsStr::new("debug")) {
        command.arg("--release");
    }
    assert!(command.status().expect("cargo runs").success(), "building {names:?}");
    profile
}

/// What a command said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// The exit code; nothing if a signal ended it.
    pub code: Option<i32>,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { out: text(output.stdout), err: text(output.stderr), code: output.status.code() }
    }
}

impl Said {
    /// Its output, if it ended well and had nothing to say beside it.
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// What it had to say, if it ended with this code and no output.
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{}", self.err);
        self.err
    }

    /// Holds exit code and both streams against what is expected.
    #[track_caller]
    pub fn is(self, code: i32, out: &str, err: &str) {
        assert_eq!((self.code, self.out.as_str(), self.err.as_str()), (Some(code), out, err));
    }
}

/// No command of a test takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for the end of a command, but not for ever.
pub fn end(child: Child) -> Said {
    let id = child.id().to_string();
    let (ended, watched) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if watched.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                drop(Command::new("kill").args(["-KILL", &id]).status());
            }
        });
        let output = child.wait_with_output().expect("reel can be waited for");
        drop(ended);
        output.into()
    })
}

/// A directory in which commands are given. Its database is `.reel`.
pub struct Desk {
    dir: TempDir,
}

impl Default for Desk {
    fn default() -> Self {
        Self::new()
    }
}

impl Desk {
    /// An empty one.
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("there is room for a directory") }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a file on it.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a file lies in a directory")).expect("directory");
        std::fs::write(&path, bytes).expect("file");
        path
    }

    /// Puts a guest on it, from WebAssembly text.
    pub fn guest(&self, name: &str, wat: &str) -> PathBuf {
        self.file(name, wat::parse_str(wat).expect("the guest is WebAssembly text"))
    }

    /// The bytes of a file on it.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).expect("the file is there")
    }

    /// A command, not started: no colours, no database but the one here, nothing to read.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(reel());
        command.args(args).current_dir(self.path()).stdin(Stdio::null());
        command.env_remove("REEL_DB").env_remove("REEL_LOG").env("NO_COLOR", "1");
        command
    }

    /// Gives a command and waits for its end.
    pub fn reel(&self, args: &[&str]) -> Said {
        end(self.spawn(&mut self.command(args)))
    }

    /// Gives a command that reads these bytes.
    pub fn reel_reading(&self, args: &[&str], input: &[u8]) -> Said {
        let mut child = self.spawn(self.command(args).stdin(Stdio::piped()));
        let mut stdin = child.stdin.take().expect("piped");
        std::thread::scope(|scope| {
            // It may end before it has read all.
            scope.spawn(move || drop(stdin.write_all(input)));
            end(child)
        })
    }

    /// Starts a command with both streams kept.
    pub fn spawn(&self, command: &mut Command) -> Child {
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("reel starts")
    }
}
