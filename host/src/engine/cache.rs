//! Compiled code on disk, checked before it is loaded.
//!
//! Native code that somebody else has written into the cache would run with all rights of the host. So the digest of every file lies in the
//! database, and a file is read, held against it, and only then loaded from the bytes that were checked.
//!
//! ```text
//! file    length:4 | what else is known of the component | what `Component::serialize` gave
//! ```

#![allow(unsafe_code, reason = "loading checked native code")]

use std::path::{Path, PathBuf};

use reel_abi::id::Digest;
use reel_store::Store;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::component::{ComponentError, componentize};
use crate::world::disk;

/// The compile cache of a database.
pub struct Cache<'a> {
    store: &'a Store,
    dir: PathBuf,
}

/// Why a component cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The bytes are no guest.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// The compiler refuses it.
    #[error("does not compile: {0}")]
    Compile(String),
}

impl<'a> Cache<'a> {
    /// The cache under a database's directory.
    pub fn new(store: &'a Store) -> Self {
        Self { store, dir: store.dir().join("cache") }
    }

    /// The compiled component, from the cache or by compiling. `bytes` are what the user gave; `on_compile` is told when it takes work.
    pub fn component(
        &self,
        engine: &Engine,
        digest: Digest,
        bytes: &[u8],
        on_compile: &dyn Fn(),
    ) -> Result<Component, CompileError> {
        let made = self.made(engine, digest, || {
            on_compile();
            Ok((compile(engine, bytes)?, Vec::new()))
        })?;
        Ok(made.0)
    }

    /// The compiled component that goes by a name, with what else is known of it, from the cache or made now.
    pub fn made(
        &self,
        engine: &Engine,
        name: Digest,
        make: impl FnOnce() -> Result<(Component, Vec<u8>), CompileError>,
    ) -> Result<(Component, Vec<u8>), CompileError> {
        let key = key(engine, name);
        let path = self.dir.join(format!("{key}.cwasm"));
        if let Some(made) = self.load(engine, &key, &path) {
            return Ok(made);
        }
        let (component, known) = make()?;
        self.keep(&key, &path, &component, &known);
        Ok((component, known))
    }

    /// What lies in the cache, if it is what was put there. Anything else is as good as nothing.
    fn load(&self, engine: &Engine, key: &Digest, path: &Path) -> Option<(Component, Vec<u8>)> {
        let expected = self.store.compiled(key).ok()??;
        let code = disk::read(path).ok()?;
        if Digest::of(&code) != expected {
            tracing::warn!(path = %path.display(), "compiled code is not what was put into the cache; compiling again");
            return None;
        }
        let (len, rest) = code.split_first_chunk()?;
        let (known, code) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        // SAFETY: these very bytes were made by `Component::serialize` of this engine's version (its hash is in the key), as the
        // digest in the database witnesses.
        let component = unsafe { Component::deserialize(engine, code) };
        let component =
            component.inspect_err(|error| tracing::warn!(%error, "compiled code does not load; compiling again"));
        Some((component.ok()?, known.to_vec()))
    }

    /// Keeps compiled code. A failure costs time later and nothing else.
    fn keep(&self, key: &Digest, path: &Path, component: &Component, known: &[u8]) {
        let kept = component.serialize().map_err(|e| e.to_string()).and_then(|code| {
            let len = u32::try_from(known.len()).map_err(|e| e.to_string())?;
            let code = [&len.to_le_bytes(), known, &code].concat();
            disk::write_private(path, &code).map_err(|e| e.to_string())?;
            self.store.set_compiled(*key, Digest::of(&code)).map_err(|e| e.to_string())
        });
        if let Err(error) = kept {
            tracing::warn!(error, "compiled code could not be kept");
        }
    }
}

/// Compiles what a user gave.
pub fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, CompileError> {
    let binary = componentize(bytes)?;
    Component::new(engine, &binary).map_err(|e| CompileError::Compile(format!("{e:#}")))
}

/// Names the code of one component for one engine version and setting.
fn key(engine: &Engine, digest: Digest) -> Digest {
    use std::hash::{Hash, Hasher};
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let mut key = digest.0.to_vec();
    key.extend_from_slice(&hasher.finish().to_le_bytes());
    Digest::of(&key)
}
