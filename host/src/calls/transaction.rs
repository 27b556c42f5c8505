//! `reel:guest/transaction`.

use reel_abi::faults::TxnFault;
use reel_abi::types::Resource as Kind;
use reel_abi::vocabulary::{HandleDrop, TxnAbort, TxnBegins, TxnRollback, TxnSavepoint, TxnVersion};
use reel_store::Head;
use wasmtime::component::Resource;

use super::bindings::reel::guest::transaction;
use super::handles::{number, own};
use super::session::{Savepoint, Session};
use crate::gate::Halt;

/// Longest reason of an abort that is kept, in bytes.
const REASON_BYTES: usize = 4096;

impl transaction::Host for Session {
    fn set_savepoint(&mut self) -> wasmtime::Result<Result<Resource<Savepoint>, transaction::Error>> {
        let (txn, handles, callees) = (&mut self.txn, &mut self.handles, &mut self.callees);
        let reply = self.gate.pass(TxnSavepoint {}, |_, _| match txn.set_savepoint() {
            Ok(name) => {
                callees.iter_mut().for_each(|callees| callees.mark(name));
                handles.push(Savepoint { name }).map(Ok)
            }
            Err(fault) => Ok(Err(fault)),
        })?;
        Ok(reply.map(own).map_err(error))
    }

    async fn commit(&mut self) -> wasmtime::Result<Result<u64, transaction::Error>> {
        let replayed = self.gate.replaying();
        if self.joined {
            return Err(Halt::Trap("a call of another guest commits with its caller, not on its way".into()).into());
        }
        if self.resident {
            return Err(Halt::Trap("a resident commits with its call, not on its way".into()).into());
        }
        if self.occasion {
            return Err(Halt::Trap("what takes a message commits with that, not on its way".into()).into());
        }
        let (txn, point, now) = (&mut self.txn, &mut self.commit_point, self.gate.wall());
        let reply = self.gate.pass_commit(|| match point.as_deref_mut() {
            Some(point) => Ok((point, txn.propose(reel_abi::id::WallTime(now.0))?)),
            None => Err(Halt::Host("a replay wanted to commit".into())),
        });
        let reply = reply.await?;
        if replayed && reply.is_ok() {
            // What was sent then is known afterwards too, for a run that is resumed.
            self.txn.outbox()?;
        }
        if replayed && let Some(callees) = &mut self.callees {
            callees.forget();
        }
        if reply.is_ok() {
            self.http.release().await;
        }
        let point = &mut self.commit_point;
        let base = self.gate.pass(TxnBegins {}, |_, _| match point {
            Some(point) => point.newest(),
            None => Err(Halt::Host("a replay wanted to begin a transaction".into())),
        })?;
        self.txn.rebase(Head { segment: base.segment, version: base.version }, reply.is_ok())?;
        Ok(reply.map(|()| base.version.0).map_err(error))
    }

    fn abort(&mut self, mut reason: String) -> wasmtime::Result<()> {
        reason.truncate(reason.floor_char_boundary(REASON_BYTES));
        self.gate.pass(TxnAbort { reason: reason.clone() }, |_, _| Ok(()))?;
        Err(Halt::Abort(reason).into())
    }

    fn version(&mut self) -> wasmtime::Result<u64> {
        let version = self.txn.base().version.0;
        Ok(self.gate.pass(TxnVersion {}, |_, _| Ok(version))?)
    }
}

impl transaction::HostSavepoint for Session {
    fn rollback(&mut self, savepoint: Resource<Savepoint>) -> wasmtime::Result<Result<(), transaction::Error>> {
        let name = self.handles.get(&savepoint)?.name;
        let (txn, callees) = (&mut self.txn, &mut self.callees);
        let reply = self.gate.pass(TxnRollback { savepoint: number(&savepoint) }, |_, _| {
            let reply = txn.roll_back(name);
            if let (Ok(()), Some(callees)) = (&reply, callees) {
                callees.roll_back(name);
            }
            Ok(reply)
        })?;
        Ok(reply.map_err(error))
    }

    fn drop(&mut self, savepoint: Resource<Savepoint>) -> wasmtime::Result<()> {
        if self.handles.restoring {
            return Ok(());
        }
        let (txn, handles, callees) = (&mut self.txn, &mut self.handles, &mut self.callees);
        let call = HandleDrop { what: Kind::Savepoint, handle: number(&savepoint) };
        Ok(self.gate.pass(call, |_, call| {
            let Savepoint { name } = handles.remove(call.handle)?;
            txn.release(name);
            callees.iter_mut().for_each(|callees| callees.release(name));
            Ok(())
        })?)
    }
}

fn error(fault: TxnFault) -> transaction::Error {
    match fault {
        TxnFault::Conflict => transaction::Error::Conflict,
        TxnFault::TooManySavepoints => transaction::Error::TooManySavepoints,
        TxnFault::Gone => transaction::Error::Gone,
    }
}
