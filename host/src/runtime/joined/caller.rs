//! Who calls, and one call.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use reel_abi::id::{RunId, Seq, SpaceName, WallTime};
use reel_abi::joined::{Called, JoinFault};
use reel_abi::limits::CALL_DEPTH;
use reel_abi::outcome::{Disposition, Outcome, RunBegin};
use reel_abi::resident::{Entry, Guest};
use reel_abi::types::{DATA_INLINE_BYTES, Data};
use reel_abi::vocabulary::{CallBegins, RunEnds};
use reel_store::{Ending, Head, Store};

use super::execute::{Callee, Executed};
use super::guests::Guests;
use super::joint::{Joint, Over, begin};
use crate::calls::calls::{Callees, Wanted};
use crate::calls::http::state::Http;
use crate::calls::session::Session;
use crate::gate::recorder::Recorder;
use crate::gate::{Halt, Mode};
use crate::port::Waiting;
use crate::runtime::drive::Stop;
use crate::runtime::resident::function;
use crate::runtime::resident::instance::deadline;
use crate::runtime::run::{GateOptions, Surroundings};
use crate::runtime::session::session_over;
use crate::runtime::sink::LogSink;
use crate::sockets::table::Sockets;

/// One run of the transaction, as one who calls.
pub(super) struct Caller {
    joint: Joint,
    run: RunId,
    /// The spaces on the way to it, its own last.
    path: Vec<SpaceName>,
    /// Its savepoints, and how many calls stood at each in each space.
    marks: Vec<(u64, BTreeMap<SpaceName, usize>)>,
}

/// A call whose arguments fit.
struct Calling {
    guests: Arc<Guests>,
    name: SpaceName,
    guest: Arc<Guest>,
    callee: Arc<Callee>,
    base: Head,
    world: Surroundings,
    /// By which others know its requests again.
    key: String,
    function: String,
    args: String,
    seq: Seq,
}

impl Caller {
    pub(super) fn new(joint: Joint, run: RunId, path: Vec<SpaceName>) -> Self {
        Self { joint, run, path, marks: Vec::new() }
    }

    async fn make(&mut self, wanted: Wanted) -> Result<Result<Called, JoinFault>, Halt> {
        let before = self.joint.state().depths();
        match self.enter(wanted)? {
            Ok(calling) => self.perform(calling, &before).await,
            Err(fault) => Ok(Err(fault)),
        }
    }

    /// Who is called, and whether that can be.
    fn enter(&self, wanted: Wanted) -> Result<Result<Calling, JoinFault>, Halt> {
        let Wanted { guest: name, function, arguments, seq } = wanted;
        let unavailable = |why: &str| Ok(Err(JoinFault::Unavailable { why: why.to_owned() }));
        if self.joint.state().gone {
            return Err(gone());
        }
        let Ok(name) = name.parse::<SpaceName>() else { return Ok(Err(JoinFault::NoSuchGuest)) };
        if self.path.contains(&name) {
            return Ok(Err(JoinFault::Circular));
        }
        if self.path.len() >= CALL_DEPTH {
            return Ok(Err(JoinFault::TooDeep));
        }
        let Some(guests) = self.joint.guests().cloned() else { return unavailable("nobody can be called here") };
        let Some(key) = self.joint.count() else { return Ok(Err(JoinFault::TooMany)) };
        let known = self.joint.state().members.contains_key(&name);
        if !known {
            match guests.open(&name, self.joint.early())? {
                Ok(member) => drop(self.joint.state().members.insert(name.clone(), member)),
                Err(fault) => return Ok(Err(fault)),
            }
        }
        let (guest, callee, base) = match self.joint.state().members.get(&name) {
            Some(member) => (Arc::clone(&member.guest), Arc::clone(&member.callee), member.base),
            None => return unavailable("what was done there is gone"),
        };
        let engine = callee.engines.engine();
        let (function, ty) = match function::find(engine, &callee.component, &function) {
            Ok(found) => found,
            Err(error) => return Ok(Err(JoinFault::NoSuchFunction { why: error.to_string() })),
        };
        let args = match function::given(&function, &ty, &arguments) {
            Ok(args) => args,
            Err(error) => return Ok(Err(JoinFault::BadArguments { why: error.to_string() })),
        };
        let world = match guests.world(&name, &guest) {
            Ok(world) => world,
            Err(fault) => return Ok(Err(fault)),
        };
        let function = function.to_string();
        Ok(Ok(Calling { guests, name, guest, callee, base, world, key, function, args, seq }))
    }

