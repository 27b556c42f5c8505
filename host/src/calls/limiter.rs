//! Growth of memories and tables: a question that passes the gate like any other.

use reel_abi::limits::LimitKind;
use reel_abi::types::Growth;
use reel_abi::vocabulary::MemoryGrow;
use wasmtime::ResourceLimiter;

use super::session::Session;
use crate::gate::Halt;

/// Most bytes of one memory: what is reserved for it and cannot move.
const MEMORY_BYTES: u64 = 4 << 30;

/// Bytes of all memories and elements of all tables of a guest together, and what was last granted.
#[derive(Debug, Default)]
pub struct Growths {
    memory: u64,
    tables: u64,
    /// Whether the last growth was granted, so that a failure behind it is the host's.
    granted: bool,
}

impl Growths {
    /// Bytes of memories, and elements of tables.
    pub fn counted(&self) -> (u64, u64) {
        (self.memory, self.tables)
    }

    /// What was counted before.
    pub fn of_counted((memory, tables): (u64, u64)) -> Self {
        Self { memory, tables, granted: false }
    }
}

impl Session {
    fn grow(&mut self, what: Growth, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool, Halt> {
        if self.handles.restoring {
            return Ok(true);
        }
        let limits = self.gate.limits();
        let (kind, limit) = match what {
            Growth::Memory => (LimitKind::Memory, limits.memory_bytes),
            Growth::Table => (LimitKind::Table, limits.table_elements),
        };
        let total = match what {
            Growth::Memory => self.growths.memory.saturating_sub(current as u64).saturating_add(desired as u64),
            Growth::Table => self.growths.tables.saturating_sub(current as u64).saturating_add(desired as u64),
        };
        // What the module itself or the address space rules out is answered with -1, as everywhere; it is no limit of the run.
        let declared = maximum.is_none_or(|maximum| desired <= maximum);
        let fits = what == Growth::Table || desired as u64 <= MEMORY_BYTES;
        let over = declared && total > limit;
        let call = MemoryGrow { what, current: current as u64, desired: desired as u64 };
        let allowed = self.gate.pass(call, |_, _| Ok(declared && fits && !over))?;
        if over && !allowed {
            return Err(Halt::Limit { kind, limit });
        }
        match what {
            Growth::Memory if allowed => self.growths.memory = total,
            Growth::Table if allowed => self.growths.tables = total,
            _ => {}
        }
        self.growths.granted = allowed;
        Ok(allowed)
    }

    fn growth_failed(&self, error: &wasmtime::Error) -> wasmtime::Result<()> {
        if self.growths.granted {
            return Err(Halt::Host(format!("the host refused memory that the guest may have: {error}")).into());
        }
        Ok(())
    }
}

impl ResourceLimiter for Session {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(Growth::Memory, current, desired, maximum)?)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.growth_failed(&error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(Growth::Table, current, desired, maximum)?)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.growth_failed(&error)
    }
}
