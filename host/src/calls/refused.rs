//! Interfaces that a guest may import but cannot be granted (`wasi:sockets` of other versions than 0.2).
//!
//! They are linked from the component's own types: a function that can fail answers with the code for "access denied", one that hands out a resource
//! hands out an empty one, and any other is a trap that says so. Each is an event.

use reel_abi::types::Resource as Kind;
use reel_abi::vocabulary::{HandleDrop, NetRefused};
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, Linker, Resource, ResourceType, Val};
use wasmtime::{Engine, StoreContextMut};

use super::handles::own;
use super::session::Session;
use crate::gate::Halt;

/// Packages that are refused at run time instead of at the start.
const PACKAGES: [&str; 1] = ["wasi:sockets/"];

/// The codes that mean "not granted", in the interfaces' own words.
const DENIALS: [&str; 3] = ["access-denied", "HTTP-request-denied", "internal-error"];

/// Resources that these interfaces only use; `wasi:io` defines them.
const BORROWED: [&str; 5] = ["pollable", "input-stream", "output-stream", "error", "io-error"];

/// A resource of a refused interface.
pub struct Refused;

/// Whether an import is of a package that is refused at run time.
pub fn is_refused(import: &str) -> bool {
    PACKAGES.iter().any(|package| import.starts_with(package)) && !import.contains("@0.2.")
}

/// Links every refused interface that the component imports.
pub fn link(linker: &mut Linker<Session>, component: &Component, engine: &Engine) -> wasmtime::Result<()> {
    for (name, item) in component.component_type().imports(engine) {
        let (true, ComponentItem::ComponentInstance(instance)) = (is_refused(name), item.ty) else { continue };
        let mut linker = linker.instance(name)?;
        for (export, item) in instance.exports(engine) {
            match item.ty {
                ComponentItem::Resource(_) if !BORROWED.contains(&export) => {
                    let ty = ResourceType::host::<Refused>();
                    linker.resource(export, ty, |mut store, rep| drop_refused(&mut store, rep))?;
                }
                ComponentItem::ComponentFunc(ty) => {
                    let (interface, function) = (name.to_owned(), export.to_owned());
                    linker.func_new(export, move |store, _, _, results| {
                        refuse(store, &interface, &function, &ty, results)
                    })?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

fn drop_refused(store: &mut StoreContextMut<'_, Session>, rep: u32) -> wasmtime::Result<()> {
    let session = store.data_mut();
    if session.handles.restoring {
        return Ok(());
    }
    let handles = &mut session.handles;
    let call = HandleDrop { what: Kind::Refused, handle: reel_abi::types::Handle(rep) };
    Ok(session.gate.pass(call, |_, call| handles.remove::<Refused>(call.handle).map(drop))?)
}

fn refuse(
    mut store: StoreContextMut<'_, Session>,
    interface: &str,
    function: &str,
    ty: &ComponentFunc,
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let call = NetRefused { interface: interface.to_owned(), function: function.to_owned() };
    store.data_mut().gate.pass(call, |_, _| Ok(()))?;
    for (slot, ty) in results.iter_mut().zip(ty.results()) {
        *slot = match denial(&ty) {
            Some(value) => value,
            None if matches!(ty, Type::Own(_)) => {
                let handle = store.data_mut().handles.push(Refused)?;
                let resource: Resource<Refused> = own(handle);
                Val::Resource(resource.try_into_resource_any(&mut store)?)
            }
            None => return Err(Halt::Trap(format!("{interface}#{function} was not granted to this guest")).into()),
        };
    }
    Ok(())
}

/// The value that says "not granted", if the type has one.
fn denial(ty: &Type) -> Option<Val> {
    let Type::Result(result) = ty else { return None };
    let code = match result.err()? {
        Type::Enum(codes) => {
            let name = DENIALS.iter().find(|denial| codes.names().any(|name| name == **denial))?;
            Val::Enum((*name).to_owned())
        }
        Type::Variant(codes) => {
            let name =
                DENIALS.iter().find(|denial| codes.cases().any(|case| case.name == **denial && case.ty.is_none()))?;
            Val::Variant((*name).to_owned(), None)
        }
        _ => return None,
    };
    Some(Val::Result(Err(Some(Box::new(code)))))
}
