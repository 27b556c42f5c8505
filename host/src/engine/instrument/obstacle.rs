//! Why the state of a component cannot be captured.

use std::fmt;

use thiserror::Error;

/// Why a component was not instrumented.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotInstrumented {
    /// The bytes are no valid component.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// It has state that cannot be captured: all reasons, at least one. Of a kind that many functions of a module share, the first function.
    #[error("{}", listed(.0))]
    Obstacles(Vec<Obstacle>),
}

impl From<wasmparser::BinaryReaderError> for NotInstrumented {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// A function of a core module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which of the core modules that the component defines, counted from 0.
    pub module: u32,
    /// Index of the function in it, imports included.
    pub function: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "function {} of core module {}", self.function, self.module)
    }
}

/// State, or a way to it, that instrumenting does not reach.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Obstacle {
    /// Code changes a table, which nobody outside can read.
    #[error("{place} writes a table ({by})")]
    TableWritten {
        /// Where.
        place: Place,
        /// The instruction.
        by: &'static str,
    },
    /// Code drops a segment that code also copies from.
    #[error("{place} drops a segment that is also read ({by})")]
    SegmentDropped {
        /// Where.
        place: Place,
        /// The instruction.
        by: &'static str,
    },
    /// Code sets a global that holds a reference.
    #[error("{place} sets a global that holds a reference")]
    ReferenceGlobal {
        /// Where.
        place: Place,
    },
    /// A global, table or segment begins with an object of the collector, which code may change.
    #[error("core module {module} keeps a garbage-collected object in a {holder}")]
    KeptObject {
        /// Which of the core modules.
        module: u32,
        /// Global, table or element segment.
        holder: &'static str,
    },
    /// Something is shared with other threads.
    #[error("core module {module} has a {what} that is shared with threads")]
    Shared {
        /// Which of the core modules.
        module: u32,
        /// Memory, global or table.
        what: &'static str,
    },
    /// The component makes resources of its own, whose handles others hold.
    #[error("it defines a resource type of its own (type {index})")]
    DefinedResource {
        /// Index of the type.
        index: u32,
    },
    /// Streams, futures, tasks, threads.
    #[error("it uses the component model's concurrency ({what})")]
    Concurrency {
        /// The built-in, type or option.
        what: &'static str,
    },
    /// A component in it has code, thus a handle table, of its own.
    #[error("component {component} in it has {what} of its own")]
    Composed {
        /// Which of the components nested in it, counted in order of their beginnings.
        component: u32,
        /// What it has.
        what: &'static str,
    },
    /// A core module that is instantiated comes from outside.
    #[error("core instance {instance} is of a module that it does not define")]
    ForeignModule {
        /// Index of the core instance.
        instance: u32,
    },
    /// An import that can have state of its own.
    #[error("it imports {name}, a {kind}")]
    Imported {
        /// The name.
        name: String,
        /// Component, core module or value.
        kind: &'static str,
    },
    /// A resource type that no alias of one step reaches.
    #[error("it imports {name} with an instance in it that has resource types")]
    DeepResource {
        /// The import.
        name: String,
    },
    /// A start function of the component itself.
    #[error("it has a component start function")]
    Start,
    /// A name that instrumenting takes; the component may be instrumented already.
    #[error("it already exports {name}, a name that the host takes for itself")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// More than is taken.
    #[error("{count} {what}, at most {max} are taken")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many are taken.
        max: usize,
    },
    /// With what instrumenting adds, it would be larger than a component may be.
    #[error("no room for more in it: {error}")]
    NoRoom {
        /// The validator's reason.
        error: String,
    },
}

fn listed(obstacles: &[Obstacle]) -> String {
    obstacles.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
