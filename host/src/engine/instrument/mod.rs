//! Getting at what a guest keeps where its host cannot look: mutable globals, and the table of its handles.
//!
//! A resident guest lives on between calls; its host keeps it by images. Linear memories are mapped by the host and need no help. Globals and
//! handles live inside of wasmtime, so a component is rewritten when it is deployed, and gets exports for them. What was there stays as it is, in the
//! same order and under the same index: sections are copied, core modules get more exports, and all the rest is appended at the end.
//!
//! ```wat
//! (component                                                  (component
//!   (import "wasi:io/streams@0.2.6" (instance $streams          (import "wasi:io/streams@0.2.6" (instance $streams
//!     (export "output-stream" (type (sub resource)))))            (export "output-stream" (type (sub resource)))))
//!   (core module $app                                            (core module $app
//!     (memory (export "memory") 2)                                 (memory (export "memory") 2)
//!     (global $sp (mut i32) (i32.const 65536)))                    (global $sp (mut i32) (i32.const 65536))
//!                                                                  (export "reel:global:0" (global $sp))
//!                                                                  (export "reel:memory:0" (memory 0)))
//!   (core instance $a (instantiate $app)))                       (core instance $a (instantiate $app))
//!
//!                                                                (core module $keeper ;; its own memory, one slot a global
//!                                                                  (import "" "0" (global $g (mut i32))) (memory 1)
//!                                                                  (func (export "save") (i32.store (i32.const 0) (global.get $g)))
//!                                                                  (func (export "load") (global.set $g (i32.load (i32.const 0)))))
//!                                                                (export "reel-save" (func ...)) (export "reel-load" (func ...))
//!                                                                (export "reel-grow-0" (func ...)) ;; (param "pages" u32) (result s32)
//!                                                                (export "reel-adopt-0" (func ...)) ;; (param "h" (own $os)) (result u32)
//!                                                                (export "reel-drop-0" (func ...))) ;; (param "index" u32)
//! ```
//!
//! **Invariant.** For a component that is instrumented without complaint, memories, saved globals and the handle table are *all* that a call can leave to the next
//! one. Whatever else could be is an [`Obstacle`], and such a component is served by replay alone. Every core instance is looked at, so that it does not matter
//! which toolchain made it or how many modules there are.
//!
//! What is no obstacle, because it is the same in every instance: tables that only element segments fill, segments that nothing drops, immutable globals, tags,
//! start functions (they run again at each instantiation, and what they ask the host is the host's to answer again), components inside that only rename.
//!
//! Memories are created in the order in which core instances are, those of one module in order of definition; that of `$keeper` is created last, since it
//! is instantiated last. If code anywhere in the component needs wasmtime's collector (exceptions do), the collector's heap comes from the memory creator too: one
//! memory more than the plan says, and the very first. Nothing in that heap outlives a call, and it belongs into no image.

mod async_types;
mod code;
mod exports;
mod helpers;
mod imports;
mod modules;
mod obstacle;
mod plan;
mod reach;
mod survey;
mod tail;

pub use obstacle::{NotInstrumented, Obstacle, Place};
pub use plan::{AdoptedResource, GrownMemory, Instrumented, Plan, instrument, survey};

/// Version of what instrumenting does: part of the compile cache's names and of checkpoints.
pub const INSTRUMENT_VERSION: u32 = 1;

/// Component export that stores all globals in the keeper's memory: `func()`.
pub const SAVE: &str = "reel-save";

/// Component export that sets all globals from the keeper's memory: `func()`.
pub const LOAD: &str = "reel-load";

/// Bytes of one global in the keeper's memory, which begins with the first.
pub const SLOT_BYTES: usize = 16;
