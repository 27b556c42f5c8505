//! The only place that fills a wasmtime linker.

use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, HasSelf, Linker};

use crate::calls::bindings::{Command, LinkOptions};
use crate::calls::refused;
use crate::calls::session::Session;

/// A linker with all that the component may call.
pub fn linker(engine: &Engine, component: &Component) -> wasmtime::Result<Linker<Session>> {
    let mut linker = Linker::new(engine);
    let mut options = LinkOptions::default();
    options.network_error_code(true);
    Command::add_to_linker::<_, HasSelf<Session>>(&mut linker, &options, |session| session)?;
    refused::link(&mut linker, component, engine)?;
    Ok(linker)
}

/// An import, and whether the host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// `package:name/interface@version`, with `#function` for a single function that is missing.
    pub name: String,
    /// Whether it is there.
    pub support: Support,
}

/// What the host makes of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It is there.
    Provided,
    /// It is linked, but every call is answered with "not granted".
    NotGranted,
    /// It is missing: the component cannot run.
    Missing,
}

/// What kind of thing is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An instance, and whether it has nothing but types in it.
    Instance {
        /// Then it needs nothing of the host.
        only_types: bool,
    },
    /// A type, which needs nothing of the host either.
    Type,
    /// A function, module or the like.
    Other,
}

/// What the host makes of an import.
pub fn support(name: &str, shape: Shape) -> Support {
    match shape {
        _ if refused::is_refused(name) => Support::NotGranted,
        Shape::Instance { only_types: true } | Shape::Type => Support::Provided,
        Shape::Instance { only_types: false } if is_provided(name) => Support::Provided,
        Shape::Instance { only_types: false } | Shape::Other => Support::Missing,
    }
}

/// All imports of a component, each with what the host makes of it.
pub fn imports(engine: &Engine, component: &Component) -> wasmtime::Result<Vec<Import>> {
    let mut all = Vec::new();
    for (name, item) in component.component_type().imports(engine) {
        let shape = match item.ty {
            ComponentItem::ComponentInstance(instance) => Shape::Instance {
                only_types: instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_))),
            },
            ComponentItem::Type(_) => Shape::Type,
            _ => Shape::Other,
        };
        all.push(Import { name: name.to_owned(), support: support(name, shape) });
    }
    Ok(all)
}

/// Interfaces of the host, without their versions.
const PROVIDED: [&str; 39] = [
    "wasi:messaging/producer",
    "wasi:messaging/request-reply",
    "wasi:messaging/types",
    "reel:guest/calls",
    "reel:guest/keyvalue",
    "reel:guest/messages",
    "reel:guest/transaction",
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:keyvalue/atomics",
    "wasi:keyvalue/batch",
    "wasi:keyvalue/store",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

fn is_provided(import: &str) -> bool {
    let (name, version) = import.split_once('@').unwrap_or((import, "0.2.0"));
    let known = match name.split_once('/') {
        Some(("wasi:keyvalue", _)) => matches!(version, "0.2.0-draft" | "0.2.0-draft2"),
        Some(("wasi:messaging", _)) => version == "0.2.0-draft",
        Some(("reel:guest", _)) => version.starts_with("0.1."),
        _ => version.starts_with("0.2."),
    };
    PROVIDED.contains(&name) && known
}
