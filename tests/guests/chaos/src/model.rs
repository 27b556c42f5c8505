//! A space as it should be: maps, and copies of them for savepoints, commits and the past. Files are those of a real directory, which is put
//! back as it was when something is rolled back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::End;
use super::space::{Entry, Fault, Range, Space};

const KEY_BYTES: usize = 4096;
const VALUE_BYTES: usize = 64 << 20;
const BUCKET_NAME_BYTES: usize = 255;

/// A bucket's name and a key, and the value.
type Cells = BTreeMap<(String, Vec<u8>), Rc<Vec<u8>>>;

/// What a path below the directory is.
#[derive(Clone)]
enum Node {
    Directory,
    /// Which file it is, since a file may have several names, and its content.
    File(u64, Rc<Vec<u8>>),
}

/// Everything at a moment.
#[derive(Clone)]
struct State {
    cells: Cells,
    tree: Vec<(PathBuf, Node)>,
}

/// The model. It lasts over any number of scripts, each of which is a run of its own.
pub struct Model {
    root: PathBuf,
    cells: Cells,
    /// The moments that can be looked back at; the last is what was committed last.
    past: Vec<State>,
    /// Savepoints that are held, from the oldest on; nothing where one is gone.
    held: Vec<Option<State>>,
}

impl Model {
    /// Without any keys, beside the files of a directory.
    pub fn beside(root: &Path) -> Self {
        let mut model = Self { root: root.to_owned(), cells: Cells::new(), past: Vec::new(), held: Vec::new() };
        model.past.push(model.state());
        model
    }

    /// Ends the run as the script ended it; what comes next is another run.
    pub fn finish(&mut self, end: End) {
        match end {
            End::Exit(0) => drop(self.commit()),
            End::Exit(_) | End::Trap | End::Abort => self.restore(self.past.len() - 1),
        }
        self.held.clear();
        self.past.drain(..self.past.len() - 1);
    }

    fn state(&self) -> State {
        State { cells: self.cells.clone(), tree: look(&self.root) }
    }

    fn restore(&mut self, past: usize) {
        let State { cells, tree } = self.past[past].clone();
        self.cells = cells;
        put_back(&self.root, &tree);
    }

    fn at(&self, past: Option<usize>) -> &Cells {
        past.map_or(&self.cells, |past| &self.past[past % self.past.len()].cells)
    }

    /// Where the savepoint is, counted from the oldest.
    fn held(&self, nth: usize) -> Result<usize, Fault> {
        let count = self.held.len();
        if count == 0 { Err("none".into()) } else { Ok(count - 1 - nth % count) }
    }

    fn lose_after(&mut self, at: usize) {
        self.held[at..].iter_mut().for_each(|held| *held = None);
    }
}

fn place(bucket: &str, key: &[u8]) -> Result<(String, Vec<u8>), Fault> {
    if !(1..=BUCKET_NAME_BYTES).contains(&bucket.len()) {
        return Err("no-such-store".into());
    }
    match key.len() {
        ..=KEY_BYTES => Ok((bucket.to_owned(), key.to_owned())),
        len => Err(format!("key-too-long {len}")),
    }
}

/// The standard interface has no words for what is wrong with a key.
fn standard(fault: Fault) -> Fault {
    if fault == "no-such-store" { fault } else { "other".into() }
}

