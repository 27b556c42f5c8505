//! How lineage is shown: as a tree, as a picture for Graphviz or Mermaid, or as JSON. Every name in it may be somebody's trick.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;

use super::database::Opened;
use super::dates;
use super::escape::Safe;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json;
use super::style::Paint;
use super::when::{SpaceAt, SpacePath};
use crate::lineage::{Bounds, Graph, LineageError, Name, Node, What};
use crate::runtime::past::past;
use reel_store::Head;

/// Characters of a name or of what was asked that are shown.
const SHOWN: usize = 80;

/// What `why` and `impact` have in common.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// SPACE:/PATH or SPACE:BUCKET/KEY, as it is now; with @V after it, or @WHEN after the space, as it was then
    #[arg(value_name = "SPACE:PATH|SPACE:BUCKET/KEY[@V]")]
    what: String,
    /// How many values back or forth
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=64))]
    depth: u8,
    /// What is told of one run or value at most; of more, how many there are
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    each: u32,
    /// As a picture for Graphviz
    #[arg(long, conflicts_with_all = ["mermaid", "json"])]
    dot: bool,
    /// As a picture for Mermaid
    #[arg(long, conflicts_with = "json")]
    mermaid: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Values and runs that are told at most.
const NODES: usize = 2000;

/// Runs whose events are looked at.
const RUNS: usize = 100_000;

/// What was asked for.
pub struct Asked {
    /// The space and the moment.
    pub at: SpaceAt,
    /// The version.
    pub head: Head,
    /// The name.
    pub name: Name,
}

impl Args {
    /// The bounds.
    pub fn bounds(&self) -> Bounds {
        Bounds { depth: usize::from(self.depth), nodes: NODES, each: self.each as usize, runs: RUNS }
    }

    /// What was asked for.
    pub fn asked(&self, database: &Opened) -> Result<Asked, Failure> {
        let store = &database.store;
        let mut text = self.what.as_str();
        let mut parsed: SpacePath = text.parse().map_err(Failure::usage)?;
        let mut version = None;
        if let (None, Some((before, digits))) = (&parsed.at.when, text.rsplit_once('@'))
            && !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && let Ok(shorter) = before.parse::<SpacePath>()
        {
            (text, parsed) = (before, shorter);
            version = Some(digits.parse().map_err(Failure::usage)?);
        }
        let at = SpaceAt { when: version.or(parsed.at.when), space: parsed.at.space };
        let head = at.head(store)?;
        let path = Name::Path(parsed.path.clone());
        let rooted = text.trim_end_matches('/').strip_suffix(&parsed.path).is_none_or(|before| before.ends_with('/'));
        let key = parsed.path.split_once('/').filter(|_| !rooted);
        let Some((bucket, key)) = key else { return Ok(Asked { at, head, name: path }) };
        let key = Name::Key(bucket.as_bytes().to_vec(), key.as_bytes().to_vec());
        let was_there = |name: &Name| past(store, &at.space, head, &name.subject(), 1).map(|steps| !steps.is_empty());
        let failed = |error| failed(LineageError::from(error));
        let name = if was_there(&key).map_err(failed)? || !was_there(&path).map_err(failed)? { key } else { path };
        Ok(Asked { at, head, name })
    }

    /// Shows it.
    pub fn show(&self, asked: &Asked, graph: &Graph, verb: &str, io: &mut Io<'_>) -> Result<Exit, Failure> {
        if let Some(Node { what: What::Value { version: None, .. }, .. }) = graph.nodes.first() {
            let name = asked.name.to_string();
            return Err(Failure::not_found(format!("{}: nothing ever was at {name}", asked.at)));
        }
        if self.json {
            json::line(io.out, &Json::of(graph))?;
        } else if self.dot {
            io.out.write_all(dot(graph, verb).as_bytes())?;
        } else if self.mermaid {
            io.out.write_all(mermaid(graph).as_bytes())?;
        } else {
            tree(io.out, graph, Paint(io.look.out_colour))?;
        }
        if graph.unseen > 0 {
            io.warn(&format!("{} later runs were not looked at", graph.unseen));
        }
        Ok(Exit::OK)
    }
}

/// The page for what cannot be told.
pub fn failed(error: LineageError) -> Failure {
    match error {
        LineageError::Read(error) => error.into(),
        LineageError::Look(_) => Failure::of(Exit::DATABASE, &error),
        LineageError::Stopped => Failure::new(Exit::INTERRUPTED, error.to_string()),
    }
}

