//! What a guest is given of the host: directories and environment variables, and nothing that is not named.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use reel_abi::outcome::DirGrant;

use super::exit::Exit;
use super::failure::Failure;
use crate::port::HostDir;
use crate::world::hostdir::GrantedDir;
use crate::world::{disk, process};

/// `HOST::GUEST[:ro]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirArg {
    host: PathBuf,
    guest: String,
    read_only: bool,
}

impl FromStr for DirArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; write HOST::GUEST or HOST::GUEST:ro, for example ./data::/data:ro");
        let (host, guest) = text.rsplit_once("::").ok_or_else(|| wrong("there is no `::`"))?;
        let (guest, read_only) = match guest.strip_suffix(":ro") {
            Some(guest) => (guest, true),
            None => (guest, false),
        };
        match (host, guest) {
            // Not a directory called `HOST:`, which would be granted as `ro`.
            _ if text.ends_with(":::ro") => Err(wrong("the guest's path is missing")),
            ("", _) => Err(wrong("the host directory is missing")),
            (_, "") => Err(wrong("the guest's path is missing")),
            _ if guest.contains('\0') => Err(wrong("the guest's path holds a zero byte")),
            _ => Ok(Self { host: host.into(), guest: guest.to_owned(), read_only }),
        }
    }
}

/// `NAME=VALUE`, or `NAME` to hand on the host's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvArg {
    /// Set to this.
    Set(String, String),
    /// As it is set on the host.
    HandOn(String),
}

impl FromStr for EnvArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        if name.is_empty() {
            return Err("the variable's name is missing; write NAME=VALUE, or NAME to hand on the host's value".into());
        }
        Ok(match value {
            Some(value) => Self::Set(name.to_owned(), value.to_owned()),
            None => Self::HandOn(name.to_owned()),
        })
    }
}

/// The guest's environment: what is given, each name once, the last one counts.
pub fn environment(args: &[EnvArg]) -> Result<Vec<(String, String)>, Failure> {
    let mut env: Vec<(String, String)> = Vec::new();
    for arg in args {
        let (name, value) = match arg {
            EnvArg::Set(name, value) => (name, value.clone()),
            EnvArg::HandOn(name) => {
                let value = process::env_os(name).ok_or_else(|| {
                    Failure::usage(format!("--env {name}: it is not set here"))
                        .hint(format!("give the value: --env {name}=VALUE"))
                })?;
                let value = value.into_string();
                (name, value.map_err(|_| Failure::usage(format!("--env {name}: its value is not UTF-8 text")))?)
            }
        };
        env.retain(|(known, _)| known != name);
        env.push((name.clone(), value));
    }
    Ok(env)
}

/// The directories as they are recorded.
pub fn directories(args: &[DirArg]) -> Result<Vec<DirGrant>, Failure> {
    let mut grants: Vec<DirGrant> = Vec::new();
    for DirArg { host, guest, read_only } in args {
        let failed = |what: &str| Failure::new(Exit::UNFIT, format!("--dir {}: {what}", host.display()));
        let absolute = process::absolute(host).map_err(|e| failed(&super::failure::plain(&e)))?;
        let absolute = absolute.into_os_string().into_string();
        let absolute = absolute.map_err(|_| failed("the path is not UTF-8 text, so that the log cannot hold it"))?;
        if grants.iter().any(|known| known.guest == *guest) {
            return Err(Failure::usage(format!("--dir: two directories are laid at the guest's {guest}")));
        }
        grants.push(DirGrant { host: absolute, guest: guest.clone(), read_only: *read_only });
    }
    Ok(grants)
}

/// Opens the directories of a run.
pub fn open(grants: &[DirGrant]) -> Result<Vec<Box<dyn HostDir>>, Failure> {
    grants.iter().map(open_one).collect()
}

fn open_one(grant: &DirGrant) -> Result<Box<dyn HostDir>, Failure> {
    let path = Path::new(&grant.host);
    let dir = GrantedDir::open(path);
    let dir = dir.map_err(|e| Failure::file(Exit::UNFIT, "grant the directory", path, &e))?;
    if !disk::is_readable(path) {
        return Err(Failure::new(Exit::UNFIT, format!("cannot grant the directory {}: it cannot be read", grant.host)));
    }
    if !grant.read_only && !disk::is_writable(path) {
        let what = format!("cannot grant the directory {}: it cannot be written to", grant.host);
        return Err(Failure::new(Exit::UNFIT, what).hint("`:ro` behind it grants it for reading only"));
    }
    Ok(Box::new(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_as_they_are_written() {
        let dir: DirArg = "./a::b::/data:ro".parse().expect("a grant");
        assert_eq!(dir, DirArg { host: "./a::b".into(), guest: "/data".into(), read_only: true });
        for bad in ["", "data", "data:/data", "::/data", "data::", "data:::ro", "a::b\0"] {
            assert!(bad.parse::<DirArg>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_last_value_of_a_name_counts() {
        let args: Vec<EnvArg> = ["A=1", "B=", "A=x=y"].iter().map(|a| a.parse().expect("a variable")).collect();
        let env = environment(&args).expect("set");
        assert_eq!(env, [("B".to_owned(), String::new()), ("A".to_owned(), "x=y".to_owned())]);
        assert!("=x".parse::<EnvArg>().is_err());
    }
}