    async fn perform(
        &self,
        calling: Calling,
        before: &BTreeMap<SpaceName, usize>,
    ) -> Result<Result<Called, JoinFault>, Halt> {
        let (store, name, callee) = (calling.guests.store.clone(), calling.name.clone(), Arc::clone(&calling.callee));
        let (clock, millis) = (Arc::clone(&calling.world.clock), calling.guest.limits.deadline_millis);
        let run = store.next_run();
        let (session, call, sink) = self.session(calling, run, &store, WallTime(clock.wall()))?;
        let depth = {
            let mut state = self.joint.state();
            state.under_way.push((run, sink.clone()));
            state.under_way.len()
        };
        let executed = callee.execute(session, call, deadline(millis)).await;
        // Those further in are gone with a deadline of this one.
        let cut = self.joint.state().under_way.split_off(depth);
        let performed = Performed { run, name, sink, at: WallTime(clock.wall()), store };
        performed.conclude(&self.joint, &self.path, executed, cut, before).await
    }

    /// What the call is made with.
    fn session(
        &self,
        calling: Calling,
        run: RunId,
        store: &Store,
        at: WallTime,
    ) -> Result<(Session, CallBegins, LogSink), Halt> {
        let Calling { guests, name, guest, base, world, key, function, args, seq, .. } = calling;
        let begin = RunBegin {
            trace: self.joint.trace(),
            ..begin(&name, &guest, base, at, vec![function.clone(), args.clone()])
        };
        let (mut txn, standing, after) = {
            let mut state = self.joint.state();
            let member = state.members.get_mut(&name);
            let taken =
                member.and_then(|member| Some((member.txn.take()?, member.standing.len(), member.last.replace(run))));
            taken.ok_or_else(|| Halt::Host("the transaction of a guest is away".into()))?
        };
        txn.begin_call(run, &begin, standing);
        let entry = Entry::Joined {
            caller: self.run,
            seq,
            name: function,
            args,
            standing: u32::try_from(standing).unwrap_or(u32::MAX),
        };
        let sink = LogSink::new(store.clone(), run, Some(begin.clone()));
        let mode = Mode::Live(Recorder::new(Seq(0), Box::new(sink.clone())));
        let Surroundings { clock, entropy, console, http, network, .. } = world;
        let console = self.joint.outputs(console);
        let options = GateOptions::default();
        let mut session = session_over(store, txn, &begin, mode, clock, Some(entropy), console, &options);
        session.http = Http { client: http.client, key, ..Http::default() };
        session.sockets = Sockets::of((!session.setup.net.is_empty()).then_some(network));
        session.topics = Some(guests.topics());
        session.joined = true;
        let path = self.path.iter().cloned().chain([name]).collect();
        session.callees = Some(Box::new(Self::new(self.joint.clone(), run, path)));
        Ok((session, CallBegins { entry, after }, sink))
    }
}

/// A call that has stopped.
struct Performed {
    run: RunId,
    name: SpaceName,
    sink: LogSink,
    at: WallTime,
    store: Store,
}

