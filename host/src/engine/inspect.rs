//! Looking at a binary without compiling it: what it is, what it wants, what it has.

use std::collections::BTreeMap;

use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::Types;
use wasmparser::{Encoding, KnownCustom, Parser, Payload, ProducersSectionReader, Validator, WasmFeatures};

use super::component::{BinaryKind, ComponentError, componentize, foreign_imports, kind};
use super::instrument::{NotInstrumented, Obstacle, Plan, survey};
use super::linking::{Import, Shape, Support, support};

/// Names that are listed of a section that may hold any number of them.
const LISTED: usize = 10_000;

/// Names of one kind of tool that are kept.
const PRODUCERS: usize = 32;

/// What a binary is.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// Module or component.
    pub kind: BinaryKind,
    /// What it imports, in order.
    pub imports: Vec<Import>,
    /// For a module: the interfaces that its preview 1 functions become.
    pub adapted: Vec<Import>,
    /// For a module: why the adapter cannot make a component of it.
    pub not_adaptable: Option<String>,
    /// What of its state would be kept in images, or why its state cannot be captured; nothing for a module that is no component and cannot
    /// become one.
    pub snapshot: Option<Result<Plan, Vec<Obstacle>>>,
    /// What it exports, in order.
    pub exports: Vec<String>,
    /// Whether it has a `main`.
    pub is_command: bool,
    /// Whether it exports a function that can be called when it is deployed; `main` is one.
    pub has_functions: bool,
    /// Core modules in it, or 1.
    pub modules: u64,
    /// Functions in them.
    pub functions: u64,
    /// Bytes of linear memory that it begins with.
    pub memory_bytes: u64,
    /// Languages and tools that made it, as it says: field, then name and version.
    pub producers: BTreeMap<String, Vec<String>>,
}

/// Looks at a binary.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, ComponentError> {
    let kind = kind(bytes)?;
    let types = validate(bytes)?;
    let mut found = Inspection {
        kind,
        imports: Vec::new(),
        adapted: Vec::new(),
        not_adaptable: None,
        snapshot: None,
        exports: Vec::new(),
        is_command: false,
        has_functions: false,
        modules: 0,
        functions: 0,
        memory_bytes: 0,
        producers: BTreeMap::new(),
    };
    let names = found.walk(bytes)?;
    match kind {
        BinaryKind::Component => {
            found.imports = component_imports(&types, names);
            found.snapshot = Some(snapshot(bytes)?);
            found.is_command = found.exports.iter().any(|name| name.starts_with("wasi:cli/run@0.2."));
            found.has_functions = found.exports.iter().any(|name| has_functions(&types, name));
        }
        BinaryKind::Module => {
            found.is_command = found.exports.iter().any(|name| name == "_start");
            let foreign = foreign_imports(bytes)?;
            let support = |name: &String| if foreign.contains(name) { Support::Missing } else { Support::Provided };
            found.imports = names.into_iter().map(|name| Import { support: support(&name), name }).collect();
            if foreign.is_empty() {
                match componentize(bytes) {
                    Ok(component) => {
                        let component = inspect(&component)?;
                        (found.adapted, found.snapshot) = (component.imports, component.snapshot);
                        found.has_functions = component.has_functions;
                    }
                    Err(error) => found.not_adaptable = Some(error.to_string()),
                }
            }
        }
    }
    Ok(found)
}

fn invalid(error: impl std::fmt::Display) -> ComponentError {
    ComponentError::Invalid(error.to_string())
}

fn validate(bytes: &[u8]) -> Result<Types, ComponentError> {
    Validator::new_with_features(WasmFeatures::all()).validate_all(bytes).map_err(invalid)
}

fn snapshot(component: &[u8]) -> Result<Result<Plan, Vec<Obstacle>>, ComponentError> {
    match survey(component) {
        Ok(plan) => Ok(Ok(plan)),
        Err(NotInstrumented::Obstacles(obstacles)) => Ok(Err(obstacles)),
        Err(error @ NotInstrumented::Invalid(_)) => Err(invalid(error)),
    }
}

/// Whether an export is a function, or an interface with one.
fn has_functions(types: &Types, export: &str) -> bool {
    let is_function = |item: &ComponentEntityType| matches!(item, ComponentEntityType::Func(_));
    match types.component_item_for_export(export).map(|item| &item.ty) {
        Some(ComponentEntityType::Instance(id)) => types[*id].exports.values().any(|item| is_function(&item.ty)),
        Some(item) => is_function(item),
        None => false,
    }
}

/// The imports of a component by their names, each with what the host makes of it.
fn component_imports(types: &Types, names: Vec<String>) -> Vec<Import> {
    let shape = |name: &str| match types.component_item_for_import(name).map(|item| &item.ty) {
        Some(ComponentEntityType::Type { .. }) => Shape::Type,
        Some(ComponentEntityType::Instance(id)) => {
            let only_types =
                types[*id].exports.values().all(|item| matches!(item.ty, ComponentEntityType::Type { .. }));
            Shape::Instance { only_types }
        }
        _ => Shape::Other,
    };
    names.into_iter().map(|name| Import { support: support(&name, shape(&name)), name }).collect()
}

impl Inspection {
    /// Goes through all sections, nested ones too, and gives the names of the outermost imports.
    fn walk(&mut self, bytes: &[u8]) -> Result<Vec<String>, ComponentError> {
        let (mut depth, mut names) = (0u32, Vec::new());
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.map_err(invalid)? {
                Payload::Version { encoding: Encoding::Module, .. } => self.modules += 1,
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        names.push(import.map_err(invalid)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        self.exports.push(export.map_err(invalid)?.name.name.to_owned());
                    }
                }
                Payload::ImportSection(section) if depth == 0 => {
                    for import in section.into_imports() {
                        let import = import.map_err(invalid)?;
                        names.push(format!("{}.{}", import.module, import.name));
                    }
                }
                Payload::ExportSection(section) if depth == 0 => {
                    for export in section {
                        self.exports.push(export.map_err(invalid)?.name.to_owned());
                    }
                }
                Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory.map_err(invalid)?;
                        let page = 1u64 << memory.page_size_log2.unwrap_or(16).min(16);
                        self.memory_bytes = self.memory_bytes.saturating_add(memory.initial.saturating_mul(page));
                    }
                }
                Payload::CustomSection(section) => {
                    if let KnownCustom::Producers(section) = section.as_known() {
                        // What a tool says of itself is not worth an error.
                        drop(self.read_producers(section));
                    }
                }
                _ => {}
            }
        }
        names.truncate(LISTED);
        self.exports.truncate(LISTED);
        Ok(names)
    }

    fn read_producers(&mut self, section: ProducersSectionReader<'_>) -> wasmparser::Result<()> {
        for field in section {
            let field = field?;
            let known = self.producers.entry(field.name.to_owned()).or_default();
            for value in field.values {
                let value = value?;
                let text = format!("{} {}", value.name, value.version).trim().to_owned();
                if !known.contains(&text) && known.len() < PRODUCERS {
                    known.push(text);
                }
            }
        }
        Ok(())
    }
}
