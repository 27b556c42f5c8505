//! The codec: what is written can be read, one value has one encoding, and no bytes make it panic.

#![allow(clippy::disallowed_methods, reason = "golden files are files")]

use proptest::prelude::*;
use reel_abi::bytes::Bytes;
use reel_abi::event::decode;
use reel_abi::frame::FRAME_MAX_BYTES;
use reel_abi::id::{Digest, RunId, Seq, WallTime};
use reel_abi::limits::{LimitKind, Limits};
use reel_abi::message::MsgPart;
use reel_abi::outcome::{DirGrant, Disposition, Outcome, RunBegin, RunEnd};
use reel_abi::record::{
    Cell, CellValue, Chunk, CommitRecord, Cut, Frame, HostChange, LogItem, OutboxEntry, Retention, SpaceChange,
};
use reel_abi::resident::Entry;
use reel_abi::trace::Trace;
use reel_abi::types::{Data, DescriptorFlags, FsCode, Handle, Nanos, OpenFlags, Payload, Stdio, WallReading};
use reel_abi::vocabulary::{
    ALL, Call, CallBegins, ClockWall, EventView, FsOpen, FsWrite, MsgSend, MsgSet, RandomBytes, RunBegins, RunEnds,
    StdioWrite,
};
use reel_abi::wire::{Clock, CodecError, Reader, Wire, Writer};

proptest! {
    #[test]
    fn integers_come_back(value: u64, signed: i64) {
        let mut w = Writer::new();
        w.varint(value);
        w.zigzag(signed);
        let bytes = w.into_bytes();
        let mut r = Reader::new(&bytes);
        prop_assert_eq!(r.varint("value").unwrap(), value);
        prop_assert_eq!(r.zigzag("value").unwrap(), signed);
        prop_assert!(r.finish().is_ok());
    }

    #[test]
    fn clock_readings_come_back(readings: Vec<(bool, u64)>) {
        let mut w = Writer::new();
        let which = |wall: bool| if wall { Clock::Wall } else { Clock::Monotonic };
        for (wall, nanos) in &readings {
            w.clock(which(*wall), *nanos);
        }
        let bytes = w.into_bytes();
        let mut r = Reader::new(&bytes);
        for (wall, nanos) in &readings {
            prop_assert_eq!(r.clock(which(*wall), "reading").unwrap(), *nanos);
        }
    }

    /// Whatever decodes encodes to the very bytes it was decoded from.
    #[test]
    fn one_value_has_one_encoding(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(item) = LogItem::from_bytes(&bytes) {
            prop_assert_eq!(item.to_bytes(), bytes.clone());
        }
        if let Ok(begin) = RunBegin::from_bytes(&bytes) {
            prop_assert_eq!(begin.to_bytes(), bytes.clone());
        }
        let mut r = Reader::new(&bytes);
        while EventView::take(&mut r).is_ok() {}
    }

    /// A golden item with some bytes changed is refused or is another item; it is never a panic, and never two readings.
    #[test]
    fn changed_items_are_refused_or_canonical(at: prop::sample::Index, value: u8, which in 0usize..12) {
        let (_, item) = &golden()[which];
        let mut bytes = item.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = value;
        if let Ok(read) = LogItem::from_bytes(&bytes) {
            prop_assert_eq!(read.to_bytes(), bytes);
        }
    }
}

