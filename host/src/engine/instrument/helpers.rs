//! The core modules that are added to a component. Each is as small as it can be.

use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, GlobalType, ImportSection,
    InstructionSink, MemArg, MemorySection, MemoryType, Module, TypeSection, ValType as Encoded,
};
use wasmparser::ValType;

use super::SLOT_BYTES;
use super::modules::MemoryShape;

const PAGE_BYTES: usize = 64 << 10;

/// The keeper: imports all globals as `0`, `1`, ... of the instance named by nothing, has a memory with a slot for each, and exports `save` and `load`.
pub(super) fn keeper(globals: &[ValType]) -> Module {
    let mut imports = ImportSection::new();
    let (mut save, mut load) = (Function::new([]), Function::new([]));
    for (index, ty) in globals.iter().enumerate() {
        let val_type = encoded(*ty);
        let global = GlobalType { val_type, mutable: true, shared: false };
        imports.import("", &index.to_string(), EntityType::Global(global));
        let slot = MemArg { offset: 0, align: 0, memory_index: 0 };
        let (address, global) = ((index * SLOT_BYTES) as i32, index as u32);
        store(save.instructions().i32_const(address).global_get(global), *ty, slot);
        self::load(load.instructions().i32_const(address), *ty, slot).global_set(global);
    }
    save.instructions().end();
    load.instructions().end();
    let pages = (globals.len() * SLOT_BYTES).div_ceil(PAGE_BYTES) as u64;
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: pages,
        maximum: Some(pages),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    module.section(&types).section(&imports);
    finish(module, Some(memories), [("save", save), ("load", load)])
}

/// Imports a memory as `memory` of the instance named by nothing, and exports `grow`.
pub(super) fn grower(shape: MemoryShape) -> Module {
    let address = if shape.memory64 { Encoded::I64 } else { Encoded::I32 };
    let mut types = TypeSection::new();
    types.ty().function([address], [address]);
    let mut imports = ImportSection::new();
    let memory = MemoryType {
        minimum: 0,
        maximum: None,
        memory64: shape.memory64,
        shared: false,
        page_size_log2: shape.page_size_log2,
    };
    imports.import("", "memory", EntityType::Memory(memory));
    let mut grow = Function::new([]);
    grow.instructions().local_get(0).memory_grow(0).end();
    let mut module = Module::new();
    module.section(&types).section(&imports);
    finish(module, None, [("grow", grow)])
}

/// Exports `adopt`, which gives back the index of the handle that it was given.
pub(super) fn adopter() -> Module {
    let mut types = TypeSection::new();
    types.ty().function([Encoded::I32], [Encoded::I32]);
    let mut adopt = Function::new([]);
    adopt.instructions().local_get(0).end();
    let mut module = Module::new();
    module.section(&types);
    finish(module, None, [("adopt", adopt)])
}

/// The rest of a module whose functions all have its only type.
fn finish<const N: usize>(mut module: Module, memory: Option<MemorySection>, list: [(&str, Function); N]) -> Module {
    let (mut functions, mut exports, mut code) = (FunctionSection::new(), ExportSection::new(), CodeSection::new());
    for (index, (name, body)) in (0..).zip(&list) {
        functions.function(0);
        exports.export(name, ExportKind::Func, index);
        code.function(body);
    }
    module.section(&functions);
    if let Some(memory) = memory {
        module.section(&memory);
    }
    module.section(&exports).section(&code);
    module
}

fn encoded(ty: ValType) -> Encoded {
    match ty {
        ValType::I64 => Encoded::I64,
        ValType::F32 => Encoded::F32,
        ValType::F64 => Encoded::F64,
        ValType::V128 => Encoded::V128,
        ValType::I32 | ValType::Ref(_) => Encoded::I32,
    }
}

fn store<'a, 'b>(code: &'b mut InstructionSink<'a>, ty: ValType, slot: MemArg) -> &'b mut InstructionSink<'a> {
    match ty {
        ValType::I64 => code.i64_store(slot),
        ValType::F32 => code.f32_store(slot),
        ValType::F64 => code.f64_store(slot),
        ValType::V128 => code.v128_store(slot),
        ValType::I32 | ValType::Ref(_) => code.i32_store(slot),
    }
}

fn load<'a, 'b>(code: &'b mut InstructionSink<'a>, ty: ValType, slot: MemArg) -> &'b mut InstructionSink<'a> {
    match ty {
        ValType::I64 => code.i64_load(slot),
        ValType::F32 => code.f32_load(slot),
        ValType::F64 => code.f64_load(slot),
        ValType::V128 => code.v128_load(slot),
        ValType::I32 | ValType::Ref(_) => code.i32_load(slot),
    }
}
