//! From the run buffer to the log: frames are compressed and appended by a thread of their own, and a short run needs none.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use reel_abi::id::RunId;
use reel_abi::outcome::RunBegin;
use reel_abi::record::Frame;
use reel_store::{Store, Submission};

use super::commit_point::append;
use crate::gate::Halt;
use crate::gate::recorder::{FrameSink, RawFrame};
use crate::port::Waiting;

/// Frames under way at most; what bounds the memory of a run that logs faster than the disk takes it.
const UNDER_WAY: usize = 32;

/// A frame that was open this long goes to the log at once, because somebody may be following.
const FOLLOW_NANOS: u64 = 25_000_000;

/// What a run still has to append with its end.
pub struct Remainder {
    /// Its begin, if nothing was appended yet.
    pub begun: Option<RunBegin>,
    /// Its last frames.
    pub frames: Vec<Frame>,
}

struct Inner {
    store: Store,
    run: RunId,
    begun: Option<RunBegin>,
    /// Packed already, and not appended.
    waiting: Vec<Frame>,
    held: Option<RawFrame>,
    worker: Option<Worker>,
}

struct Worker {
    frames: SyncSender<RawFrame>,
    thread: JoinHandle<Result<(), Halt>>,
}

/// The sink's two ends: one in the recorder, one with the runtime.
#[derive(Clone)]
pub struct LogSink(Arc<Mutex<Inner>>);

impl LogSink {
    /// A sink for a run of which nothing is logged yet, or (`begun` is nothing) one that goes on.
    pub fn new(store: Store, run: RunId, begun: Option<RunBegin>) -> Self {
        Self(Arc::new(Mutex::new(Inner { store, run, begun, waiting: Vec::new(), held: None, worker: None })))
    }

    /// The same for a run that begins with frames which another one has made.
    pub fn beginning_with(store: Store, run: RunId, begun: RunBegin, frames: Vec<Frame>) -> Self {
        let sink = Self::new(store, run, Some(begun));
        sink.0.lock().unwrap_or_else(PoisonError::into_inner).waiting = frames;
        sink
    }

    /// Waits for all frames under way and gives what is left.
    pub fn finish(&self) -> Result<Remainder, Halt> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = inner.held.take();
        if let Some(Worker { frames, thread }) = inner.worker.take() {
            drop(frames);
            thread.join().map_err(|_| Halt::Host("the thread that writes the log ended early".into()))??;
        }
        let mut frames = std::mem::take(&mut inner.waiting);
        frames.extend(held.map(|raw| pack(inner.run, &raw)).transpose()?);
        Ok(Remainder { begun: inner.begun.take(), frames })
    }

    /// Takes back what [`LogSink::finish`] gave and nobody has appended.
    pub fn give_back(&self, remainder: Remainder) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (inner.begun, inner.waiting) = (remainder.begun, remainder.frames);
    }

    /// Packs a frame that shall be appended by itself.
    pub fn pack(&self, raw: &RawFrame) -> Result<Frame, Halt> {
        let run = self.0.lock().unwrap_or_else(PoisonError::into_inner).run;
        pack(run, raw)
    }
}

impl FrameSink for LogSink {
    fn frame(&mut self, frame: RawFrame) -> Result<(), Halt> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let followed = frame.times.1.0.abs_diff(frame.times.0.0) >= FOLLOW_NANOS;
        if let Some(earlier) = inner.held.replace(frame) {
            inner.send(earlier)?;
        }
        match inner.held.take() {
            Some(frame) if followed => inner.send(frame),
            held => {
                inner.held = held;
                Ok(())
            }
        }
    }

    fn durable(&mut self) -> Waiting<'_, Result<(), Halt>> {
        Box::pin(async {
            let Remainder { begun, frames } = self.finish()?;
            let (store, run) = {
                let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                (inner.store.clone(), inner.run)
            };
            // Also if nothing is left: what went before has its place before this.
            let submission = Submission { run, begun, frames, commit: None, ending: None };
            append(&store, submission).await.map(drop).map_err(|e| Halt::host("writing the log", &e))
        })
    }
}

impl Inner {
    fn send(&mut self, frame: RawFrame) -> Result<(), Halt> {
        if self.worker.is_none() {
            let (frames, incoming) = sync_channel(UNDER_WAY);
            let (store, run, begun) = (self.store.clone(), self.run, self.begun.take());
            let waiting = std::mem::take(&mut self.waiting);
            let thread = std::thread::spawn(move || write(&store, run, begun, waiting, &incoming));
            self.worker = Some(Worker { frames, thread });
        }
        let sent = self.worker.as_ref().map(|worker| worker.frames.send(frame));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => match self.worker.take() {
                Some(worker) => worker
                    .thread
                    .join()
                    .unwrap_or_else(|_| Err(Halt::Host("the thread that writes the log panicked".into()))),
                None => Ok(()),
            },
        }
    }
}

fn write(
    store: &Store,
    run: RunId,
    mut begun: Option<RunBegin>,
    mut waiting: Vec<Frame>,
    incoming: &Receiver<RawFrame>,
) -> Result<(), Halt> {
    while let Ok(raw) = incoming.recv() {
        let mut frames = std::mem::take(&mut waiting);
        frames.push(pack(run, &raw)?);
        let submission = Submission { run, begun: begun.take(), frames, commit: None, ending: None };
        store.append_soon(submission).map_err(|e| Halt::host("writing the log", &e))?;
    }
    Ok(())
}

fn pack(run: RunId, raw: &RawFrame) -> Result<Frame, Halt> {
    Frame::pack(run, raw.first, raw.count, raw.times, &raw.bytes).map_err(|e| Halt::host("packing a frame", &e))
}