#[test]
fn longer_forms_are_refused() {
    assert_eq!(Reader::new(&[0x80, 0x00]).varint("n"), Err(CodecError::NotCanonical { what: "n", at: 0 }));
    assert_eq!(Reader::new(&[0xff; 11]).varint("n"), Err(CodecError::NotCanonical { what: "n", at: 0 }));
    assert_eq!(Reader::new(&[0x80]).varint("n"), Err(CodecError::Truncated { what: "n", at: 1 }));
    assert!(Vec::<u64>::from_bytes(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err(), "a length of gigabytes is not believed");
    assert!(bool::from_bytes(&[2]).is_err());
}

#[test]
fn codes_and_names_are_unique() {
    let codes: std::collections::BTreeSet<u8> = ALL.iter().map(|call| call.0).collect();
    let names: std::collections::BTreeSet<&str> = ALL.iter().map(|call| call.1).collect();
    assert_eq!((codes.len(), names.len()), (ALL.len(), ALL.len()));
    assert!(names.iter().all(|name| name.split('.').count() == 2), "family.verb");
}

#[test]
fn a_frame_bomb_is_refused() {
    let raw = vec![0u8; FRAME_MAX_BYTES];
    let times = (WallTime(1), WallTime(2));
    let frame = Frame::pack(RunId(1), Seq(0), 1, times, &raw).expect("pack");
    assert!(frame.packed.len() < raw.len() / 1000);
    assert_eq!(frame.unpack().expect("unpack").len(), raw.len());
    assert!(Frame { raw_len: 10, ..frame.clone() }.unpack().is_err(), "more than it says");
    assert!(Frame { raw_len: u32::MAX, ..frame.clone() }.unpack().is_err(), "more than any frame may");
    assert!(Frame::pack(RunId(1), Seq(0), 1, times, &vec![0; FRAME_MAX_BYTES + 1]).is_err());
    assert!(decode(&frame, &raw).is_err(), "more bytes than its events");
}

/// One of each item, for the golden files.
fn golden() -> Vec<(&'static str, LogItem)> {
    let space = || "orders".parse().expect("name");
    let dir = || DirGrant { host: "/srv/in".into(), guest: "/in".into(), read_only: true };
    let (segment, version) = (reel_abi::id::SegmentId(3), reel_abi::id::Version(17));
    let (commit, run) = (reel_abi::id::CommitNo(9), RunId(300));
    let begin = RunBegin {
        at: WallTime(1_700_000_000_123_456_789),
        component: Digest::of(b"component"),
        content: Digest::of(b"content"),
        name: "app.wasm".into(),
        args: vec!["app.wasm".into(), "--\u{e9}".into()],
        env: vec![("K".into(), "V".into())],
        dirs: vec![dir()],
        net: vec!["example.com:443".into()],
        calls: Vec::new(),
        limits: Limits::default(),
        space: space(),
        segment,
        version,
        commit_on_failure: true,
        engine: "engine".into(),
        trace: Trace::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    };
    let cells = vec![
        Cell { family: 1, key: Bytes(b"a".to_vec()), value: CellValue::Inline { bytes: Bytes(b"1".to_vec()) } },
        Cell { family: 1, key: Bytes(b"b".to_vec()), value: CellValue::Tombstone },
        Cell { family: 3, key: Bytes(b"c".to_vec()), value: CellValue::Blob { digest: Digest::of(b"c"), len: 70_000 } },
    ];
    let changes = vec![
        HostChange::Absent { path: "gone".into() },
        HostChange::Directory { path: "d".into() },
        HostChange::File {
            path: "d/f".into(),
            chunks: vec![
                Chunk::Inline { bytes: Bytes(b"x".to_vec()) },
                Chunk::Zero { len: 5 },
                Chunk::Blob { digest: Digest::of(b"y"), len: 9 },
            ],
            modified: Some(WallTime(7)),
        },
        HostChange::Symlink { path: "l".into(), target: "d/f".into() },
        HostChange::Link { path: "h".into(), to: "d/f".into() },
    ];
    let record = CommitRecord {
        number: commit,
        run,
        at: WallTime(5),
        spaces: vec![SpaceChange { space: space(), segment, version, cells }],
        outbox: vec![OutboxEntry { dir: dir(), changes }],
    };
    let end = RunEnd {
        at: WallTime(6),
        outcome: Outcome::Limit { kind: LimitKind::Deadline, limit: 100 },
        disposition: Disposition::Committed { commit, version },
        events: 12,
        logged_bytes: 345,
        written_bytes: 678,
        memory: Some(u64::MAX),
    };
    let frame = Frame {
        run,
        first: Seq(4),
        count: 2,
        opened: WallTime(1),
        closed: WallTime(2),
        raw_len: 3,
        packed: Bytes(vec![1, 2]),
    };
    let branched = LogItem::Branched {
        space: "trial".parse().expect("name"),
        segment: reel_abi::id::SegmentId(4),
        version: reel_abi::id::Version(0),
        source: space(),
        parent: (segment, version),
        at: WallTime(7),
    };
    let tag = || "before-2.0".parse().expect("tag");
    let retention = Retention {
        at: WallTime(11),
        policy: "--keep 30d".into(),
        segments: vec![Cut { segment, border: version, kept: vec![reel_abi::id::Version(2)] }],
        runs_before: run,
        rows_through: reel_abi::id::Position(1000),
        base: Digest::of(b"base"),
    };
    vec![
        ("begun", LogItem::Begun { run, begin }),
        ("frame", LogItem::Frame { frame }),
        ("commit", LogItem::Commit { record }),
        ("ended", LogItem::Ended { run, end }),
        ("delivered", LogItem::Delivered { commit }),
        ("space-opened", LogItem::SpaceOpened { space: space(), segment, version, parent: Some((segment, version)) }),
        ("space-made", LogItem::SpaceOpened { space: space(), segment, version, parent: None }),
        ("branched", branched),
        ("space-removed", LogItem::SpaceRemoved { space: space(), at: WallTime(8) }),
        ("tag-set", LogItem::TagSet { tag: tag(), space: space(), segment, version, at: WallTime(9) }),
        ("tag-removed", LogItem::TagRemoved { tag: tag(), at: WallTime(10) }),
        ("retained", LogItem::Retained { retention }),
    ]
}

/// Events of several kinds, as they stand in a frame.
fn golden_events() -> Vec<u8> {
    fn event<C: Call>(w: &mut Writer, call: &C, reply: &C::Reply) {
        w.u8(C::CODE);
        call.put(w);
        reply.put(w);
    }
    let mut w = Writer::new();
    event(&mut w, &RunBegins {}, &());
    event(&mut w, &ClockWall {}, &WallReading(1_700_000_000_000_000_000));
    event(&mut w, &ClockWall {}, &WallReading(1_700_000_000_000_000_900));
    event(&mut w, &RandomBytes { len: 3 }, &Data::Inline { bytes: Bytes(vec![1, 2, 3]) });
    let open =
        FsOpen { dir: Handle(3), path: "a/b".into(), follow: true, how: OpenFlags(9), flags: DescriptorFlags(3) };
    event(&mut w, &open, &Err(FsCode::NoEntry));
    event(&mut w, &FsWrite { file: Handle(4), offset: 5, bytes: Payload::of(&[7; 100]) }, &Ok(100));
    event(&mut w, &StdioWrite { which: Stdio::Stdout, bytes: Bytes(b"hi\n".to_vec()) }, &Ok(()));
    let order = MsgSend {
        topic: "orders".into(),
        key: Some(Bytes(b"k".to_vec())),
        payload: Payload::of(b"a bicycle"),
        headers: vec![("lang".into(), "en".into())],
        delay: Nanos(5_000_000),
    };
    event(&mut w, &order, &Ok(()));
    event(&mut w, &MsgSet { message: Handle(2), part: MsgPart::Data, value: Payload::of(b"two") }, &());
    let (cell, topic) = (Bytes(b"\x01cccccccciiii".to_vec()), "orders".to_owned());
    let entry = Entry::Message { cell, topic, name: "reel:guest/inbox@0.1.0#receive".into() };
    event(&mut w, &CallBegins { entry, after: Some(RunId(299)) }, &());
    event(&mut w, &RunEnds { outcome: Outcome::Exit { code: 0 }, memory: Some(1) }, &());
    w.into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of format 1. A change here is a new format: give it a number, keep reading this one, add a file beside it.
#[test]
fn format_1_is_what_it_was() {
    let mut text = String::new();
    for (name, item) in golden() {
        let bytes = item.to_bytes();
        assert_eq!(LogItem::from_bytes(&bytes).expect("item"), item);
        text.push_str(&format!("{name} {}\n", hex(&bytes)));
    }
    let events = golden_events();
    text.push_str(&format!("events {}\n", hex(&events)));
    let mut r = Reader::new(&events);
    let mut names = Vec::new();
    while r.left() > 0 {
        names.push(EventView::take(&mut r).expect("event").name);
    }
    assert_eq!(names.len(), 11);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/format-1.txt");
    if std::env::var_os("REEL_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &text).expect("write");
    }
    assert_eq!(std::fs::read_to_string(path).expect("golden file"), text);
}

/// The bytes of a reproducer, but for what Zstandard makes of its contents.
#[test]
fn reproducer_format_1_is_what_it_was() {
    use reel_abi::faults::Base;
    use reel_abi::id::{CommitNo, SegmentId, Version};
    use reel_abi::reproducer::{About, Committed, Packed, ReadRange, Reproducer, ReproducerError, State};
    let (_, LogItem::Begun { begin, .. }) = &golden()[0] else { panic!("the first item is a begin") };
    let cell = |key: &[u8], value| Cell { family: 4, key: Bytes(key.to_vec()), value };
    let packed = |bytes: &[u8]| Packed { raw_len: 3, packed: Bytes(bytes.to_vec()) };
    let frame = Frame {
        run: RunId(17),
        first: reel_abi::id::Seq(0),
        count: 2,
        opened: WallTime(1),
        closed: WallTime(2),
        raw_len: 5,
        packed: Bytes(b"frame".to_vec()),
    };
    let file = Reproducer {
        about: About {
            run: RunId(17),
            begin: begin.clone(),
            end: None,
            at: WallTime(9),
            build: "reel 0.1.0".into(),
            redacted: vec!["env:TOKEN".into()],
        },
        component: packed(b"component"),
        states: vec![State {
            base: Base { segment: SegmentId(3), version: Version(7) },
            cells: vec![
                cell(b"a", CellValue::Inline { bytes: Bytes(b"v".to_vec()) }),
                cell(b"b", CellValue::Tombstone),
            ],
            ranges: vec![ReadRange { family: 4, from: Bytes(b"a".to_vec()), until: Some(Bytes(b"c".to_vec())) }],
        }],
        commits: vec![Committed {
            number: CommitNo(5),
            version: Version(8),
            at: WallTime(3),
            cells: vec![cell(b"c", CellValue::Blob { digest: Digest::of(b"c"), len: 1 })],
        }],
        frames: vec![frame],
        blobs: vec![packed(b"blob")],
    };
    let bytes = file.to_file().expect("a file");
    assert_eq!(Reproducer::from_file(&bytes).expect("it can be read"), file);
    let text = format!("{}\n", hex(&bytes));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/reproducer-1.txt");
    if std::env::var_os("REEL_WRITE_GOLDEN").is_some() {
        std::fs::write(path, &text).expect("write");
    }
    assert_eq!(std::fs::read_to_string(path).expect("golden file"), text);
    let mut newer = bytes.clone();
    newer[8] = 2;
    assert_eq!(Reproducer::from_file(&newer), Err(ReproducerError::Format(2)));
    assert_eq!(Reproducer::from_file(b"reelbug"), Err(ReproducerError::NotOne));
    assert_eq!(Reproducer::from_file(&bytes[..bytes.len() - 1]), Err(ReproducerError::Digest));
}