impl Space for Model {
    fn get(&mut self, past: Option<usize>, bucket: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.at(past).get(&place(bucket, key)?).map(|value| value.to_vec()))
    }

    fn set(&mut self, bucket: &str, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        let place = place(bucket, key)?;
        if value.len() > VALUE_BYTES {
            return Err(format!("value-too-large {}", value.len()));
        }
        self.cells.insert(place, Rc::new(value.to_vec()));
        Ok(())
    }

    fn delete(&mut self, bucket: &str, key: &[u8]) -> Result<(), Fault> {
        self.cells.remove(&place(bucket, key)?);
        Ok(())
    }

    fn exists(&mut self, bucket: &str, key: &[u8]) -> Result<bool, Fault> {
        Ok(self.cells.contains_key(&place(bucket, key)?))
    }

    fn increment(&mut self, bucket: &str, key: &[u8], delta: i64) -> Result<i64, Fault> {
        let place = place(bucket, key)?;
        let value =
            self.cells.get(&place).map_or(Some(0), |value| std::str::from_utf8(value).ok()?.parse::<i64>().ok());
        let sum = value.and_then(|value| value.checked_add(delta)).ok_or("not-a-number")?;
        self.cells.insert(place, Rc::new(sum.to_string().into_bytes()));
        Ok(sum)
    }

    fn scan(&mut self, past: Option<usize>, bucket: &str, range: Range) -> Result<Vec<Entry>, Fault> {
        place(bucket, b"")?;
        let within = |key: &[u8]| {
            key.starts_with(&range.prefix)
                && range.start.as_deref().is_none_or(|start| key >= start)
                && range.end.as_deref().is_none_or(|end| key < end)
        };
        let cells = self.at(past).iter().filter(|((of, key), _)| of == bucket && within(key));
        Ok(cells.map(|((_, key), value)| (key.clone(), value.to_vec())).collect())
    }

    fn keys(&mut self, bucket: &str) -> Result<Vec<String>, Fault> {
        let keys = self.scan(None, bucket, Range::default())?.into_iter();
        keys.map(|(key, _)| String::from_utf8(key).map_err(|_| "other".into())).collect()
    }

    fn swap(&mut self, bucket: &str, key: &str, between: Option<&[u8]>, value: &[u8]) -> Result<bool, Fault> {
        let before = self.get(None, bucket, key.as_bytes()).map_err(standard)?;
        if let Some(between) = between {
            self.set(bucket, key.as_bytes(), between).map_err(standard)?;
        }
        let same = between.is_none_or(|between| before.as_deref() == Some(between));
        if same {
            self.set(bucket, key.as_bytes(), value).map_err(standard)?;
        }
        Ok(same)
    }

    fn get_many(&mut self, bucket: &str, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Fault> {
        place(bucket, b"")?;
        keys.iter().map(|key| self.get(None, bucket, key.as_bytes()).map_err(standard)).collect()
    }

    fn set_many(&mut self, bucket: &str, entries: &[(String, Vec<u8>)]) -> Result<(), Fault> {
        place(bucket, b"")?;
        for (key, _) in entries {
            place(bucket, key.as_bytes()).map_err(standard)?;
        }
        entries.iter().try_for_each(|(key, value)| self.set(bucket, key.as_bytes(), value))
    }

    fn delete_many(&mut self, bucket: &str, keys: &[String]) -> Result<(), Fault> {
        place(bucket, b"")?;
        for key in keys {
            place(bucket, key.as_bytes()).map_err(standard)?;
        }
        keys.iter().try_for_each(|key| self.delete(bucket, key.as_bytes()))
    }

    fn save(&mut self) -> Result<(), Fault> {
        self.held.push(Some(self.state()));
        Ok(())
    }

    fn back(&mut self, nth: usize) -> Result<(), Fault> {
        let at = self.held(nth)?;
        let State { cells, tree } = self.held[at].clone().ok_or("gone")?;
        self.cells = cells;
        put_back(&self.root, &tree);
        self.lose_after(at + 1);
        Ok(())
    }

    fn keep(&mut self, nth: usize) -> Result<(), Fault> {
        let at = self.held(nth)?;
        if self.held.remove(at).is_some() {
            self.lose_after(at);
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Fault> {
        self.lose_after(0);
        self.past.push(self.state());
        Ok(())
    }

    fn abort(&mut self, _: &str) {}
}

/// What is in a directory, each directory before what is in it.
fn look(root: &Path) -> Vec<(PathBuf, Node)> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_owned()]);
    let mut contents: BTreeMap<u64, Rc<Vec<u8>>> = BTreeMap::new();
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a directory can be listed") {
            let path = entry.expect("an entry can be read").path();
            let meta = fs::symlink_metadata(&path).expect("what is listed is there");
            if meta.is_dir() {
                found.push((path.clone(), Node::Directory));
                open.push(path);
            } else {
                let read = || Rc::new(fs::read(&path).expect("a file can be read"));
                let content = Rc::clone(contents.entry(meta.ino()).or_insert_with(read));
                found.push((path, Node::File(meta.ino(), content)));
            }
        }
    }
    found
}

/// Makes a directory hold what it held.
fn put_back(root: &Path, tree: &[(PathBuf, Node)]) {
    for entry in fs::read_dir(root).expect("a directory can be listed") {
        let path = entry.expect("an entry can be read").path();
        let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        gone.expect("what is there can be removed");
    }
    let mut names: BTreeMap<u64, &Path> = BTreeMap::new();
    for (path, node) in tree {
        match node {
            Node::Directory => fs::create_dir(path),
            Node::File(id, content) => match names.get(id) {
                Some(first) => fs::hard_link(first, path),
                None => {
                    names.insert(*id, path);
                    fs::write(path, content.as_slice())
                }
            },
        }
        .expect("what was there can be made again");
    }
}
