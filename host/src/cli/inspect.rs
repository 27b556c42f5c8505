//! `reel inspect`: what a binary is and what it will need, without running or compiling it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use reel_abi::id::Digest;
use serde::Serialize;

use super::escape::Safe;
use super::exit::Exit;
use super::failure::Failure;
use super::io::Io;
use super::json;
use super::program;
use super::progress::Progress;
use super::style::Paint;
use super::units;
use crate::engine::component::BinaryKind;
use crate::engine::inspect::{Inspection, inspect};
use crate::engine::instrument::{AdoptedResource, Obstacle, Plan};
use crate::engine::linking::{Import, Support};

/// Show what a binary is, what it imports and exports, and what it will need; needs no database
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The binary
    #[arg(value_name = "APP.wasm")]
    program: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Reasons of which the page shows no more.
const REASONS: usize = 3;

/// Exports of which the page shows no more.
const SHOWN: usize = 40;

/// Shows what the binary is; exit code 121 if it can be neither run nor deployed here.
pub fn execute(args: &Args, io: &mut Io<'_>) -> Result<Exit, Failure> {
    let program = program::load(&args.program)?;
    let progress = Progress::here(io.look.err_terminal);
    progress.begin(&format!("reading {}", args.program.display()));
    let found = inspect(&program.bytes);
    let digest = Digest::of(&program.bytes);
    progress.finish();
    let found = found.map_err(|e| Failure::of(Exit::UNFIT, &e).at(program.name()))?;
    let verdict = Verdict::of(&found);
    match args.json {
        true => json::line(io.out, &Json::of(&found, &program, digest, &verdict))?,
        false => page(io.out, &found, &program, digest, &verdict, Paint(io.look.out_colour))?,
    }
    Ok(if verdict.runs() || verdict.deploys { Exit::OK } else { Exit::UNFIT })
}

/// What can be done with it here.
struct Verdict {
    /// Why it cannot be run; nothing if it can.
    reason: Option<String>,
    /// Whether it can be deployed.
    deploys: bool,
}

impl Verdict {
    fn of(found: &Inspection) -> Self {
        let unfit = unfit(found);
        let deploys = unfit.is_none() && found.has_functions;
        let nothing_to_run = || {
            (!found.is_command).then(|| match found.kind {
                BinaryKind::Component => "it exports no wasi:cli/run, so that there is nothing to run".into(),
                BinaryKind::Module => "it exports no _start, so that there is nothing to run".into(),
            })
        };
        Self { reason: unfit.or_else(nothing_to_run), deploys }
    }

    fn runs(&self) -> bool {
        self.reason.is_none()
    }
}

/// Why the host cannot take it at all.
fn unfit(found: &Inspection) -> Option<String> {
    let missing = |import: &&Import| import.support == Support::Missing;
    match found.imports.iter().chain(&found.adapted).filter(missing).count() {
        0 => {}
        1 => return Some("it imports something that this host does not have".into()),
        count => return Some(format!("it imports {count} things that this host does not have")),
    }
    found.not_adaptable.clone()
}

/// What the guest will want of the host, by what it imports.
fn needs(found: &Inspection) -> Vec<&'static str> {
    let all: Vec<&Import> = found.imports.iter().chain(&found.adapted).collect();
    let wants = |prefix: &str| all.iter().any(|import| import.name.starts_with(prefix));
    let table = [
        ("wasi:filesystem/", "files: those of its space, and host directories by --dir"),
        ("wasi:cli/environment", "arguments after `--`, environment variables by --env"),
        ("wasi:cli/stdin", "standard input"),
        ("wasi:clocks/", "clocks, recorded"),
        ("wasi:random/", "random numbers, recorded"),
        ("wasi:sockets/", "the network: what --net grants of it, recorded; all else is refused"),
        ("wasi:http/", "HTTP, as far as `--net` grants it: other requests are answered with a refusal"),
    ];
    table.into_iter().filter(|(prefix, _)| wants(prefix)).map(|(_, words)| words).collect()
}

fn kind(found: &Inspection) -> &'static str {
    match found.kind {
        BinaryKind::Component => "component",
        BinaryKind::Module => "core module, for WASI preview 1",
    }
}

fn page(
    out: &mut dyn Write,
    found: &Inspection,
    program: &program::Program,
    digest: Digest,
    verdict: &Verdict,
    paint: Paint,
) -> io::Result<()> {
    let mut row = |name: &str, text: &str| writeln!(out, "{:10}{}", format!("{name}:"), Safe(text));
    row("file", &program.name())?;
    row("kind", kind(found))?;
    row("digest", &digest.to_string())?;
    row("size", &units::bytes(program.bytes.len() as u64))?;
    let code = format!("{} functions in {} core modules", found.functions, found.modules);
    row("code", &code)?;
    row("memory", &format!("{} to begin with", units::bytes(found.memory_bytes)))?;
    for (field, values) in &found.producers {
        row(if field == "processed-by" { "made by" } else { field }, &values.join(", "))?;
    }
    if let Some(found) = &found.snapshot {
        row("snapshot", &snapshot(found))?;
    }
    imports(out, "imports", &found.imports, paint)?;
    if !found.adapted.is_empty() {
        imports(out, "through the preview 1 adapter", &found.adapted, paint)?;
    }
    writeln!(out, "exports:{}", if found.exports.is_empty() { " none" } else { "" })?;
    for export in found.exports.iter().take(SHOWN) {
        writeln!(out, "  {}", Safe(export))?;
    }
    if found.exports.len() > SHOWN {
        writeln!(out, "  and {} more", found.exports.len() - SHOWN)?;
    }
    let needs = needs(found);
    writeln!(out, "needs:{}", if needs.is_empty() { " nothing" } else { "" })?;
    for need in needs {
        writeln!(out, "  {need}")?;
    }
    match &verdict.reason {
        None => writeln!(out, "{}", paint.good("it can be run here")),
        Some(_) if verdict.deploys => {
            writeln!(out, "{}", paint.good("it can be deployed here, and its functions called"))
        }
        Some(reason) => writeln!(out, "{}: {}", paint.error("it cannot be run here"), Safe(reason)),
    }
}

