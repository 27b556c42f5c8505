//! What is told as JSON, one object a line.

use reel_abi::value::Value;
use serde_json::{Map, Value as Json, json};

use super::walk::{Told, Walk, Window};
use crate::cli::dates;
use crate::cli::failure::Failure;
use crate::cli::io::Io;
use crate::cli::json::{Bytes, Event, line};
use crate::debug::{Held, Name, Said, Stop, Thing};

/// Writes what is told.
pub fn write(told: &Told, walk: &Walk<'_>, io: &mut Io<'_>) -> Result<(), Failure> {
    let object = match told {
        Told::End => return Ok(()),
        Told::Words(words) => json!({ "said": words }),
        Told::Memory(Window { seq, memory, size, from, bytes: shown }) => json!({
            "run": walk.record().run.0, "seq": seq.0, "memory": memory, "size": size, "from": from,
            "bytes": bytes(shown)?,
        }),
        Told::Stop(told) => stop(told, walk)?,
    };
    Ok(line(io.out, &object)?)
}

fn bytes(bytes: &[u8]) -> Result<Json, Failure> {
    let value = serde_json::to_value(Bytes(Value::Bytes(bytes.to_vec())));
    value.map_err(|error| Failure::from(std::io::Error::from(error)))
}

fn stop(stop: &Stop, walk: &Walk<'_>) -> Result<Json, Failure> {
    let event = Event { run: walk.record().run, seq: stop.seq, event: &stop.event };
    let event = serde_json::to_value(event).map_err(|error| Failure::from(std::io::Error::from(error)))?;
    let mut object = match event {
        Json::Object(object) => object,
        _ => Map::new(),
    };
    let all = |list: &[Held]| list.iter().map(held).collect::<Result<Vec<_>, _>>().map(Json::Array);
    object.insert("recorded".into(), json!([dates::exact(stop.times.0.0), dates::exact(stop.times.1.0)]));
    object.insert("reads".into(), json!(stop.base.0));
    object.insert("changed".into(), all(&stop.changed)?);
    object.insert("changed_more".into(), json!(stop.more));
    object.insert("others".into(), all(&stop.others)?);
    object.insert("others_more".into(), json!(stop.others_more));
    object.insert("stdout".into(), said(&stop.said[0])?);
    object.insert("stderr".into(), said(&stop.said[1])?);
    object.insert("notes".into(), json!(stop.notes));
    Ok(Json::Object(object))
}

fn said(said: &Said) -> Result<Json, Failure> {
    Ok(json!({ "len": said.len, "tail": bytes(&said.tail)? }))
}

fn held(held: &Held) -> Result<Json, Failure> {
    let mut object = Map::new();
    match &held.name {
        Name::Key(bucket, key) => {
            object.insert("bucket".into(), json!(bucket));
            object.insert("key".into(), bytes(key)?);
        }
        Name::Path(path) => drop(object.insert("path".into(), json!(path))),
    }
    object.insert("at".into(), json!(held.at.map(|at| at.0)));
    let (kind, more) = match &held.thing {
        Err(why) => ("unknown", Some(("why", json!(why)))),
        Ok(None) => ("nothing", None),
        Ok(Some(Thing::Directory)) => ("directory", None),
        Ok(Some(Thing::Link(target))) => ("link", Some(("target", json!(target)))),
        Ok(Some(Thing::Bytes { len, first })) => {
            object.insert("len".into(), json!(len));
            ("bytes", Some(("bytes", bytes(first)?)))
        }
    };
    object.insert("is".into(), json!(kind));
    more.into_iter().for_each(|(name, value)| drop(object.insert(name.into(), value)));
    Ok(Json::Object(object))
}
