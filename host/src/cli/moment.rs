//! From a moment as it is written to a version that there is, or to a page that says why there is none.

use reel_abi::id::{SpaceName, TagName, Version, WallTime};
use reel_store::{Head, Made, Store, Tag};

use super::dates;
use super::exit::Exit;
use super::failure::Failure;
use super::ids::EventRef;
use super::near;
use super::when::{Moment, SpaceAt, SpacePath, When};
use crate::port::Clock;
use crate::runtime::reached;
use crate::world::clock::HostClock;

impl SpaceAt {
    /// The version that is meant.
    pub fn head(&self, store: &Store) -> Result<Head, Failure> {
        find(store, &self.space, self.when.as_ref())
    }
}

impl SpacePath {
    /// The version that is meant.
    pub fn head(&self, store: &Store) -> Result<Head, Failure> {
        self.at.head(store)
    }
}

/// A version of a space: the newest if no moment is given.
pub fn find(store: &Store, space: &SpaceName, when: Option<&When>) -> Result<Head, Failure> {
    let Some(when) = when else { return newest(store, space) };
    if last(store, space)?.is_none() {
        return Err(no_such_space(store, space)?);
    }
    match &when.moment {
        Moment::Version(version) => at_version(store, space, *version),
        Moment::Tag(name) => at_tag(store, space, name),
        Moment::Time => at_time(store, space, when),
        Moment::Event(event) => at_event(store, space, *event),
    }
}

/// Where a space stands.
pub fn newest(store: &Store, space: &SpaceName) -> Result<Head, Failure> {
    if let Some(head) = store.head(space)? {
        return Ok(head);
    }
    match last(store, space)? {
        None => Err(no_such_space(store, space)?),
        Some(version) => Err(Failure::not_found(format!(
            "space {space} was removed when it stood at version {version}"
        ))
        .hint(format!(
            "its versions are still there: {space}@{version}; `reel fork {space}@{version} {space}` brings it back"
        ))),
    }
}

/// The newest version of a space, or what it was when the space was removed; nothing if there never was one of that name.
pub fn last(store: &Store, space: &SpaceName) -> Result<Option<Version>, Failure> {
    if let Some(head) = store.head(space)? {
        return Ok(Some(head.version));
    }
    match store.history(space)?.last() {
        Some(newest) => Ok(Some(newest.version)),
        None => Ok(store.head_at(space, Version(0))?.map(|head| head.version)),
    }
}

fn no_such_space(store: &Store, space: &SpaceName) -> Result<Failure, Failure> {
    let spaces = store.spaces()?;
    let names = spaces.iter().map(|(name, _)| name.as_str());
    let hint = near::hint(space.as_str(), names, "`reel spaces` lists them");
    Ok(Failure::not_found(format!("there is no space {space} in this database")).hint(hint))
}

fn at_version(store: &Store, space: &SpaceName, version: Version) -> Result<Head, Failure> {
    if let Some(head) = store.head_at(space, version)? {
        return Ok(head);
    }
    let newest = last(store, space)?.unwrap_or_default();
    Err(Failure::not_found(format!("space {space} has versions 0 to {newest}, there is no {version}")))
}

fn at_tag(store: &Store, space: &SpaceName, name: &TagName) -> Result<Head, Failure> {
    let tags = store.tags()?;
    let begins = |tag: &&Tag| tag.tag.as_str().starts_with(name.as_str());
    let own: Vec<&Tag> = tags.iter().filter(|tag| tag.space == *space).collect();
    if let Some(tag) = own.iter().find(|tag| tag.tag == *name) {
        return Ok(tag.head);
    }
    let candidates: Vec<&&Tag> = own.iter().filter(|tag| begins(tag)).collect();
    match candidates.as_slice() {
        [tag] => return Ok(tag.head),
        [] => {}
        several => {
            let names: Vec<&str> = several.iter().map(|tag| tag.tag.as_str()).collect();
            let what = format!("{space}@{name}: several tags of {space} begin so: {}", names.join(", "));
            return Err(Failure::new(Exit::USAGE, what).hint("write more of its name"));
        }
    }
    if let Some(Tag { tag, space: other, head, .. }) =
        tags.iter().find(|tag| tag.tag == *name).or_else(|| tags.iter().find(begins))
    {
        let what = format!("tag {tag} names {other}@{}, which is no version of {space}", head.version);
        return Err(Failure::not_found(what).hint(format!("write {other}@{tag} for that one")));
    }
    let otherwise =
        format!("`reel tag` lists tags; {space}@WHEN also takes a version (17), a time (3d, 14:05) or an event (12@7)");
    let hint = near::hint(name.as_str(), own.iter().map(|tag| tag.tag.as_str()), &otherwise);
    Err(Failure::not_found(format!("there is no tag {name} in this database")).hint(hint))
}

fn at_time(store: &Store, space: &SpaceName, when: &When) -> Result<Head, Failure> {
    let now = HostClock::new().wall();
    let at = dates::moment(when.text(), now).map_err(Failure::usage)?;
    if at > now {
        let what = format!("{space}@{when}: that moment is still to come, it is {} now (UTC)", dates::short(now));
        return Err(Failure::not_found(what).hint(format!("{space} without a moment is its newest version")));
    }
    if let Some(version) = store.version_at(space, WallTime(at))? {
        return at_version(store, space, version);
    }
    let what = format!("space {space} did not exist yet at {} (UTC)", dates::short(at));
    let failure = Failure::not_found(what);
    Err(match store.history(space)?.first() {
        None => failure,
        Some(first) => match &first.made {
            Made::Fork { source, version } => failure
                .at(format!("it was forked from {source}@{version} at {} (UTC)", dates::short(first.at.0)))
                .hint(format!("{source}@{when} is what it was forked from, if that is older")),
            _ => failure.at(format!("its version {} was made at {} (UTC)", first.version, dates::short(first.at.0))),
        },
    })
}

fn at_event(store: &Store, space: &SpaceName, event: EventRef) -> Result<Head, Failure> {
    let (id, record) = event.find(store)?;
    let begin = &record.begin;
    if begin.space != *space {
        let what = format!("run {} worked in space {}, not in {space}", id.run, begin.space);
        return Err(Failure::not_found(what).hint(format!("write {}@{id} for what it had reached there", begin.space)));
    }
    match reached::version_at(store, &record, id.seq)? {
        Some(version) => at_version(store, space, version),
        None => Err(Failure::not_found(format!("run {} has no event {id}", id.run))
            .hint(format!("`reel log {}` lists them", id.run))),
    }
}

/// The name of a version: `main@17`.
pub fn name(space: &SpaceName, head: Head) -> String {
    format!("{space}@{}", head.version)
}

/// A tag, named whole.
pub fn tag(store: &Store, name: &TagName) -> Result<Tag, Failure> {
    if let Some(tag) = store.tag(name)? {
        return Ok(tag);
    }
    let tags = store.tags()?;
    let hint = near::hint(name.as_str(), tags.iter().map(|tag| tag.tag.as_str()), "`reel tag` lists them");
    Err(Failure::not_found(format!("there is no tag {name} in this database")).hint(hint))
}
