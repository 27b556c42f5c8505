//! `kv`: keys and their values at a version.

use std::sync::Arc;

use reel_abi::record::CellValue;
use rusqlite::types::Value;

use super::versions::spaces;
use crate::runtime::cells::{Cells, length};
use crate::runtime::keys_at::{KeysAt, cell_key};
use crate::sql::error::SqlError;
use crate::sql::table::{Batches, Column, Narrows, Row, Rows, Table, bytes, column, int, text};
use crate::sql::view::View;
use crate::sql::wanted::Wanted;

const SPACE: usize = 0;
const VERSION: usize = 1;
const BUCKET: usize = 2;
const KEY: usize = 3;
const VALUE: usize = 4;

const COLUMNS: &[Column] = &[
    column("space", "TEXT", "the space"),
    column("version", "INTEGER", "the version: the newest, or the one that version = N asks for"),
    column("bucket", "", "the bucket, text or BLOB"),
    column("key", "", "the key, text or BLOB"),
    column("value", "", "the value, text or BLOB"),
    column("bytes", "INTEGER", "bytes of the value"),
];

/// The table.
pub const TABLE: Table = Table {
    name: "kv",
    says: "keys and values of all spaces, now or at a version",
    columns: COLUMNS,
    narrowed_by: &[
        (SPACE, Narrows::ToPart),
        (VERSION, Narrows::ToPart),
        (BUCKET, Narrows::ToPart),
        (KEY, Narrows::ToOne),
    ],
    open,
};

/// The one version that is asked for, if one is.
pub fn version(wanted: &Wanted, column: usize) -> Option<u64> {
    let (from, until) = wanted.range(column);
    (from.checked_add(1) == Some(until)).then_some(from)
}

/// A value of a cell, if it is to be seen.
pub fn value(cells: &Cells, cell: &CellValue, seen: bool) -> Result<Value, SqlError> {
    match cell {
        CellValue::Tombstone => Ok(Value::Null),
        _ if !seen => Ok(Value::Null),
        cell => Ok(bytes(cells.bytes(cell)?)),
    }
}

fn open(view: &Arc<View>, wanted: Wanted) -> Result<Box<dyn Rows>, SqlError> {
    let view = Arc::clone(view);
    let mut spaces = spaces(&view, &wanted, SPACE).into_iter();
    let at = version(&wanted, VERSION);
    let mut here: Option<Here> = None;
    Ok(Batches::boxed(move || {
        loop {
            view.check()?;
            let Some(place) = &mut here else {
                let Some((space, _)) = spaces.next() else { return Ok(None) };
                let Some(head) = view.head(&space, at)? else { continue };
                let cells = Cells::at(&view.store, head)?;
                let keys = KeysAt::new(&view.store, head)?;
                let buckets = match wanted.bytes(BUCKET) {
                    Some(bucket) => vec![bucket.to_vec()],
                    None => keys.buckets()?,
                };
                let buckets = buckets.into_iter();
                let space = space.to_string();
                here = Some(Here { space, version: head.version.0, cells, keys, buckets, bucket: None });
                continue;
            };
            match place.more(&wanted)? {
                Some(rows) => return Ok(Some(rows)),
                None => here = None,
            }
        }
    }))
}

/// A space that is gone through.
struct Here {
    space: String,
    version: u64,
    cells: Cells,
    keys: KeysAt,
    buckets: std::vec::IntoIter<Vec<u8>>,
    /// The bucket, and the last key of it that was seen.
    bucket: Option<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Here {
    fn more(&mut self, wanted: &Wanted) -> Result<Option<Vec<Row>>, SqlError> {
        let Some((bucket, last)) = &mut self.bucket else {
            let Some(bucket) = self.buckets.next() else { return Ok(None) };
            let Some(key) = wanted.bytes(KEY) else {
                self.bucket = Some((bucket, None));
                return Ok(Some(Vec::new()));
            };
            let found = self.cells.view.get(reel_abi::record::family::KEY_VALUE, &cell_key(&bucket, key))?;
            let row = found.map(|cell| self.row(&bucket, key, &cell, wanted)).transpose()?;
            return Ok(Some(row.into_iter().collect()));
        };
        let prefix = wanted.prefix(KEY).unwrap_or_default();
        let some = self.keys.keys(bucket, prefix.as_bytes(), last.as_deref())?;
        let Some(newest) = some.last() else {
            self.bucket = None;
            return Ok(Some(Vec::new()));
        };
        *last = Some(newest.key.clone());
        let bucket = bucket.clone();
        let rows = some.iter().map(|found| self.row(&bucket, &found.key, &found.value, wanted));
        rows.collect::<Result<_, _>>().map(Some)
    }

    fn row(&self, bucket: &[u8], key: &[u8], cell: &CellValue, wanted: &Wanted) -> Result<Row, SqlError> {
        Ok(vec![
            text(&self.space),
            int(self.version),
            bytes(bucket.to_vec()),
            bytes(key.to_vec()),
            value(&self.cells, cell, wanted.uses(VALUE))?,
            int(length(cell)),
        ])
    }
}
