//! On which thread a request is executed.
//!
//! On that of its connection, unless it would only get in the way of others there: those of a guest that takes one request at a time, or whose requests
//! keep overtaking each other, are all executed on one thread, the guest's home.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use reel_abi::id::SpaceName;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::tally::Counted;
use crate::runtime::handlers::{Answered, Arrived, HandleError, Handlers};

/// A request that is to be executed. There are no more of them than seats.
pub struct Errand {
    /// Who answers.
    pub name: SpaceName,
    /// What is asked.
    pub arrived: Arrived,
    /// Its place among those under way.
    pub seat: Counted,
    /// Where the answer goes.
    pub done: oneshot::Sender<Result<Answered, HandleError>>,
}

/// The threads that execute requests, as one of them sees them.
pub struct Homes {
    all: Arc<[UnboundedSender<Errand>]>,
    here: usize,
}

/// What comes to a thread from the others.
pub type Errands = UnboundedReceiver<Errand>;

impl Homes {
    /// So many threads, each with what comes to it.
    pub fn new(threads: usize) -> Vec<(Self, Errands)> {
        let (senders, errands): (Vec<_>, Vec<_>) = (0..threads).map(|_| unbounded_channel()).unzip();
        let all: Arc<[_]> = senders.into();
        errands.into_iter().enumerate().map(|(here, errands)| (Self { all: Arc::clone(&all), here }, errands)).collect()
    }

    /// Has a request executed, here or at the home of its guest.
    pub fn send(&self, handlers: &Arc<Handlers>, errand: Errand) {
        let home = if handlers.crowds(&errand.name) { self.home(&errand.name) } else { self.here };
        match self.all.get(home).filter(|_| home != self.here) {
            None => execute(handlers, errand),
            Some(there) => {
                if let Err(back) = there.send(errand) {
                    execute(handlers, back.0);
                }
            }
        }
    }

    fn home(&self, name: &SpaceName) -> usize {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        hasher.finish() as usize % self.all.len()
    }
}

/// Executes a request on this thread, as a task of its own: a client that goes away does not stop it half-way.
pub fn execute(handlers: &Arc<Handlers>, errand: Errand) {
    let handlers = Arc::clone(handlers);
    tokio::task::spawn_local(async move {
        let Errand { name, arrived, seat, done } = errand;
        let answered = handlers.handle(&name, arrived).await;
        drop(seat);
        drop(done.send(answered));
    });
}
