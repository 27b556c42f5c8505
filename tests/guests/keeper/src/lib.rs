//! See `wit/world.wit`.

#[path = "../../variant.rs"]
mod variant;

mod handles;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime};

wit_bindgen::generate!({ path: "wit", world: "keeper" });

#[derive(Default)]
struct State {
    sum: i64,
    texts: BTreeMap<String, String>,
    held: Vec<u8>,
    open: Option<File>,
    reading: HashMap<String, File>,
    began: Option<Instant>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn state<T>(work: impl FnOnce(&mut State) -> T) -> T {
    STATE.with_borrow_mut(work)
}

struct Keeper;

impl exports::test::keeper::memory::Guest for Keeper {
    fn add(n: i64) -> i64 {
        state(|state| {
            state.sum = state.sum.wrapping_add(n);
            if variant::is("double") { 2 * state.sum } else { state.sum }
        })
    }
    fn slow_add(n: i64, millis: u64) -> i64 {
        std::thread::sleep(Duration::from_millis(millis));
        Self::add(n)
    }
    fn remember(name: String, text: String) -> u32 {
        assert!(!variant::is("weak"), "it remembers nothing");
        state(|state| {
            state.texts.insert(name, text);
            state.texts.len() as u32
        })
    }
    fn recall(name: String) -> Option<String> {
        state(|state| state.texts.get(&name).cloned())
    }
    fn all() -> Vec<(String, String)> {
        state(|state| state.texts.clone().into_iter().collect())
    }
    fn hold(bytes: u64, value: u8) -> u64 {
        state(|state| {
            let len = state.held.len() + bytes as usize;
            state.held.reserve_exact(bytes as usize);
            state.held.resize(len, value);
            len as u64
        })
    }
    fn dirty(pages: u32, value: u8) -> u64 {
        state(|state| {
            for page in state.held.chunks_mut(4096).take(pages as usize) {
                page[0] = value;
            }
            state.held.chunks(4096).map(|page| u64::from(page[0])).sum()
        })
    }
    fn touch(pages: u32, value: u8) {
        state(|state| {
            for page in state.held.chunks_mut(4096).take(pages as usize) {
                page[0] = value;
            }
        })
    }
    fn let_go() {
        state(|state| state.held = Vec::new());
    }
}

impl exports::test::keeper::world_of::Guest for Keeper {
    fn open(path: String) -> Result<(), String> {
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(|e| e.to_string())?;
        state(|state| state.open = Some(file));
        Ok(())
    }
    fn append(text: String) -> Result<u64, String> {
        state(|state| {
            let file = state.open.as_mut().ok_or("nothing is open")?;
            file.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
            Ok(file.metadata().map_err(|e| e.to_string())?.len())
        })
    }
    fn read_on(path: String, bytes: u32) -> Result<String, String> {
        state(|state| {
            if !state.reading.contains_key(&path) {
                let file = File::open(&path).map_err(|e| e.to_string())?;
                state.reading.insert(path.clone(), file);
            }
            let file = state.reading.get_mut(&path).ok_or("gone")?;
            let mut buffer = vec![0; bytes as usize];
            let read = file.read(&mut buffer).map_err(|e| e.to_string())?;
            Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())
        })
    }
    fn read(path: String) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|e| e.to_string())
    }
    fn close() {
        state(|state| {
            state.open = None;
            state.reading.clear();
        });
    }
    fn say(text: String) {
        println!("{text}");
    }
    fn say_twice(text: String, millis: u64) {
        println!("{text}");
        std::thread::sleep(Duration::from_millis(millis));
        println!("{text} again");
    }
    fn now() -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
    }
    fn elapsed() -> u64 {
        state(|state| state.began.get_or_insert_with(Instant::now).elapsed().as_millis() as u64)
    }
    fn random() -> u64 {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(0)
    }
    fn put(key: String, value: String) {
        let bucket = reel_guest::Bucket::open("kept").expect("a bucket");
        bucket.set(key.as_bytes(), value.as_bytes()).expect("set");
    }
    fn put_in(bucket: String, key: String, value: String) {
        let bucket = reel_guest::Bucket::open(&bucket).expect("a bucket");
        bucket.set(key.as_bytes(), value.as_bytes()).expect("set");
    }
    fn get(key: String) -> Option<String> {
        let bucket = reel_guest::Bucket::open("kept").expect("a bucket");
        bucket.get(key.as_bytes()).expect("get").map(|value| String::from_utf8_lossy(&value).into_owned())
    }
    fn argv() -> Vec<String> {
        std::env::args().collect()
    }
    fn sleep(millis: u64) -> u64 {
        std::thread::sleep(Duration::from_millis(millis));
        millis
    }
}

impl exports::test::keeper::trouble::Guest for Keeper {
    fn panics(after_adding: i64) {
        state(|state| state.sum += after_adding);
        if variant::is("mended") {
            let sum = state(|state| state.sum.to_string());
            return <Self as exports::test::keeper::world_of::Guest>::put("mended".to_owned(), sum);
        }
        panic!("as asked");
    }
    fn traps(after_adding: i64) {
        state(|state| state.sum += after_adding);
        core::arch::wasm32::unreachable();
    }
    fn aborts(after_adding: i64, reason: String) {
        state(|state| state.sum += after_adding);
        reel_guest::abort(&reason);
    }
    fn exits(code: i32) {
        std::process::exit(code);
    }
    fn spins() {
        loop {
            std::hint::black_box(());
        }
    }
    fn refuses(why: String) -> Result<u32, String> {
        Err(why)
    }
}

impl Guest for Keeper {
    fn plain(n: u32) -> u32 {
        n + 1
    }
}

export!(Keeper);
