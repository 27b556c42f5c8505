//! What a transaction has read: keys and ranges of keys, the absent ones included.
//!
//! Pure, and bounded in memory: when there are too many notes, neighbours become ranges, nearest first. A range covers more than
//! was read, so a transaction may be told to start over when it need not have been, and never the other way round.
//!
//! ```text
//! noted       a  c  ca  cb        p  [x, z)
//! coarsened   a  [c .. cb]        p  [x, z)
//! ```
//!
//! A note is appended and looked at later, because guests read often and transactions end once: noting costs a copy of the key.

use std::cmp::Ordering;

/// With so many bytes of keys neighbours are joined.
const BYTES: usize = 1 << 20;

/// With so many keys and ranges neighbours are joined.
const SPANS: usize = 16 << 10;

/// Fewer new notes than this are not worth sorting.
const FRESH: usize = 256;

/// Longer keys are noted by their beginnings; no key of a space is so long.
const LONGEST: usize = 8 << 10;

/// Keys and ranges that were read.
#[derive(Debug, Clone, Default)]
pub struct ReadSet {
    /// The strings `family | key` that the spans point to.
    bytes: Vec<u8>,
    spans: Vec<Span>,
    /// So many spans at the beginning are sorted and have gaps between them.
    settled: usize,
    /// A bit for the mark of each settled key; empty if there are ranges, or nothing is settled.
    filter: Vec<u64>,
}

/// From a string to another, by the order of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: Piece,
    last: Last,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Through(Piece),
    Before(Piece),
    /// All that follows.
    Rest,
}

/// A stretch of `bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    at: u32,
    len: u32,
}

/// How a key was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    Key,
    Range,
}

impl ReadSet {
    /// Notes that a key was read, or found absent.
    pub fn key(&mut self, family: u8, key: &[u8]) {
        if key.len() > LONGEST {
            return self.range(family, key, None);
        }
        if let Some(Span { from, last: Last::Through(through) }) = self.spans.last()
            && from == through
            && compare(self.piece(*from), family, key).is_eq()
        {
            return;
        }
        let piece = self.put(family, key);
        self.note(Span { from: piece, last: Last::Through(piece) });
    }

    /// Notes that all keys of `[from, until)` were read; without `until` to the end of the family.
    pub fn range(&mut self, family: u8, from: &[u8], until: Option<&[u8]>) {
        if until.is_some_and(|until| until <= from) {
            return;
        }
        let from = self.put(family, &from[..from.len().min(LONGEST)]);
        let last = match until.filter(|until| until.len() <= LONGEST) {
            Some(until) => Last::Before(self.put(family, until)),
            None => family.checked_add(1).map_or(Last::Rest, |next| Last::Before(self.put(next, &[]))),
        };
        self.note(Span { from, last });
    }

