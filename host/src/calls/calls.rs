//! `reel:guest/calls`.

use reel_abi::id::Seq;
use reel_abi::joined::{Called, JoinFault};
use reel_abi::types::Data;
use reel_abi::vocabulary::GuestCall;

use super::bindings::reel::guest::calls;
use super::session::Session;
use crate::gate::Halt;
use crate::port::Waiting;
use crate::txn::lower::blob;

/// Longest name of a guest or function, in bytes; both stand in events as they are.
const NAME_BYTES: usize = 1024;

/// A call that a guest wants to make.
#[derive(Debug)]
pub struct Wanted {
    /// The guest.
    pub guest: String,
    /// The function, as a user names it.
    pub function: String,
    /// Its arguments in WAVE.
    pub arguments: Vec<String>,
    /// The event by which it is made.
    pub seq: Seq,
}

/// Makes the calls of one guest: each is a part of its transaction. What was done before a savepoint stays when the transaction goes back to it, what
/// was done since is dropped in all spaces.
pub trait Callees: Send {
    /// Makes a call that was granted. A refusal leaves nothing behind in any space.
    fn call(&mut self, wanted: Wanted) -> Waiting<'_, Result<Result<Called, JoinFault>, Halt>>;
    /// A savepoint was set.
    fn mark(&mut self, savepoint: u64);
    /// The transaction has gone back to a savepoint, which stays; later ones are gone.
    fn roll_back(&mut self, savepoint: u64);
    /// A savepoint was given up, with those after it.
    fn release(&mut self, savepoint: u64);
    /// A call was taken from the log, in a run that goes on where that ends: what it did and read is not here.
    fn lose(&mut self);
    /// The transaction of the calls that were taken from the log is over.
    fn forget(&mut self);
}

impl calls::Host for Session {
    async fn call(
        &mut self,
        guest: String,
        function: String,
        arguments: Vec<String>,
    ) -> wasmtime::Result<Result<String, calls::Error>> {
        if guest.len().max(function.len()) > NAME_BYTES {
            return Err(Halt::Trap(format!("the name of a guest or function has more than {NAME_BYTES} bytes")).into());
        }
        let call = GuestCall {
            guest: guest.clone(),
            function: function.clone(),
            arguments: self.gate.payload(arguments.join(", ").as_bytes()),
        };
        let (logged, seq) = (self.gate.replaying(), Seq(self.gate.usage().events));
        let (callees, granted) = (&mut self.callees, self.setup.calls.iter().any(|name| name.as_str() == guest));
        let mut made = false;
        let reply = self.gate.pass_async(call, async {
            made = true;
            match callees {
                _ if !granted => Ok(Err(JoinFault::NotGranted)),
                Some(callees) => callees.call(Wanted { guest, function, arguments, seq }).await,
                None => Err(Halt::Host("a replay wanted to call a guest".into())),
            }
        });
        let reply = reply.await?;
        let looked = !matches!(
            reply,
            Err(JoinFault::NotGranted | JoinFault::Circular | JoinFault::TooDeep | JoinFault::TooMany)
        );
        if let (true, true, false, Some(callees)) = (looked, logged, made, &mut self.callees) {
            callees.lose();
        }
        // What was done and read elsewhere is in memory only, until the end.
        self.sleeps_after = None;
        Ok(match reply {
            Ok(Called { results: Data::Inline { bytes }, .. }) => Ok(text(bytes.0)?),
            Ok(Called { results: Data::Blob { digest, .. }, .. }) => Ok(text(blob(self.store.blobs(), &digest)?)?),
            Err(fault) => Err(error(fault)),
        })
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Halt> {
    String::from_utf8(bytes).map_err(|e| Halt::host("what a call gave", &e))
}

fn error(fault: JoinFault) -> calls::Error {
    match fault {
        JoinFault::NotGranted => calls::Error::NotGranted,
        JoinFault::NoSuchGuest => calls::Error::NoSuchGuest,
        JoinFault::NoSuchFunction { why } => calls::Error::NoSuchFunction(why),
        JoinFault::BadArguments { why } => calls::Error::BadArguments(why),
        JoinFault::Circular => calls::Error::Circular,
        JoinFault::TooDeep => calls::Error::TooDeep,
        JoinFault::TooMany => calls::Error::QuotaExceeded(fault.to_string()),
        JoinFault::Unavailable { why } => calls::Error::Unavailable(why),
        JoinFault::Failed { why, .. } => calls::Error::Failed(why),
        JoinFault::Returned { error, .. } => calls::Error::Returned(error),
    }
}
