//! From a path to a node, without ever leaving the directory it starts in.
//!
//! The rules are those of `wasi:filesystem`: no absolute paths, `..` and symbolic links only as long as they stay below the descriptor's
//! directory, and an absolute link target is an attempt to leave.

use std::collections::VecDeque;

use reel_abi::types::{FsCode, NodeKind};

use super::fault::FileResult;
use super::node::Entry;
use super::tree::Tree;
use crate::gate::Gate;

/// Longest name, in bytes (POSIX `NAME_MAX`).
const NAME_BYTES: usize = 255;

/// Longest path, in bytes (POSIX `PATH_MAX`).
const PATH_BYTES: usize = 4096;

/// Links followed in one path (Linux: 40); stops a circle of links.
const LINKS: u32 = 40;

/// Where a path leads.
#[derive(Debug)]
pub enum Target {
    /// A directory reached by `.` or `..` or the empty remainder of a path: it has no name here.
    Dir(u64),
    /// A name in a directory.
    Name {
        /// The directory.
        dir: u64,
        /// The name.
        name: String,
        /// What it means now, if anything.
        entry: Option<Entry>,
        /// Whether the path ended in `/`, so that only a directory will do.
        slash: bool,
    },
}

impl Target {
    /// The node, which must exist.
    pub fn existing(&self) -> FileResult<(u64, NodeKind)> {
        match self {
            Self::Dir(node) => Ok((*node, NodeKind::Directory)),
            Self::Name { entry: None, .. } => Err(FsCode::NoEntry.into()),
            Self::Name { entry: Some(entry), slash, .. } => {
                if *slash && entry.kind != NodeKind::Directory {
                    return Err(FsCode::NotDirectory.into());
                }
                Ok((entry.node, entry.kind))
            }
        }
    }
}

/// Walks from the directory `base`. `follow` says whether a symbolic link in the last place is followed.
pub fn resolve(tree: &mut Tree, gate: &mut Gate, base: u64, path: &str, follow: bool) -> FileResult<Target> {
    if path.is_empty() {
        return Err(FsCode::NoEntry.into());
    }
    if path.len() > PATH_BYTES {
        return Err(FsCode::NameTooLong.into());
    }
    if path.contains('\0') {
        return Err(FsCode::Invalid.into());
    }
    if path.starts_with('/') {
        return Err(FsCode::NotPermitted.into());
    }
    let mut rest: VecDeque<String> = parts(path).collect();
    let mut slash = path.ends_with('/');
    let mut stack = vec![base];
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        let dir = *stack.last().unwrap_or(&base);
        match part.as_str() {
            "." => continue,
            ".." => {
                stack.pop();
                if stack.is_empty() {
                    return Err(FsCode::NotPermitted.into());
                }
                continue;
            }
            name if name.len() > NAME_BYTES => return Err(FsCode::NameTooLong.into()),
            _ => {}
        }
        let last = rest.is_empty();
        let entry = tree.lookup(gate, dir, &part)?;
        match entry.as_ref().map(|entry| entry.kind) {
            Some(NodeKind::Symlink) if !last || follow || slash => {
                links += 1;
                if links > LINKS {
                    return Err(FsCode::Loop.into());
                }
                let target = match entry {
                    Some(entry) => tree.node(gate, entry.node)?.target.clone(),
                    None => String::new(),
                };
                if target.starts_with('/') {
                    return Err(FsCode::NotPermitted.into());
                }
                if target.is_empty() {
                    return Err(FsCode::NoEntry.into());
                }
                slash |= last && target.ends_with('/');
                for part in parts(&target).rev() {
                    rest.push_front(part);
                }
            }
            _ if last => return Ok(Target::Name { dir, name: part, entry, slash }),
            Some(NodeKind::Directory) => stack.extend(entry.map(|entry| entry.node)),
            Some(_) => return Err(FsCode::NotDirectory.into()),
            None => return Err(FsCode::NoEntry.into()),
        }
    }
    Ok(Target::Dir(*stack.last().unwrap_or(&base)))
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = String> + '_ {
    path.split('/').filter(|part| !part.is_empty()).map(str::to_owned)
}
