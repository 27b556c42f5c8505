//! What a run leaves between its place in the log and the disk.

use reel_store::Store;

use super::again::Streams;
use super::closing::Ordered;
use super::joined::Joint;
use super::run::{RunError, RunReport};
use crate::calls::http::state::Http;

/// A run that is over, and has its place in the log. Nobody may know of it before it is durable.
#[must_use = "wait for it with `durable`"]
pub(super) struct Landed {
    pub report: RunReport,
    /// What it leaves of HTTP.
    pub http: Http,
    pub ordered: Box<Ordered>,
    pub joint: Joint,
    /// What it has said and is to be shown then.
    pub streams: Option<Streams>,
}

impl Landed {
    /// Returns when all of it is durable, with what came of its effects.
    pub async fn durable(self, store: &Store) -> Result<(RunReport, Http), RunError> {
        let Self { report, http, ordered, joint, streams } = self;
        let undelivered = ordered.durable(store).await?;
        joint.show();
        streams.iter().for_each(Streams::show);
        Ok((RunReport { undelivered, ..report }, http))
    }
}
