//! What is told: values and runs, and how one led to the other.

use std::fmt;

use reel_abi::id::{RunId, Seq, SpaceName, Version, WallTime};

use crate::runtime::past::Subject;

/// How much is told.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Steps from value to value.
    pub depth: usize,
    /// Nodes in all.
    pub nodes: usize,
    /// What leads to, or comes from, one node.
    pub each: usize,
    /// Runs whose events are looked at.
    pub runs: usize,
}

/// What a value is called in its space.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// A path, without `/` at its ends.
    Path(String),
    /// A key of a bucket.
    Key(Vec<u8>, Vec<u8>),
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A value, since a version.
    Value {
        /// The space in which it was written, or is absent.
        space: SpaceName,
        /// Its name.
        name: Name,
        /// The version that it is part of; nothing if it was never there.
        version: Option<Version>,
        /// When that was made.
        at: Option<WallTime>,
        /// Through which forks and rollbacks it came, in words.
        through: Vec<String>,
    },
    /// A run, up to or from an event.
    Run {
        /// The run.
        run: RunId,
        /// Its space.
        space: SpaceName,
        /// What it was called.
        program: String,
        /// The event.
        seq: Option<Seq>,
        /// What came from outside to begin it, in words.
        asked: Option<String>,
    },
    /// What cannot be told any more, and why.
    Gone {
        /// Why.
        why: String,
    },
}

/// What leads from a node to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// How, in words.
    pub how: String,
    /// To which node.
    pub to: usize,
}

/// A node with what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub what: What,
    /// What it leads to.
    pub edges: Vec<Edge>,
    /// How many more there are that are not told.
    pub more: usize,
    /// Whether it was left alone because it is as deep as was asked for.
    pub deep: bool,
}

/// All of it. The first node is what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Runs that could have read it and were not looked at, because they were too many.
    pub unseen: usize,
}

impl Graph {
    /// Adds a node, or finds it; says whether it is new.
    pub(super) fn add(&mut self, what: What) -> (usize, bool) {
        if let Some(known) = self.nodes.iter().position(|node| node.what == what) {
            return (known, false);
        }
        self.nodes.push(Node { what, edges: Vec::new(), more: 0, deep: false });
        (self.nodes.len() - 1, true)
    }

    /// Adds an edge, once.
    pub(super) fn join(&mut self, from: usize, how: String, to: usize) {
        let edges = &mut self.nodes[from].edges;
        if !edges.iter().any(|edge| edge.to == to && edge.how == how) {
            edges.push(Edge { how, to });
        }
    }
}

impl Name {
    /// As the past asks for it.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Path(path) => Subject::Path(path.clone()),
            Self::Key(bucket, key) => Subject::Key { bucket: bucket.clone(), key: key.clone() },
        }
    }
}

/// For the command line, which must still make it safe to show.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "/{path}"),
            Self::Key(bucket, key) => {
                write!(f, "{}/{}", String::from_utf8_lossy(bucket), String::from_utf8_lossy(key))
            }
        }
    }
}
