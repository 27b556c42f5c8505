//! One core module: what it keeps between calls, and what of that cannot be captured.

use std::ops::Range;

use wasmparser::types::TypesRef;
use wasmparser::{Operator, Payload, ValType};

use super::code::{Offences, element_objects, makes_object, table_objects};
use super::exports::{GLOBAL, MEMORY};
use super::obstacle::{NotInstrumented, Obstacle};

/// What a core module keeps: index and kind of each.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// Mutable numeric globals that it defines.
    pub(super) globals: Vec<(u32, ValType)>,
    /// Memories that it defines.
    pub(super) memories: Vec<(u32, MemoryShape)>,
}

/// What of a memory's type is needed to import it.
#[derive(Debug, Clone, Copy)]
pub(super) struct MemoryShape {
    pub(super) memory64: bool,
    pub(super) page_size_log2: Option<u32>,
}

/// A core module, while its sections come by.
#[derive(Debug)]
pub(super) struct ModuleLook {
    ordinal: u32,
    range: Range<usize>,
    module: Module,
    offences: Offences,
    obstacles: Vec<Obstacle>,
    imported: (u32, u32),
}

impl ModuleLook {
    /// For the module at `range` of the component.
    pub(super) fn new(ordinal: u32, range: Range<usize>) -> Self {
        Self {
            ordinal,
            range,
            module: Module::default(),
            offences: Offences::default(),
            obstacles: Vec::new(),
            imported: (0, 0),
        }
    }

    /// A valid instruction of one of its functions.
    pub(super) fn instruction(&mut self, function: u32, op: &Operator<'_>, types: TypesRef<'_>) {
        self.offences.note(function, op, types);
    }

    /// A valid section; `types` are of after it.
    pub(super) fn section(&mut self, payload: Payload<'_>, types: Option<TypesRef<'_>>) -> Result<(), NotInstrumented> {
        let module = self.ordinal;
        match payload {
            Payload::ImportSection(_) => {
                self.imported = types.map(|types| (types.memory_count(), types.global_count())).unwrap_or_default();
            }
            Payload::MemorySection(section) => {
                for (index, memory) in (self.imported.0..).zip(section) {
                    let memory = memory?;
                    if memory.shared {
                        self.add(Obstacle::Shared { module, what: "memory" });
                    }
                    let shape = MemoryShape { memory64: memory.memory64, page_size_log2: memory.page_size_log2 };
                    self.module.memories.push((index, shape));
                }
            }
            Payload::GlobalSection(section) => {
                for (index, global) in (self.imported.1..).zip(section) {
                    let global = global?;
                    if global.ty.shared {
                        self.add(Obstacle::Shared { module, what: "global" });
                    }
                    // One that holds a reference is constant as long as no code sets it, which `code` looks for.
                    if global.ty.content_type.is_reference_type() {
                        if makes_object(&global.init_expr)? {
                            self.add(Obstacle::KeptObject { module, holder: "global" });
                        }
                    } else if global.ty.mutable {
                        self.module.globals.push((index, global.ty.content_type));
                    }
                }
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    if table?.ty.shared {
                        self.add(Obstacle::Shared { module, what: "table" });
                    }
                }
                if table_objects(section)? {
                    self.add(Obstacle::KeptObject { module, holder: "table" });
                }
            }
            Payload::ElementSection(section) => {
                let kept = element_objects(section)?;
                if kept {
                    self.add(Obstacle::KeptObject { module, holder: "element segment" });
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let ours = export.name.starts_with(GLOBAL) || export.name.starts_with(MEMORY);
                    if ours {
                        self.add(Obstacle::NameTaken { name: export.name.to_owned() });
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What it keeps, and what stands in the way. `component` are the bytes of the whole.
    pub(super) fn finish(mut self, component: &[u8]) -> Result<(u32, Module, Vec<Obstacle>), NotInstrumented> {
        let bytes = component.get(self.range.clone());
        let bytes = bytes.ok_or_else(|| NotInstrumented::Invalid("it ends within a section".into()))?;
        self.obstacles.extend(self.offences.judge(self.ordinal, bytes)?);
        Ok((self.ordinal, self.module, self.obstacles))
    }

    /// Of each kind one is enough.
    fn add(&mut self, obstacle: Obstacle) {
        let taken = matches!(obstacle, Obstacle::NameTaken { .. })
            && self.obstacles.iter().any(|known| matches!(known, Obstacle::NameTaken { .. }));
        if !taken && !self.obstacles.contains(&obstacle) {
            self.obstacles.push(obstacle);
        }
    }
}
