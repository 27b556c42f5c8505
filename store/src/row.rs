//! A row's bytes: link and items.
//!
//! ```text
//! link:32 | item | item | ...          link = BLAKE3(link of the row before | the items' bytes)
//! ```
//!
//! Offsets of items count from the row's first byte, so the first item is at 32.

use reel_abi::id::{Digest, Position};
use reel_abi::record::LogItem;
use reel_abi::wire::{CodecError, Reader, Wire, Writer};

/// Bytes of the link at a row's beginning.
pub(crate) const LINK_BYTES: usize = 32;

/// Numbers of rows, runs, commits, segments, versions and events are below this; a forged one cannot make counting overflow.
pub(crate) const NUMBERS_END: u64 = 1 << 62;

/// A row's link; the one before the first row is zero.
pub(crate) type Link = Digest;

/// Where a row stands and its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RowEnd {
    pub(crate) position: Position,
    pub(crate) link: Link,
}

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ItemPlace {
    pub(crate) row: Position,
    pub(crate) offset: u32,
}

/// A row in the making.
#[derive(Debug)]
pub(crate) struct RowBuilder {
    position: Position,
    writer: Writer,
}

/// A finished row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) end: RowEnd,
    pub(crate) bytes: Vec<u8>,
}

impl RowBuilder {
    /// An empty row at `position`.
    pub(crate) fn new(position: Position) -> Self {
        let mut writer = Writer::new();
        writer.raw(&[0; LINK_BYTES]);
        Self { position, writer }
    }

    /// Where it will stand.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Where the next item will stand.
    pub(crate) fn place(&self) -> ItemPlace {
        ItemPlace { row: self.position, offset: self.writer.len() as u32 }
    }

    /// To append an item.
    pub(crate) fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.writer.len()
    }

    /// Whether it has no items.
    pub(crate) fn is_empty(&self) -> bool {
        self.writer.len() == LINK_BYTES
    }

    /// Sets the link.
    pub(crate) fn finish(self, before: Link) -> Row {
        let mut bytes = self.writer.into_bytes();
        let link = link(before, &bytes[LINK_BYTES..]);
        bytes[..LINK_BYTES].copy_from_slice(&link.0);
        Row { end: RowEnd { position: self.position, link }, bytes }
    }
}

/// The link of a row with these items after a row with that link.
pub(crate) fn link(before: Link, items: &[u8]) -> Link {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before.0);
    hasher.update(items);
    Digest(*hasher.finalize().as_bytes())
}

/// The link that a row says it has.
pub(crate) fn link_of(bytes: &[u8]) -> Result<Link, CodecError> {
    Digest::take(&mut Reader::new(bytes))
}

/// The items of a row with their offsets.
pub(crate) fn items(bytes: &[u8]) -> Result<Vec<(u32, LogItem)>, CodecError> {
    let mut reader = Reader::new(bytes);
    reader.raw(LINK_BYTES, "link")?;
    let mut items = Vec::new();
    while reader.left() > 0 {
        let offset = reader.at() as u32;
        items.push((offset, take(&mut reader)?));
    }
    Ok(items)
}

/// The item at `offset` of a row.
pub(crate) fn item(bytes: &[u8], offset: u32) -> Result<LogItem, CodecError> {
    take(&mut Reader::resume(bytes, offset as usize, [0; 2]))
}

fn take(reader: &mut Reader<'_>) -> Result<LogItem, CodecError> {
    let at = reader.at();
    let item = LogItem::take(reader)?;
    if numbers(&item).into_iter().all(|number| number < NUMBERS_END) {
        Ok(item)
    } else {
        Err(CodecError::NotCanonical { what: "number of a log item", at })
    }
}

/// The numbers in an item that are counted on from.
fn numbers(item: &LogItem) -> Vec<u64> {
    match item {
        LogItem::Begun { run, begin } => vec![run.0, begin.segment.0, begin.version.0],
        LogItem::Frame { frame } => vec![frame.run.0, frame.first.0],
        LogItem::Commit { record } => {
            let spaces = record.spaces.iter().flat_map(|change| [change.segment.0, change.version.0]);
            spaces.chain([record.number.0, record.run.0]).collect()
        }
        LogItem::Ended { run, .. } => vec![run.0],
        LogItem::Delivered { commit } => vec![commit.0],
        LogItem::SpaceOpened { segment, version, parent, .. } => {
            let (under, seen) = parent.unwrap_or_default();
            vec![segment.0, version.0, under.0, seen.0]
        }
        LogItem::Branched { segment, version, parent, .. } => vec![segment.0, version.0, parent.0.0, parent.1.0],
        LogItem::TagSet { segment, version, .. } => vec![segment.0, version.0],
        LogItem::Retained { retention } => {
            let cut = retention
                .segments
                .iter()
                .flat_map(|cut| cut.kept.iter().map(|version| version.0).chain([cut.segment.0, cut.border.0]));
            cut.chain([retention.runs_before.0, retention.rows_through.0]).collect()
        }
        LogItem::SpaceRemoved { .. } | LogItem::TagRemoved { .. } => Vec::new(),
    }
}
