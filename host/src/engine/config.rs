//! The one constructor of the wasmtime configuration: the determinism recipe.

use std::sync::Arc;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

use super::memory::VisibleMemories;

/// Room on a fiber for host code below the guest's own stack.
const HOST_STACK_BYTES: usize = 512 << 10;

/// Most of a guest's stack that an engine is set up for.
pub const STACK_MAX_BYTES: u64 = 64 << 20;

/// Bytes of a pooled memory or table that are set back by writing rather than by giving their pages to the system and faulting them in again.
const KEPT_BYTES: usize = 128 << 10;

/// Where the memories of guests come from.
#[derive(Debug, Clone)]
pub enum Allocation {
    /// Mapped by the host one by one, so that it can look at them: for commands and residents.
    Visible(Arc<VisibleMemories>),
    /// Taken from a pool made once, for many short-lived instances.
    Pooled {
        /// How many at once.
        instances: u32,
        /// Bytes of one memory at the most.
        memory_bytes: usize,
    },
}

/// The engine for guests that may use `stack_bytes` of stack.
///
/// Nothing that the host machine decides reaches a guest: NaNs are canonical, relaxed SIMD is deterministic, there are no threads, and an instance can
/// be stopped only at epochs, whose firing is an event.
pub fn engine(allocation: &Allocation, stack_bytes: u64) -> wasmtime::Result<Engine> {
    let stack = stack_bytes.clamp(16 << 10, STACK_MAX_BYTES) as usize;
    let mut config = Config::new();
    config.wasm_component_model(true);
    config.wasm_exceptions(true);
    config.concurrency_support(false);
    config.cranelift_nan_canonicalization(true);
    config.relaxed_simd_deterministic(true);
    config.epoch_interruption(true);
    config.max_wasm_stack(stack);
    config.async_stack_size(stack + HOST_STACK_BYTES);
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    match allocation {
        Allocation::Visible(memories) => {
            config.memory_init_cow(false);
            config.with_host_memory(Arc::clone(memories) as Arc<dyn wasmtime::MemoryCreator>);
        }
        Allocation::Pooled { instances, memory_bytes } => {
            let mut pool = PoolingAllocationConfig::default();
            pool.total_component_instances(*instances);
            pool.total_core_instances(instances.saturating_mul(8));
            pool.total_memories(instances.saturating_mul(2));
            pool.total_tables(instances.saturating_mul(8));
            pool.total_stacks(*instances);
            pool.max_memory_size(*memory_bytes);
            pool.linear_memory_keep_resident(KEPT_BYTES);
            pool.table_keep_resident(KEPT_BYTES);
            pool.pagemap_scan(Enabled::Auto);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
    }
    Engine::new(&config)
}

/// The engine in words, as it stands in a run's begin: what could make a replay elsewhere differ.
pub fn description() -> String {
    "wasmtime 48.0.8 cranelift; canonical nan, deterministic simd, no threads".to_owned()
}
