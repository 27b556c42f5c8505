//! Buckets of keys and values: the interface `reel:guest/keyvalue`, on the buckets of `wasi:keyvalue`.

use std::fmt;
use std::vec::IntoIter;

use crate::bindings::reel::guest::keyvalue as host;
use crate::bindings::wasi::keyvalue0_2_0_draft2::store;
use crate::transaction::Version;

/// Why an operation on a bucket failed.
///
/// ```
/// use reel_guest::keyvalue::Error;
///
/// assert_eq!(Error::NoSuchVersion(17).to_string(), "there is no version 17 to be read");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The bucket's name is empty or longer than 255 bytes.
    NoSuchStore,
    /// The program may not use the bucket.
    AccessDenied,
    /// A key is longer than 4096 bytes: its length.
    KeyTooLong(u64),
    /// A value is longer than 64 MiB: its length.
    ValueTooLarge(u64),
    /// A bound is reached, which one in words. The transaction can still commit what it has, or abort.
    QuotaExceeded(String),
    /// No version of this space, or one younger than the one that the transaction reads.
    NoSuchVersion(Version),
    /// The version was removed by retention, which and when in words.
    Pruned(String),
    /// The value that should be counted up is no decimal number in a signed 64-bit integer, or the sum is none.
    NotANumber,
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchStore => write!(f, "a bucket's name has 1 to 255 bytes"),
            Self::AccessDenied => write!(f, "access to the bucket is denied"),
            Self::KeyTooLong(len) => write!(f, "a key of {len} bytes, at most 4096 are taken"),
            Self::ValueTooLarge(len) => write!(f, "a value of {len} bytes, at most 64 MiB are taken"),
            Self::QuotaExceeded(which) => write!(f, "quota exceeded: {which}"),
            Self::NoSuchVersion(version) => write!(f, "there is no version {version} to be read"),
            Self::Pruned(why) => write!(f, "the version was removed: {why}"),
            Self::NotANumber => write!(f, "the value or the sum is no number that fits"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Error {}

impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        match error {
            host::Error::KeyTooLong(len) => Self::KeyTooLong(len),
            host::Error::ValueTooLarge(len) => Self::ValueTooLarge(len),
            host::Error::QuotaExceeded(which) => Self::QuotaExceeded(which),
            host::Error::NoSuchVersion(version) => Self::NoSuchVersion(version),
            host::Error::Pruned(why) => Self::Pruned(why),
            host::Error::NotANumber => Self::NotANumber,
            host::Error::Other(what) => Self::Other(what),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NoSuchStore => Self::NoSuchStore,
            store::Error::AccessDenied => Self::AccessDenied,
            store::Error::Other(what) => Self::Other(what),
        }
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// A collection of keys and values, both of any bytes, in the guest's space. It is there as soon as it is named.
///
/// ```no_run
/// use reel_guest::{Bucket, Range};
///
/// # fn main() -> Result<(), reel_guest::keyvalue::Error> {
/// let visits = Bucket::open("visits")?;
/// visits.increment("/index.html", 1)?;
/// for entry in visits.scan(&Range::prefix("/")) {
///     let (page, count) = entry?;
///     println!("{} {}", String::from_utf8_lossy(&page), String::from_utf8_lossy(&count));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Bucket(store::Bucket);

impl Bucket {
    /// The bucket with that name, of 1 to 255 bytes. It is the same that `wasi:keyvalue` opens by that name; keys there are keys here in UTF-8.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchStore`] for a name that can be none.
    ///
    /// ```no_run
    /// let bucket = reel_guest::Bucket::open("orders")?;
    /// # Ok::<(), reel_guest::keyvalue::Error>(())
    /// ```
    pub fn open(name: &str) -> Result<Self, Error> {
        Ok(Self(store::open(name)?))
    }

    /// The value of a key, if it has one.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`].
    ///
    /// ```no_run
    /// # let bucket = reel_guest::Bucket::open("orders")?;
    /// let order: Option<Vec<u8>> = bucket.get("000017")?;
    /// # Ok::<(), reel_guest::keyvalue::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        Ok(host::get(&self.0, key.as_ref())?)
    }

    /// Gives a key a value. Where it has one already and was not read, that is no conflict with others who do the same: the last commit wins. A
    /// key that comes into being does so once.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::ValueTooLarge`], [`Error::QuotaExceeded`].
    ///
    /// ```no_run
    /// # let bucket = reel_guest::Bucket::open("orders")?;
    /// bucket.set("000017", "2 frames, 4 wheels")?;
    /// bucket.set([0xff, 0x00], [1, 2, 3])?;
    /// # Ok::<(), reel_guest::keyvalue::Error>(())
    /// ```
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(host::set(&self.0, key.as_ref(), value.as_ref())?)
    }

    /// Takes a key away, if it is there, for which it is looked at: if another changes it, that is a conflict.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`], [`Error::QuotaExceeded`].
    ///
    /// ```no_run
    /// # let bucket = reel_guest::Bucket::open("orders")?;
    /// bucket.delete("000017")?;
    /// # Ok::<(), reel_guest::keyvalue::Error>(())
    /// ```
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(host::delete(&self.0, key.as_ref())?)
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    ///
    /// [`Error::KeyTooLong`].
    ///
    /// ```no_run
    /// # let bucket = reel_guest::Bucket::open("orders")?;
    /// if bucket.exists("000017")? {
    ///     println!("it is there");
    /// }
    /// # Ok::<(), reel_guest::keyvalue::Error>(())
    /// ```
    pub fn exists(&self, key: impl AsRef<[u8]>) -> Result<bool, Error> {
        Ok(host::exists(&self.0, key.as_ref())?)
    }

    /// Adds to the decimal number under a key, and gives the sum. A key without a value counts from 0. It reads the key as well as writing it.
    ///
    /// # Errors
    ///
    /// [`Error::NotANumber`] if the value is none, or the sum does not fit; [`Error::KeyTooLong`], [`Error::QuotaExceeded`].
    ///
    /// ```no_run
    /// # let bucket = reel_guest::Bucket::open("orders")?;
    /// let number = bucket.increment("last number", 1)?;
    /// # Ok::<(), reel_guest::keyvalue::Error>(())
    /// ```
    pub fn increment(&self, key: impl AsRef<[u8]>, delta: i64) -> Result<i64, Error> {
        Ok(host::increment(&self.0, key.as_ref(), delta)?)
    }

    /// The keys and values in a range, in order of the bytes of the keys, with what this transaction has written. Nothing is read before the first
    /// is asked for.
    ///
    /// What is read is the range up to the end of the last page, also where no key is: a key that another adds there is a conflict.
    ///
    /// ```no_run
    /// # let bucket = reel_guest::Bucket::open("orders")?;
    /// use reel_guest::Range;
    ///
    /// for entry in bucket.scan(&Range::all().from("000100").before("000200")) {
    ///     let (key, value) = entry?;
    ///     println!("{}: {} bytes", String::from_utf8_lossy(&key), value.len());
    /// }
    /// # Ok::<(), reel_guest::keyvalue::Error>(())
    /// ```
    pub fn scan(&self, range: &Range) -> Scan<'_> {
        Scan::new(&self.0, None, range)
    }

    /// The bucket as it was at an earlier version of the space, for reading.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let bucket = reel_guest::Bucket::open("orders")?;
    /// let before = reel_guest::version();
    /// bucket.delete("000017")?;
    /// reel_guest::commit()?;
    /// let deleted = bucket.at(before).get("000017")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn at(&self, version: Version) -> Past<'_> {
        Past { bucket: &self.0, version }
    }
}

