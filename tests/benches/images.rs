//! What images of memories cost, beside copying as many bytes: `cargo bench -p reel-tests --bench images`.
//!
//! Every guest here is a core module with one memory, in the engine that residents have.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reel_host::engine::config::{Allocation, engine};
use reel_host::engine::image::{Image, PAGE, PageAt};
use reel_host::engine::memory::{GuestMemories, VisibleMemories};
use reel_host::engine::resident::Absorbed;
use reel_host::engine::tracker::Tracker;
use wasmtime::{Engine, Instance, InstancePre, Linker, Module, Store};

const SMALL: usize = 10 << 20;
const LARGE: usize = 1 << 30;
const ROUNDS: usize = 41;

const GUEST: &str = r#"(module
    (memory (export "m") 16 65536)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    ;; One byte in each of `count` pages, `step` bytes apart.
    (func (export "write") (param $count i32) (param $step i32) (local $at i32)
        (local.set $at (i32.const 64))
        (loop $again
            (i32.store8 (local.get $at) (i32.add (i32.load8_u (local.get $at)) (i32.const 1)))
            (local.set $at (i32.add (local.get $at) (local.get $step)))
            (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
    (func (export "read") (param $count i32) (param $step i32) (result i32) (local $at i32) (local $sum i32)
        (loop $again
            (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
            (local.set $at (i32.add (local.get $at) (local.get $step)))
            (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
        (local.get $sum))
)"#;

fn main() {
    let bench = Bench::new();
    let (small, large) = (bench.image(SMALL), bench.image(LARGE));
    println!("{:<58} {:>12} {:>12} {:>12}", "", "10 MB", "1 GB", "");
    both("copying the bytes", copying(SMALL), copying(LARGE), "what an image saves");
    both("instantiation", bench.instantiation(SMALL), bench.instantiation(LARGE), "in none of the below");
    both("adopt", bench.adopt(&small), bench.adopt(&large), "");
    both("first call after it, one page written", bench.first(&small), bench.first(&large), "");
    for dirty in [0, 10, 100, 1000] {
        let wanted = if dirty <= 10 { "wanted: < 200, x 2 at most" } else { "" };
        both(&format!("fork, {dirty} pages changed"), bench.fork(&small, dirty), bench.fork(&large, dirty), wanted);
    }
    for tracker in [Tracker::Scan, Tracker::Pagemap, Tracker::Compare] {
        for dirty in [10, 1000] {
            let time = |image| bench.changed(image, tracker, dirty, false);
            let wanted = if dirty == 10 && tracker == Tracker::Scan { "wanted: < 1000" } else { "" };
            both(&format!("changed, {dirty} pages, {tracker:?}"), time(&small), time(&large), wanted);
        }
        // A median over many searches: the kernel is told to forget untouched pages after some.
        let time = |image| bench.changed(image, tracker, 10, true);
        both(&format!("changed, 10 pages, all were read, {tracker:?}"), time(&small), time(&large), "");
    }
    for dirty in [10, 1000] {
        both(&format!("absorb, {dirty} pages"), bench.absorb(SMALL, dirty), bench.absorb(LARGE, dirty), "");
    }
    bench.all_changed();
    bench.many(&small);
}

struct Bench {
    engine: Engine,
    module: InstancePre<()>,
}

struct Guest {
    store: Store<()>,
    instance: Instance,
    memories: GuestMemories,
}

impl Guest {
    fn call<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(&mut self, name: &str, with: P) -> R {
        let function = self.instance.get_typed_func::<P, R>(&mut self.store, name).expect("function");
        function.call(&mut self.store, with).expect("call")
    }

    /// Writes to so many pages, evenly over the memory.
    fn write(&mut self, pages: usize) {
        let size = self.memories.sizes()[0];
        if pages > 0 {
            self.call::<_, ()>("write", (pages as i32, (size / pages / PAGE * PAGE) as i32));
        }
    }

    fn read_all(&mut self) {
        let pages = self.memories.sizes()[0] / PAGE;
        std::hint::black_box(self.call::<_, i32>("read", (pages as i32, PAGE as i32)));
    }
}

impl Bench {
    fn new() -> Self {
        let engine = engine(&Allocation::Visible(Arc::new(VisibleMemories)), 1 << 20).expect("engine");
        let module = Module::new(&engine, wat::parse_str(GUEST).expect("wat")).expect("module");
        let module = Linker::new(&engine).instantiate_pre(&module).expect("module");
        Self { engine, module }
    }

    fn guest(&self, memories: GuestMemories) -> Guest {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(1 << 40);
        let instance = memories.collect(|| self.module.instantiate(&mut store)).expect("instance");
        Guest { store, instance, memories }
    }

    fn fresh(&self, size: usize) -> Guest {
        self.guest(GuestMemories::with_sizes(vec![size]))
    }

    fn tracked(&self, size: usize, tracker: Tracker) -> Guest {
        let mut guest = self.guest(GuestMemories::with_tracker(tracker));
        let more = (size - guest.memories.sizes()[0]) / (64 << 10);
        assert!(guest.call::<_, i32>("grow", more as i32) > 0);
        guest
    }

    /// An image without a zero page.
    fn image(&self, size: usize) -> Arc<Image> {
        let page = |page: u64| (PageAt { memory: 0, page }, [page as u8 | 1; PAGE]);
        Image::from_pages(&[size], (0..(size / PAGE) as u64).map(page)).expect("image")
    }

    fn adopted(&self, image: &Arc<Image>) -> Guest {
        let guest = self.fresh(image.sizes()[0]);
        guest.memories.adopt(image).expect("adopt");
        guest
    }

    fn instantiation(&self, size: usize) -> f64 {
        median(|| {
            let begun = Instant::now();
            let guest = self.fresh(size);
            let time = begun.elapsed();
            drop(guest);
            time
        })
    }

    fn adopt(&self, image: &Arc<Image>) -> f64 {
        median(|| {
            let guest = self.fresh(image.sizes()[0]);
            let begun = Instant::now();
            guest.memories.adopt(image).expect("adopt");
            begun.elapsed()
        })
    }

    fn first(&self, image: &Arc<Image>) -> f64 {
        median(|| {
            let mut guest = self.adopted(image);
            let begun = Instant::now();
            guest.write(1);
            begun.elapsed()
        })
    }

    /// The original keeps its changes; every fork is a fresh instance.
    fn fork(&self, image: &Arc<Image>, dirty: usize) -> f64 {
        let mut origin = self.adopted(image);
        origin.write(dirty);
        median(|| {
            let fork = self.fresh(image.sizes()[0]);
            let begun = Instant::now();
            fork.memories.fork_from(&origin.memories).expect("fork");
            begun.elapsed()
        })
    }

    /// The pages and their bytes.
    fn changed(&self, image: &Arc<Image>, tracker: Tracker, dirty: usize, read: bool) -> f64 {
        let mut guest = self.tracked(image.sizes()[0], tracker);
        guest.memories.adopt(image).expect("adopt");
        if read {
            guest.read_all();
        }
        guest.write(dirty);
        let take = || {
            let begun = Instant::now();
            let changed = guest.memories.changed().expect("changed");
            let sum = |at: &PageAt| guest.memories.page(*at, |page| u64::from(page[64])).expect("page");
            std::hint::black_box(changed.iter().map(sum).sum::<u64>());
            let time = begun.elapsed();
            assert_eq!(changed.len(), dirty);
            time
        };
        if tracker == Tracker::Compare { micros(take()) } else { median(take) }
    }

    fn absorb(&self, size: usize, dirty: usize) -> f64 {
        let image = self.image(size);
        let mut guest = self.adopted(&image);
        drop(image);
        median(|| {
            guest.write(dirty);
            let begun = Instant::now();
            assert_eq!(guest.memories.absorb().expect("absorb"), Absorbed::Pages(dirty as u64));
            begun.elapsed()
        })
    }

    /// The worst case: nothing is as it was.
    fn all_changed(&self) {
        for (name, size) in [("10 MB", SMALL), ("256 MB", 256 << 20)] {
            let image = self.image(size);
            let mut guest = self.adopted(&image);
            drop(image);
            let pages = size / PAGE;
            let timed = |work: &mut dyn FnMut()| {
                let begun = Instant::now();
                work();
                micros(begun.elapsed())
            };
            let bytes = copying(size);
            let write = timed(&mut || guest.write(pages));
            let changed = timed(&mut || assert_eq!(guest.memories.changed().expect("changed").len(), pages));
            let copy = timed(&mut || drop(guest.memories.copy().expect("copy")));
            let other = self.fresh(size);
            let fork = timed(&mut || other.memories.fork_from(&guest.memories).expect("fork"));
            drop(other);
            let all = Absorbed::Pages(pages as u64);
            let absorb = timed(&mut || assert_eq!(guest.memories.absorb().expect("absorb"), all));
            for (what, time) in
                [("written", write), ("changed", changed), ("copy", copy), ("fork", fork), ("absorb", absorb)]
            {
                println!(
                    "{:<58} {bytes:>9.0} us {time:>9.0} us   x {:.2}",
                    format!("{name}, every page changed: {what} beside copying"),
                    time / bytes
                );
            }
        }
    }

    /// Many residents of an image each.
    fn many(&self, image: &Arc<Image>) {
        let count = 10_000;
        let before = ranges();
        let (mut guests, mut times) = (VecDeque::new(), Vec::new());
        for index in 0..count {
            let own = Image::from_pages(&[SMALL], [(PageAt { memory: 0, page: index % 2560 }, [1; PAGE])]);
            let own = own.expect("image");
            let mut guest = self.fresh(SMALL);
            let begun = Instant::now();
            guest.memories.adopt(&own).expect("adopt");
            times.push(micros(begun.elapsed()));
            guest.write(3);
            guests.push_back(guest);
        }
        times.sort_by(f64::total_cmp);
        let each = (ranges() - before) as f64 / count as f64;
        println!("{count} residents: {each:.2} ranges of addresses each, adopt {:.0} us", times[times.len() / 2]);
        println!("fork beside {count} residents: {:.0} us", self.fork(image, 10));
    }
}

fn ranges() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("maps").lines().count()
}

/// Copying so many bytes into memory that nobody has touched, as a fork without images would.
fn copying(size: usize) -> f64 {
    let from = vec![1u8; size];
    let copy = || {
        let begun = Instant::now();
        std::hint::black_box(from.clone());
        begun.elapsed()
    };
    let mut times: Vec<f64> = (0..3).map(|_| micros(copy())).collect();
    times.sort_by(f64::total_cmp);
    times[1]
}

fn median(mut measure: impl FnMut() -> Duration) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS).map(|_| micros(measure())).collect();
    times.sort_by(f64::total_cmp);
    times[ROUNDS / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn both(what: &str, small: f64, large: f64, wanted: &str) {
    println!("{what:<58} {small:>9.0} us {large:>9.0} us   x {:>6.2}  {wanted}", large / small);
}
