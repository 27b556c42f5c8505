//! What `reel serve` has beside the database, for the commands of others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reel_abi::id::SpaceName;
use reel_abi::resident::GuestKind;
use reel_store::Store;

use super::failure::Failure;
use super::residents::route_taken;
use crate::runtime::handlers::Handlers;
use crate::runtime::resident::Household;
use crate::runtime::resident::cells::guests;
use crate::server::Signposts;
use crate::server::routes::{Route, Routes};

/// The guests that are looked after, and which of them is asked for what.
pub struct Serving {
    /// Guests that keep their memory.
    pub household: Arc<Household>,
    /// Guests that answer requests.
    pub handlers: Arc<Handlers>,
    /// Who answers which requests.
    pub signposts: Signposts,
    held: Mutex<Vec<(SpaceName, Vec<String>)>>,
}

/// Routes that a guest is about to get.
pub struct HeldRoutes<'a> {
    serving: &'a Serving,
    name: SpaceName,
    routes: Vec<String>,
}

impl Serving {
    /// Nobody is asked for anything yet.
    pub fn new(household: Arc<Household>, handlers: Arc<Handlers>) -> Self {
        Self { household, handlers, signposts: Signposts::default(), held: Mutex::default() }
    }

    /// Keeps routes for a guest, until what this returns is dropped: two that are deployed at once shall not both get them.
    pub fn hold(&self, name: &SpaceName, routes: &[String]) -> Result<HeldRoutes<'_>, Failure> {
        let mut held = self.held();
        for (other, theirs) in held.iter().filter(|(other, _)| other != name) {
            if let Some(route) = theirs.iter().find(|route| routes.contains(route)) {
                return Err(route_taken(route, other));
            }
        }
        let routes = routes.to_vec();
        held.push((name.clone(), routes.clone()));
        Ok(HeldRoutes { serving: self, name: name.clone(), routes })
    }

    /// Guests may be others than before: requests that come from now on go to those that are there.
    pub fn look_again(&self, store: &Store) {
        // One after the other, so that what was read later counts.
        let _held = self.held();
        if let Err(failure) = self.read_routes(store) {
            tracing::warn!(why = failure.words(), "requests go to the guests that were there before");
        }
    }

    fn read_routes(&self, store: &Store) -> Result<(), Failure> {
        let (mut routes, mut here) = (Vec::new(), Vec::new());
        for (name, lodging) in guests(store)? {
            here.push(lodging.guest.component);
            // A fork has what its origin has, but nobody has said that it is to be asked.
            if lodging.guest.name != name {
                continue;
            }
            if lodging.guest.kind == GuestKind::Handler
                && !lodging.guest.routes.is_empty()
                && let Err(error) = self.handlers.prepare(&lodging.guest)
            {
                tracing::warn!(guest = %name, %error, "it cannot answer requests");
            }
            for route in &lodging.guest.routes {
                routes.push((route.parse::<Route>().map_err(Failure::usage)?, name.clone()));
            }
        }
        self.signposts.set(Routes::new(routes));
        self.handlers.keep_only(&here);
        self.household.keep_only(&here);
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Vec<(SpaceName, Vec<String>)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for HeldRoutes<'_> {
    fn drop(&mut self) {
        let mut held = self.serving.held();
        if let Some(at) = held.iter().position(|(name, routes)| *name == self.name && *routes == self.routes) {
            held.swap_remove(at);
        }
    }
}