/// Whether images of the guest can be kept between its calls.
fn snapshot(found: &Result<Plan, Vec<Obstacle>>) -> String {
    let count = |count: usize, what: &str, plural: &str| format!("{count} {}", if count == 1 { what } else { plural });
    match found {
        Ok(plan) => format!(
            "yes ({}, {}, {})",
            count(plan.globals, "global", "globals"),
            count(plan.resources.len(), "resource type", "resource types"),
            count(plan.memories.len(), "memory", "memories")
        ),
        Err(obstacles) => {
            let mut reasons: Vec<_> = obstacles.iter().take(REASONS).map(ToString::to_string).collect();
            if obstacles.len() > REASONS {
                reasons.push(format!("and {} more", obstacles.len() - REASONS));
            }
            format!("no, served by replay: {}", reasons.join("; "))
        }
    }
}

fn imports(out: &mut dyn Write, title: &str, imports: &[Import], paint: Paint) -> io::Result<()> {
    writeln!(out, "{title}:{}", if imports.is_empty() { " none" } else { "" })?;
    for Import { name, support } in imports {
        let (word, support) = (words(*support), *support);
        let padded = format!("{word:12}");
        let word = match support {
            Support::Provided => paint.good(&padded),
            Support::NotGranted => paint.warning(&padded),
            Support::Missing => paint.error(&padded),
        };
        writeln!(out, "  {word} {}", Safe(name))?;
    }
    Ok(())
}

fn words(support: Support) -> &'static str {
    match support {
        Support::Provided => "provided",
        Support::NotGranted => "not granted",
        Support::Missing => "missing",
    }
}

#[derive(Serialize)]
struct Json<'a> {
    file: String,
    kind: &'static str,
    digest: String,
    bytes: usize,
    modules: u64,
    functions: u64,
    memory_bytes: u64,
    producers: &'a BTreeMap<String, Vec<String>>,
    imports: Vec<JsonImport<'a>>,
    adapted: Vec<JsonImport<'a>>,
    snapshot: Option<JsonSnapshot<'a>>,
    exports: &'a [String],
    needs: Vec<&'static str>,
    runs: bool,
    deploys: bool,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct JsonSnapshot<'a> {
    possible: bool,
    globals: usize,
    memories: usize,
    resources: Vec<JsonResource<'a>>,
    obstacles: Vec<String>,
}

#[derive(Serialize)]
struct JsonResource<'a> {
    interface: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct JsonImport<'a> {
    name: &'a str,
    support: &'static str,
}

impl<'a> Json<'a> {
    fn of(found: &'a Inspection, program: &program::Program, digest: Digest, verdict: &'a Verdict) -> Self {
        let list = |imports: &'a [Import]| {
            imports.iter().map(|i| JsonImport { name: &i.name, support: words(i.support) }).collect()
        };
        Self {
            file: program.name(),
            kind: match found.kind {
                BinaryKind::Component => "component",
                BinaryKind::Module => "module",
            },
            digest: digest.to_string(),
            bytes: program.bytes.len(),
            modules: found.modules,
            functions: found.functions,
            memory_bytes: found.memory_bytes,
            producers: &found.producers,
            imports: list(&found.imports),
            adapted: list(&found.adapted),
            snapshot: found.snapshot.as_ref().map(JsonSnapshot::of),
            exports: &found.exports,
            needs: needs(found),
            runs: verdict.runs(),
            deploys: verdict.deploys,
            reason: verdict.reason.as_deref(),
        }
    }
}

impl<'a> JsonSnapshot<'a> {
    fn of(found: &'a Result<Plan, Vec<Obstacle>>) -> Self {
        let obstacles = found.as_ref().err().into_iter().flatten().map(ToString::to_string).collect();
        let nothing = Self { possible: false, globals: 0, memories: 0, resources: Vec::new(), obstacles };
        let Ok(plan) = found else { return nothing };
        let resource =
            |resource: &'a AdoptedResource| JsonResource { interface: &resource.interface, name: &resource.name };
        Self {
            possible: true,
            globals: plan.globals,
            memories: plan.memories.len(),
            resources: plan.resources.iter().map(resource).collect(),
            ..nothing
        }
    }
}
