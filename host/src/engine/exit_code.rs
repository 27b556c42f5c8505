//! Exit codes of WASI preview 1 programs.
//!
//! The published adapter turns `proc_exit(n)` into `exit(ok | err)`, which loses `n`. `wasi:cli/exit` has `exit-with-code` of the very signature, so
//! the import is renamed before the adapter sees the module:
//!
//! ```text
//! before  (import "wasi_snapshot_preview1" "proc_exit"         (func (param i32)))
//! after   (import "wasi:cli/exit@0.2.12"   "exit-with-code"    (func (param i32)))
//! ```

use wasm_encoder::{EntityType, ImportSection, Module, RawSection};
use wasmparser::{Parser, Payload, TypeRef};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const INTERFACE: &str = "wasi:cli/exit@0.2.12";

/// Tells the encoder what the renamed import is.
const WORLD: &str = "
package reel:adapter;
world exit { import wasi:cli/exit@0.2.12; }
package wasi:cli@0.2.12 {
  interface exit { exit-with-code: func(status-code: u8); }
}
";

/// The module with the import renamed; unchanged if it has none.
pub fn keep_exit_codes(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let (mut module, mut renamed) = (Module::new(), false);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|e| e.to_string())?;
        if let Payload::ImportSection(section) = payload {
            let mut imports = ImportSection::new();
            for import in section.into_imports() {
                let import = import.map_err(|e| e.to_string())?;
                let Some(ty) = entity(import.ty) else { return Ok(bytes.to_vec()) };
                if (import.module, import.name) == ("wasi_snapshot_preview1", "proc_exit") {
                    renamed = true;
                    imports.import(INTERFACE, "exit-with-code", ty);
                } else {
                    imports.import(import.module, import.name, ty);
                }
            }
            module.section(&imports);
        } else if let Some((id, range)) = payload.as_section() {
            module.section(&RawSection { id, data: &bytes[range] });
        }
    }
    if !renamed {
        return Ok(bytes.to_vec());
    }
    let mut module = module.finish();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("exit.wit", WORLD).map_err(|e| e.to_string())?;
    let world = resolve.select_world(&[package], Some("exit")).map_err(|e| e.to_string())?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).map_err(|e| e.to_string())?;
    Ok(module)
}

/// The type of an import of a preview 1 module; nothing for types that such a module does not import.
fn entity(ty: TypeRef) -> Option<EntityType> {
    match ty {
        TypeRef::Func(index) => Some(EntityType::Function(index)),
        _ => None,
    }
}
