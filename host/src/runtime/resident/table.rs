//! Making the engine's table of handles what it was.
//!
//! The engine gives the place that was freed last, and when none is free the one behind the last: so places are freed and filled in such an order that in
//! the end each handle is where it was, and the free ones are chained as they were.
//!
//! ```text
//! born:  1 stdout               wanted:  1 free -> 3    drop 1;  adopt: 1 placeholder, 2 file, 3 placeholder, 4 stdout
//!                                        2 file         drop 3, then 1
//!                                        3 free
//!                                        4 stdout       free: 1 -> 3
//! ```

use std::collections::BTreeMap;

use reel_abi::resident::{Residue, Slot};
use wasmtime::component::Val;

use super::capture::{CaptureError, placeholder, resource};
use super::instance::Instance;
use crate::calls::named::Named;
use crate::engine::instrument::Plan;

/// Rebuilds the table of an instance that has the handles of its session.
pub(super) async fn rebuild(instance: &mut Instance, plan: &Plan, residue: &Residue) -> Result<(), CaptureError> {
    let handles = &instance.session().handles;
    let mut free = handles.free();
    let mut places = handles.places();
    let mut born = Vec::new();
    for (number, named) in handles.named() {
        let resource = resource(plan, named).ok_or(CaptureError::Stranger(named.kind()))?;
        born.push((number, resource.drop.clone()));
    }
    for (number, drop) in born.into_iter().rev() {
        instance.call_added(&drop, 0, &[Val::U32(number + 1)]).await?;
        free.insert(0, number);
    }
    let wanted = u32::try_from(residue.handles.len()).map_err(|_| CaptureError::Added("too many handles".into()))?;
    let mut holes = BTreeMap::new();
    while places < wanted || !free.is_empty() {
        let next = if free.is_empty() { places } else { free.remove(0) };
        places = places.max(next + 1);
        let named = residue.handles.get(next as usize).and_then(Named::of_slot);
        let found = match &named {
            Some(named) => {
                let resource = resource(plan, named).ok_or(CaptureError::Stranger(named.kind()))?;
                instance.adopt(&resource.adopt, named, next).await?
            }
            None => {
                let Some((named, resource)) = placeholder(plan) else {
                    return Err(CaptureError::Added("it has handles but imports no type of them".into()));
                };
                holes.insert(next, resource.drop.clone());
                instance.adopt(&resource.adopt, &named, next).await?
            }
        };
        if found != next + 1 {
            return Err(CaptureError::Handles { expected: next + 1, found });
        }
    }
    let mut next = residue.free;
    let mut order = Vec::with_capacity(holes.len());
    while let Some(number) = next.filter(|_| order.len() < holes.len()) {
        order.push(number);
        next = match residue.handles.get(number as usize) {
            Some(Slot::Free { next }) => *next,
            _ => None,
        };
    }
    for number in order.into_iter().rev() {
        let Some(drop) = holes.remove(&number) else {
            return Err(CaptureError::Added(format!("handle {} is free and named", number + 1)));
        };
        instance.call_added(&drop, 0, &[Val::U32(number + 1)]).await?;
    }
    if holes.is_empty() { Ok(()) } else { Err(CaptureError::Added("free handles are not chained".into())) }
}
