//! What the code of one core module does to state that cannot be captured.

use std::collections::BTreeSet;

use wasmparser::types::TypesRef;
use wasmparser::{
    ConstExpr, Element, ElementItems, ElementSectionReader, Operator, Result, TableInit, TableSectionReader,
};

use super::obstacle::{Obstacle, Place};
use super::reach;

/// Most offences of one module that are looked at one by one; stops a module of nothing else from taking several times its size.
const OFFENCES: usize = 100_000;

/// An instruction that is an obstacle if it is executed between instantiation and the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Offence {
    TableWritten(&'static str),
    DataDropped(u32),
    ElementsDropped(u32),
    ReferenceSet,
}

/// The offences in one module, as functions are read one after the other.
#[derive(Debug, Default)]
pub(super) struct Offences {
    found: BTreeSet<(u32, Offence)>,
    more: bool,
    data_read: BTreeSet<u32>,
    elements_read: BTreeSet<u32>,
}

impl Offences {
    /// Takes note of one valid instruction of `function`.
    pub(super) fn note(&mut self, function: u32, op: &Operator<'_>, types: TypesRef<'_>) {
        let offence = match *op {
            Operator::TableSet { .. } => Offence::TableWritten("table.set"),
            Operator::TableGrow { .. } => Offence::TableWritten("table.grow"),
            Operator::TableFill { .. } => Offence::TableWritten("table.fill"),
            Operator::TableCopy { .. } => Offence::TableWritten("table.copy"),
            Operator::TableInit { elem_index, .. } => {
                self.elements_read.insert(elem_index);
                Offence::TableWritten("table.init")
            }
            Operator::TableAtomicSet { .. }
            | Operator::TableAtomicRmwXchg { .. }
            | Operator::TableAtomicRmwCmpxchg { .. } => Offence::TableWritten("table.atomic"),
            Operator::DataDrop { data_index } => Offence::DataDropped(data_index),
            Operator::ElemDrop { elem_index } => Offence::ElementsDropped(elem_index),
            Operator::GlobalSet { global_index }
            | Operator::GlobalAtomicSet { global_index, .. }
            | Operator::GlobalAtomicRmwXchg { global_index, .. }
            | Operator::GlobalAtomicRmwCmpxchg { global_index, .. }
                if types.global_at(global_index).content_type.is_reference_type() =>
            {
                Offence::ReferenceSet
            }
            Operator::MemoryInit { data_index, .. }
            | Operator::ArrayNewData { array_data_index: data_index, .. }
            | Operator::ArrayInitData { array_data_index: data_index, .. } => {
                self.data_read.insert(data_index);
                return;
            }
            Operator::ArrayNewElem { array_elem_index, .. } | Operator::ArrayInitElem { array_elem_index, .. } => {
                self.elements_read.insert(array_elem_index);
                return;
            }
            _ => return,
        };
        match self.found.len() < OFFENCES {
            true => _ = self.found.insert((function, offence)),
            false => self.more = true,
        }
    }

    /// The obstacles that they are, of each kind the first. `bytes` is the module, which is valid.
    pub(super) fn judge(self, module: u32, bytes: &[u8]) -> Result<Vec<Obstacle>> {
        let (data, elements) = (&self.data_read, &self.elements_read);
        let matters = |offence: &Offence| match offence {
            Offence::DataDropped(segment) => data.contains(segment),
            Offence::ElementsDropped(segment) => elements.contains(segment),
            Offence::TableWritten(_) | Offence::ReferenceSet => true,
        };
        let mut found = self.found;
        // With more than are known, all are taken to matter.
        if !self.more {
            found.retain(|(_, offence)| matters(offence));
            // What only the start function does is done again in every instance.
            if !found.is_empty() {
                let reached = reach::after_start(bytes)?;
                found.retain(|(function, _)| reached.contains(*function));
            }
        }
        let mut obstacles = Vec::new();
        for wanted in ["table", "segment", "global"] {
            let first = found.iter().find(|(_, offence)| offence.of() == wanted);
            obstacles.extend(first.map(|(function, offence)| offence.at(Place { module, function: *function })));
        }
        Ok(obstacles)
    }
}

impl Offence {
    fn of(self) -> &'static str {
        match self {
            Self::TableWritten(_) => "table",
            Self::DataDropped(_) | Self::ElementsDropped(_) => "segment",
            Self::ReferenceSet => "global",
        }
    }

    fn at(self, place: Place) -> Obstacle {
        match self {
            Self::TableWritten(by) => Obstacle::TableWritten { place, by },
            Self::DataDropped(_) => Obstacle::SegmentDropped { place, by: "data.drop" },
            Self::ElementsDropped(_) => Obstacle::SegmentDropped { place, by: "elem.drop" },
            Self::ReferenceSet => Obstacle::ReferenceGlobal { place },
        }
    }
}

/// Whether a constant expression makes an object that code could change.
pub(super) fn makes_object(expression: &ConstExpr<'_>) -> Result<bool> {
    for op in expression.get_operators_reader() {
        if matches!(
            op?,
            Operator::StructNew { .. }
                | Operator::StructNewDefault { .. }
                | Operator::ArrayNew { .. }
                | Operator::ArrayNewDefault { .. }
                | Operator::ArrayNewFixed { .. }
        ) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a table of the section begins with such an object.
pub(super) fn table_objects(section: TableSectionReader<'_>) -> Result<bool> {
    for table in section {
        if let TableInit::Expr(expression) = table?.init
            && makes_object(&expression)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an element segment of the section has such an object in it.
pub(super) fn element_objects(section: ElementSectionReader<'_>) -> Result<bool> {
    for element in section {
        let Element { items: ElementItems::Expressions(_, expressions), .. } = element? else { continue };
        for expression in expressions {
            if makes_object(&expression?)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