/// A node in one line, safe to show.
fn line(what: &What) -> String {
    match what {
        What::Value { space, name, version, at, through } => {
            let name = shown(&name.to_string());
            let mut text = match (version, at) {
                (Some(version), Some(at)) => format!("{name} of {space}@{version}, {}", dates::short(at.0)),
                _ => format!("{name} of {space}: was not there"),
            };
            for through in through {
                let _ = write!(text, "; {}", Safe(through));
            }
            text
        }
        What::Run { run, space, program, seq, asked } => {
            let program = shown(program.rsplit('/').next().unwrap_or(program));
            let place = seq.map_or_else(|| format!("run {run}"), |seq| format!("run {run} at {run}@{seq}"));
            let asked = asked.as_ref().map(|asked| format!(": {}", shown(asked))).unwrap_or_default();
            format!("{place} in {space} ({program}){asked}")
        }
        What::Gone { why } => shown(why),
    }
}

/// Text of somebody else, cut and safe.
fn shown(text: &str) -> String {
    let safe = Safe(text).to_string();
    match safe.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", &safe[..at]),
        None => safe,
    }
}

/// What is not told of a node.
fn rest(node: &Node) -> Option<String> {
    match (node.more, node.deep) {
        (0, false) => None,
        (0, true) => Some("\u{2026} deeper than was asked for".to_owned()),
        (more, _) => Some(format!("\u{2026} {more} more")),
    }
}

fn tree(out: &mut dyn io::Write, graph: &Graph, paint: Paint) -> io::Result<()> {
    let Some(first) = graph.nodes.first() else { return Ok(()) };
    writeln!(out, "{}", paint.bold(&line(&first.what)))?;
    let mut told = vec![false; graph.nodes.len()];
    told[0] = true;
    branches(out, graph, 0, "", &mut told, paint)
}

fn branches(
    out: &mut dyn io::Write,
    graph: &Graph,
    at: usize,
    indent: &str,
    told: &mut [bool],
    paint: Paint,
) -> io::Result<()> {
    let node = &graph.nodes[at];
    let rest = rest(node);
    for (index, edge) in node.edges.iter().enumerate() {
        let is_last = index + 1 == node.edges.len() && rest.is_none();
        let (mark, below) = if is_last { ("`- ", "   ") } else { ("|- ", "|  ") };
        let again = std::mem::replace(&mut told[edge.to], true);
        let to = &graph.nodes[edge.to];
        let above = if again && !to.edges.is_empty() { paint.dim(" (see above)").to_string() } else { String::new() };
        writeln!(out, "{indent}{mark}{} {}{above}", paint.dim(&Safe(&edge.how).to_string()), line(&to.what))?;
        if !again {
            branches(out, graph, edge.to, &format!("{indent}{below}"), told, paint)?;
        }
    }
    match rest {
        Some(rest) => writeln!(out, "{indent}`- {}", paint.dim(&rest)),
        None => Ok(()),
    }
}

/// A text in quotes, as Graphviz reads it.
fn dot_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn dot(graph: &Graph, verb: &str) -> String {
    let mut text = format!("digraph {verb} {{\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n");
    for (index, node) in graph.nodes.iter().enumerate() {
        let shape = if matches!(node.what, What::Run { .. }) { "box" } else { "ellipse" };
        let rest = rest(node).map(|rest| format!(" ({rest})")).unwrap_or_default();
        let label = dot_text(&format!("{}{rest}", line(&node.what)));
        let _ = writeln!(text, "  n{index} [shape={shape}, label={label}];");
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        for edge in &node.edges {
            let label = dot_text(&Safe(&edge.how).to_string());
            let _ = writeln!(text, "  n{index} -> n{} [label={label}];", edge.to);
        }
    }
    text.push_str("}\n");
    text
}

/// A text as Mermaid reads it in quotes: whatever could mean something to it is a number.
fn mermaid_text(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            c if c.is_alphanumeric() || matches!(c, ' ' | '.' | ',' | '_' | '-' | '/' | ':') => safe.push(c),
            c => drop(write!(safe, "#{};", u32::from(c))),
        }
    }
    safe
}

fn mermaid(graph: &Graph) -> String {
    let mut text = String::from("flowchart LR\n");
    for (index, node) in graph.nodes.iter().enumerate() {
        let rest = rest(node).map(|rest| format!(" ({rest})")).unwrap_or_default();
        let label = mermaid_text(&format!("{}{rest}", line(&node.what)));
        let (open, close) = if matches!(node.what, What::Run { .. }) { ("[", "]") } else { ("([", "])") };
        let _ = writeln!(text, "  n{index}{open}\"{label}\"{close}");
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        for edge in &node.edges {
            let _ = writeln!(text, "  n{index} -->|\"{}\"| n{}", mermaid_text(&edge.how), edge.to);
        }
    }
    text
}

