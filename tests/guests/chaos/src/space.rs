//! What a script works on beside files: buckets, savepoints and commits. The guest has those of its host, the oracle has a model.

/// Why an operation was refused, in a word and a number that do not depend on who refuses.
pub type Fault = String;

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Which keys, in order of their bytes.
#[derive(Debug, Clone, Default)]
pub struct Range {
    /// Only those that begin with it.
    pub prefix: Vec<u8>,
    /// From this key on.
    pub start: Option<Vec<u8>>,
    /// Before this key.
    pub end: Option<Vec<u8>>,
    /// At most so many in a page.
    pub limit: u32,
}

/// The transaction that a script runs in, and its buckets.
///
/// `past` counts the moments that can be looked back at: 0 is the beginning of the script, then comes one for each commit, and then it begins
/// again. `nth` counts the savepoints from the newest, 0, to the oldest that is held, and then begins again.
pub trait Space {
    /// The value of a key, now or in the past.
    fn get(&mut self, past: Option<usize>, bucket: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault>;
    /// Gives a key a value.
    fn set(&mut self, bucket: &str, key: &[u8], value: &[u8]) -> Result<(), Fault>;
    /// Takes a key away.
    fn delete(&mut self, bucket: &str, key: &[u8]) -> Result<(), Fault>;
    /// Whether a key has a value.
    fn exists(&mut self, bucket: &str, key: &[u8]) -> Result<bool, Fault>;
    /// Adds to the number under a key.
    fn increment(&mut self, bucket: &str, key: &[u8], delta: i64) -> Result<i64, Fault>;
    /// The keys and values of a range, now or in the past, page by page to its end.
    fn scan(&mut self, past: Option<usize>, bucket: &str, range: Range) -> Result<Vec<Entry>, Fault>;
    /// The keys of a bucket as the standard interface lists them, page by page to the end.
    fn keys(&mut self, bucket: &str) -> Result<Vec<String>, Fault>;
    /// A compare-and-swap, before the end of which the key may be given another value: whether it happened.
    fn swap(&mut self, bucket: &str, key: &str, between: Option<&[u8]>, value: &[u8]) -> Result<bool, Fault>;
    /// The values of keys.
    fn get_many(&mut self, bucket: &str, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Fault>;
    /// Gives keys values, all or none.
    fn set_many(&mut self, bucket: &str, entries: &[(String, Vec<u8>)]) -> Result<(), Fault>;
    /// Takes keys away, all or none.
    fn delete_many(&mut self, bucket: &str, keys: &[String]) -> Result<(), Fault>;

    /// Sets a savepoint.
    fn save(&mut self) -> Result<(), Fault>;
    /// Goes back to a savepoint.
    fn back(&mut self, nth: usize) -> Result<(), Fault>;
    /// Lets go of a savepoint.
    fn keep(&mut self, nth: usize) -> Result<(), Fault>;
    /// Commits what was done so far.
    fn commit(&mut self) -> Result<(), Fault>;
    /// Drops the transaction; the script ends.
    fn abort(&mut self, reason: &str);
}
