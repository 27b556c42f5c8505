//! Those who can be called.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use reel_abi::id::{Digest, SpaceName};
use reel_abi::joined::JoinFault;
use reel_abi::record::family;
use reel_abi::resident::{GUEST_KEY, Guest, GuestKind, STOPPED_KEY};
use reel_store::{Head, Store};

use super::execute::Callee;
use super::joint::Member;
use crate::gate::Halt;
use crate::port::{HostDir, Topics};
use crate::runtime::engines::Engines;
use crate::runtime::prepare::{PrepareError, compiled, kept};
use crate::runtime::resident::cells::lodging;
use crate::runtime::resident::household::World;
use crate::runtime::run::Surroundings;
use crate::runtime::subscribers::Subscribers;

/// The guests of a database that others can call.
pub struct Guests {
    pub(super) store: Store,
    world: Arc<World>,
    engines: Mutex<BTreeMap<u64, Engines>>,
    ready: Mutex<BTreeMap<(Digest, u64), Arc<Callee>>>,
}

/// Why a guest cannot run is for its owner, not for who calls it: the words can name paths of the host.
fn unfit(name: &SpaceName, why: &dyn std::fmt::Display) -> JoinFault {
    tracing::warn!(guest = %name, %why, "it was called and cannot run");
    JoinFault::Unavailable { why: format!("{name} cannot run here") }
}

impl Guests {
    /// Those of a database; `world` gives what each may touch.
    pub fn new(store: Store, world: Arc<World>) -> Self {
        Self { store, world, engines: Mutex::default(), ready: Mutex::default() }
    }

    /// Who has subscribed to what, as it is when somebody asks first.
    pub(super) fn topics(&self) -> Arc<dyn Topics> {
        Arc::new(Subscribers::new(self.store.clone()))
    }

    /// The world of one call.
    pub(super) fn world(&self, name: &SpaceName, guest: &Guest) -> Result<Surroundings, JoinFault> {
        (self.world)(guest).map_err(|why| unfit(name, &why))
    }

    /// Opens the space of a guest for a transaction; `early` if it may read what is not durable yet.
    pub(super) fn open(&self, name: &SpaceName, early: bool) -> Result<Result<Member, JoinFault>, Halt> {
        let reading = |e: &dyn std::error::Error| Halt::host("reading the space of a guest", e);
        let durable = self.store.head(name).map_err(|e| reading(&e))?;
        let head = if early { self.store.newest(name).map_err(|e| reading(&e))? } else { durable };
        let Some(head) = head else { return Ok(Err(JoinFault::NoSuchGuest)) };
        let Some(lodging) = lodging(&self.store, head).map_err(|e| reading(&e))? else {
            return Ok(Err(JoinFault::NoSuchGuest));
        };
        let unavailable = |why: String| Ok(Err(JoinFault::Unavailable { why }));
        if lodging.guest.kind != GuestKind::Handler {
            return unavailable(format!(
                "{name} is a resident, whose memory cannot be a part of another transaction; deploy it with --kind handler"
            ));
        }
        if lodging.stopped {
            return unavailable(format!("{name} is stopped"));
        }
        let callee = match self.ready(&lodging.guest) {
            Ok(callee) => callee,
            Err(error) => return Ok(Err(unfit(name, &error))),
        };
        // What others write to directories of the host arrives only once it is durable.
        let base = if lodging.guest.dirs.is_empty() { Some(head) } else { durable };
        let Some(base) = base else { return Ok(Err(JoinFault::NoSuchGuest)) };
        let world = match self.world(name, &lodging.guest) {
            Ok(world) => world,
            Err(fault) => return Ok(Err(fault)),
        };
        self.member(name, base, lodging.guest, callee, world.dirs).map(Ok)
    }

    fn member(
        &self,
        name: &SpaceName,
        base: Head,
        guest: Guest,
        callee: Arc<Callee>,
        dirs: Vec<Box<dyn HostDir>>,
    ) -> Result<Member, Halt> {
        let member = Member::new(&self.store, name, base, guest, callee, dirs)?;
        // Another deployment, or a stop, overtakes the call.
        if let Some(txn) = &member.txn {
            txn.kept(family::RESIDENT, GUEST_KEY)?;
            txn.kept(family::RESIDENT, STOPPED_KEY)?;
        }
        Ok(member)
    }

    fn ready(&self, guest: &Guest) -> Result<Arc<Callee>, PrepareError> {
        let stack = guest.limits.stack_bytes;
        let key = (guest.component, stack);
        if let Some(known) = self.ready.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(known));
        }
        let engines = self.engines(stack)?;
        let bytes = kept(&self.store, guest.component, guest.content)?;
        let component = compiled(&self.store, &engines, guest.component, &bytes, &|| ())?;
        let callee = Arc::new(Callee::new(&engines, component)?);
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(ready.entry(key).or_insert(callee)))
    }

    fn engines(&self, stack: u64) -> Result<Engines, PrepareError> {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engines) = engines.get(&stack) {
            return Ok(engines.clone());
        }
        let made = Engines::for_commands(stack).map_err(|e| PrepareError::engine(&e))?;
        Ok(engines.entry(stack).or_insert(made).clone())
    }
}
