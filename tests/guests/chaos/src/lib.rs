//! A script of operations on files, buckets and the transaction, of chance, time and output, executed below a directory. Everything that can be
//! observed is printed, so that two executions on equal states print the same, whatever runs them.
//!
//! A bucket or a key is written as it is, or as `-` (no bytes), `x:00ff` (bytes in hexadecimal) or `l:4096` (so many letters).

#[cfg(target_family = "wasm")]
pub mod guest;
mod keyvalue;
#[cfg(not(target_family = "wasm"))]
pub mod model;
pub mod space;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use space::Space;

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With an exit code.
    Exit(u8),
    /// By asking for a trap.
    Trap,
    /// By asking for an abort.
    Abort,
}

/// Executes a script, one operation a line.
pub fn execute(script: &str, root: &Path, space: &mut dyn Space, out: &mut dyn Write) -> io::Result<End> {
    let mut memory: Vec<Vec<u8>> = Vec::new();
    for line in script.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((operation, arguments)) = words.split_first() else { continue };
        let path = |index: usize| -> PathBuf { root.join(arguments.get(index).copied().unwrap_or("x")) };
        let number = |index: usize| arguments.get(index).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        let result: io::Result<String> = match *operation {
            "write" => fs::write(path(0), pattern(number(1), number(2))).map(|()| String::new()),
            "append" => OpenOptions::new()
                .append(true)
                .create(true)
                .open(path(0))
                .and_then(|mut file| file.write_all(&pattern(number(1), number(2))))
                .map(|()| String::new()),
            "patch" => patch(&path(0), number(1), &pattern(number(2), number(3))),
            "read" => fs::read(path(0)).map(|bytes| format!("{} {:016x}", bytes.len(), hash(&bytes))),
            "part" => part(&path(0), number(1), number(2)),
            "size" => OpenOptions::new()
                .write(true)
                .open(path(0))
                .and_then(|file| file.set_len(number(1)))
                .map(|()| String::new()),
            "stat" => fs::symlink_metadata(path(0)).map(|meta| describe(&meta)),
            "mkdir" => fs::create_dir(path(0)).map(|()| String::new()),
            "rmdir" => fs::remove_dir(path(0)).map(|()| String::new()),
            "unlink" => fs::remove_file(path(0)).map(|()| String::new()),
            "rename" => fs::rename(path(0), path(1)).map(|()| String::new()),
            "link" => fs::hard_link(path(0), path(1)).map(|()| String::new()),
            "list" => list(&path(0)),
            "unlinked" => unlinked(&path(0)),
            "print" => Ok(arguments.join(" ")),
            "grow" => {
                memory.push(vec![number(1) as u8; (number(0) as usize) << 10]);
                Ok(String::new())
            }
            // What differs between two executions: only a replay prints the same.
            "time" => Ok(format!("{:?}", std::time::SystemTime::now())),
            "chance" => Ok(format!("{:?}", std::collections::hash_map::RandomState::new())),
            "draw" => Ok(format!("{:016x}", draw())),
            "nap" => {
                std::thread::sleep(std::time::Duration::from_micros(number(0)));
                Ok(String::new())
            }
            "exit" => return Ok(End::Exit(number(0) as u8)),
            "trap" => return Ok(End::Trap),
            "abort" => {
                space.abort(&arguments.join(" "));
                return Ok(End::Abort);
            }
            other => match keyvalue::execute(other, arguments, space) {
                Some(Ok(text)) => Ok(text),
                Some(Err(fault)) => {
                    writeln!(out, "{line}: {fault}")?;
                    continue;
                }
                None => Ok(format!("what is {other}?")),
            },
        };
        match result {
            Ok(text) => writeln!(out, "{line}: ok {text}")?,
            Err(error) => writeln!(out, "{line}: {}", word(&error))?,
        }
    }
    Ok(End::Exit(0))
}

/// The error's kind, as far as POSIX fixes it.
fn word(error: &io::Error) -> String {
    // The standard library gives some codes of WASI no kind.
    if cfg!(target_os = "wasi") {
        match error.raw_os_error() {
            Some(10) => return "ResourceBusy".into(),
            Some(31) => return "IsADirectory".into(),
            Some(54) => return "NotADirectory".into(),
            Some(55) => return "DirectoryNotEmpty".into(),
            _ => {}
        }
    }
    format!("{:?}", error.kind())
}

fn patch(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<String> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)?;
    Ok(String::new())
}

fn part(path: &Path, offset: u64, len: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into()); // whether a directory can be sought in is nobody's business
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    Ok(format!("{} {:016x}", bytes.len(), hash(&bytes)))
}

/// A file that has lost its name is still there for who has it open.
fn unlinked(path: &Path) -> io::Result<String> {
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    file.write_all(b"still here")?;
    fs::remove_file(path)?;
    file.rewind()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

fn list(path: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        names.push(format!("{}:{}", entry.file_name().to_string_lossy(), kind(entry.file_type()?)));
    }
    names.sort();
    Ok(names.join(","))
}

fn describe(meta: &fs::Metadata) -> String {
    match meta.is_file() {
        true => format!("file {}", meta.len()),
        false => kind(meta.file_type()).to_owned(),
    }
}

fn kind(ty: fs::FileType) -> &'static str {
    match ty {
        _ if ty.is_dir() => "dir",
        _ if ty.is_symlink() => "link",
        _ => "file",
    }
}

fn pattern(len: u64, seed: u64) -> Vec<u8> {
    (0..len).map(|index| (index.wrapping_mul(seed | 1).wrapping_add(seed) >> 3) as u8).collect()
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn draw() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
