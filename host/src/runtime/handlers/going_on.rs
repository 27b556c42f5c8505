//! Requests that a crash has cut off. Nobody waits for their answers any more, but what they were about can be done: of a handler that was deployed
//! with `--on-crash resume` they go on where their log ends, and what they had asked others for without an answer is asked again with the same key.

use std::future::Future;
use std::sync::Arc;

use reel_abi::id::{RunId, Seq, SpaceName};
use reel_abi::resident::{GuestKind, OnCrash};
use reel_abi::vocabulary::{Call, HttpRequest};

use super::answering::{HandleError, Handlers};
use crate::runtime::replay::{events, resume};
use crate::runtime::resident::cells::{CellsError, guests};
use crate::runtime::run::RunReport;

impl Handlers {
    /// The requests without an end that are to be gone on with, among the runs before one. Those from before the handler was deployed as it is now are
    /// left alone.
    pub fn cut_off(&self, before: RunId) -> Result<Vec<(SpaceName, RunId)>, HandleError> {
        let all = guests(&self.store)?.into_iter();
        let wanted = |kind: &GuestKind, on_crash: &OnCrash| *kind == GuestKind::Handler && *on_crash == OnCrash::Resume;
        let wanting: Vec<_> = all.filter(|(_, known)| wanted(&known.guest.kind, &known.guest.on_crash)).collect();
        let mut found = Vec::new();
        if wanting.is_empty() {
            return Ok(found);
        }
        for record in self.store.runs_without_end(RunId(0)).map_err(CellsError::from)? {
            let begin = &record.begin;
            let Some((name, known)) = wanting.iter().find(|(name, _)| *name == begin.space) else { continue };
            let as_now = begin.component == known.guest.component && begin.at >= known.guest.at;
            if record.run >= before || !as_now || known.stopped {
                continue;
            }
            let first = events(&self.store, record.run, Seq(1), 1).map_err(CellsError::from)?;
            if first.first().is_some_and(|(_, event)| event.code == HttpRequest::CODE) {
                found.push((name.clone(), record.run));
            }
        }
        Ok(found)
    }

    /// Goes on with a request that was cut off. Returns when its end is durable.
    pub async fn resume(
        &self,
        name: &SpaceName,
        run: RunId,
        interrupt: impl Future<Output = ()>,
    ) -> Result<RunReport, HandleError> {
        let nobody = || HandleError::NoSuchHandler(name.clone());
        let seen = self.known.guest(&self.store, name)?.ok_or_else(nobody)?;
        let (engines, _) = self.instances.answering(&seen.guest)?;
        let mut world = (self.world)(&seen.guest).map_err(HandleError::World)?;
        world.callees = Some(Arc::clone(&self.callees));
        let report = resume(&self.store, &engines, run, world, interrupt, &|| ()).await?;
        if let Some(residents) = &self.residents {
            residents.has_committed(&report.posted, &report.timed);
        }
        Ok(report)
    }
}
