//! The versions of spaces, for the tables that are about them.

use std::collections::BTreeSet;
use std::sync::Arc;

use reel_abi::id::{SpaceName, Version};
use reel_store::{Head, Made, VersionRecord};

use crate::sql::error::SqlError;
use crate::sql::view::View;
use crate::sql::wanted::Wanted;

/// The spaces that a condition on their name leaves, and where they stood.
pub fn spaces(view: &View, wanted: &Wanted, column: usize) -> Vec<(SpaceName, Head)> {
    let name = wanted.text(column);
    let all = view.spaces.iter().filter(|(space, _)| name.is_none_or(|name| name == space.as_str()));
    all.map(|(space, head)| (space.clone(), *head)).collect()
}

/// The versions of a space as they were at the moment of the view, ascending.
pub fn history(view: &View, space: &SpaceName, head: Head) -> Result<Vec<VersionRecord>, SqlError> {
    let mut history = view.store.history(space)?;
    history.retain(|record| record.version <= head.version);
    Ok(history)
}

/// The versions that a head sees, newest first, with the space that each was made in: through rollbacks and forks, without what they led away from.
pub fn line(view: &Arc<View>, space: &SpaceName, head: Head) -> Result<Vec<(SpaceName, VersionRecord)>, SqlError> {
    let mut line = Vec::new();
    let (mut space, mut from) = (space.clone(), Some(head.version));
    let mut walked = BTreeSet::new();
    while let Some(top) = from.take().filter(|top| walked.insert((space.clone(), *top))) {
        view.check()?;
        let (mut next, mut source) = (top, None);
        for record in view.store.history(&space)?.into_iter().rev() {
            if record.version > next {
                continue;
            }
            match &record.made {
                Made::Rollback { to } => next = *to,
                Made::Fork { source: name, version } => source = Some((name.clone(), *version)),
                Made::Commit { .. } => {}
            }
            line.push((space.clone(), record));
            if source.is_some() {
                break;
            }
        }
        if let Some((name, version)) = source {
            (space, from) = (name, Some(version));
        }
    }
    Ok(line)
}

/// The version before one, in the same space.
pub fn before(version: Version) -> Version {
    Version(version.0.saturating_sub(1))
}
