//! Between the generated types of `wasi:filesystem` and Reel's own.

use reel_abi::types::{Advice, DescriptorFlags, FsCode, NewTime, NodeKind, OpenFlags, Stat, WallReading};

use super::bindings::wasi::clocks::wall_clock::Datetime;
use super::bindings::wasi::filesystem::types;
use crate::txn::files::UNFIT;

const NANOS: u64 = 1_000_000_000;

/// Nanoseconds as seconds and the rest.
pub fn datetime(WallReading(nanos): WallReading) -> Datetime {
    Datetime { seconds: nanos / NANOS, nanoseconds: (nanos % NANOS) as u32 }
}

/// Seconds and the rest as nanoseconds; what does not fit (the year 2554 is the last) becomes [`UNFIT`].
pub fn reading(time: Datetime) -> WallReading {
    let nanos = time.seconds.checked_mul(NANOS).and_then(|nanos| nanos.checked_add(u64::from(time.nanoseconds)));
    nanos.map_or(UNFIT, WallReading)
}

/// A time to be set.
pub fn new_time(time: types::NewTimestamp) -> NewTime {
    match time {
        types::NewTimestamp::NoChange => NewTime::Keep,
        types::NewTimestamp::Now => NewTime::Now,
        types::NewTimestamp::Timestamp(time) => NewTime::At { time: reading(time) },
    }
}

/// What a guest sees of a node.
pub fn stat(stat: Stat) -> types::DescriptorStat {
    types::DescriptorStat {
        type_: kind(stat.kind),
        link_count: stat.links,
        size: stat.size,
        data_access_timestamp: Some(datetime(stat.accessed)),
        data_modification_timestamp: Some(datetime(stat.modified)),
        status_change_timestamp: Some(datetime(stat.changed)),
    }
}

/// What a path names.
pub fn kind(kind: NodeKind) -> types::DescriptorType {
    match kind {
        NodeKind::Unknown => types::DescriptorType::Unknown,
        NodeKind::Directory => types::DescriptorType::Directory,
        NodeKind::File => types::DescriptorType::RegularFile,
        NodeKind::Symlink => types::DescriptorType::SymbolicLink,
        NodeKind::BlockDevice => types::DescriptorType::BlockDevice,
        NodeKind::CharacterDevice => types::DescriptorType::CharacterDevice,
        NodeKind::Fifo => types::DescriptorType::Fifo,
        NodeKind::Socket => types::DescriptorType::Socket,
    }
}

/// How a path is opened.
pub fn open_flags(flags: types::OpenFlags) -> OpenFlags {
    let bits = [
        types::OpenFlags::CREATE,
        types::OpenFlags::DIRECTORY,
        types::OpenFlags::EXCLUSIVE,
        types::OpenFlags::TRUNCATE,
    ];
    OpenFlags((0..).zip(bits).filter(|(_, bit)| flags.contains(*bit)).fold(0, |all, (place, _)| all | 1 << place))
}

const DESCRIPTOR_BITS: [types::DescriptorFlags; 6] = [
    types::DescriptorFlags::READ,
    types::DescriptorFlags::WRITE,
    types::DescriptorFlags::FILE_INTEGRITY_SYNC,
    types::DescriptorFlags::DATA_INTEGRITY_SYNC,
    types::DescriptorFlags::REQUESTED_WRITE_SYNC,
    types::DescriptorFlags::MUTATE_DIRECTORY,
];

/// What a descriptor is to be used for.
pub fn descriptor_flags(flags: types::DescriptorFlags) -> DescriptorFlags {
    let set = (0..).zip(DESCRIPTOR_BITS).filter(|(_, bit)| flags.contains(*bit));
    DescriptorFlags(set.fold(0, |all, (place, _)| all | 1 << place))
}

/// What a descriptor may be used for, as the guest sees it.
pub fn shown_flags(flags: DescriptorFlags) -> types::DescriptorFlags {
    let set = (0..).zip(DESCRIPTOR_BITS).filter(|(place, _): &(u8, _)| flags.0 & (1 << place) != 0);
    set.fold(types::DescriptorFlags::empty(), |all, (_, bit)| all | bit)
}

/// Expected use of data.
pub fn advice(advice: types::Advice) -> Advice {
    match advice {
        types::Advice::Normal => Advice::Normal,
        types::Advice::Sequential => Advice::Sequential,
        types::Advice::Random => Advice::Random,
        types::Advice::WillNeed => Advice::WillNeed,
        types::Advice::DontNeed => Advice::DontNeed,
        types::Advice::NoReuse => Advice::NoReuse,
    }
}

/// The code as the guest sees it.
pub fn code(code: FsCode) -> types::ErrorCode {
    use types::ErrorCode as E;
    match code {
        FsCode::Access => E::Access,
        FsCode::WouldBlock => E::WouldBlock,
        FsCode::Already => E::Already,
        FsCode::BadDescriptor => E::BadDescriptor,
        FsCode::Busy => E::Busy,
        FsCode::Deadlock => E::Deadlock,
        FsCode::Quota => E::Quota,
        FsCode::Exist => E::Exist,
        FsCode::FileTooLarge => E::FileTooLarge,
        FsCode::IllegalByteSequence => E::IllegalByteSequence,
        FsCode::InProgress => E::InProgress,
        FsCode::Interrupted => E::Interrupted,
        FsCode::Invalid => E::Invalid,
        FsCode::Io => E::Io,
        FsCode::IsDirectory => E::IsDirectory,
        FsCode::Loop => E::Loop,
        FsCode::TooManyLinks => E::TooManyLinks,
        FsCode::MessageSize => E::MessageSize,
        FsCode::NameTooLong => E::NameTooLong,
        FsCode::NoDevice => E::NoDevice,
        FsCode::NoEntry => E::NoEntry,
        FsCode::NoLock => E::NoLock,
        FsCode::InsufficientMemory => E::InsufficientMemory,
        FsCode::InsufficientSpace => E::InsufficientSpace,
        FsCode::NotDirectory => E::NotDirectory,
        FsCode::NotEmpty => E::NotEmpty,
        FsCode::NotRecoverable => E::NotRecoverable,
        FsCode::Unsupported => E::Unsupported,
        FsCode::NoTty => E::NoTty,
        FsCode::NoSuchDevice => E::NoSuchDevice,
        FsCode::Overflow => E::Overflow,
        FsCode::NotPermitted => E::NotPermitted,
        FsCode::Pipe => E::Pipe,
        FsCode::ReadOnly => E::ReadOnly,
        FsCode::InvalidSeek => E::InvalidSeek,
        FsCode::TextFileBusy => E::TextFileBusy,
        FsCode::CrossDevice => E::CrossDevice,
    }
}