    /// Whether a write of that key overtakes something that was read.
    pub fn covers(&self, family: u8, key: &[u8]) -> bool {
        self.reading(family, key).is_some()
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How that key was read, if it was.
    pub(crate) fn reading(&self, family: u8, key: &[u8]) -> Option<Reading> {
        let (settled, fresh) = self.spans.split_at(self.settled);
        let after = settled.partition_point(|span| compare(self.piece(span.from), family, key).is_le());
        let nearest = after.checked_sub(1).map(|at| &settled[at]).into_iter();
        let mut holding = nearest.chain(fresh).filter(|span| self.holds(span, family, key));
        let Span { from, last } = *holding.next()?;
        Some(if last == Last::Through(from) { Reading::Key } else { Reading::Range })
    }

    /// Like [`ReadSet::reading`], quicker for keys that were not read; `mark` is the key's [`mark`].
    pub(crate) fn reading_marked(&self, mark: u32, family: u8, key: &[u8]) -> Option<Reading> {
        let fresh = self.settled < self.spans.len();
        let may_be = self.filter.is_empty() || fresh || self.filter[self.word(mark)] & bit(mark) != 0;
        if may_be { self.reading(family, key) } else { None }
    }

    /// Sorts what was noted, which makes [`ReadSet::covers`] quick.
    pub(crate) fn settle(&mut self) {
        if self.settled == self.spans.len() {
            return;
        }
        let (mut spans, bytes) = (std::mem::take(&mut self.spans), &self.bytes);
        spans.sort_by(|a, b| slice(bytes, a.from).cmp(slice(bytes, b.from)));
        self.spans = join(bytes, spans, |bytes, before, next| reaches(bytes, before.last, next.from));
        while self.spans.len() > SPANS || self.needed() > BYTES {
            self.coarsen();
        }
        self.settled = self.spans.len();
        self.pack();
        self.make_filter();
    }

    fn make_filter(&mut self) {
        self.filter.clear();
        if self.spans.iter().any(|span| span.last != Last::Through(span.from)) {
            return;
        }
        self.filter.resize((self.spans.len() / 4).next_power_of_two().max(4), 0);
        for span in &self.spans {
            if let Some((family, key)) = slice(&self.bytes, span.from).split_first() {
                let mark = mark(*family, key);
                let word = self.word(mark);
                self.filter[word] |= bit(mark);
            }
        }
    }

    fn word(&self, mark: u32) -> usize {
        mark as usize & (self.filter.len() - 1)
    }

    fn note(&mut self, span: Span) {
        self.spans.push(span);
        if self.spans.len() - self.settled >= self.settled.max(FRESH) || self.bytes.len() > 2 * BYTES {
            self.settle();
        }
    }

    /// Joins the half of the neighbours that have most in common.
    fn coarsen(&mut self) {
        let end = |span: &Span| match span.last {
            Last::Through(piece) | Last::Before(piece) => self.piece(piece),
            Last::Rest => &[],
        };
        let in_common = |pair: &[Span]| {
            let (before, after) = (end(&pair[0]), self.piece(pair[1].from));
            before.iter().zip(after).take_while(|(a, b)| a == b).count()
        };
        let mut gaps: Vec<(usize, usize)> =
            self.spans.windows(2).enumerate().map(|(at, pair)| (in_common(pair), at + 1)).collect();
        gaps.sort_unstable_by_key(|(common, at)| (std::cmp::Reverse(*common), *at));
        gaps.truncate(gaps.len().div_ceil(2));
        let mut joined = vec![false; self.spans.len()];
        for (_, at) in gaps {
            joined[at] = true;
        }
        let mut joined = joined.into_iter().skip(1);
        let spans = std::mem::take(&mut self.spans);
        self.spans = join(&self.bytes, spans, |_, _, _| joined.next().unwrap_or(false));
    }

    /// Lets go of strings that no span points to any more, and lays the others in order.
    fn pack(&mut self) {
        let packed = Vec::with_capacity(self.needed());
        let old = std::mem::replace(&mut self.bytes, packed);
        for span in &mut self.spans {
            let at_key = span.last == Last::Through(span.from);
            span.from = moved(&old, &mut self.bytes, span.from);
            span.last = match span.last {
                Last::Through(_) if at_key => Last::Through(span.from),
                Last::Through(piece) => Last::Through(moved(&old, &mut self.bytes, piece)),
                Last::Before(piece) => Last::Before(moved(&old, &mut self.bytes, piece)),
                Last::Rest => Last::Rest,
            };
        }
    }

    /// Bytes of the strings that spans point to.
    fn needed(&self) -> usize {
        let end = |span: &Span| match span.last {
            Last::Through(piece) | Last::Before(piece) if piece != span.from => piece.len as usize,
            _ => 0,
        };
        self.spans.iter().map(|span| span.from.len as usize + end(span)).sum()
    }

    fn put(&mut self, family: u8, key: &[u8]) -> Piece {
        let at = self.bytes.len() as u32;
        self.bytes.push(family);
        self.bytes.extend_from_slice(key);
        Piece { at, len: key.len() as u32 + 1 }
    }

    fn piece(&self, piece: Piece) -> &[u8] {
        slice(&self.bytes, piece)
    }

    fn holds(&self, span: &Span, family: u8, key: &[u8]) -> bool {
        compare(self.piece(span.from), family, key).is_le()
            && match span.last {
                Last::Through(last) => compare(self.piece(last), family, key).is_ge(),
                Last::Before(last) => compare(self.piece(last), family, key).is_gt(),
                Last::Rest => true,
            }
    }
}

/// A number that a key has, and few others.
pub(crate) fn mark(family: u8, key: &[u8]) -> u32 {
    let mut mixed = u64::from(family) ^ key.len() as u64;
    for chunk in key.chunks(8) {
        let mut eight = [0; 8];
        eight[..chunk.len()].copy_from_slice(chunk);
        mixed = (mixed.rotate_left(23) ^ u64::from_le_bytes(eight)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    (mixed >> 32) as u32
}

fn bit(mark: u32) -> u64 {
    1 << (mark >> 26)
}

/// Two sets are equal if they cover the same keys by the same spans.
impl PartialEq for ReadSet {
    fn eq(&self, other: &Self) -> bool {
        let settled = |set: &Self| {
            let mut set = set.clone();
            set.settle();
            (set.bytes, set.spans)
        };
        settled(self) == settled(other)
    }
}

/// Joins those of the sorted spans that `joins` says belong together with the one before.
fn join(bytes: &[u8], spans: Vec<Span>, mut joins: impl FnMut(&[u8], &Span, &Span) -> bool) -> Vec<Span> {
    let mut kept: Vec<Span> = Vec::with_capacity(spans.len());
    for next in spans {
        match kept.last_mut() {
            Some(before) if joins(bytes, before, &next) => before.last = further(bytes, before.last, next.last),
            _ => kept.push(next),
        }
    }
    kept
}

fn reaches(bytes: &[u8], last: Last, from: Piece) -> bool {
    match last {
        Last::Through(last) => slice(bytes, from) <= slice(bytes, last),
        Last::Before(last) => slice(bytes, from) < slice(bytes, last),
        Last::Rest => true,
    }
}

fn further(bytes: &[u8], a: Last, b: Last) -> Last {
    let order = |last| match last {
        Last::Through(piece) => (0, slice(bytes, piece), 1),
        Last::Before(piece) => (0, slice(bytes, piece), 0),
        Last::Rest => (1, [].as_slice(), 0),
    };
    if order(b) > order(a) { b } else { a }
}

fn moved(from: &[u8], to: &mut Vec<u8>, piece: Piece) -> Piece {
    let at = to.len() as u32;
    to.extend_from_slice(slice(from, piece));
    Piece { at, len: piece.len }
}

fn slice(bytes: &[u8], piece: Piece) -> &[u8] {
    &bytes[piece.at as usize..][..piece.len as usize]
}

fn compare(string: &[u8], family: u8, key: &[u8]) -> Ordering {
    match string.split_first() {
        Some((of, rest)) => of.cmp(&family).then_with(|| rest.cmp(key)),
        None => Ordering::Less,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Note {
        Key(u8, Vec<u8>),
        Range(u8, Vec<u8>, Option<Vec<u8>>),
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255), any::<u8>()], 0..4)
    }

    fn family() -> impl Strategy<Value = u8> {
        prop_oneof![Just(0u8), Just(1), Just(2), Just(254), Just(255)]
    }

    fn note() -> impl Strategy<Value = Note> {
        prop_oneof![
            8 => (family(), key()).prop_map(|(family, key)| Note::Key(family, key)),
            1 => (family(), key(), prop::option::of(key())).prop_map(|(family, from, until)| Note::Range(family, from, until)),
        ]
    }

    fn in_note(note: &Note, family: u8, key: &[u8]) -> bool {
        match note {
            Note::Key(of, noted) => *of == family && noted == key,
            Note::Range(of, from, until) => {
                *of == family && from.as_slice() <= key && until.as_deref().is_none_or(|until| key < until)
            }
        }
    }

    fn set_of(notes: &[Note]) -> ReadSet {
        let mut set = ReadSet::default();
        for note in notes {
            match note {
                Note::Key(family, key) => set.key(*family, key),
                Note::Range(family, from, until) => set.range(*family, from, until.as_deref()),
            }
        }
        set
    }

    proptest! {
        #[test]
        fn covers_what_was_noted_and_nothing_else_while_it_is_small(
            notes in prop::collection::vec(note(), 0..600),
            others in prop::collection::vec((family(), key()), 0..100),
        ) {
            let mut set = set_of(&notes);
            for _ in 0..2 {
                let noted = notes.iter().map(|note| match note {
                    Note::Key(family, key) | Note::Range(family, key, _) => (*family, key.clone()),
                });
                for (family, key) in others.iter().cloned().chain(noted) {
                    let naive = notes.iter().any(|note| in_note(note, family, &key));
                    prop_assert_eq!(set.covers(family, &key), naive, "{} {:?}", family, key);
                    let marked = set.reading_marked(mark(family, &key), family, &key);
                    prop_assert_eq!(marked, set.reading(family, &key));
                }
                set.settle();
            }
            let mut reversed = notes.clone();
            reversed.reverse();
            prop_assert_eq!(set, set_of(&reversed));
        }

        #[test]
        fn coarsening_only_adds(notes in prop::collection::vec(note(), 1..80), times in 1usize..4) {
            let mut set = set_of(&notes);
            set.settle();
            let before = set.clone();
            for _ in 0..times {
                set.coarsen();
            }
            set.settled = set.spans.len();
            set.pack();
            set.make_filter();
            prop_assert!(set.spans.len() <= before.spans.len().div_ceil(2).max(1));
            for note in &notes {
                let (Note::Key(family, key) | Note::Range(family, key, _)) = note;
                prop_assert!(!before.covers(*family, key) || set.covers(*family, key));
            }
        }
    }

    #[test]
    fn a_million_keys_take_bounded_memory_and_stay_covered() {
        let mut set = ReadSet::default();
        let key = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes().repeat(1 + (n % 7) as usize);
        for n in 0..1_000_000 {
            set.key((n % 3) as u8, &key(n));
            assert!(set.bytes.capacity() < 5 * BYTES && set.spans.capacity() <= 4 * SPANS);
        }
        set.settle();
        assert!((0..1_000_000).all(|n| set.covers((n % 3) as u8, &key(n))));
        assert!(!set.covers(3, b""), "families stay apart as long as there are few of them");
    }

    #[test]
    fn keys_that_lie_near_each_other_are_joined_first() {
        let mut set = ReadSet::default();
        let key = |directory: u64, n: u64| [directory.to_be_bytes(), n.to_be_bytes()].concat();
        for n in 0..SPANS as u64 {
            set.key(1, &key(7, n * 2));
        }
        set.key(1, &key(9, 5));
        set.settle();
        assert!(set.spans.len() < SPANS);
        assert!(set.covers(1, &key(9, 5)) && !set.covers(1, &key(8, 0)) && !set.covers(1, &key(9, 4)));
    }

    #[test]
    fn very_long_keys_are_covered() {
        let mut set = ReadSet::default();
        let long = vec![7; LONGEST * 3];
        set.key(1, &long);
        set.range(2, &long, Some(&[long.as_slice(), &[1]].concat()));
        set.range(3, &[], Some(&long));
        assert!(set.covers(1, &long) && set.covers(2, &long) && set.covers(3, b"") && set.covers(3, &[6; LONGEST]));
        assert!(!set.covers(1, b"") && !set.covers(4, b""));
    }
}
