//! What the events of a run say that it touched: handles are followed to names of files and keys.

use std::collections::BTreeMap;

use reel_abi::event::decode;
use reel_abi::id::{RunId, Seq, Version};
use reel_abi::value::Value;
use reel_abi::vocabulary::EventView;
use reel_store::{Head, ReadError, Store};

use super::graph::Name;

/// Events of one run that are looked at; stops a run of a hundred million.
const EVENTS: u64 = 2_000_000;

/// Names that one event may touch.
const NAMES: usize = 1024;

/// What an event did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    /// Read it.
    Read(Name),
    /// Read all keys of a bucket that begin so.
    Scanned(Vec<u8>, Vec<u8>),
    /// Wrote it, or removed it.
    Wrote(Name),
    /// Sent a message about a topic.
    Sent(String),
    /// Called another guest: its run.
    Called(RunId),
    /// Committed; the next transaction reads this version.
    Began(Head),
}

/// A deed, where it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Touch {
    pub seq: Seq,
    pub deed: Deed,
}

/// What is known of a run's handles.
#[derive(Default)]
struct Handles {
    buckets: BTreeMap<u32, Vec<u8>>,
    /// Paths below the space's root; nothing for what lies in a host directory.
    files: BTreeMap<u32, Option<String>>,
    cas: BTreeMap<u32, (Vec<u8>, Vec<u8>)>,
    grants: bool,
}

/// The deeds of a run before an event, in order.
pub(super) fn touches(store: &Store, run: RunId, until: Option<Seq>) -> Result<Vec<Touch>, ReadError> {
    let mut handles = Handles::default();
    let mut found = Vec::new();
    for at in store.frames(run, Seq(0))? {
        if at.first.0 > EVENTS || until.is_some_and(|until| at.first >= until) {
            break;
        }
        let frame = store.frame(&at)?;
        let Ok(raw) = frame.unpack() else { break };
        let Ok(events) = decode(&frame, &raw) else { break };
        for (seq, event) in events {
            if until.is_some_and(|until| seq >= until) {
                return Ok(found);
            }
            let deeds = handles.deeds(&event);
            found.extend(deeds.into_iter().map(|deed| Touch { seq, deed }));
        }
    }
    Ok(found)
}

fn field<'a>(event: &'a EventView, wanted: &str) -> Option<&'a Value> {
    event.request.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value)
}

fn handle(value: Option<&Value>) -> Option<u32> {
    match value {
        Some(Value::Handle(handle)) => Some(*handle),
        _ => None,
    }
}

