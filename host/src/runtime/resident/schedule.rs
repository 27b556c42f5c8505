//! Times that a guest is called at since its deployment says so: timers under names of their own, which are set with the deployment.

use reel_abi::id::WallTime;
use reel_abi::record::{Cell, CellValue, family};
use reel_store::{Counter, Proposal, Store, View};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::cells::CellsError;
use super::deploying::DeployRequest;
use super::function::{self, FunctionError};
use super::timers::{BUCKET, Deed, Recurs, Timer};
use crate::gate::Halt;
use crate::txn::buckets::Bucket;
use crate::txn::values;

/// What the names of such timers begin with.
const PREFIX: &str = "deploy: ";

/// The shortest time between two calls: timers are looked at ten times a second.
const EVERY_MILLIS: u64 = 100;

/// Such times of one guest.
const SCHEDULES: usize = 1000;

/// When, again and again, and what is done then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    recurs: Recurs,
    /// As in a timer: `tick()`, `send orders all`.
    call: String,
    deed: Deed,
}

impl Schedule {
    /// Every so many milliseconds.
    pub fn every(millis: u64, call: &str) -> Result<Self, String> {
        if millis < EVERY_MILLIS {
            return Err(format!("{EVERY_MILLIS}ms is the shortest time between two calls"));
        }
        Self::new(Recurs::Every(millis), call)
    }

    /// A line of a crontab: five fields and what is to be done.
    pub fn cron(line: &str) -> Result<Self, String> {
        let mut rest = line.trim_start();
        for _ in 0..5 {
            rest = rest.split_once(char::is_whitespace).map_or("", |(_, rest)| rest).trim_start();
        }
        let fields = line.strip_suffix(rest).unwrap_or(line).split_whitespace().collect::<Vec<_>>().join(" ");
        let cron = fields.parse()?;
        Self::new(Recurs::Cron(fields, cron), rest)
    }

    fn new(recurs: Recurs, call: &str) -> Result<Self, String> {
        let call = call.trim().to_owned();
        match Deed::parse(&call) {
            Some(deed) => Ok(Self { recurs, call, deed }),
            None => Err(format!(
                "{call:?} is nothing to be done: write FUNCTION(ARGUMENTS), as in tick(), or send TOPIC PAYLOAD"
            )),
        }
    }

    fn name(&self) -> Vec<u8> {
        format!("{PREFIX}{} {}", self.recurs, self.call).into_bytes()
    }

    fn first(&self, now: WallTime) -> Option<String> {
        let millis = now.0 / 1_000_000;
        let first = match &self.recurs {
            Recurs::Every(every) => millis.checked_add(*every)?,
            Recurs::Cron(_, cron) => cron.after(millis)?,
        };
        Some(format!("{first}/{} {}", self.recurs, self.call))
    }
}

/// Refuses what a component cannot do at its times.
pub fn check(request: &DeployRequest, engine: &Engine, component: &Component) -> Result<(), FunctionError> {
    for Schedule { deed, .. } in &request.schedules {
        match deed {
            Deed::Call { function, args } => {
                let (name, ty) = function::find(engine, component, function)?;
                function::given(&name, &ty, std::slice::from_ref(args))?;
            }
            Deed::Send { topic, .. } if request.subscriptions.iter().any(|wanted| wanted.topic == *topic) => {}
            Deed::Send { topic, .. } => return Err(FunctionError::NotSubscribed { topic: topic.clone() }),
        }
    }
    if request.schedules.len() > SCHEDULES {
        return Err(FunctionError::TooManyTimes { most: SCHEDULES });
    }
    Ok(())
}

/// What is to be written so that a guest has these times from now on, and no others; by how many its keys become more. One that it had already goes on
/// as it is set.
pub fn cells(store: &Store, view: &View, wanted: &[Schedule], now: WallTime) -> Result<(Vec<Cell>, i64), CellsError> {
    let bucket = Bucket::new(BUCKET).map_err(|_| CellsError::Damaged(Halt::Host("no bucket of timers".into())))?;
    let start = [bucket.prefix(), PREFIX.as_bytes()].concat();
    let until = [&start[..start.len() - 1], &[start[start.len() - 1] + 1]].concat();
    let (mut cells, mut more) = (Vec::new(), 0);
    let mut there = Vec::new();
    for (key, value) in view.scan(family::KEY_VALUE, &start, Some(&until), usize::MAX)? {
        let name = &key[bucket.prefix().len()..];
        let bytes = values::load(store.blobs(), &value).map_err(CellsError::Damaged)?.unwrap_or_default();
        if wanted.iter().any(|schedule| schedule.name() == name) && Timer::parse(name, &bytes).is_some() {
            there.push(name.to_vec());
            continue;
        }
        cells.push(Cell { family: family::KEY_VALUE, key: key.into(), value: CellValue::Tombstone });
        more -= 1;
    }
    for schedule in wanted {
        let name = schedule.name();
        let Some(text) = schedule.first(now).filter(|_| !there.contains(&name)) else { continue };
        let key = [bucket.prefix(), &name].concat();
        let value = values::store(store.blobs(), text.as_bytes()).map_err(CellsError::Damaged)?;
        there.push(name);
        match cells.iter_mut().find(|cell| cell.key.0 == key) {
            Some(cell) => cell.value = value,
            None => cells.push(Cell { family: family::KEY_VALUE, key: key.into(), value }),
        }
        more += 1;
    }
    Ok((cells, more))
}

/// Adds them to what is committed.
pub fn add(proposal: &mut Proposal, (cells, more): (Vec<Cell>, i64)) {
    for cell in cells {
        if !proposal.cells.iter().any(|other| (other.family, &other.key) == (cell.family, &cell.key)) {
            proposal.cells.push(cell);
        }
    }
    let counted = |counter: &&mut Counter| counter.family == family::KEY_VALUE && counter.key.is_empty();
    match proposal.counters.iter_mut().find(counted) {
        Some(counter) => counter.add += more,
        None if more != 0 => proposal.counters.push(keys(more)),
        None => {}
    }
}

/// By how many the keys of a space become more.
pub fn keys(add: i64) -> Counter {
    Counter { family: family::KEY_VALUE, key: Vec::new(), add }
}