/// A bucket as it was at an earlier version. What was, does not change, so that reading it never conflicts.
///
/// ```no_run
/// # fn main() -> Result<(), reel_guest::keyvalue::Error> {
/// use reel_guest::{Bucket, Range, version};
///
/// let readings = Bucket::open("readings")?;
/// let yesterday = readings.at(version() - 1);
/// println!("{} readings", yesterday.scan(&Range::all()).count());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    bucket: &'a store::Bucket,
    version: Version,
}

impl<'a> Past<'a> {
    /// The value that a key had, if it had one.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchVersion`], [`Error::Pruned`], [`Error::KeyTooLong`].
    ///
    /// ```no_run
    /// # let bucket = reel_guest::Bucket::open("orders")?;
    /// let first = bucket.at(1).get("000017")?;
    /// # Ok::<(), reel_guest::keyvalue::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, Error> {
        Ok(host::get_at(self.bucket, key.as_ref(), self.version)?)
    }

    /// The keys and values that were in a range, in order of the bytes of the keys.
    ///
    /// ```no_run
    /// # let bucket = reel_guest::Bucket::open("orders")?;
    /// use reel_guest::Range;
    ///
    /// let first: Vec<_> = bucket.at(1).scan(&Range::all()).collect::<Result<_, _>>()?;
    /// # Ok::<(), reel_guest::keyvalue::Error>(())
    /// ```
    pub fn scan(&self, range: &Range) -> Scan<'a> {
        Scan::new(self.bucket, Some(self.version), range)
    }
}