impl Performed {
    async fn conclude(
        self,
        joint: &Joint,
        path: &[SpaceName],
        executed: Executed,
        cut: Vec<(RunId, LogSink)>,
        before: &BTreeMap<SpaceName, usize>,
    ) -> Result<Result<Called, JoinFault>, Halt> {
        let Self { run, name, sink, at, store } = self;
        let Executed { mut session, stop, returned, memory } = executed;
        let outcome = match stop {
            Stop::Outcome(outcome) => outcome,
            _ => Outcome::HostFailure { message: "a live call stopped as only a replay does".into() },
        };
        if outcome.is_success() {
            session.close_sockets().await?;
        }
        session.gate.finish(RunEnds { outcome: outcome.clone(), memory })?;
        let usage = session.gate.usage();
        let ending = Ending {
            at,
            outcome: outcome.clone(),
            events: usage.events,
            logged_bytes: usage.logged_bytes,
            written_bytes: usage.written_bytes,
            memory,
            otherwise: Disposition::Aborted,
        };
        let remainder = sink.finish()?;
        let mut state = joint.state();
        let remainder = state.hold(&store, run, remainder)?;
        state.left |= session.sockets.has_left();
        state.under_way.pop();
        let within = std::mem::replace(&mut state.under_way, cut);
        state.end_cut(&store, at, &outcome)?;
        state.under_way = within;
        let place = state.over.len();
        let stands = outcome.is_success().then(|| name.clone());
        state.over.push(Over { run, remainder, ending, stands });
        if let Some(member) = state.members.get_mut(&name) {
            if outcome.is_success() {
                session.txn.end_call();
                member.standing.push(place);
            } else {
                session.txn.undo_calls(member.standing.len());
            }
            member.txn = Some(session.txn);
        }
        if let (true, Some(Ok(text))) = (outcome.is_success(), &returned) {
            let results = data(&store, text)?;
            return Ok(Ok(Called { run, results }));
        }
        state.undo_to(before);
        let open: BTreeSet<&SpaceName> = path.iter().collect();
        let is_lost = state.members.iter().any(|(space, member)| member.txn.is_none() && !open.contains(space));
        match (outcome, returned) {
            (Outcome::HostFailure { message }, _) => Err(Halt::Host(message)),
            (Outcome::Limit { kind, limit }, _) if is_lost => Err(Halt::Limit { kind, limit }),
            (Outcome::Interrupted, _) => Err(Halt::Interrupted),
            (_, Some(Err(error))) => Ok(Err(JoinFault::Returned { run, error })),
            (outcome, _) => Ok(Err(JoinFault::Failed { run, why: outcome.to_string() })),
        }
    }
}

fn data(store: &Store, text: &str) -> Result<Data, Halt> {
    let bytes = text.as_bytes().to_vec();
    if bytes.len() <= DATA_INLINE_BYTES {
        return Ok(Data::Inline { bytes: bytes.into() });
    }
    let len = bytes.len() as u64;
    let digest = store.blobs().put(bytes).map_err(|e| Halt::host("keeping what a call gave", &e))?;
    Ok(Data::Blob { digest, len })
}

/// What was done by a process that is gone cannot be committed.
pub(super) fn gone() -> Halt {
    Halt::Host("it called other guests before it was cut off, and what they did is gone".into())
}

impl Callees for Caller {
    fn call(&mut self, wanted: Wanted) -> Waiting<'_, Result<Result<Called, JoinFault>, Halt>> {
        Box::pin(self.make(wanted))
    }

    fn mark(&mut self, savepoint: u64) {
        let depths = self.joint.state().depths();
        self.marks.push((savepoint, depths));
    }

    fn roll_back(&mut self, savepoint: u64) {
        let Some(place) = self.marks.iter().position(|(name, _)| *name == savepoint) else { return };
        self.marks.truncate(place + 1);
        self.joint.state().undo_to(&self.marks[place].1);
    }

    fn release(&mut self, savepoint: u64) {
        if let Some(place) = self.marks.iter().position(|(name, _)| *name == savepoint) {
            self.marks.truncate(place);
        }
    }

    fn lose(&mut self) {
        self.joint.state().gone = true;
    }

    fn forget(&mut self) {
        self.joint.state().gone = false;
    }
}
