//! `wasi:filesystem`.

use reel_abi::limits::LimitKind;
use reel_abi::types::{DescriptorFlags, DirEntry, Draw, FsCode, NodeKind, Payload, Resource as Kind};
use reel_abi::vocabulary::{
    Call, FsAdvise, FsAppendStream, FsCreateDirectory, FsErrorCode, FsFlags, FsHash, FsHashAt, FsLink, FsNextEntry,
    FsOpen, FsPreopens, FsRead, FsReadDirectory, FsReadStream, FsReadlink, FsRemoveDirectory, FsRename, FsSame,
    FsSetSize, FsSetTimes, FsSetTimesAt, FsStat, FsStatAt, FsSymlink, FsSync, FsType, FsUnlink, FsWrite, FsWriteStream,
};
use reel_abi::wire::Wire;
use wasmtime::component::Resource;
use xxhash_rust::xxh3::xxh3_128;

use super::bindings::wasi::filesystem::types::PathFlags;
use super::bindings::wasi::filesystem::{preopens, types};
use super::filesystem_types as convert;
use super::handles::{Handles, number, own};
use super::session::{Descriptor, DirectoryStream, ErrorText, InputStream, OutputStream, Session};
use crate::gate::{Gate, Halt};
use crate::txn::fault::{Fault, FileResult, split};
use crate::txn::files::{Files, Place};

/// Most bytes that one read gives.
const READ_BYTES: u64 = 1 << 20;

/// Names in listings that are being read at once, before another is refused; stops a guest that opens a long one again and again.
const LISTED_NAMES: usize = 1_000_000;

/// `read` and `mutate-directory`: what the root of a tree may be used for.
const PREOPEN_FLAGS: DescriptorFlags = DescriptorFlags(0b10_0001);

/// The flags that ask for synchronous writes, which are not supported: the commit is what makes writes durable.
const SYNC_FLAGS: u8 = 0b01_1100;

const WRITE_FLAG: u8 = 0b10;
const READ_FLAG: u8 = 0b1;
const MUTATE_FLAG: u8 = 0b10_0000;

impl Session {
    /// Passes a call on descriptors: what it does is done on the file trees, what comes of it is the reply.
    fn file_call<C, T>(
        &mut self,
        call: C,
        act: impl FnOnce(&mut Files, &mut Handles, &mut Gate, &C) -> FileResult<T>,
    ) -> FileResult<T>
    where
        T: Wire,
        C: Call<Reply = Result<T, FsCode>>,
    {
        let (files, handles) = (&mut self.txn.files, &mut self.handles);
        Ok(self.gate.pass(call, |gate, call| split(act(files, handles, gate, call)))??)
    }

    fn descriptor(&self, handle: &Resource<Descriptor>) -> Result<Descriptor, Halt> {
        self.handles.get(handle).copied()
    }
}

fn dir(descriptor: Descriptor) -> FileResult<Place> {
    match descriptor.kind {
        NodeKind::Directory => Ok(descriptor.place),
        _ => Err(FsCode::NotDirectory.into()),
    }
}

fn file(descriptor: Descriptor) -> FileResult<Place> {
    match descriptor.kind {
        NodeKind::Directory => Err(FsCode::IsDirectory.into()),
        _ => Ok(descriptor.place),
    }
}

fn readable(descriptor: Descriptor) -> FileResult<Place> {
    let place = file(descriptor)?;
    if descriptor.flags.read() { Ok(place) } else { Err(FsCode::BadDescriptor.into()) }
}

fn writable(descriptor: Descriptor) -> FileResult<Place> {
    if descriptor.kind == NodeKind::Directory || !descriptor.flags.write() {
        return Err(FsCode::BadDescriptor.into());
    }
    Ok(descriptor.place)
}

/// A stream for writing is refused where the tree is read-only; what the descriptor forbids shows when it is written to.
fn writable_tree(files: &Files, descriptor: Descriptor) -> FileResult<Place> {
    let place = file(descriptor)?;
    if files.is_read_only(place) { Err(FsCode::NotPermitted.into()) } else { Ok(place) }
}

