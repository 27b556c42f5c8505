//! What an event did to files, keys and handles.

use reel_abi::faults::{Base, CasFault};
use reel_abi::outcome::RunBegin;
use reel_abi::types::{DescriptorFlags, NewTime, OpenFlags, Payload, Resource, Stdio};
use reel_abi::vocabulary::{
    Call, EventView, FsAppendStream, FsCreateDirectory, FsLink, FsOpen, FsPreopens, FsRemoveDirectory, FsRename,
    FsSetSize, FsSetTimes, FsSetTimesAt, FsStreamWrite, FsSymlink, FsTime, FsUnlink, FsWrite, FsWriteStream,
    HandleDrop, KvCas, KvDelete, KvDeleteMany, KvIncrement, KvOpen, KvSet, KvSetMany, KvSwap, StdioWrite, TxnBegins,
    TxnCommit, TxnRollback, TxnSavepoint,
};
use reel_abi::wire::{CodecError, Reader, Wire};

/// What an event did; what failed did nothing.
#[derive(Debug)]
pub(super) enum Deed {
    Nothing,
    Time(u64),
    Preopens(Vec<(u32, String)>),
    Opened { dir: u32, path: String, follow: bool, how: OpenFlags, flags: DescriptorFlags, handle: u32 },
    Written { file: u32, offset: u64, bytes: Payload },
    Writer { file: u32, offset: Option<u64>, handle: u32 },
    Streamed { stream: u32, bytes: Payload },
    Resized { file: u32, size: u64 },
    Timed { file: u32, accessed: NewTime, modified: NewTime },
    TimedAt { dir: u32, path: String, follow: bool, accessed: NewTime, modified: NewTime },
    MadeDirectory { dir: u32, path: String },
    Linked { dir: u32, path: String, new_dir: u32, new_path: String },
    RemovedDirectory { dir: u32, path: String },
    Renamed { dir: u32, path: String, new_dir: u32, new_path: String },
    Symlinked { dir: u32, target: String, path: String },
    Unlinked { dir: u32, path: String },
    Said { which: Stdio, bytes: Vec<u8> },
    Bucket { name: String, handle: u32 },
    Set { bucket: u32, entries: Vec<(Vec<u8>, Payload)> },
    Deleted { bucket: u32, keys: Vec<Vec<u8>> },
    Added { bucket: u32, key: Vec<u8>, delta: i64 },
    Cas { bucket: u32, key: Vec<u8>, handle: u32 },
    Swapped { cas: u32, value: Payload },
    CasAgain { cas: u32, again: u32 },
    Savepoint(u32),
    RolledBack(u32),
    Committed(bool),
    Begins(Base),
    Dropped { what: Resource, handle: u32 },
}

fn typed<C: Call>(r: &mut Reader<'_>) -> Result<(C, C::Reply), CodecError> {
    r.u8("event")?;
    Ok((C::take(r)?, <C::Reply as Wire>::take(r)?))
}

/// A deed that is only one if the guest was told that it went well.
fn done<C, T, E>((call, reply): (C, Result<T, E>), deed: impl FnOnce(C, T) -> Deed) -> Deed {
    reply.map_or(Deed::Nothing, |reply| deed(call, reply))
}