fn bytes(value: Option<&Value>) -> Option<Vec<u8>> {
    match value {
        Some(Value::Bytes(bytes)) => Some(bytes.clone()),
        Some(Value::Text(text)) => Some(text.clone().into_bytes()),
        _ => None,
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    match value {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

impl Handles {
    fn deeds(&mut self, event: &EventView) -> Vec<Deed> {
        if matches!(event.reply, Value::Failure(_)) {
            return Vec::new();
        }
        match event.name.split_once('.') {
            Some(("kv", verb)) => self.of_bucket(verb, event),
            Some(("fs", verb)) => self.of_file(verb, event).unwrap_or_default(),
            Some(("msg", "send")) => text(field(event, "topic")).map(Deed::Sent).into_iter().collect(),
            Some(("guest", "call")) => match &event.reply {
                Value::Record(fields) => match fields.first() {
                    Some((_, Value::Number(run))) => vec![Deed::Called(RunId(*run))],
                    _ => Vec::new(),
                },
                _ => Vec::new(),
            },
            Some(("txn", "begin")) => match &event.reply {
                Value::Record(fields) => match fields.as_slice() {
                    [(_, Value::Number(segment)), (_, Value::Number(version))] => {
                        let segment = reel_abi::id::SegmentId(*segment);
                        vec![Deed::Began(Head { segment, version: Version(*version) })]
                    }
                    _ => Vec::new(),
                },
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    fn of_bucket(&mut self, verb: &str, event: &EventView) -> Vec<Deed> {
        if verb == "open" {
            if let (Some(name), Value::Handle(handle)) = (bytes(field(event, "name")), &event.reply) {
                self.buckets.insert(*handle, name);
            }
            return Vec::new();
        }
        let bucket = handle(field(event, "bucket")).and_then(|handle| self.buckets.get(&handle)).cloned();
        if let ("swap" | "cas-current", Some(cas)) = (verb, handle(field(event, "cas"))) {
            let Some((bucket, key)) = self.cas.get(&cas).cloned() else { return Vec::new() };
            let name = Name::Key(bucket, key);
            return vec![if verb == "swap" { Deed::Wrote(name) } else { Deed::Read(name) }];
        }
        let Some(bucket) = bucket else { return Vec::new() };
        let key = bytes(field(event, "key")).map(|key| Name::Key(bucket.clone(), key));
        let many = |wanted: &str, first: bool| -> Vec<Name> {
            let Some(Value::List(list)) = field(event, wanted) else { return Vec::new() };
            let key = |value: &Value| match value {
                Value::List(pair) if first => bytes(pair.first()),
                value => bytes(Some(value)),
            };
            list.iter().filter_map(key).take(NAMES).map(|key| Name::Key(bucket.clone(), key)).collect()
        };
        match verb {
            "get" | "exists" => key.map(Deed::Read).into_iter().collect(),
            "set" | "delete" => key.map(Deed::Wrote).into_iter().collect(),
            "increment" => key.into_iter().flat_map(|key| [Deed::Read(key.clone()), Deed::Wrote(key)]).collect(),
            "cas" => {
                if let (Some(Name::Key(bucket, key)), Value::Handle(handle)) = (&key, &event.reply) {
                    self.cas.insert(*handle, (bucket.clone(), key.clone()));
                }
                key.map(Deed::Read).into_iter().collect()
            }
            "get-many" => many("keys", false).into_iter().map(Deed::Read).collect(),
            "set-many" => many("entries", true).into_iter().map(Deed::Wrote).collect(),
            "delete-many" => many("keys", false).into_iter().map(Deed::Wrote).collect(),
            "list-keys" => vec![Deed::Scanned(bucket, Vec::new())],
            "scan" => vec![Deed::Scanned(bucket, bytes(field(event, "prefix")).unwrap_or_default())],
            _ => Vec::new(),
        }
    }

    fn of_file(&mut self, verb: &str, event: &EventView) -> Option<Vec<Deed>> {
        if verb == "preopens" {
            let Value::List(list) = &event.reply else { return None };
            for pair in list {
                let Value::List(pair) = pair else { continue };
                if let [Value::Handle(handle), Value::Text(path)] = pair.as_slice() {
                    // The space is what lies at the root, unless a directory of the host was laid there.
                    let own = path == "/" && !self.grants;
                    self.files.insert(*handle, own.then(String::new));
                }
            }
            return None;
        }
        let below = |this: &Self, dir: &str, path: &str| {
            let above = handle(field(event, dir)).and_then(|dir| this.files.get(&dir)).cloned().flatten()?;
            let path = text(field(event, path))?;
            joined(&above, &path)
        };
        let of = |this: &Self, wanted: &str| {
            handle(field(event, wanted)).and_then(|file| this.files.get(&file)).cloned().flatten()
        };
        let read = |path: Option<String>| path.map(|path| vec![Deed::Read(Name::Path(path))]);
        let wrote = |path: Option<String>| path.map(|path| vec![Deed::Wrote(Name::Path(path))]);
        match verb {
            "open" => {
                let path = below(self, "dir", "path");
                if let Value::Handle(handle) = &event.reply {
                    self.files.insert(*handle, path.clone());
                }
                let how = field(event, "how").map(|how| format!("{how:?}").to_lowercase()).unwrap_or_default();
                match how.contains("truncate") || how.contains("exclusive") {
                    true => wrote(path),
                    false => None,
                }
            }
            "read-stream" | "write-stream" | "append-stream" => {
                let path = of(self, "file");
                if let Value::Handle(handle) = &event.reply {
                    self.files.insert(*handle, path);
                }
                None
            }
            "read" | "read-directory" | "stat" => read(of(self, "file").or_else(|| of(self, "dir"))),
            "stream-read" => read(of(self, "stream")),
            "write" | "set-size" => wrote(of(self, "file")),
            "stream-write" | "stream-zeroes" => wrote(of(self, "stream")),
            "stat-at" | "readlink" => read(below(self, "dir", "path")),
            "mkdir" | "create-directory" | "rmdir" | "remove-directory" | "unlink" | "symlink" => {
                wrote(below(self, "dir", "path"))
            }
            "rename" | "link" => {
                let both = [below(self, "dir", "path"), below(self, "new_dir", "new_path")];
                Some(both.into_iter().flatten().map(|path| Deed::Wrote(Name::Path(path))).collect())
            }
            _ => None,
        }
    }
}

/// A path below a directory; nothing if it leads out.
fn joined(above: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = above.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn paths_are_followed() {
        assert_eq!(joined("", "a/./b").as_deref(), Some("a/b"));
        assert_eq!(joined("a/b", "../c").as_deref(), Some("a/c"));
        assert_eq!(joined("", "../c"), None);
    }
}
