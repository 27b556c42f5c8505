//! The table behind a guest's handles, bounded.
//!
//! Numbers come from wasmtime's resource table, whose free list is last in, first out: equal calls give equal numbers, so that handles can stand in
//! events as they are.

use reel_abi::limits::LimitKind;
use reel_abi::types::{Handle, Resource as Kind};
use reel_abi::vocabulary::HandleDrop;
use wasmtime::component::{Resource, ResourceTable};

use super::session::Session;
use crate::gate::Halt;

/// What the guest's handles name.
pub struct Handles {
    table: ResourceTable,
    open: u64,
    limit: u64,
}

impl Handles {
    /// An empty table for at most `limit` resources.
    pub fn new(limit: u64) -> Self {
        Self { table: ResourceTable::new(), open: 0, limit }
    }

    /// Adds a resource.
    pub fn push<T: Send + 'static>(&mut self, resource: T) -> Result<Handle, Halt> {
        if self.open >= self.limit {
            return Err(Halt::Limit { kind: LimitKind::OpenHandles, limit: self.limit });
        }
        let handle = self.table.push(resource).map_err(|e| Halt::host("table of handles", &e))?;
        self.open += 1;
        Ok(Handle(handle.rep()))
    }

    /// The resource behind a handle. The engine has checked that the guest owns it; a stale one is a trap all the same.
    pub fn get<T: 'static>(&self, handle: &Resource<T>) -> Result<&T, Halt> {
        self.table.get(handle).map_err(|_| stale(handle.rep()))
    }

    /// The same, to be changed.
    pub fn get_mut<T: 'static>(&mut self, handle: &Resource<T>) -> Result<&mut T, Halt> {
        self.table.get_mut(handle).map_err(|_| stale(handle.rep()))
    }

    /// Takes a resource out.
    pub fn remove<T: 'static>(&mut self, handle: Handle) -> Result<T, Halt> {
        let resource = self.table.delete(Resource::new_own(handle.0)).map_err(|_| stale(handle.0))?;
        self.open -= 1;
        Ok(resource)
    }
}

impl Session {
    /// The guest gives a handle back.
    pub(super) fn drop_handle<T: Send + 'static>(&mut self, what: Kind, handle: &Resource<T>) -> wasmtime::Result<()> {
        let handles = &mut self.handles;
        let call = HandleDrop { what, handle: number(handle) };
        Ok(self.gate.pass(call, |_, call| handles.remove::<T>(call.handle).map(drop))?)
    }
}

/// The number of a handle, as it stands in events.
pub fn number<T: 'static>(handle: &Resource<T>) -> Handle {
    Handle(handle.rep())
}

/// The handle with a number, handed to the guest.
pub fn own<T: 'static>(handle: Handle) -> Resource<T> {
    Resource::new_own(handle.0)
}

fn stale(number: u32) -> Halt {
    Halt::Trap(format!("handle {number} names nothing"))
}
