//! Looking at all of a component once: what it has, under which index, and what of it cannot be captured.

use wasmparser::types::TypesRef;
use wasmparser::{
    CanonicalFunction, CanonicalOption, ComponentAlias, ComponentCanonicalSectionReader, ComponentExternalKind,
    ComponentImportSectionReader, ComponentOuterAliasKind, ComponentType, ComponentTypeRef, ComponentTypeSectionReader,
    Encoding, FuncValidatorAllocations, Instance, InstanceSectionReader, OperatorsReader, OperatorsReaderAllocations,
    Parser, Payload, TypeBounds, ValType, ValidPayload, Validator, WasmFeatures,
};

use super::async_types::concurrent;
use super::imports::{Import, Resource, Source, resources};
use super::modules::{MemoryShape, Module, ModuleLook};
use super::obstacle::{NotInstrumented, Obstacle};
use super::plan::{GLOBALS, MEMORIES};

/// Most obstacles that are listed.
const OBSTACLES: usize = 100;

/// What a component has, and what stands in the way.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// The core modules that it defines, in order.
    pub(super) modules: Vec<Module>,
    /// Mutable globals of all core instances.
    pub(super) globals: Vec<Kept<ValType>>,
    /// Memories of all core instances, in order of creation.
    pub(super) memories: Vec<Kept<MemoryShape>>,
    /// Imported resource types, once each.
    pub(super) resources: Vec<Resource>,
    /// How many there are of what is counted; thus the index of the next.
    pub(super) counts: Counts,
    /// All reasons against.
    pub(super) obstacles: Vec<Obstacle>,
}

/// Something in a core instance that is reached by an export of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept<T> {
    /// Index of the core instance.
    pub(super) instance: u32,
    /// Which of its kind in the module.
    pub(super) ordinal: usize,
    /// What it is.
    pub(super) what: T,
}

/// Sizes of a component's index spaces.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) types: u32,
    pub(super) functions: u32,
    pub(super) instances: u32,
    pub(super) core_modules: u32,
    pub(super) core_instances: u32,
    pub(super) core_functions: u32,
    pub(super) core_globals: u32,
    pub(super) core_memories: u32,
}

impl Counts {
    fn of(types: TypesRef<'_>) -> Self {
        Self {
            types: types.component_type_count(),
            functions: types.component_function_count(),
            instances: types.component_instance_count(),
            core_modules: types.module_count(),
            core_instances: types.core_instance_count(),
            core_functions: types.function_count(),
            core_globals: types.global_count(),
            core_memories: types.memory_count(),
        }
    }
}

/// Validates a component and looks at it.
pub(super) fn look(component: &[u8]) -> Result<Survey, NotInstrumented> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let mut parser = Parser::new(0);
    parser.set_features(WasmFeatures::all());
    let mut looking = Looking::default();
    let (mut allocations, mut stack) = (FuncValidatorAllocations::default(), OperatorsReaderAllocations::default());
    for payload in parser.parse_all(component) {
        let payload = payload?;
        // The validator leaves this to whoever has all of the bytes.
        if let Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. } =
            &payload
            && unchecked_range.end > component.len()
        {
            return Err(NotInstrumented::Invalid("it ends within a section".into()));
        }
        // Its sections add to index spaces, so their first index is known only before.
        let counts = match looking.frames.as_slice() {
            [Frame::Root] => validator.types(0).map(Counts::of).unwrap_or_default(),
            _ => Counts::default(),
        };
        match validator.payload(&payload)? {
            ValidPayload::Func(function, body) => {
                let mut function = function.into_validator(std::mem::take(&mut allocations));
                let mut reader = body.get_binary_reader();
                function.read_locals(&mut reader)?;
                reader.set_features(WasmFeatures::all());
                let mut operators = OperatorsReader::new_with_allocs(reader, std::mem::take(&mut stack));
                let types = validator.types(0);
                while !operators.eof() {
                    let at = operators.original_position();
                    let op = operators.read()?;
                    function.op(at, &op)?;
                    if let (Some(Frame::Module(module)), Some(types)) = (looking.frames.last_mut(), types) {
                        module.instruction(function.index(), &op, types);
                    }
                }
                let end = operators.get_binary_reader();
                end.finish_expression(&function.visitor(end.original_position()))?;
                stack = operators.into_allocations();
                allocations = function.into_allocations();
            }
            ValidPayload::End(types) if looking.frames.len() == 1 => {
                looking.survey.counts = Counts::of(types.as_ref());
                let imports = std::mem::take(&mut looking.imports);
                match resources(&imports, &types) {
                    Ok(resources) => looking.survey.resources = resources,
                    Err(obstacles) => obstacles.into_iter().for_each(|obstacle| looking.add(obstacle)),
                }
            }
            _ => {}
        }
        looking.section(payload, counts, &validator, component)?;
    }
    looking.bounds();
    Ok(looking.survey)
}

/// What is open at the place that is being looked at.
#[derive(Debug)]
enum Frame {
    Root,
    /// A core module of the component.
    Module(Box<ModuleLook>),
    /// A component in it.
    Nested(u32),
    /// A core module of a component in it.
    NestedModule,
}

