//! Posting a batch: booking by booking, checked on the way.

use std::fs;
use std::path::Path;

use crate::booking::{Booking, COLUMNS, Cents, Date};
use crate::books::Books;
use crate::csv;

/// The entry that is being posted.
struct Open {
    number: String,
    line: usize,
    date: Date,
    debit: Cents,
    credit: Cents,
}

/// What was posted.
#[derive(Default)]
struct Totals {
    entries: u32,
    bookings: u32,
    turnover: Cents,
}

/// Posts a batch and says what was posted. Stops in the middle at the first thing that is wrong.
pub fn post(books: &mut Books, path: &str) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    let digest = digest(&bytes);
    if let Some(name) = books.batch(&digest)? {
        return Err(format!("{path} was posted before, as {name}"));
    }
    let at = |(line, what): (usize, String)| format!("{path}:{line}: {what}");
    let mut reader = csv::Reader::new(bytes.as_slice());
    let heading = reader.next().map_err(at)?.ok_or_else(|| format!("{path} is empty"))?;
    if heading.fields != COLUMNS {
        return Err(at((
            heading.line,
            format!("the columns are {}, not {}", heading.fields.join(","), COLUMNS.join(",")),
        )));
    }
    let mut totals = Totals::default();
    let mut open: Option<Open> = None;
    while let Some(record) = reader.next().map_err(at)? {
        let line = record.line;
        let booking = Booking::from_fields(&record.fields).map_err(|what| at((line, what)))?;
        if open.as_ref().is_some_and(|open| open.number != booking.entry) {
            close(open.take(), &mut totals).map_err(at)?;
        }
        let entry = match &mut open {
            Some(entry) => entry,
            None if books.has_entry(&booking.entry) => {
                return Err(at((line, format!("entry {} was posted before", booking.entry))));
            }
            None => {
                let (number, date) = (booking.entry.clone(), booking.date);
                open.insert(Open { number, line, date, debit: Cents(0), credit: Cents(0) })
            }
        };
        if entry.date != booking.date {
            let what = format!("entry {} has two dates, {} and {}", entry.number, entry.date, booking.date);
            return Err(at((line, what)));
        }
        let side = if booking.amount.debit().is_some() { &mut entry.debit } else { &mut entry.credit };
        *side = side.plus(Cents(booking.amount.0.abs())).map_err(|what| at((line, what)))?;
        books.post(&booking)?;
        totals.bookings += 1;
    }
    close(open, &mut totals).map_err(at)?;
    if totals.entries == 0 {
        return Err(format!("{path} has no bookings"));
    }
    let name = Path::new(path).file_name().map_or_else(|| path.into(), |name| name.to_string_lossy());
    let Totals { entries, bookings, turnover } = totals;
    let (count, turnover) = ((entries.to_string(), bookings.to_string()), turnover.to_string());
    books.note_batch(&[&digest, &name, &count.0, &count.1, &turnover])?;
    Ok(format!("{name}: {entries} entries, {bookings} bookings, turnover {turnover}"))
}

/// An entry is complete: it must balance.
fn close(entry: Option<Open>, totals: &mut Totals) -> Result<(), (usize, String)> {
    let Some(Open { number, line, debit, credit, .. }) = entry else { return Ok(()) };
    if debit != credit {
        let off = Cents(debit.0 - credit.0);
        return Err((line, format!("entry {number} does not balance: debit {debit}, credit {credit}, off by {off}")));
    }
    totals.entries += 1;
    totals.turnover = totals.turnover.plus(debit).map_err(|what| (line, what))?;
    Ok(())
}

/// FNV-1a with 128 bits: tells batches apart that were not made to be confused.
fn digest(bytes: &[u8]) -> String {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let digest = bytes.iter().fold(BASIS, |digest, byte| (digest ^ u128::from(*byte)).wrapping_mul(PRIME));
    format!("{digest:032x}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_digest_is_fnv_1a() {
        // Test vectors of the FNV specification (draft-eastlake-fnv).
        assert_eq!(super::digest(b""), "6c62272e07bb014262b821756295c58d");
        assert_eq!(super::digest(b"a"), "d228cb696f1a8caf78912b704e4a8964");
    }
}
