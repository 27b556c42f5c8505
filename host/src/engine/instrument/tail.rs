//! What is appended to a component: helper modules, their instances, and the functions that are lifted from them.

use wasm_encoder::{
    Alias, CanonicalFunctionSection, CanonicalOption, Component, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentTypeSection, ComponentValType, ExportKind, InstanceSection, Module, ModuleArg,
    ModuleSection, PrimitiveValType,
};

use super::exports::{GLOBAL, MEMORY};
use super::helpers::{adopter, grower, keeper};
use super::imports::Source;
use super::plan::{AdoptedResource, GrownMemory, Plan};
use super::survey::{Counts, Survey};
use super::{LOAD, SAVE};

/// What is going to be appended.
pub(super) fn plan(survey: &Survey) -> Plan {
    let resource = |(index, resource): (usize, &super::imports::Resource)| AdoptedResource {
        interface: resource.interface.clone(),
        name: resource.name.clone(),
        adopt: format!("reel-adopt-{index}"),
        drop: format!("reel-drop-{index}"),
    };
    let memory = |(index, memory): (usize, &super::survey::Kept<super::modules::MemoryShape>)| GrownMemory {
        grow: format!("reel-grow-{index}"),
        memory64: memory.what.memory64,
        page_bytes: 1 << memory.what.page_size_log2.unwrap_or(16),
    };
    Plan {
        resources: survey.resources.iter().enumerate().map(resource).collect(),
        globals: survey.globals.len(),
        memories: survey.memories.iter().enumerate().map(memory).collect(),
    }
}

/// The sections to append, and what they give.
pub(super) fn tail(survey: &Survey) -> (Plan, Vec<u8>) {
    let plan = plan(survey);
    let mut tail = Tail {
        next: survey.counts,
        out: Component::new(),
        functions: CanonicalFunctionSection::new(),
        lifts: Vec::new(),
        exports: ComponentExportSection::new(),
    };
    let types = tail.types(survey);
    if plan.globals > 0 {
        tail.keeper(survey, types.nothing);
    }
    tail.growers(survey, &plan, &types);
    tail.adopters(&plan, &types);
    (plan, tail.finish())
}

/// Indexes of the component types that the exports have.
struct Types {
    nothing: u32,
    index: u32,
    grow32: u32,
    grow64: u32,
    adopt: u32,
}

/// A component without the beginning; `next` is the next free index of each kind.
struct Tail {
    next: Counts,
    out: Component,
    functions: CanonicalFunctionSection,
    lifts: Vec<(u32, u32, String)>,
    exports: ComponentExportSection,
}

impl Tail {
    fn types(&mut self, survey: &Survey) -> Types {
        let mut aliases = ComponentAliasSection::new();
        let mut resources = Vec::new();
        for resource in &survey.resources {
            resources.push(match resource.source {
                Source::Type(index) => index,
                Source::Instance(instance) => {
                    let name = resource.name.as_str();
                    aliases.alias(Alias::InstanceExport { instance, kind: ComponentExportKind::Type, name });
                    self.next.types + aliases.len() - 1
                }
            });
        }
        let first = self.next.types + aliases.len();
        self.out.section(&aliases);
        let u32 = ComponentValType::Primitive(PrimitiveValType::U32);
        let mut types = ComponentTypeSection::new();
        let none: [(&str, ComponentValType); 0] = [];
        types.function().params(none).result(None);
        types.function().params([("index", u32)]).result(None);
        for (from, to) in
            [(PrimitiveValType::U32, PrimitiveValType::S32), (PrimitiveValType::U64, PrimitiveValType::S64)]
        {
            let from = ComponentValType::Primitive(from);
            types.function().params([("pages", from)]).result(Some(ComponentValType::Primitive(to)));
        }
        for resource in &resources {
            types.defined_type().own(*resource);
        }
        for index in 0..resources.len() as u32 {
            let own = ComponentValType::Type(first + 4 + index);
            types.function().params([("h", own)]).result(Some(u32));
        }
        self.out.section(&types);
        for resource in &resources {
            self.functions.resource_drop(*resource);
        }
        Types {
            nothing: first,
            index: first + 1,
            grow32: first + 2,
            grow64: first + 3,
            adopt: first + 4 + resources.len() as u32,
        }
    }

