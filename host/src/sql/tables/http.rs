//! `http`: requests that guests answered, and those that they made.

use std::collections::BTreeMap;
use std::sync::Arc;

use reel_abi::id::{RunId, Seq};
use reel_abi::record::Frame;
use reel_abi::value::Value as Said;
use reel_abi::vocabulary::{Call, HttpNew, HttpRequest, HttpRespond, HttpResponse, HttpSend, HttpSetPart};

use super::of_runs::{Told, events, of_events, part, words};
use crate::sql::error::SqlError;
use crate::sql::table::{Column, Narrows, Row, Rows, Table, column, int, maybe, text};
use crate::sql::times::exact;
use crate::sql::values::{self, Json};
use crate::sql::view::View;
use crate::sql::walk::{Which, guest_of, of_run};
use crate::sql::wanted::Wanted;

const COLUMNS: &[Column] = &[
    column("run", "INTEGER", "the run"),
    column("seq", "INTEGER", "the event by which it got the request, or made it"),
    column("at", "TEXT", "as in events"),
    column("at_ns", "INTEGER", "as in events"),
    column("guest", "TEXT", "as in runs"),
    column("space", "TEXT", "as in runs"),
    column("direction", "TEXT", "in: the guest was asked; out: it asked others"),
    column("method", "TEXT", "GET, POST and so on"),
    column("scheme", "TEXT", "http or https, if it was said"),
    column("authority", "TEXT", "host, with a port if one was named"),
    column("path", "TEXT", "path and query"),
    column(
        "status",
        "INTEGER",
        "of the answer; NULL if there was none, or if it cannot be told to which of several requests it belongs",
    ),
    column("error", "TEXT", "why there was no answer: of a request that the guest did not answer, how the run ended"),
    column("key", "TEXT", "the idempotency key that went with it"),
    column("headers", "TEXT", "of the request, as JSON"),
];

/// The table.
pub const TABLE: Table = Table {
    name: "http",
    says: "requests that guests answered, and those that they made",
    columns: COLUMNS,
    narrowed_by: &[
        (0, Narrows::ToOne),
        (2, Narrows::ToPart),
        (3, Narrows::ToPart),
        (4, Narrows::ToPart),
        (5, Narrows::ToPart),
    ],
    open,
};

const BEGIN: &[u8] = &[HttpRequest::CODE, HttpSend::CODE];
const CODES: &[u8] =
    &[HttpRequest::CODE, HttpSend::CODE, HttpNew::CODE, HttpSetPart::CODE, HttpRespond::CODE, HttpResponse::CODE];

/// What became of a request.
#[derive(Debug, Clone, Default)]
struct Answer {
    status: Option<u64>,
    error: Option<String>,
}

fn open(view: &Arc<View>, wanted: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    let which = Which {
        runs: wanted.range(0),
        times: wanted.times(2, 3),
        guest: wanted.text(4).map(str::to_owned),
        space: wanted.text(5).map(str::to_owned),
    };
    let mut known: Option<(RunId, BTreeMap<Seq, Answer>)> = None;
    of_events(view, which, BEGIN, move |view, frame, told| {
        if known.as_ref().is_none_or(|(run, _)| *run != frame.run) {
            known = Some((frame.run, answers(view, frame.run)?));
        }
        let record = view.run(frame.run)?;
        let (guest, space) = record.as_ref().map_or((None, None), |record| {
            (Some(guest_of(&record.begin.name).to_owned()), Some(record.begin.space.to_string()))
        });
        let ended = record.as_ref().and_then(|record| record.end.as_ref());
        let unanswered = ended.map(|end| Answer { status: None, error: Some(end.outcome.to_string()) });
        let answers = known.as_ref().map(|(_, answers)| answers);
        let rows = told.iter().map(|told| {
            let answer = answers.and_then(|answers| answers.get(&told.seq));
            let unanswered = unanswered.as_ref().filter(|_| told.event.code == HttpRequest::CODE);
            let answer = answer.or(unanswered).cloned().unwrap_or_default();
            row(frame, told, answer, (guest.clone(), space.clone()))
        });
        Ok(rows.collect())
    })
}

fn row(frame: &Frame, told: &Told, answer: Answer, (guest, space): (Option<String>, Option<String>)) -> Row {
    let is_in = told.event.code == HttpRequest::CODE;
    let head = if is_in { Some(&told.event.reply) } else { told.field("head") };
    let of = |name: &str| head.and_then(|head| part(head, name)).and_then(words);
    let key = if is_in { None } else { part(&told.event.reply, "key").and_then(words) };
    vec![
        int(frame.run.0),
        int(told.seq.0),
        text(exact(frame.opened.0)),
        int(frame.opened.0),
        maybe(guest, text),
        maybe(space, text),
        text(if is_in { "in" } else { "out" }),
        maybe(of("method"), text),
        maybe(of("scheme"), text),
        maybe(of("authority"), text),
        maybe(of("path"), text),
        maybe(answer.status, int),
        maybe(answer.error, text),
        maybe(key, text),
        maybe(head.and_then(|head| part(head, "headers")), |headers| text(values::text(&Json(headers)))),
    ]
}

fn failure(value: &Said) -> String {
    words(value).unwrap_or_else(|| values::text(&Json(value)))
}

/// What became of the requests of a run.
fn answers(view: &View, run: RunId) -> Result<BTreeMap<Seq, Answer>, SqlError> {
    let mut answers: BTreeMap<Seq, Answer> = BTreeMap::new();
    // Handles of messages that the guest makes, with their status; requests without an answer yet; whose answer a handle is for.
    let mut made: BTreeMap<u32, u64> = BTreeMap::new();
    let (mut asked, mut waiting): (Option<Seq>, Vec<Seq>) = (None, Vec::new());
    for frame in of_run(view, run, Seq(0))? {
        for told in events(&frame, CODES)? {
            let reply = &told.event.reply;
            match told.event.code {
                HttpRequest::CODE => asked = Some(told.seq),
                HttpNew::CODE => {
                    if let Said::Handle(handle) = reply {
                        made.insert(*handle, 200);
                    }
                }
                HttpSetPart::CODE if told.text("part").as_deref() == Some("status") => {
                    if let (Some(Said::Handle(of)), Some(status)) = (told.field("of"), told.text("to"))
                        && let Ok(status) = status.parse()
                    {
                        made.insert(*of, status);
                    }
                }
                HttpRespond::CODE => {
                    let Some(asked) = asked else { continue };
                    let answer = match told.field("response") {
                        Some(Said::Handle(response)) => Answer { status: made.get(response).copied(), error: None },
                        Some(Said::Failure(fault)) => Answer { status: None, error: Some(failure(fault)) },
                        _ => Answer::default(),
                    };
                    answers.insert(asked, answer);
                }
                HttpSend::CODE => match reply {
                    Said::Failure(fault) => {
                        answers.insert(told.seq, Answer { status: None, error: Some(failure(fault)) });
                    }
                    _ => waiting.push(told.seq),
                },
                HttpResponse::CODE => {
                    let answer = match reply {
                        Said::Failure(fault) => Answer { status: None, error: Some(failure(fault)) },
                        reply => match part(reply, "status") {
                            Some(Said::Number(status)) => Answer { status: Some(*status), error: None },
                            // It is not there yet.
                            _ => continue,
                        },
                    };
                    if let [only] = waiting.as_slice() {
                        answers.insert(*only, answer);
                        waiting.clear();
                    } else if !waiting.is_empty() {
                        // Which of them it answers is not said: from here on it would be a guess.
                        waiting.pop();
                    }
                }
                _ => {}
            }
        }
    }
    Ok(answers)
}
