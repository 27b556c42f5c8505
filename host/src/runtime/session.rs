//! What a run works with, whatever the mode of its gate: its transaction, and its session over that.

use std::sync::Arc;

use reel_abi::id::RunId;
use reel_abi::outcome::RunBegin;
use reel_store::{Head, ReadError, Store};

use super::run::GateOptions;
use crate::calls::session::{Console, Session, Setup};
use crate::gate::{Gate, GateSettings, Mode};
use crate::net::grants::Grants;
use crate::port::{Clock, Entropy, HostDir};
use crate::txn::lower::{HostLower, Lower};
use crate::txn::node::NODES_PER_RUN;
use crate::txn::transaction::Transaction;
use crate::txn::tree::Tree;

/// The transaction of a run, at its begin.
pub(super) fn transaction(
    store: &Store,
    run: RunId,
    begin: &RunBegin,
    dirs: Vec<Option<Box<dyn HostDir>>>,
) -> Result<Transaction, ReadError> {
    let first = run.0.saturating_mul(NODES_PER_RUN);
    let view = store.view(Head { segment: begin.segment, version: begin.version })?;
    let grants = (0u32..).zip(begin.dirs.iter().zip(dirs));
    let host = grants
        .map(|(index, (grant, dir))| Tree::new(Lower::Host(HostLower::new(index, dir)), grant.read_only, first))
        .collect();
    let mut txn = Transaction::new(store.clone(), begin.space.clone(), view, host, begin.dirs.clone(), first);
    txn.messages.sent_by(run, begin);
    Ok(txn)
}

#[expect(clippy::too_many_arguments, reason = "the parts of a session, each once")]
pub(super) fn session_over(
    store: &Store,
    txn: Transaction,
    begin: &RunBegin,
    mode: Mode,
    clock: Arc<dyn Clock>,
    entropy: Option<Box<dyn Entropy>>,
    console: Console,
    options: &GateOptions,
) -> Session {
    let root_is_granted = begin.dirs.iter().any(|grant| grant.guest == "/");
    let space = (!root_is_granted).then(|| "/".to_owned());
    let preopens = std::iter::once(space).chain(begin.dirs.iter().map(|grant| Some(grant.guest.clone()))).collect();
    // What this build does not understand is not granted.
    let net = Grants::parse(&begin.net).unwrap_or_default();
    let calls = begin.calls.clone();
    let setup = Setup { args: begin.args.clone(), env: begin.env.clone(), preopens, net, calls };
    let GateOptions { until, keep_payload, hears } = options;
    let (until, keep_payload, hears) = (*until, *keep_payload, hears.clone());
    let settings = GateSettings { limits: begin.limits.clone(), clock, until, keep_payload, hears };
    Session::new(Gate::new(mode, settings), txn, setup, console, entropy, store.clone(), None)
}
