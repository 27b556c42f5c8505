//! From the bytes that a user gave to a component that can run here, kept in the database.

use reel_abi::content::Content;
use reel_abi::id::Digest;
use reel_abi::wire::Wire;
use reel_store::{AppendError, ReadError, Store};
use thiserror::Error;
use wasmtime::component::Component;

use super::engines::Engines;
use super::target::Target;
use crate::engine::cache::{Cache, CompileError};
use crate::engine::component::{BinaryKind, foreign_imports, kind};
use crate::engine::linking::{Support, imports};
use crate::txn::values::keep;

/// Why a component cannot be run.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// It is no guest, or does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It wants what the host does not have.
    #[error("it imports what this host does not have:\n  {}", .0.join("\n  "))]
    MissingImports(Vec<String>),
    /// It has no `main`.
    #[error("it exports no wasi:cli/run, so that there is nothing to run; its exports are: {}", if .0.is_empty() { "none".into() } else { .0.join(", ") })]
    NotACommand(Vec<String>),
    /// It answers no requests.
    #[error("it exports no wasi:http/incoming-handler, so that it answers no requests; its exports are: {}", if .0.is_empty() { "none".into() } else { .0.join(", ") })]
    NotAHandler(Vec<String>),
    /// The engine cannot be set up.
    #[error("cannot set up the engine: {0}")]
    Engine(String),
    /// The database cannot keep it.
    #[error("keeping the component: {0}")]
    Keep(#[from] AppendError),
    /// The database does not have it any more.
    #[error("reading the component from the database: {0}")]
    Read(#[from] ReadError),
    /// The database has something else in its place.
    #[error("the component {0} in the database is not what it was: {1}")]
    Damaged(Digest, String),
}

impl PrepareError {
    /// There is no engine.
    pub(super) fn engine(error: &wasmtime::Error) -> Self {
        Self::Engine(format!("{error:#}"))
    }
}

/// A component that can run.
pub struct Prepared {
    /// The digest of the bytes as they were given.
    pub digest: Digest,
    /// The blob that lists their blocks.
    pub content: Digest,
    /// What of it is executed.
    pub target: Target,
}

/// Compiles (or takes from the cache) and keeps what a user gave.
pub fn prepare(
    store: &Store,
    engines: &Engines,
    bytes: &[u8],
    on_compile: &dyn Fn(),
) -> Result<Prepared, PrepareError> {
    let digest = Digest::of(bytes);
    let target = ready(store, engines, digest, bytes, on_compile)?;
    let content = keep(store.blobs(), bytes)?;
    Ok(Prepared { digest, content, target })
}

/// A component, compiled, with all that it imports.
pub fn compiled(
    store: &Store,
    engines: &Engines,
    digest: Digest,
    bytes: &[u8],
    on_compile: &dyn Fn(),
) -> Result<Component, PrepareError> {
    refuse_foreign(bytes)?;
    let component = Cache::new(store).component(engines.engine(), digest, bytes, on_compile)?;
    refuse_missing(engines, &component)?;
    Ok(component)
}

/// The command in a component that was kept, or in one that is given in its stead.
pub fn ready(
    store: &Store,
    engines: &Engines,
    digest: Digest,
    bytes: &[u8],
    on_compile: &dyn Fn(),
) -> Result<Target, PrepareError> {
    let component = compiled(store, engines, digest, bytes, on_compile)?;
    let ty = component.component_type();
    let exports: Vec<String> = ty.exports(engines.engine()).map(|(name, _)| name.to_owned()).collect();
    if !exports.iter().any(|name| name.starts_with("wasi:cli/run@0.2.")) {
        return Err(PrepareError::NotACommand(exports));
    }
    Ok(Target::Command(component))
}

/// Refuses a module that imports what no adapter has.
pub(super) fn refuse_foreign(bytes: &[u8]) -> Result<(), PrepareError> {
    if kind(bytes).map_err(CompileError::from)? == BinaryKind::Module {
        let foreign = foreign_imports(bytes).map_err(CompileError::from)?;
        if !foreign.is_empty() {
            return Err(PrepareError::MissingImports(foreign));
        }
    }
    Ok(())
}

/// Refuses a component that imports what this host does not have.
pub(super) fn refuse_missing(engines: &Engines, component: &Component) -> Result<(), PrepareError> {
    let all = imports(engines.engine(), component).map_err(|e| CompileError::Compile(e.to_string()))?;
    let missing: Vec<String> =
        all.into_iter().filter(|import| import.support == Support::Missing).map(|import| import.name).collect();
    if missing.is_empty() { Ok(()) } else { Err(PrepareError::MissingImports(missing)) }
}

/// The bytes of a component that was kept, checked against its digest.
pub fn kept(store: &Store, digest: Digest, content: Digest) -> Result<Vec<u8>, PrepareError> {
    let bytes = whole(store, content)?.map_err(|what| PrepareError::Damaged(digest, what))?;
    if Digest::of(&bytes) != digest {
        return Err(PrepareError::Damaged(digest, "its bytes have another digest".into()));
    }
    Ok(bytes)
}

/// All bytes of a content that the database keeps; the inner error says what is wrong with it.
pub fn whole(store: &Store, content: Digest) -> Result<Result<Vec<u8>, String>, ReadError> {
    let Some(listing) = store.blobs().get(&content)? else { return Ok(Err(format!("blob {content} is missing"))) };
    let Ok(listing) = Content::from_bytes(&listing) else {
        return Ok(Err(format!("blob {content} is no list of blocks")));
    };
    let mut bytes = Vec::new();
    for block in listing.blocks {
        match store.blobs().get(&block)? {
            Some(block) => bytes.extend_from_slice(&block),
            None => return Ok(Err(format!("blob {block} is missing"))),
        }
    }
    Ok(Ok(bytes))
}
