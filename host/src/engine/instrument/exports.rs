//! A component's bytes, copied section by section, with more exports in its core modules.

use wasm_encoder::{Component, Encode, ExportKind, Module as Encoder, RawSection};
use wasmparser::{Parser, Payload};

use super::modules::Module;
use super::obstacle::NotInstrumented;

/// Core exports of globals begin with this; their number follows.
pub(super) const GLOBAL: &str = "reel:global:";

/// Core exports of memories begin with this; their number follows.
pub(super) const MEMORY: &str = "reel:memory:";

const EXPORTS: u8 = 7;

/// Sections that come after the exports: start, elements, code, data, count of data.
const AFTER_EXPORTS: std::ops::RangeInclusive<u8> = 8..=12;

/// The component with what its modules keep exported from them. All else is as it was, in the same order. The component must be valid, and
/// `modules` are those that it defines.
pub(super) fn with_exports(component: &[u8], modules: &[Module]) -> Result<Vec<u8>, NotInstrumented> {
    let (mut depth, mut outer, mut modules) = (0u32, Component::new(), modules.iter());
    let mut open: Option<(&Module, Inner)> = None;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload?;
        match &payload {
            Payload::ModuleSection { .. } if depth == 0 => {
                depth += 1;
                let module = modules.next().filter(|module| !(module.globals.is_empty() && module.memories.is_empty()));
                match module {
                    Some(module) => open = Some((module, Inner::default())),
                    None => copy(&payload, component, |section| _ = outer.section(&section))?,
                }
                continue;
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                if depth == 0 {
                    copy(&payload, component, |section| _ = outer.section(&section))?;
                }
                depth += 1;
                continue;
            }
            Payload::End(_) => {
                depth = depth.saturating_sub(1);
                if let Some((module, mut inner)) = open.take() {
                    inner.add_exports(module);
                    outer.section(&RawSection { id: 1, data: &inner.encoder.finish() });
                }
                continue;
            }
            _ => {}
        }
        match &mut open {
            Some((module, inner)) => inner.section(&payload, module, component)?,
            None if depth == 0 => copy(&payload, component, |section| _ = outer.section(&section))?,
            None => {}
        }
    }
    Ok(outer.finish())
}

fn copy(payload: &Payload<'_>, bytes: &[u8], sink: impl FnOnce(RawSection<'_>)) -> Result<(), NotInstrumented> {
    if let Some((id, range)) = payload.as_section() {
        let data = bytes.get(range).ok_or_else(|| NotInstrumented::Invalid("it ends within a section".into()))?;
        sink(RawSection { id, data });
    }
    Ok(())
}

/// A core module that gets exports.
#[derive(Default)]
struct Inner {
    encoder: Encoder,
    exported: bool,
}

impl Inner {
    fn section(&mut self, payload: &Payload<'_>, module: &Module, bytes: &[u8]) -> Result<(), NotInstrumented> {
        let Some((id, range)) = payload.as_section() else { return Ok(()) };
        if let Payload::ExportSection(section) = payload {
            let known = bytes.get(section.original_position()..range.end).unwrap_or_default();
            self.write_exports(module, section.count(), known);
            return Ok(());
        }
        if AFTER_EXPORTS.contains(&id) {
            self.add_exports(module);
        }
        copy(payload, bytes, |section| _ = self.encoder.section(&section))
    }

    /// An export section, if there was none.
    fn add_exports(&mut self, module: &Module) {
        if !self.exported {
            self.write_exports(module, 0, &[]);
        }
    }

    fn write_exports(&mut self, module: &Module, count: u32, known: &[u8]) {
        let added = module.globals.len() + module.memories.len();
        let mut data = Vec::with_capacity(known.len() + 24 * added + 5);
        count.saturating_add(added as u32).encode(&mut data);
        data.extend_from_slice(known);
        let globals = module.globals.iter().map(|(index, _)| (GLOBAL, ExportKind::Global, *index));
        let memories = module.memories.iter().map(|(index, _)| (MEMORY, ExportKind::Memory, *index));
        for (ordinal, (prefix, kind, index)) in globals.enumerate().chain(memories.enumerate()) {
            format!("{prefix}{ordinal}").as_str().encode(&mut data);
            kind.encode(&mut data);
            index.encode(&mut data);
        }
        self.encoder.section(&RawSection { id: EXPORTS, data: &data });
        self.exported = true;
    }
}