impl Deed {
    /// That of the next event.
    pub fn take(raw: &[u8], r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(match raw.get(r.at()).copied() {
            Some(FsTime::CODE) => Self::Time(typed::<FsTime>(r)?.1.0),
            Some(FsPreopens::CODE) => {
                Self::Preopens(typed::<FsPreopens>(r)?.1.into_iter().map(|(handle, name)| (handle.0, name)).collect())
            }
            Some(FsOpen::CODE) => done(typed::<FsOpen>(r)?, |FsOpen { dir, path, follow, how, flags }, handle| {
                Self::Opened { dir: dir.0, path, follow, how, flags, handle: handle.0 }
            }),
            Some(FsWrite::CODE) => done(typed::<FsWrite>(r)?, |FsWrite { file, offset, bytes }, _| Self::Written {
                file: file.0,
                offset,
                bytes,
            }),
            Some(FsWriteStream::CODE) => done(typed::<FsWriteStream>(r)?, |FsWriteStream { file, offset }, handle| {
                Self::Writer { file: file.0, offset: Some(offset), handle: handle.0 }
            }),
            Some(FsAppendStream::CODE) => done(typed::<FsAppendStream>(r)?, |FsAppendStream { file }, handle| {
                Self::Writer { file: file.0, offset: None, handle: handle.0 }
            }),
            Some(FsStreamWrite::CODE) => done(typed::<FsStreamWrite>(r)?, |FsStreamWrite { stream, bytes }, ()| {
                Self::Streamed { stream: stream.0, bytes }
            }),
            Some(FsSetSize::CODE) => {
                done(typed::<FsSetSize>(r)?, |FsSetSize { file, size }, ()| Self::Resized { file: file.0, size })
            }
            Some(FsSetTimes::CODE) => done(typed::<FsSetTimes>(r)?, |FsSetTimes { file, accessed, modified }, ()| {
                Self::Timed { file: file.0, accessed, modified }
            }),
            Some(FsSetTimesAt::CODE) => {
                done(typed::<FsSetTimesAt>(r)?, |FsSetTimesAt { dir, path, follow, accessed, modified }, ()| {
                    Self::TimedAt { dir: dir.0, path, follow, accessed, modified }
                })
            }
            Some(FsCreateDirectory::CODE) => {
                done(typed::<FsCreateDirectory>(r)?, |FsCreateDirectory { dir, path }, ()| Self::MadeDirectory {
                    dir: dir.0,
                    path,
                })
            }
            Some(FsLink::CODE) => done(typed::<FsLink>(r)?, |FsLink { dir, path, new_dir, new_path, .. }, ()| {
                Self::Linked { dir: dir.0, path, new_dir: new_dir.0, new_path }
            }),
            Some(FsRemoveDirectory::CODE) => {
                done(typed::<FsRemoveDirectory>(r)?, |FsRemoveDirectory { dir, path }, ()| Self::RemovedDirectory {
                    dir: dir.0,
                    path,
                })
            }
            Some(FsRename::CODE) => done(typed::<FsRename>(r)?, |FsRename { dir, path, new_dir, new_path }, ()| {
                Self::Renamed { dir: dir.0, path, new_dir: new_dir.0, new_path }
            }),
            Some(FsSymlink::CODE) => done(typed::<FsSymlink>(r)?, |FsSymlink { dir, target, path }, ()| {
                Self::Symlinked { dir: dir.0, target, path }
            }),
            Some(FsUnlink::CODE) => {
                done(typed::<FsUnlink>(r)?, |FsUnlink { dir, path }, ()| Self::Unlinked { dir: dir.0, path })
            }
            Some(StdioWrite::CODE) => {
                done(typed::<StdioWrite>(r)?, |StdioWrite { which, bytes }, ()| Self::Said { which, bytes: bytes.0 })
            }
            Some(KvOpen::CODE) => {
                done(typed::<KvOpen>(r)?, |KvOpen { name }, handle| Self::Bucket { name, handle: handle.0 })
            }
            Some(KvSet::CODE) => done(typed::<KvSet>(r)?, |KvSet { bucket, key, value }, ()| Self::Set {
                bucket: bucket.0,
                entries: vec![(key.0, value)],
            }),
            Some(KvSetMany::CODE) => done(typed::<KvSetMany>(r)?, |KvSetMany { bucket, entries }, ()| {
                let entries = entries.into_iter().map(|(key, value)| (key.0, value)).collect();
                Self::Set { bucket: bucket.0, entries }
            }),
            Some(KvDelete::CODE) => done(typed::<KvDelete>(r)?, |KvDelete { bucket, key }, ()| Self::Deleted {
                bucket: bucket.0,
                keys: vec![key.0],
            }),
            Some(KvDeleteMany::CODE) => done(typed::<KvDeleteMany>(r)?, |KvDeleteMany { bucket, keys }, ()| {
                Self::Deleted { bucket: bucket.0, keys: keys.into_iter().map(|key| key.0).collect() }
            }),
            Some(KvIncrement::CODE) => done(typed::<KvIncrement>(r)?, |KvIncrement { bucket, key, delta }, _| {
                Self::Added { bucket: bucket.0, key: key.0, delta }
            }),
            Some(KvCas::CODE) => done(typed::<KvCas>(r)?, |KvCas { bucket, key }, handle| Self::Cas {
                bucket: bucket.0,
                key: key.0,
                handle: handle.0,
            }),
            Some(KvSwap::CODE) => match typed::<KvSwap>(r)? {
                (KvSwap { cas, value }, Ok(())) => Self::Swapped { cas: cas.0, value },
                (call, Err(CasFault::Changed { cas })) => Self::CasAgain { cas: call.cas.0, again: cas.0 },
                (_, Err(CasFault::Store { .. })) => Self::Nothing,
            },
            Some(TxnSavepoint::CODE) => done(typed::<TxnSavepoint>(r)?, |_, handle| Self::Savepoint(handle.0)),
            Some(TxnRollback::CODE) => {
                done(typed::<TxnRollback>(r)?, |TxnRollback { savepoint }, ()| Self::RolledBack(savepoint.0))
            }
            Some(TxnCommit::CODE) => Self::Committed(typed::<TxnCommit>(r)?.1.is_ok()),
            Some(TxnBegins::CODE) => Self::Begins(typed::<TxnBegins>(r)?.1),
            Some(HandleDrop::CODE) => {
                let HandleDrop { what, handle } = typed::<HandleDrop>(r)?.0;
                Self::Dropped { what, handle: handle.0 }
            }
            _ => {
                EventView::skim(r)?;
                Self::Nothing
            }
        })
    }
}

/// Which tree a directory that a guest has from the beginning is the root of: 0 is the space, 1 and up are directories of the host.
pub(super) fn tree_of(begin: &RunBegin, name: &str) -> usize {
    begin.dirs.iter().position(|grant| grant.guest == name).map_or(0, |index| index + 1)
}