#[derive(Debug, Default)]
struct Looking {
    survey: Survey,
    frames: Vec<Frame>,
    /// Of each index of a core module, which of those that are defined it is.
    modules: Vec<Option<u32>>,
    imports: Vec<Import>,
    nested: u32,
    globals: usize,
    memories: usize,
}

impl Looking {
    fn add(&mut self, obstacle: Obstacle) {
        let known = &mut self.survey.obstacles;
        if known.len() < OBSTACLES && !known.contains(&obstacle) {
            known.push(obstacle);
        }
    }

    /// A valid section; `counts` are of before it.
    fn section(
        &mut self,
        payload: Payload<'_>,
        counts: Counts,
        validator: &Validator,
        bytes: &[u8],
    ) -> Result<(), NotInstrumented> {
        match (self.frames.last_mut(), payload) {
            (None, Payload::Version { encoding: Encoding::Module, .. }) => {
                return Err(NotInstrumented::Invalid("it is a core module".into()));
            }
            (None, Payload::Version { .. }) => self.frames.push(Frame::Root),
            (Some(Frame::Root), Payload::ModuleSection { unchecked_range, .. }) => {
                let ordinal = self.survey.modules.len() as u32;
                self.modules.push(Some(ordinal));
                self.survey.modules.push(Module::default());
                self.frames.push(Frame::Module(Box::new(ModuleLook::new(ordinal, unchecked_range))));
            }
            (Some(Frame::Nested(component)), Payload::ModuleSection { .. }) => {
                let component = *component;
                self.add(Obstacle::Composed { component, what: "core modules" });
                self.frames.push(Frame::NestedModule);
            }
            (Some(_), Payload::ComponentSection { .. }) => {
                self.frames.push(Frame::Nested(self.nested));
                self.nested += 1;
            }
            (Some(_), Payload::End(_)) => {
                if let Some(Frame::Module(look)) = self.frames.pop() {
                    let (ordinal, module, obstacles) = look.finish(bytes)?;
                    self.survey.modules[ordinal as usize] = module;
                    obstacles.into_iter().for_each(|obstacle| self.add(obstacle));
                }
            }
            (Some(Frame::Module(module)), payload) => module.section(payload, validator.types(0))?,
            (Some(Frame::Nested(component)), payload) => {
                let component = *component;
                self.nested(component, payload)?;
            }
            (Some(Frame::Root), payload) => self.root(payload, counts)?,
            (None | Some(Frame::NestedModule), _) => {}
        }
        Ok(())
    }

