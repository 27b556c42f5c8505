//! What instrumenting gives, and the way there: look, write, look at what was written.

use serde::{Deserialize, Serialize};
use wasmparser::{Parser, ValidPayload, Validator, WasmFeatures};

use super::obstacle::{NotInstrumented, Obstacle};
use super::survey::{Survey, look};
use super::{exports, tail};

/// Most mutable globals, over all core instances; stops a keeper larger than the guest.
pub(super) const GLOBALS: usize = 100_000;

/// Most resource types.
pub(super) const RESOURCES: usize = 1000;

/// Most linear memories, over all core instances.
pub(super) const MEMORIES: usize = 100;

/// A component whose state can be captured.
#[derive(Debug, Clone)]
pub struct Instrumented {
    /// The component that it became.
    pub bytes: Vec<u8>,
    /// What was added.
    pub plan: Plan,
}

/// What instrumenting adds to a component: the exports by which its host gets at its state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Every resource type that the component imports, once each, in order of the imports.
    pub resources: Vec<AdoptedResource>,
    /// Mutable globals. If there is one, [`super::SAVE`] and [`super::LOAD`] are exported, and the guest has one more memory, created after all of
    /// `memories`, with a slot of [`super::SLOT_BYTES`] for each.
    pub globals: usize,
    /// The guest's own linear memories, in order of their creation.
    pub memories: Vec<GrownMemory>,
}

/// A resource type of which handles can be handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptedResource {
    /// The imported interface that defines it, `wasi:io/streams@0.2.6`; empty if the type itself is imported.
    pub interface: String,
    /// Its name there, `output-stream`.
    pub name: String,
    /// Component export `func(h: own<T>) -> u32`: the handle stays in the guest's table, the result is its index.
    pub adopt: String,
    /// Component export `func(index: u32)`: drops the handle as the guest would.
    pub drop: String,
}

/// A linear memory that can be brought to a size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrownMemory {
    /// Component export that grows it by a number of pages and gives the pages before, or -1: `func(pages: u32) -> s32`, for a 64-bit memory
    /// `func(pages: u64) -> s64`.
    pub grow: String,
    /// Whether its addresses have 64 bits.
    pub memory64: bool,
    /// Bytes of a page of it.
    pub page_bytes: u64,
}

/// The component with exports for its state, or why that would not be all of its state.
///
/// Time and memory are linear in the bytes given. The result is valid if they are.
pub fn instrument(component: &[u8]) -> Result<Instrumented, NotInstrumented> {
    let survey = capturable(component)?;
    let (plan, tail) = tail::tail(&survey);
    let mut bytes = exports::with_exports(component, &survey.modules)?;
    bytes.extend_from_slice(&tail);
    check(&bytes)?;
    Ok(Instrumented { bytes, plan })
}

/// What [`instrument`] would add, without writing it.
pub fn survey(component: &[u8]) -> Result<Plan, NotInstrumented> {
    capturable(component).map(|survey| tail::plan(&survey))
}

fn capturable(component: &[u8]) -> Result<Survey, NotInstrumented> {
    let survey = look(component)?;
    match survey.obstacles.is_empty() {
        true => Ok(survey),
        false => Err(NotInstrumented::Obstacles(survey.obstacles)),
    }
}

/// Validates all but function bodies: those of the component are validated already, ours are tested. What is left to go wrong are bounds on how
/// many things of a kind a component may have.
fn check(bytes: &[u8]) -> Result<(), NotInstrumented> {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    for payload in Parser::new(0).parse_all(bytes) {
        let valid = payload.and_then(|payload| validator.payload(&payload));
        match valid {
            Ok(ValidPayload::Func(..) | ValidPayload::Ok | ValidPayload::Parser(_) | ValidPayload::End(_)) => {}
            Err(error) => {
                return Err(NotInstrumented::Obstacles(vec![Obstacle::NoRoom { error: error.to_string() }]));
            }
        }
    }
    Ok(())
}