/// A path as it stands in an event. One that is far too long anyway is cut, and stays too long.
fn clip(mut path: String) -> String {
    const KEPT_BYTES: usize = 5000;
    if path.len() > KEPT_BYTES {
        let end = (0..=KEPT_BYTES).rev().find(|&end| path.is_char_boundary(end)).unwrap_or(0);
        path.truncate(end);
    }
    path
}

fn follow(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

/// Identity and state of a place, as `wasi:filesystem` wants it hashed.
fn hash(files: &mut Files, gate: &mut Gate, place: Place) -> FileResult<(Draw, Draw)> {
    files.kind(gate, place)?;
    let hash = xxh3_128(&[(place.tree as u64).to_le_bytes(), place.node.to_le_bytes()].concat());
    Ok((Draw(hash as u64), Draw((hash >> 64) as u64)))
}

impl types::Host for Session {
    fn convert_error_code(&mut self, fault: Fault) -> wasmtime::Result<types::ErrorCode> {
        match fault {
            Fault::Code(code) => Ok(convert::code(code)),
            Fault::Halt(halt) => Err(halt.into()),
        }
    }

    fn filesystem_error_code(&mut self, error: Resource<ErrorText>) -> wasmtime::Result<Option<types::ErrorCode>> {
        let code = match *self.handles.get(&error)? {
            ErrorText::File(code) => Some(code),
            ErrorText::Network(_) => None,
        };
        let call = FsErrorCode { error: number(&error) };
        Ok(self.gate.pass(call, |_, _| Ok(code))?.map(convert::code))
    }
}

impl preopens::Host for Session {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Resource<Descriptor>, String)>> {
        let Self { gate, txn, handles, setup, .. } = self;
        let files = &mut txn.files;
        let list = gate.pass(FsPreopens {}, |_, _| {
            let named = files.roots().zip(&setup.preopens).filter_map(|(place, name)| Some((place, name.clone()?)));
            let mut list = Vec::new();
            // Granted directories come before the space, as a guest that knows no names takes the first.
            for (place, name) in
                named.clone().filter(|(place, _)| place.tree > 0).chain(named.filter(|(place, _)| place.tree == 0))
            {
                let flags = if files.is_read_only(place) { DescriptorFlags(READ_FLAG) } else { PREOPEN_FLAGS };
                list.push((handles.push(Descriptor { place, kind: NodeKind::Directory, flags })?, name));
            }
            Ok(list)
        })?;
        Ok(list.into_iter().map(|(handle, name)| (own(handle), name)).collect())
    }
}