    fn root(&mut self, payload: Payload<'_>, counts: Counts) -> Result<(), NotInstrumented> {
        match payload {
            Payload::InstanceSection(section) => self.core_instances(section, counts.core_instances)?,
            Payload::ComponentImportSection(section) => self.imported(section, counts)?,
            Payload::ComponentTypeSection(section) => self.types(section, None, counts.types)?,
            Payload::ComponentCanonicalSection(section) => self.canonical(section)?,
            Payload::ComponentStartSection { .. } => self.add(Obstacle::Start),
            Payload::ComponentAliasSection(section) => {
                for alias in section {
                    match alias? {
                        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. } => {
                            self.modules.push(None);
                        }
                        ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, index, .. } => {
                            self.modules.push(self.module(index));
                        }
                        _ => {}
                    }
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ComponentExternalKind::Module {
                        self.modules.push(self.module(export.index));
                    }
                    let name = export.name.name.to_ascii_lowercase();
                    let ours = ["reel-save", "reel-load"].contains(&name.as_str())
                        || ["reel-adopt-", "reel-drop-", "reel-grow-"].iter().any(|ours| name.starts_with(ours));
                    if ours {
                        self.add(Obstacle::NameTaken { name: export.name.name.to_owned() });
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn module(&self, index: u32) -> Option<u32> {
        self.modules.get(index as usize).copied().flatten()
    }

    fn core_instances(&mut self, section: InstanceSectionReader<'_>, first: u32) -> Result<(), NotInstrumented> {
        for (instance, item) in (first..).zip(section) {
            let Instance::Instantiate { module_index, .. } = item? else { continue };
            let Some(module) = self.module(module_index).and_then(|module| self.survey.modules.get(module as usize))
            else {
                self.add(Obstacle::ForeignModule { instance });
                continue;
            };
            self.globals = self.globals.saturating_add(module.globals.len());
            self.memories = self.memories.saturating_add(module.memories.len());
            if self.globals <= GLOBALS {
                let kept = module.globals.iter().enumerate();
                self.survey.globals.extend(kept.map(|(ordinal, (_, what))| Kept { instance, ordinal, what: *what }));
            }
            if self.memories <= MEMORIES {
                let kept = module.memories.iter().enumerate();
                self.survey.memories.extend(kept.map(|(ordinal, (_, what))| Kept { instance, ordinal, what: *what }));
            }
        }
        Ok(())
    }

    fn bounds(&mut self) {
        for (what, count, max) in
            [("mutable globals", self.globals, GLOBALS), ("linear memories", self.memories, MEMORIES)]
        {
            if count > max {
                self.add(Obstacle::TooMany { what, count, max });
            }
        }
    }

    fn imported(&mut self, section: ComponentImportSectionReader<'_>, counts: Counts) -> Result<(), NotInstrumented> {
        let (mut instance, mut ty) = (counts.instances, counts.types);
        for import in section {
            let import = import?;
            let name = import.name.name.to_owned();
            match import.ty {
                ComponentTypeRef::Instance(_) => {
                    self.imports.push(Import { name, source: Source::Instance(instance) });
                    instance += 1;
                }
                ComponentTypeRef::Type(bounds) => {
                    if bounds == TypeBounds::SubResource {
                        self.imports.push(Import { name, source: Source::Type(ty) });
                    }
                    ty += 1;
                }
                ComponentTypeRef::Module(_) => {
                    self.modules.push(None);
                    self.add(Obstacle::Imported { name, kind: "core module" });
                }
                ComponentTypeRef::Component(_) => self.add(Obstacle::Imported { name, kind: "component" }),
                ComponentTypeRef::Value(_) => self.add(Obstacle::Imported { name, kind: "value" }),
                ComponentTypeRef::Func(_) => {}
            }
        }
        Ok(())
    }

    fn types(
        &mut self,
        section: ComponentTypeSectionReader<'_>,
        nested: Option<u32>,
        first: u32,
    ) -> Result<(), NotInstrumented> {
        for (index, ty) in (first..).zip(section) {
            let ty = ty?;
            if let Some(what) = concurrent(&ty) {
                self.add(Obstacle::Concurrency { what });
            }
            match (ty, nested) {
                (ComponentType::Resource { .. }, None) => self.add(Obstacle::DefinedResource { index }),
                (ComponentType::Resource { .. }, Some(component)) => {
                    self.add(Obstacle::Composed { component, what: "resource types" });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn canonical(&mut self, section: ComponentCanonicalSectionReader<'_>) -> Result<(), NotInstrumented> {
        for function in section {
            if let Some(what) = concurrency(&function?) {
                self.add(Obstacle::Concurrency { what });
            }
        }
        Ok(())
    }

    /// A component in the component may rename and bundle, nothing else.
    fn nested(&mut self, component: u32, payload: Payload<'_>) -> Result<(), NotInstrumented> {
        let what = match payload {
            Payload::InstanceSection(section) if section.count() > 0 => "core instances",
            Payload::ComponentCanonicalSection(section) if section.count() > 0 => "lifted or lowered functions",
            Payload::ComponentStartSection { .. } => "a start function",
            Payload::ComponentTypeSection(section) => return self.types(section, Some(component), 0),
            _ => return Ok(()),
        };
        self.add(Obstacle::Composed { component, what });
        Ok(())
    }
}

/// What of the component model's concurrency a canonical function uses.
fn concurrency(function: &CanonicalFunction) -> Option<&'static str> {
    use CanonicalFunction as F;
    Some(match function {
        F::Lift { options, .. } | F::Lower { options, .. } => {
            let concurrent = |o: &CanonicalOption| matches!(o, CanonicalOption::Async | CanonicalOption::Callback(_));
            return options.iter().any(concurrent).then_some("async function");
        }
        // `new` and `rep` are for types that the component defines, which are an obstacle themselves.
        F::ResourceNew { .. } | F::ResourceDrop { .. } | F::ResourceRep { .. } => return None,
        F::ThreadSpawnRef { .. }
        | F::ThreadSpawnIndirect { .. }
        | F::ThreadAvailableParallelism
        | F::ThreadYield { .. }
        | F::ThreadIndex
        | F::ThreadNewIndirect { .. }
        | F::ThreadResumeLater
        | F::ThreadSuspend { .. }
        | F::ThreadSuspendThenResume { .. }
        | F::ThreadYieldThenResume { .. }
        | F::ThreadSuspendThenPromote { .. }
        | F::ThreadYieldThenPromote { .. } => "thread",
        F::BackpressureInc | F::BackpressureDec => "backpressure",
        F::TaskReturn { .. } | F::TaskCancel => "task",
        F::ContextGet { .. } | F::ContextSet { .. } => "context",
        F::SubtaskDrop | F::SubtaskCancel { .. } => "subtask",
        F::StreamNew { .. }
        | F::StreamRead { .. }
        | F::StreamWrite { .. }
        | F::StreamCancelRead { .. }
        | F::StreamCancelWrite { .. }
        | F::StreamDropReadable { .. }
        | F::StreamDropWritable { .. } => "stream",
        F::FutureNew { .. }
        | F::FutureRead { .. }
        | F::FutureWrite { .. }
        | F::FutureCancelRead { .. }
        | F::FutureCancelWrite { .. }
        | F::FutureDropReadable { .. }
        | F::FutureDropWritable { .. } => "future",
        F::ErrorContextNew { .. } | F::ErrorContextDebugMessage { .. } | F::ErrorContextDrop => "error-context",
        F::WaitableSetNew
        | F::WaitableSetWait { .. }
        | F::WaitableSetPoll { .. }
        | F::WaitableSetDrop
        | F::WaitableJoin => "waitable-set",
    })
}