    /// Adds a core module and gives its index.
    fn module(&mut self, module: &Module) -> u32 {
        self.out.section(&ModuleSection(module));
        self.next.core_modules += 1;
        self.next.core_modules - 1
    }

    /// Instantiates a core module with items that were aliased, and gives the index of the instance.
    fn instantiate(&mut self, module: u32, items: &[(String, ExportKind, u32)]) -> u32 {
        let mut instances = InstanceSection::new();
        match items {
            [] => _ = instances.instantiate(module, <[(&str, ModuleArg); 0]>::default()),
            items => {
                instances.export_items(items.iter().map(|(name, kind, index)| (name, *kind, *index)));
                instances.instantiate(module, [("", ModuleArg::Instance(self.next.core_instances))]);
            }
        }
        self.next.core_instances += instances.len();
        self.out.section(&instances);
        self.next.core_instances - 1
    }

    /// Core functions of an instance, by name; gives the index of the first.
    fn core_functions(&mut self, instance: u32, names: &[&str]) -> u32 {
        let mut aliases = ComponentAliasSection::new();
        for name in names {
            aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Func, name });
        }
        self.out.section(&aliases);
        self.next.core_functions += aliases.len();
        self.next.core_functions - aliases.len()
    }

    fn keeper(&mut self, survey: &Survey, ty: u32) {
        let mut aliases = ComponentAliasSection::new();
        let mut items = Vec::with_capacity(survey.globals.len());
        for (index, global) in survey.globals.iter().enumerate() {
            let (instance, name) = (global.instance, format!("{GLOBAL}{}", global.ordinal));
            aliases.alias(Alias::CoreInstanceExport { instance, kind: ExportKind::Global, name: &name });
            items.push((index.to_string(), ExportKind::Global, self.next.core_globals + index as u32));
        }
        self.out.section(&aliases);
        let kinds: Vec<_> = survey.globals.iter().map(|global| global.what).collect();
        let module = self.module(&keeper(&kinds));
        let instance = self.instantiate(module, &items);
        let save = self.core_functions(instance, &["save", "load"]);
        self.lifts.push((save, ty, SAVE.to_owned()));
        self.lifts.push((save + 1, ty, LOAD.to_owned()));
    }

    fn growers(&mut self, survey: &Survey, plan: &Plan, types: &Types) {
        for (index, (memory, grown)) in (0..).zip(survey.memories.iter().zip(&plan.memories)) {
            let name = format!("{MEMORY}{}", memory.ordinal);
            let mut aliases = ComponentAliasSection::new();
            let (instance, kind) = (memory.instance, ExportKind::Memory);
            aliases.alias(Alias::CoreInstanceExport { instance, kind, name: &name });
            self.out.section(&aliases);
            let module = self.module(&grower(memory.what));
            let item = ("memory".to_owned(), kind, self.next.core_memories + index);
            let instance = self.instantiate(module, &[item]);
            let function = self.core_functions(instance, &["grow"]);
            let ty = if memory.what.memory64 { types.grow64 } else { types.grow32 };
            self.lifts.push((function, ty, grown.grow.clone()));
        }
    }

    fn adopters(&mut self, plan: &Plan, types: &Types) {
        if plan.resources.is_empty() {
            return;
        }
        let module = self.module(&adopter());
        let instance = self.instantiate(module, &[]);
        let adopt = self.core_functions(instance, &["adopt"]);
        for (index, resource) in (0..).zip(&plan.resources) {
            self.lifts.push((adopt, types.adopt + index, resource.adopt.clone()));
            // The drops are the first core functions that the canonical section makes, after all that are aliased.
            self.lifts.push((self.next.core_functions + index, types.index, resource.drop.clone()));
        }
    }

    /// The bytes, without the header of a component.
    fn finish(mut self) -> Vec<u8> {
        for (index, (core, ty, name)) in (self.next.functions..).zip(&self.lifts) {
            self.functions.lift(*core, *ty, <[CanonicalOption; 0]>::default());
            self.exports.export(name.as_str(), ComponentExportKind::Func, index, None);
        }
        self.out.section(&self.functions).section(&self.exports);
        self.out.finish().split_off(Component::HEADER.len())
    }
}