#[derive(Serialize)]
struct Json<'a> {
    nodes: Vec<JsonNode<'a>>,
    unseen_runs: usize,
}

#[derive(Serialize)]
struct JsonNode<'a> {
    id: usize,
    kind: &'static str,
    space: Option<&'a str>,
    path: Option<&'a str>,
    bucket: Option<String>,
    key: Option<String>,
    version: Option<u64>,
    through: &'a [String],
    run: Option<u64>,
    seq: Option<u64>,
    program: Option<&'a str>,
    asked: Option<&'a str>,
    why: Option<&'a str>,
    edges: Vec<JsonEdge<'a>>,
    more: usize,
    deep: bool,
}

#[derive(Serialize)]
struct JsonEdge<'a> {
    how: &'a str,
    to: usize,
}

impl<'a> Json<'a> {
    fn of(graph: &'a Graph) -> Self {
        let nodes = graph.nodes.iter().enumerate().map(|(id, node)| JsonNode::of(id, node)).collect();
        Self { nodes, unseen_runs: graph.unseen }
    }
}

impl<'a> JsonNode<'a> {
    fn of(id: usize, node: &'a Node) -> Self {
        let edges = node.edges.iter().map(|edge| JsonEdge { how: &edge.how, to: edge.to }).collect();
        let mut json = Self {
            id,
            kind: "gone",
            space: None,
            path: None,
            bucket: None,
            key: None,
            version: None,
            through: &[],
            run: None,
            seq: None,
            program: None,
            asked: None,
            why: None,
            edges,
            more: node.more,
            deep: node.deep,
        };
        match &node.what {
            What::Value { space, name, version, through, .. } => {
                (json.kind, json.space, json.through) = ("value", Some(space.as_str()), through);
                json.version = version.map(|version| version.0);
                match name {
                    Name::Path(path) => json.path = Some(path),
                    Name::Key(bucket, key) => {
                        json.bucket = Some(String::from_utf8_lossy(bucket).into_owned());
                        json.key = Some(String::from_utf8_lossy(key).into_owned());
                    }
                }
            }
            What::Run { run, space, program, seq, asked } => {
                (json.kind, json.space, json.run) = ("run", Some(space.as_str()), Some(run.0));
                (json.seq, json.program) = (seq.map(|seq| seq.0), Some(program.as_str()));
                json.asked = asked.as_deref();
            }
            What::Gone { why } => json.why = Some(why),
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::Edge;

    fn graph(name: &str) -> Result<Graph, Box<dyn std::error::Error>> {
        let value = What::Value {
            space: "s".parse()?,
            name: Name::Key(b"b".to_vec(), name.as_bytes().to_vec()),
            version: Some(reel_abi::id::Version(1)),
            at: Some(reel_abi::id::WallTime(0)),
            through: vec![name.to_owned()],
        };
        let run = What::Run {
            run: reel_abi::id::RunId(1),
            space: "s".parse()?,
            program: name.to_owned(),
            seq: None,
            asked: Some(name.to_owned()),
        };
        let node = |what, edges| Node { what, edges, more: 3, deep: false };
        let edge = Edge { how: name.to_owned(), to: 1 };
        Ok(Graph { nodes: vec![node(value, vec![edge]), node(run, vec![])], unseen: 0 })
    }

    /// No name ends a quote, a line or a node.
    #[test]
    fn hostile_names_stay_names() -> Result<(), Box<dyn std::error::Error>> {
        let hostile = "a\"];\nn9 -> n8 [label=\"\\\" \u{1b}[31m </script> #quot; | --> \u{202e}";
        let graph = graph(hostile)?;
        let dot = dot(&graph, "why");
        assert_eq!(dot.lines().count(), 7, "{dot}");
        for line in dot.lines() {
            let mut quotes = 0;
            let mut escaped = false;
            for c in line.chars() {
                match c {
                    _ if escaped => escaped = false,
                    '\\' => escaped = true,
                    '"' => quotes += 1,
                    _ => {}
                }
            }
            assert!(quotes % 2 == 0 && !escaped, "{line}");
        }
        let mermaid = mermaid(&graph);
        assert_eq!(mermaid.lines().count(), 4, "{mermaid}");
        assert!(mermaid.lines().skip(1).all(|line| line.matches('"').count() == 2), "{mermaid}");
        let mut out = Vec::new();
        tree(&mut out, &graph, Paint(false))?;
        let tree = String::from_utf8(out)?;
        assert!(!tree.contains(['\u{1b}', '\u{202e}']) && tree.contains("3 more"), "{tree}");
        assert_eq!(tree.lines().count(), 4, "{tree}");
        Ok(())
    }
}
