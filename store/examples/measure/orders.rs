//! Transactions that are ordered before they are durable, beside those that wait for the disk.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use reel_abi::id::SpaceName;
use reel_abi::record::{Cell, CellValue};
use reel_store::{AppendError, Store, Submission};

use crate::commits;

/// How many transactions there were, of which kind.
#[derive(Default)]
struct Counts {
    done: AtomicU64,
    overtaken: AtomicU64,
    /// Nanoseconds in [`Store::order`], and beside it: beginning, reading and making the submission.
    ordering: AtomicU64,
    beside: AtomicU64,
}

/// What is ordered and not yet durable.
#[derive(Default)]
struct Flight {
    open: Mutex<u64>,
    changed: Condvar,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Append,
    Order,
    /// Like a client that asks again when it is answered.
    OrderAndWait,
}

fn number(value: Option<CellValue>) -> u64 {
    match value {
        Some(CellValue::Inline { bytes }) => u64::from_le_bytes(bytes.0.try_into().unwrap()),
        _ => 0,
    }
}

/// Reads a number and writes one more; says whether it was committed.
fn increment(store: &Store, space: &SpaceName, key: &[u8], way: Way, counts: &Counts, flight: &Arc<Flight>) -> bool {
    let begin = Instant::now();
    let head = if way == Way::Append { store.head_or_new(space) } else { store.newest_or_new(space) }.unwrap();
    let old = number(store.view(head).unwrap().get(1, key).unwrap());
    let mut submission: Submission = super::submission(store, space, head, 230);
    let proposal = submission.commit.as_mut().unwrap();
    proposal.reads.key(1, key);
    let value = CellValue::Inline { bytes: (old + 1).to_le_bytes().to_vec().into() };
    proposal.cells = vec![Cell { family: 1, key: key.to_vec().into(), value }];
    let made = begin.elapsed();
    let answer = if way == Way::Append {
        store.append(submission)
    } else {
        let own = Arc::new(Flight { open: Mutex::new(1), changed: Condvar::new() });
        let (flight, waits) = (if way == Way::Order { flight.clone() } else { own.clone() }, own);
        if way == Way::Order {
            *flight.open.lock().unwrap() += 1;
        }
        let landed = flight.clone();
        let land = move |landed: &Flight| {
            *landed.open.lock().unwrap() -= 1;
            landed.changed.notify_all();
        };
        let answer = store.order(submission, move |answer| {
            answer.unwrap();
            land(&landed);
        });
        match &answer {
            Ok(_) if way == Way::OrderAndWait => {
                drop(waits.changed.wait_while(waits.open.lock().unwrap(), |open| *open > 0).unwrap());
            }
            Ok(_) => {}
            Err(_) => land(&flight),
        }
        answer
    };
    counts.beside.fetch_add(made.as_nanos() as u64, Ordering::Relaxed);
    counts.ordering.fetch_add((begin.elapsed() - made).as_nanos() as u64, Ordering::Relaxed);
    match answer {
        Ok(_) => counts.done.fetch_add(1, Ordering::Relaxed),
        Err(AppendError::Conflict { .. }) => counts.overtaken.fetch_add(1, Ordering::Relaxed),
        Err(other) => panic!("{other}"),
    };
    true
}

fn measured(store: &Store, name: &str, threads: u64, hot: bool, way: Way, time: Duration) {
    let space: SpaceName = format!("{name}-{threads}").parse().unwrap();
    let counts = Counts::default();
    let flight = Arc::new(Flight::default());
    let stop = AtomicBool::new(false);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (space, counts, flight, stop) = (&space, &counts, &flight, &stop);
            scope.spawn(move || {
                let key = if hot { b"hot".to_vec() } else { thread.to_be_bytes().to_vec() };
                while !stop.load(Ordering::Relaxed) && increment(store, space, &key, way, counts, flight) {}
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    drop(flight.changed.wait_while(flight.open.lock().unwrap(), |open| *open > 0).unwrap());
    let took = begin.elapsed().as_secs_f64();
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
    let (done, overtaken) = (of(&counts.done), of(&counts.overtaken));
    let each = |nanos: &AtomicU64| of(nanos) / (done + overtaken) / 1e3;
    println!(
        "  {threads:2} threads, {name:20}: {:7.0}/s, {:5.2} attempts each; an attempt: {:6.1} us until committed, {:5.1} us before",
        done / took,
        (done + overtaken) / done,
        each(&counts.ordering),
        each(&counts.beside),
    );
}

pub fn orders(dir: &Path, rounds: usize) {
    let store = Store::open(&dir.join("orders"), "measure").unwrap();
    let time = Duration::from_millis(std::env::var("MILLIS").map_or(1000, |text| text.parse().unwrap()));
    for round in 0..rounds {
        println!("round {round}; durable before the clock stops");
        println!(
            "  bare redb: {:.0}/s one a commit, {:.0}/s 64 packed in one",
            commits::bare(dir, 1, 500, true, time),
            { commits::bare(dir, 64, 500, true, time) }
        );
        for threads in [1, 2, 8] {
            measured(&store, "append-hot-key", threads, true, Way::Append, time);
            measured(&store, "order-hot-key", threads, true, Way::Order, time);
            measured(&store, "order-wait-hot-key", threads, true, Way::OrderAndWait, time);
            measured(&store, "append-own-keys", threads, false, Way::Append, time);
            measured(&store, "order-own-keys", threads, false, Way::Order, time);
            measured(&store, "order-wait-own-keys", threads, false, Way::OrderAndWait, time);
        }
    }
}
