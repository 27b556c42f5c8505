//! From the bytes a user gives to a component: what they are, what is wrong with them, and what they will need.

use thiserror::Error;
use wasi_preview1_component_adapter_provider as provider;
use wasmparser::{Encoding, Parser, Payload};
use wit_component::ComponentEncoder;

/// Largest binary that is accepted; stops a compile bomb before it is parsed.
pub const BINARY_MAX_BYTES: u64 = 256 << 20;

/// Most imports of a core module; WASI preview 1 has 46 functions, and making a component takes the square of this.
const IMPORTS: u32 = 5000;

/// Why bytes are no guest.
#[derive(Debug, Error)]
pub enum ComponentError {
    /// Not WebAssembly.
    #[error("not a WebAssembly binary: it begins with {found}")]
    NotWasm {
        /// The first bytes, in words.
        found: String,
    },
    /// A version or encoding that this build does not know.
    #[error("WebAssembly of a version that this build of Reel does not know ({0}); a newer Reel may")]
    UnknownVersion(String),
    /// The binary is broken.
    #[error("not a valid WebAssembly binary: {0}")]
    Invalid(String),
    /// Larger than any guest may be.
    #[error("{len} bytes, more than the {BINARY_MAX_BYTES} that a guest may have")]
    TooLarge {
        /// Bytes.
        len: u64,
    },
    /// A core module that is neither a command nor a reactor of WASI preview 1.
    #[error("a core module that the WASI preview 1 adapter cannot make a component of: {0}")]
    NotAdaptable(String),
}

/// What a binary is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BinaryKind {
    /// A core module, for WASI preview 1.
    Module,
    /// A component.
    Component,
}

/// Looks at the header.
pub fn kind(bytes: &[u8]) -> Result<BinaryKind, ComponentError> {
    if bytes.len() as u64 > BINARY_MAX_BYTES {
        return Err(ComponentError::TooLarge { len: bytes.len() as u64 });
    }
    if bytes.len() < 4 || &bytes[..4] != b"\0asm" {
        return Err(ComponentError::NotWasm { found: first_bytes(bytes) });
    }
    match bytes.get(4..8) {
        None => Err(ComponentError::Invalid("it ends within its header".into())),
        Some([1, 0, 0, 0]) => Ok(BinaryKind::Module),
        Some([0x0d, 0, 1, 0]) => Ok(BinaryKind::Component),
        Some(version) => Err(ComponentError::UnknownVersion(format!("version bytes {version:02x?}"))),
    }
}

fn first_bytes(bytes: &[u8]) -> String {
    match bytes {
        [] => "nothing, the file is empty".into(),
        [b'#', b'!', ..] => "\"#!\", it is a script".into(),
        [0x7f, b'E', b'L', b'F', ..] => "\"\\x7fELF\", it is a native program; build it for wasm32-wasip2".into(),
        _ => format!("\"{}\"", bytes[..bytes.len().min(8)].escape_ascii()),
    }
}

/// The component that the bytes are, or that the adapter makes of them.
pub fn componentize(bytes: &[u8]) -> Result<Vec<u8>, ComponentError> {
    if kind(bytes)? == BinaryKind::Component {
        return Ok(bytes.to_vec());
    }
    validate(bytes)?;
    let failed = |e: &dyn std::fmt::Display| ComponentError::NotAdaptable(format!("{e:#}"));
    let adapter = match has_start(bytes)? {
        true => provider::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
        false => provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    };
    let name = provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;
    let module = super::exit_code::keep_exit_codes(bytes).map_err(|e| failed(&e))?;
    let encoder = ComponentEncoder::default().module(&module).map_err(|e| failed(&e))?;
    let mut encoder = encoder.adapter(name, adapter).map_err(|e| failed(&e))?;
    encoder.encode().map_err(|e| failed(&e))
}

/// Whether a core module is a command: one without a `main` is a reactor, whose functions are called.
fn has_start(bytes: &[u8]) -> Result<bool, ComponentError> {
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::ExportSection(section) = payload.map_err(|e| ComponentError::Invalid(e.to_string()))? {
            return Ok(section.into_iter().flatten().any(|export| export.name == "_start"));
        }
    }
    Ok(false)
}

/// Names the imports of a core module that are neither WASI preview 1 nor interfaces that the module itself describes.
pub fn foreign_imports(bytes: &[u8]) -> Result<Vec<String>, ComponentError> {
    let (mut foreign, mut described) = (Vec::new(), false);
    if kind(bytes)? == BinaryKind::Component {
        return Ok(Vec::new());
    }
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|e| ComponentError::Invalid(e.to_string()))? {
            Payload::Version { encoding: Encoding::Component, .. } => break,
            Payload::ImportSection(section) => {
                if section.count() > IMPORTS {
                    return Err(ComponentError::Invalid(format!(
                        "{} imports, at most {IMPORTS} are taken",
                        section.count()
                    )));
                }
                for import in section.into_imports() {
                    let import = import.map_err(|e| ComponentError::Invalid(e.to_string()))?;
                    if import.module != "wasi_snapshot_preview1" {
                        foreign.push((import.module.contains(':'), format!("{}.{}", import.module, import.name)));
                    }
                }
            }
            Payload::CustomSection(section) => described |= section.name().starts_with("component-type"),
            _ => {}
        }
    }
    // With the description of its interfaces in it, a module may import these too: the encoder makes a component's imports of them.
    Ok(foreign.into_iter().filter(|(interface, _)| !(described && *interface)).map(|(_, name)| name).collect())
}

fn validate(bytes: &[u8]) -> Result<(), ComponentError> {
    let mut validator = wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all());
    validator.validate_all(bytes).map(drop).map_err(|e| ComponentError::Invalid(e.to_string()))
}