/// Which keys of a bucket.
///
/// ```
/// use reel_guest::Range;
///
/// let readings_of_may = Range::prefix("readings/").from("readings/2026-05").before("readings/2026-06");
/// assert_ne!(readings_of_may, Range::all());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    prefix: Vec<u8>,
    from: Option<Vec<u8>>,
    before: Option<Vec<u8>>,
    page: u32,
}

impl Range {
    /// Keys and values that are fetched at once, unless said otherwise.
    pub const PAGE: u32 = 1024;

    /// All keys.
    ///
    /// ```
    /// assert_eq!(reel_guest::Range::all(), reel_guest::Range::prefix(""));
    /// ```
    pub fn all() -> Self {
        Self::prefix("")
    }

    /// The keys that begin with these bytes.
    ///
    /// ```
    /// let notes = reel_guest::Range::prefix("note/");
    /// ```
    pub fn prefix(prefix: impl AsRef<[u8]>) -> Self {
        Self { prefix: prefix.as_ref().to_vec(), from: None, before: None, page: Self::PAGE }
    }

    /// Of these, the keys from this one on.
    ///
    /// ```
    /// let later = reel_guest::Range::prefix("note/").from("note/2026-05");
    /// ```
    #[must_use]
    pub fn from(self, key: impl AsRef<[u8]>) -> Self {
        Self { from: Some(key.as_ref().to_vec()), ..self }
    }

    /// Of these, the keys before this one.
    ///
    /// ```
    /// let earlier = reel_guest::Range::prefix("note/").before("note/2026-05");
    /// ```
    #[must_use]
    pub fn before(self, key: impl AsRef<[u8]>) -> Self {
        Self { before: Some(key.as_ref().to_vec()), ..self }
    }

    /// Fetches so many keys and values at once, at least one; the host gives fewer where their values are large. For who needs only the first
    /// few: what is fetched counts as read.
    ///
    /// ```no_run
    /// # let bucket = reel_guest::Bucket::open("orders")?;
    /// let oldest = bucket.scan(&reel_guest::Range::all().in_pages_of(1)).next().transpose()?;
    /// # Ok::<(), reel_guest::keyvalue::Error>(())
    /// ```
    #[must_use]
    pub fn in_pages_of(self, entries: u32) -> Self {
        Self { page: entries.max(1), ..self }
    }
}

/// The keys and values of a range, fetched page by page: what [`Bucket::scan`] and [`Past::scan`] give. It ends after the first error.
///
/// Each page shows what the transaction has written until it is fetched.
///
/// ```no_run
/// # let bucket = reel_guest::Bucket::open("orders")?;
/// use reel_guest::{Range, Scan};
///
/// let mut orders: Scan<'_> = bucket.scan(&Range::all());
/// let first = orders.next().transpose()?;
/// # Ok::<(), reel_guest::keyvalue::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is read before the first is asked for"]
pub struct Scan<'a> {
    bucket: &'a store::Bucket,
    at: Option<Version>,
    /// What is still to be fetched.
    rest: Option<host::Range>,
    page: IntoIter<Entry>,
}

impl<'a> Scan<'a> {
    fn new(bucket: &'a store::Bucket, at: Option<Version>, range: &Range) -> Self {
        let Range { prefix, from, before, page } = range.clone();
        let rest = host::Range { prefix, start: from, end: before, limit: page };
        Self { bucket, at, rest: Some(rest), page: Vec::new().into_iter() }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.page.next() {
                return Some(Ok(entry));
            }
            let range = self.rest.take()?;
            let page = match self.at {
                None => host::scan(self.bucket, &range),
                Some(version) => host::scan_at(self.bucket, &range, version),
            };
            match page {
                Ok(page) => {
                    self.rest = page.next.map(|next| host::Range { start: Some(next), ..range });
                    self.page = page.entries.into_iter();
                }
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}
