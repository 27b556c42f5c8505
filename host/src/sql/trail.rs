//! What the handles of a run stand for: events name a file or bucket when it is opened, and by its handle from there on.

use std::collections::BTreeMap;
use std::sync::Arc;

use reel_abi::id::{RunId, Seq};
use reel_abi::record::Frame;
use reel_abi::value::Value;
use reel_abi::vocabulary::{Call, EventView, FsPreopens, HandleDrop, KvCas, KvOpen};
use reel_abi::wire::Reader;

use super::error::SqlError;
use super::view::View;
use super::walk;

/// Runs whose handles are kept.
const RUNS: usize = 1024;

/// Handles of a run that are kept; no run has more at once, but a damaged log may.
const HANDLES: usize = 1 << 16;

/// What an event is about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct About {
    /// A path, without `/` at its beginning.
    pub path: Option<String>,
    /// A bucket.
    pub bucket: Option<String>,
    /// A key.
    pub key: Option<Vec<u8>>,
}

/// What the handles of some runs stand for.
pub struct Trails {
    view: Arc<View>,
    runs: BTreeMap<RunId, Trail>,
}

#[derive(Default)]
struct Trail {
    next: u64,
    handles: BTreeMap<u32, About>,
}

impl Trails {
    /// Those of no run.
    pub fn new(view: &Arc<View>) -> Self {
        Self { view: Arc::clone(view), runs: BTreeMap::new() }
    }

    /// Gets ready for a frame: what came before it in its run is looked at, if it was not.
    pub fn enter(&mut self, frame: &Frame) -> Result<(), SqlError> {
        let known = self.runs.get(&frame.run).map(|trail| trail.next);
        if known == Some(frame.first.0) {
            return Ok(());
        }
        let mut trail = Trail::default();
        if frame.first.0 > 0 {
            for earlier in walk::of_run(&self.view, frame.run, Seq(0))? {
                if earlier.first >= frame.first {
                    break;
                }
                let raw = unpack(&earlier)?;
                let mut reader = Reader::new(&raw);
                for place in 0..u64::from(earlier.count) {
                    let event = take(&earlier, Seq(earlier.first.0 + place), &mut reader)?;
                    trail.follow(&event);
                }
            }
        }
        trail.next = frame.first.0;
        if self.runs.len() >= RUNS {
            self.runs.pop_first();
        }
        self.runs.insert(frame.run, trail);
        Ok(())
    }

    /// What the next event of a run is about.
    pub fn follow(&mut self, run: RunId, event: &EventView) -> About {
        self.runs.get_mut(&run).map(|trail| trail.follow(event)).unwrap_or_default()
    }
}

impl Trail {
    fn follow(&mut self, event: &EventView) -> About {
        self.next += 1;
        let request = |name: &str| event.request.iter().find(|(field, _)| *field == name).map(|(_, value)| value);
        let mut about = About::default();
        match event.name.split('.').next() {
            Some("fs") => {
                let of = ["dir", "file", "stream"].iter().find_map(|name| self.named(request(name)));
                about.path = of.and_then(|of| of.path);
                if let Some(Value::Text(path)) = request("path") {
                    about.path = Some(joined(about.path.as_deref(), path));
                }
            }
            Some("host") => {
                if let Some(Value::Text(path)) = request("path") {
                    about.path = Some(path.clone());
                }
            }
            Some("stream") => {
                let of = ["stream", "from"].iter().find_map(|name| self.named(request(name)));
                about.path = of.and_then(|of| of.path);
            }
            Some("kv") => {
                about = ["bucket", "cas"].iter().find_map(|name| self.named(request(name))).unwrap_or_default();
                if event.code == KvOpen::CODE {
                    about.bucket = request("name").and_then(text);
                }
                if let Some(Value::Bytes(key)) = request("key") {
                    about.key = Some(key.clone());
                }
            }
            _ => {}
        }
        self.learn(event, &about);
        about
    }

    fn named(&self, handle: Option<&Value>) -> Option<About> {
        let Some(Value::Handle(handle)) = handle else { return None };
        self.handles.get(handle).cloned()
    }

    fn learn(&mut self, event: &EventView, about: &About) {
        if event.code == HandleDrop::CODE {
            if let Some((_, Value::Handle(handle))) = event.request.iter().find(|(name, _)| *name == "handle") {
                self.handles.remove(handle);
            }
            return;
        }
        if self.handles.len() >= HANDLES {
            return;
        }
        match (&event.reply, event.code) {
            (Value::List(pairs), FsPreopens::CODE) => {
                for pair in pairs {
                    if let Value::List(pair) = pair
                        && let [Value::Handle(handle), Value::Text(path)] = pair.as_slice()
                    {
                        let path = Some(joined(None, path));
                        self.handles.insert(*handle, About { path, ..About::default() });
                    }
                }
            }
            (Value::Handle(handle), code) if about.path.is_some() || about.bucket.is_some() => {
                let key = about.key.clone().filter(|_| code == KvCas::CODE);
                self.handles.insert(*handle, About { key, ..about.clone() });
            }
            (Value::Handle(handle), _) => drop(self.handles.remove(handle)),
            _ => {}
        }
    }
}

fn text(value: &Value) -> Option<String> {
    if let Value::Text(text) = value { Some(text.clone()) } else { None }
}

/// A path below a directory, without what `.` and `..` stand for. Links are not known here.
fn joined(dir: Option<&str>, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let dir = dir.filter(|_| !path.starts_with('/')).unwrap_or_default();
    for part in dir.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The events of a frame as bytes.
pub fn unpack(frame: &Frame) -> Result<Vec<u8>, SqlError> {
    frame.unpack().map_err(|error| damaged(frame, frame.first, error.to_string()))
}

/// The next event of a frame.
pub fn take(frame: &Frame, seq: Seq, reader: &mut Reader<'_>) -> Result<EventView, SqlError> {
    EventView::take(reader).map_err(|error| damaged(frame, seq, error.to_string()))
}

/// Says that a frame cannot be read.
pub fn damaged(frame: &Frame, seq: Seq, what: String) -> SqlError {
    SqlError::Damaged { run: frame.run, seq, what }
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn paths_are_laid_together() {
        assert_eq!(joined(None, "/"), "");
        assert_eq!(joined(Some("a/b"), "../c"), "a/c");
        assert_eq!(joined(Some(""), "./x//y/"), "x/y");
        assert_eq!(joined(Some("a"), "../../.."), "");
    }
}