impl types::HostDescriptor for Session {
    fn open_at(
        &mut self,
        base: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        how: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FileResult<Resource<Descriptor>> {
        let from = self.descriptor(&base)?;
        let (how, flags) = (convert::open_flags(how), convert::descriptor_flags(flags));
        let call = FsOpen { dir: number(&base), path: clip(path), follow: follow(path_flags), how, flags };
        let handle = self.file_call(call, |files, handles, gate, call| {
            if call.flags.0 & SYNC_FLAGS != 0 {
                return Err(FsCode::Unsupported.into());
            }
            let base = dir(from)?;
            let (place, kind) = files.open(gate, base, &call.path, call.follow, call.how, call.flags.write())?;
            let flags = match kind {
                NodeKind::Directory if files.is_read_only(place) => READ_FLAG,
                NodeKind::Directory => READ_FLAG | MUTATE_FLAG,
                // As POSIX knows no descriptor for neither: what is not for writing is for reading, and what makes or empties a
                // file writes to it.
                _ => {
                    let write = call.flags.write() || call.how.create() || call.how.truncate();
                    let read = call.flags.read() || !call.flags.write();
                    (if read { READ_FLAG } else { 0 }) | (if write { WRITE_FLAG } else { 0 })
                }
            };
            Ok(handles.push(Descriptor { place, kind, flags: DescriptorFlags(flags) })?)
        })?;
        Ok(own(handle))
    }

    fn read(&mut self, handle: Resource<Descriptor>, len: u64, offset: u64) -> FileResult<(Vec<u8>, bool)> {
        let from = self.descriptor(&handle)?;
        let call = FsRead { file: number(&handle), offset, len };
        let mut taken = Vec::new();
        let (_, ended) = self.file_call(call, |files, _, gate, _| {
            let (bytes, ended) = files.read(gate, readable(from)?, offset, len.min(READ_BYTES) as usize)?;
            let payload: Payload = gate.payload(&bytes);
            taken = bytes;
            Ok((payload, ended))
        })?;
        Ok((taken, ended))
    }

    fn write(&mut self, handle: Resource<Descriptor>, bytes: Vec<u8>, offset: u64) -> FileResult<u64> {
        let to = self.descriptor(&handle)?;
        let call = FsWrite { file: number(&handle), offset, bytes: self.gate.payload(&bytes) };
        self.file_call(call, |files, _, gate, _| {
            files.write(gate, writable(to)?, offset, &bytes)?;
            Ok(bytes.len() as u64)
        })
    }

    fn read_via_stream(&mut self, handle: Resource<Descriptor>, offset: u64) -> FileResult<Resource<InputStream>> {
        let from = self.descriptor(&handle)?;
        let call = FsReadStream { file: number(&handle), offset };
        let stream = self.file_call(call, |_, handles, _, _| {
            let place = file(from)?;
            Ok(handles.push(InputStream::File { place, offset, allowed: from.flags.read() })?)
        })?;
        Ok(own(stream))
    }

    fn write_via_stream(&mut self, handle: Resource<Descriptor>, offset: u64) -> FileResult<Resource<OutputStream>> {
        let to = self.descriptor(&handle)?;
        let call = FsWriteStream { file: number(&handle), offset };
        let stream = self.file_call(call, |files, handles, _, _| {
            let place = writable_tree(files, to)?;
            Ok(handles.push(OutputStream::File { place, offset: Some(offset), allowed: to.flags.write() })?)
        })?;
        Ok(own(stream))
    }

    fn append_via_stream(&mut self, handle: Resource<Descriptor>) -> FileResult<Resource<OutputStream>> {
        let to = self.descriptor(&handle)?;
        let call = FsAppendStream { file: number(&handle) };
        let stream = self.file_call(call, |files, handles, _, _| {
            let place = writable_tree(files, to)?;
            Ok(handles.push(OutputStream::File { place, offset: None, allowed: to.flags.write() })?)
        })?;
        Ok(own(stream))
    }

    fn advise(&mut self, handle: Resource<Descriptor>, offset: u64, len: u64, advice: types::Advice) -> FileResult<()> {
        let on = self.descriptor(&handle)?;
        let call = FsAdvise { file: number(&handle), offset, len, advice: convert::advice(advice) };
        self.file_call(
            call,
            |_, _, _, _| if on.kind == NodeKind::Directory { Err(FsCode::BadDescriptor.into()) } else { Ok(()) },
        )
    }

    fn sync_data(&mut self, handle: Resource<Descriptor>) -> FileResult<()> {
        self.descriptor(&handle)?;
        self.file_call(FsSync { file: number(&handle), data_only: true }, |_, _, _, _| Ok(()))
    }

    fn sync(&mut self, handle: Resource<Descriptor>) -> FileResult<()> {
        self.descriptor(&handle)?;
        self.file_call(FsSync { file: number(&handle), data_only: false }, |_, _, _, _| Ok(()))
    }

    fn get_flags(&mut self, handle: Resource<Descriptor>) -> FileResult<types::DescriptorFlags> {
        let flags = self.descriptor(&handle)?.flags;
        Ok(convert::shown_flags(self.file_call(FsFlags { file: number(&handle) }, |_, _, _, _| Ok(flags))?))
    }

    fn get_type(&mut self, handle: Resource<Descriptor>) -> FileResult<types::DescriptorType> {
        let kind = self.descriptor(&handle)?.kind;
        Ok(convert::kind(self.file_call(FsType { file: number(&handle) }, |_, _, _, _| Ok(kind))?))
    }

    fn set_size(&mut self, handle: Resource<Descriptor>, size: u64) -> FileResult<()> {
        let to = self.descriptor(&handle)?;
        self.file_call(FsSetSize { file: number(&handle), size }, |files, _, gate, _| {
            let place = writable(to).map_err(|_| match to.kind {
                NodeKind::Directory => FsCode::BadDescriptor,
                _ => FsCode::Invalid,
            })?;
            files.set_size(gate, place, size)
        })
    }

    fn set_times(
        &mut self,
        handle: Resource<Descriptor>,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FileResult<()> {
        let to = self.descriptor(&handle)?;
        let (accessed, modified) = (convert::new_time(accessed), convert::new_time(modified));
        let call = FsSetTimes { file: number(&handle), accessed, modified };
        self.file_call(call, |files, _, gate, call| files.set_times(gate, to.place, &call.accessed, &call.modified))
    }

    fn set_times_at(
        &mut self,
        base: Resource<Descriptor>,
        path_flags: PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FileResult<()> {
        let from = self.descriptor(&base)?;
        let (accessed, modified) = (convert::new_time(accessed), convert::new_time(modified));
        let call =
            FsSetTimesAt { dir: number(&base), path: clip(path), follow: follow(path_flags), accessed, modified };
        self.file_call(call, |files, _, gate, call| {
            let place = files.find(gate, dir(from)?, &call.path, call.follow)?;
            files.set_times(gate, place, &call.accessed, &call.modified)
        })
    }

    fn read_directory(&mut self, handle: Resource<Descriptor>) -> FileResult<Resource<DirectoryStream>> {
        let from = self.descriptor(&handle)?;
        if self.listed > LISTED_NAMES {
            let (kind, limit) = (LimitKind::OpenHandles, self.gate.limits().open_handles);
            return Err(Halt::Limit { kind, limit }.into());
        }
        let call = FsReadDirectory { dir: number(&handle) };
        let mut listed = 0;
        let stream = self.file_call(call, |files, handles, gate, _| {
            let names = files.list(gate, dir(from)?)?;
            listed = names.len();
            Ok(handles.push(DirectoryStream { count: listed, names: names.into_iter() })?)
        })?;
        self.listed += listed;
        Ok(own(stream))
    }

    fn create_directory_at(&mut self, base: Resource<Descriptor>, path: String) -> FileResult<()> {
        let from = self.descriptor(&base)?;
        let call = FsCreateDirectory { dir: number(&base), path: clip(path) };
        self.file_call(call, |files, _, gate, call| files.create_directory(gate, dir(from)?, &call.path))
    }

    fn stat(&mut self, handle: Resource<Descriptor>) -> FileResult<types::DescriptorStat> {
        let on = self.descriptor(&handle)?;
        let call = FsStat { file: number(&handle) };
        Ok(convert::stat(self.file_call(call, |files, _, gate, _| files.stat(gate, on.place))?))
    }

    fn stat_at(
        &mut self,
        base: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FileResult<types::DescriptorStat> {
        let from = self.descriptor(&base)?;
        let call = FsStatAt { dir: number(&base), path: clip(path), follow: follow(flags) };
        let stat =
            self.file_call(call, |files, _, gate, call| files.stat_at(gate, dir(from)?, &call.path, call.follow))?;
        Ok(convert::stat(stat))
    }

    fn link_at(
        &mut self,
        base: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
        new_base: Resource<Descriptor>,
        new_path: String,
    ) -> FileResult<()> {
        let (from, to) = (self.descriptor(&base)?, self.descriptor(&new_base)?);
        let call = FsLink {
            dir: number(&base),
            path: clip(path),
            follow: follow(flags),
            new_dir: number(&new_base),
            new_path: clip(new_path),
        };
        self.file_call(call, |files, _, gate, call| {
            if call.follow {
                return Err(FsCode::Invalid.into());
            }
            files.link(gate, dir(from)?, &call.path, dir(to)?, &call.new_path)
        })
    }

    fn readlink_at(&mut self, base: Resource<Descriptor>, path: String) -> FileResult<String> {
        let from = self.descriptor(&base)?;
        let call = FsReadlink { dir: number(&base), path: clip(path) };
        self.file_call(call, |files, _, gate, call| files.readlink(gate, dir(from)?, &call.path))
    }

    fn remove_directory_at(&mut self, base: Resource<Descriptor>, path: String) -> FileResult<()> {
        let from = self.descriptor(&base)?;
        let call = FsRemoveDirectory { dir: number(&base), path: clip(path) };
        self.file_call(call, |files, _, gate, call| files.remove_directory(gate, dir(from)?, &call.path))
    }

    fn rename_at(
        &mut self,
        base: Resource<Descriptor>,
        path: String,
        new_base: Resource<Descriptor>,
        new_path: String,
    ) -> FileResult<()> {
        let (from, to) = (self.descriptor(&base)?, self.descriptor(&new_base)?);
        let call =
            FsRename { dir: number(&base), path: clip(path), new_dir: number(&new_base), new_path: clip(new_path) };
        self.file_call(call, |files, _, gate, call| {
            files.rename(gate, dir(from)?, &call.path, dir(to)?, &call.new_path)
        })
    }

    fn symlink_at(&mut self, base: Resource<Descriptor>, target: String, path: String) -> FileResult<()> {
        let from = self.descriptor(&base)?;
        let call = FsSymlink { dir: number(&base), target: clip(target), path: clip(path) };
        self.file_call(call, |files, _, gate, call| files.symlink(gate, dir(from)?, &call.target, &call.path))
    }

    fn unlink_file_at(&mut self, base: Resource<Descriptor>, path: String) -> FileResult<()> {
        let from = self.descriptor(&base)?;
        let call = FsUnlink { dir: number(&base), path: clip(path) };
        self.file_call(call, |files, _, gate, call| files.unlink(gate, dir(from)?, &call.path))
    }

    fn is_same_object(&mut self, one: Resource<Descriptor>, other: Resource<Descriptor>) -> wasmtime::Result<bool> {
        let same = self.descriptor(&one)?.place == self.descriptor(&other)?.place;
        Ok(self.gate.pass(FsSame { one: number(&one), other: number(&other) }, |_, _| Ok(same))?)
    }

    fn metadata_hash(&mut self, handle: Resource<Descriptor>) -> FileResult<types::MetadataHashValue> {
        let on = self.descriptor(&handle)?;
        let call = FsHash { file: number(&handle) };
        let (lower, upper) = self.file_call(call, |files, _, gate, _| hash(files, gate, on.place))?;
        Ok(types::MetadataHashValue { lower: lower.0, upper: upper.0 })
    }

    fn metadata_hash_at(
        &mut self,
        base: Resource<Descriptor>,
        flags: PathFlags,
        path: String,
    ) -> FileResult<types::MetadataHashValue> {
        let from = self.descriptor(&base)?;
        let call = FsHashAt { dir: number(&base), path: clip(path), follow: follow(flags) };
        let (lower, upper) = self.file_call(call, |files, _, gate, call| {
            let place = files.find(gate, dir(from)?, &call.path, call.follow)?;
            hash(files, gate, place)
        })?;
        Ok(types::MetadataHashValue { lower: lower.0, upper: upper.0 })
    }

    fn drop(&mut self, handle: Resource<Descriptor>) -> wasmtime::Result<()> {
        self.drop_handle(Kind::Descriptor, &handle)
    }
}

impl types::HostDirectoryEntryStream for Session {
    fn read_directory_entry(&mut self, stream: Resource<DirectoryStream>) -> FileResult<Option<types::DirectoryEntry>> {
        let call = FsNextEntry { stream: number(&stream) };
        let entry = self.file_call(call, |_, handles, _, _| {
            let next = handles.get_mut(&stream)?.names.next();
            Ok(next.map(|(name, kind)| DirEntry { kind, name }))
        })?;
        Ok(entry.map(|entry| types::DirectoryEntry { type_: convert::kind(entry.kind), name: entry.name }))
    }

    fn drop(&mut self, stream: Resource<DirectoryStream>) -> wasmtime::Result<()> {
        if self.handles.restoring {
            return Ok(());
        }
        let count = self.handles.get(&stream)?.count;
        self.listed = self.listed.saturating_sub(count);
        self.drop_handle(Kind::DirectoryStream, &stream)
    }
}
