//! Engines by what they are for, and the clock that stops guests.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Engine;

use super::turns::Turns;
use crate::engine::config::{Allocation, engine};
use crate::engine::memory::VisibleMemories;

/// How often a computing guest gives the host a chance to look at deadlines and interrupts.
const EPOCH: Duration = Duration::from_millis(10);

/// An engine and the thread that moves its epoch. The thread ends with the engine.
#[derive(Clone)]
pub struct Engines {
    engine: Engine,
    turns: Turns,
}

impl Engines {
    /// For commands: memories that can be looked at, a stack of `stack_bytes`.
    pub fn for_commands(stack_bytes: u64) -> wasmtime::Result<Self> {
        Self::new(&Allocation::Visible(Arc::new(VisibleMemories)), stack_bytes)
    }

    /// With memories as `allocation` says.
    pub fn new(allocation: &Allocation, stack_bytes: u64) -> wasmtime::Result<Self> {
        let engine = engine(allocation, stack_bytes)?;
        let weak = engine.weak();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(EPOCH);
                match weak.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        });
        Ok(Self { engine, turns: Turns::default() })
    }

    /// The turns of the runs that it executes.
    pub fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }
}
