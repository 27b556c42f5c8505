//! Runs that were cut off.

use reel_abi::event::decode;
use reel_abi::id::Seq;
use reel_abi::record::Frame;
use reel_abi::vocabulary::EventView;
use reel_abi::wire::Reader;
use reel_store::{Store, Submission};

use crate::lab::Lab;

/// Copies the first `count` events of a run into another database, as a run that was cut off there.
pub fn cut_off(from: &Lab, to: &Store, run: reel_abi::id::RunId, count: u64) -> reel_abi::id::RunId {
    let record = from.store.run(run).expect("read").expect("run");
    let new = to.next_run();
    let base = to.head_or_new(&record.begin.space).expect("head");
    let begin = reel_abi::outcome::RunBegin { segment: base.segment, version: base.version, ..record.begin };
    for at in from.store.frames(run, Seq(0)).expect("frames") {
        let frame = from.store.frame(&at).expect("frame");
        let raw = frame.unpack().expect("unpack");
        let left = count.saturating_sub(frame.first.0).min(u64::from(frame.count));
        if left == 0 {
            continue;
        }
        let mut reader = Reader::new(&raw);
        for _ in 0..left {
            EventView::take(&mut reader).expect("event");
        }
        let part = Frame::pack(new, frame.first, left as u32, (frame.opened, frame.closed), &raw[..reader.at()])
            .expect("pack");
        let begun = (frame.first == Seq(0)).then(|| begin.clone());
        to.append_soon(Submission { run: new, begun, frames: vec![part], commit: None, ending: None }).expect("append");
    }
    // The component, which the first run has kept, must be here too.
    let content = from.store.blobs().get(&begin.content).expect("read").expect("list");
    let listing: reel_abi::content::Content = reel_abi::wire::Wire::from_bytes(&content).expect("list");
    for block in listing.blocks {
        to.blobs().put(from.store.blobs().get(&block).expect("read").expect("block")).expect("put");
    }
    to.blobs().put(content).expect("put");
    // Frames ride along with a later batch; wait for it.
    while to.frames(new, Seq(0)).expect("frames").last().is_none_or(|at| at.next() != Seq(count)) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    new
}

/// All events of a run.
pub fn events(lab: &Lab, run: reel_abi::id::RunId) -> Vec<EventView> {
    let frames = lab.store.frames(run, Seq(0)).expect("frames");
    let all = frames.iter().flat_map(|at| {
        let frame = lab.store.frame(at).expect("frame");
        decode(&frame, &frame.unpack().expect("unpack")).expect("events")
    });
    all.map(|(_, view)| view).collect()
}
