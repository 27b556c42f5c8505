//! Images of guests' memories, held to plain vectors: whatever is written, grown, adopted, absorbed and forked, in whatever order, every guest has the
//! bytes it should have, and what changed is found.

use std::collections::BTreeSet;
use std::sync::Arc;

use reel_host::engine::config::{Allocation, engine};
use reel_host::engine::image::{Image, ImageError, PAGE, PageAt};
use reel_host::engine::memory::{GuestMemories, VisibleMemories};
use reel_host::engine::resident::Absorbed;
use reel_host::engine::tracker::Tracker;
use wasmtime::{Engine, Instance, Module, Store};

const WASM_PAGE: usize = 64 << 10;
const TRACKERS: [Tracker; 3] = [Tracker::Scan, Tracker::Pagemap, Tracker::Compare];

/// Two memories, one of them empty at first; data that instantiation writes; and functions for each.
const GUEST: &str = r#"(module
    (memory $a (export "a") 2 64)
    (memory $b (export "b") 0 64)
    (data (memory $a) (i32.const 70000) "written by instantiation")
    (func (export "fill-a") (param i32 i32 i32) (memory.fill $a (local.get 0) (local.get 1) (local.get 2)))
    (func (export "fill-b") (param i32 i32 i32) (memory.fill $b (local.get 0) (local.get 1) (local.get 2)))
    (func (export "grow-a") (param i32) (result i32) (memory.grow $a (local.get 0)))
    (func (export "grow-b") (param i32) (result i32) (memory.grow $b (local.get 0)))
    (func (export "load-a") (param i32) (result i32) (i32.load8_u $a (local.get 0)))
    (func (export "load-b") (param i32) (result i32) (i32.load8_u $b (local.get 0)))
    (func (export "size-a") (result i32) (memory.size $a))
    (func (export "size-b") (result i32) (memory.size $b))
)"#;

struct Lab {
    engine: Engine,
    module: Module,
}

impl Lab {
    fn new() -> Self {
        let engine = engine(&Allocation::Visible(Arc::new(VisibleMemories)), 1 << 20).expect("engine");
        let module = Module::new(&engine, wat::parse_str(GUEST).expect("wat")).expect("module");
        Self { engine, module }
    }

    /// One whose guests can be as large as that.
    fn of_pages(pages: usize) -> Self {
        let engine = Self::new().engine;
        let text = GUEST.replace(" 64)", &format!(" {pages})"));
        let module = Module::new(&engine, wat::parse_str(text).expect("wat")).expect("module");
        Self { engine, module }
    }

    fn guest(&self, memories: GuestMemories) -> Guest {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(1 << 40);
        let instance = memories.collect(|| Instance::new(&mut store, &self.module, &[])).expect("instance");
        Guest { store, instance, memories }
    }

    fn fresh(&self, tracker: Tracker) -> Guest {
        self.guest(GuestMemories::with_tracker(tracker))
    }

    /// One whose memories have these sizes, by growing or from the start.
    fn sized(&self, tracker: Tracker, sizes: &[usize], by_growing: bool) -> Guest {
        if !by_growing {
            return self.guest(GuestMemories::with_sizes(sizes.to_vec()));
        }
        let mut guest = self.fresh(tracker);
        for (memory, size) in sizes.iter().enumerate() {
            let pages = (size - guest.memories.sizes()[memory]) / WASM_PAGE;
            guest.grow(memory, pages);
        }
        guest
    }
}

struct Guest {
    store: Store<()>,
    instance: Instance,
    memories: GuestMemories,
}

impl Guest {
    fn call<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(&mut self, name: &str, memory: usize, with: P) -> R {
        self.try_call(name, memory, with).expect("call")
    }

    fn try_call<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
        &mut self,
        name: &str,
        memory: usize,
        with: P,
    ) -> wasmtime::Result<R> {
        let name = format!("{name}-{}", ["a", "b"][memory]);
        self.instance.get_typed_func::<P, R>(&mut self.store, &name)?.call(&mut self.store, with)
    }

    fn fill(&mut self, memory: usize, at: usize, value: u8, len: usize) {
        self.call::<_, ()>("fill", memory, (at as i32, i32::from(value), len as i32));
    }

    fn grow(&mut self, memory: usize, pages: usize) {
        assert!(self.call::<_, i32>("grow", memory, pages as i32) >= 0);
    }

    fn load(&mut self, memory: usize, at: usize) -> u8 {
        self.call::<_, i32>("load", memory, at as i32) as u8
    }

    fn content(&mut self) -> Content {
        let one =
            |name: &&str| self.instance.get_memory(&mut self.store, name).expect("memory").data(&self.store).to_vec();
        ["a", "b"].iter().map(one).collect()
    }

    fn changed(&self) -> BTreeSet<PageAt> {
        let pages = self.memories.changed().expect("changed");
        assert!(pages.is_sorted());
        pages.into_iter().collect()
    }
}

type Content = Vec<Vec<u8>>;

fn at(memory: usize, page: usize) -> PageAt {
    PageAt { memory: memory as u32, page: page as u64 }
}

fn sizes(content: &Content) -> Vec<usize> {
    content.iter().map(Vec::len).collect()
}

/// Pages in which two contents differ; what one does not have is zero.
fn differing(one: &Content, other: &Content) -> BTreeSet<PageAt> {
    let mut found = BTreeSet::new();
    for (memory, bytes) in one.iter().enumerate() {
        for (page, bytes) in bytes.chunks(PAGE).enumerate() {
            let old = other.get(memory).and_then(|old| old.get(page * PAGE..(page + 1) * PAGE)).unwrap_or(&[0; PAGE]);
            if bytes != old {
                found.insert(at(memory, page));
            }
        }
    }
    found
}

fn image_content(image: &Image) -> Content {
    let mut content: Content = image.sizes().iter().map(|size| vec![0; *size]).collect();
    let put = |at: PageAt, bytes: &[u8]| {
        let start = at.page as usize * PAGE;
        content[at.memory as usize][start..start + PAGE].copy_from_slice(bytes);
    };
    image.pages(put).expect("pages");
    content
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }
}

/// A guest with what it should hold: its bytes, those of its image, and the pages written since.
struct Held {
    guest: Guest,
    bytes: Content,
    image: Option<Kept>,
    written: BTreeSet<PageAt>,
}

/// An image with what it should hold.
#[derive(Clone)]
struct Kept {
    image: Arc<Image>,
    bytes: Arc<Content>,
}

struct World {
    lab: Lab,
    tracker: Tracker,
    dice: Dice,
    guests: Vec<Held>,
    images: Vec<Kept>,
}

impl World {
    fn new(tracker: Tracker, seed: u64) -> Self {
        let mut world = Self { lab: Lab::new(), tracker, dice: Dice(seed), guests: Vec::new(), images: Vec::new() };
        world.birth();
        world
    }

    fn birth(&mut self) {
        let mut guest = self.lab.fresh(self.tracker);
        let bytes = guest.content();
        let written = differing(&bytes, &Vec::new());
        self.guests.push(Held { guest, bytes, image: None, written });
    }

    fn step(&mut self) {
        let which = self.dice.below(self.guests.len());
        match self.dice.below(24) {
            0..=8 => self.write(which),
            9..=10 => self.read(which),
            11..=12 => self.grow(which),
            13 => self.copy(which),
            14..=15 => self.adopt(which),
            16..=18 => self.absorb(which),
            19..=20 => self.fork(which),
            21 if self.guests.len() > 1 => drop(self.guests.swap_remove(which)),
            22 if !self.images.is_empty() => {
                let which = self.dice.below(self.images.len());
                let kept = self.images.swap_remove(which);
                assert!(image_content(&kept.image) == *kept.bytes);
            }
            _ => self.check_changed(which),
        }
    }

    fn write(&mut self, which: usize) {
        let held = &mut self.guests[which];
        let memory = self.dice.below(2);
        let size = held.bytes[memory].len();
        let start = self.dice.below(size);
        let longest = [1, 100, PAGE, 30 * PAGE][self.dice.below(4)];
        let len = (1 + self.dice.below(longest)).min(size - start);
        if len == 0 {
            return;
        }
        let value = if self.dice.below(3) == 0 { 0 } else { self.dice.below(256) as u8 };
        held.guest.fill(memory, start, value, len);
        held.bytes[memory][start..start + len].fill(value);
        held.written.extend((start / PAGE..=(start + len - 1) / PAGE).map(|page| at(memory, page)));
    }

    fn read(&mut self, which: usize) {
        let held = &mut self.guests[which];
        for _ in 0..20 {
            let memory = self.dice.below(2);
            let size = held.bytes[memory].len();
            if size > 0 {
                let at = self.dice.below(size);
                assert_eq!(held.guest.load(memory, at), held.bytes[memory][at]);
            }
        }
    }

    fn grow(&mut self, which: usize) {
        let held = &mut self.guests[which];
        let (memory, pages) = (self.dice.below(2), self.dice.below(4));
        let size = held.bytes[memory].len() + pages * WASM_PAGE;
        if size <= 40 * WASM_PAGE {
            held.guest.grow(memory, pages);
            held.bytes[memory].resize(size, 0);
        }
    }

    fn copy(&mut self, which: usize) {
        let held = &mut self.guests[which];
        let image = held.guest.memories.copy().expect("copy");
        assert!(image_content(&image) == held.bytes);
        self.images.push(Kept { image, bytes: Arc::new(held.bytes.clone()) });
        if self.images.len() > 6 {
            self.images.remove(0);
        }
    }

    fn adopt(&mut self, which: usize) {
        if self.images.is_empty() {
            return;
        }
        let kept = self.images[self.dice.below(self.images.len())].clone();
        let held = &mut self.guests[which];
        if sizes(&kept.bytes) == sizes(&held.bytes) {
            held.guest.memories.adopt(&kept.image).expect("adopt");
        } else {
            let refused = held.guest.memories.adopt(&kept.image);
            assert!(matches!(refused, Err(ImageError::Sizes { .. })), "{refused:?}");
            assert!(held.guest.content() == held.bytes);
            let by_growing = self.tracker != Tracker::Scan || self.dice.below(2) == 0;
            held.guest = self.lab.sized(self.tracker, &sizes(&kept.bytes), by_growing);
            held.guest.memories.adopt(&kept.image).expect("adopt");
        }
        held.bytes = kept.bytes.to_vec();
        held.image = Some(kept);
        held.written.clear();
        assert_eq!(held.guest.changed(), BTreeSet::new());
    }

    fn absorb(&mut self, which: usize) {
        let shared = |image: &Kept| {
            let in_guests = self.guests.iter().filter_map(|held| held.image.as_ref());
            let in_all = in_guests.chain(&self.images).filter(|other| Arc::ptr_eq(&other.image, &image.image));
            in_all.count() > 1
        };
        let shared = self.guests[which].image.as_ref().map(shared);
        let held = &mut self.guests[which];
        // The model's own hold on the image must not count.
        let bytes = held.image.take().map(|kept| kept.bytes);
        let before = held.guest.changed().len();
        match held.guest.memories.absorb().expect("absorb") {
            Absorbed::NoImage => assert_eq!(shared, None),
            Absorbed::Shared => {
                assert_eq!(shared, Some(true));
                let image = held.guest.memories.image().expect("image");
                held.image = bytes.map(|bytes| Kept { image, bytes });
            }
            Absorbed::Pages(pages) => {
                assert_eq!(shared, Some(false));
                assert_eq!(pages as usize, before);
                assert_eq!(held.guest.changed(), BTreeSet::new());
                let footprint = held.guest.memories.footprint().expect("footprint");
                assert_eq!(footprint.private, 0);
                assert_eq!(footprint.mapped as usize, held.bytes.iter().map(Vec::len).sum::<usize>());
                let image = held.guest.memories.image().expect("image");
                assert!(image_content(&image) == held.bytes);
                held.image = Some(Kept { image, bytes: Arc::new(held.bytes.clone()) });
                held.written.clear();
            }
        }
    }

    fn fork(&mut self, which: usize) {
        if self.guests.len() > 6 {
            return;
        }
        let by_growing = self.tracker != Tracker::Scan || self.dice.below(2) == 0;
        let origin = &self.guests[which];
        let mut guest = self.lab.sized(self.tracker, &sizes(&origin.bytes), by_growing);
        guest.memories.fork_from(&origin.guest.memories).expect("fork");
        assert_eq!(guest.memories.digest(), origin.guest.memories.digest());
        assert_eq!(
            [guest.call::<_, i32>("size", 0, ()), guest.call("size", 1, ())]
                .map(|pages| pages as usize * WASM_PAGE)
                .to_vec(),
            sizes(&origin.bytes)
        );
        let held =
            Held { guest, bytes: origin.bytes.clone(), image: origin.image.clone(), written: origin.written.clone() };
        self.guests.push(held);
        self.check_changed(self.guests.len() - 1);
    }

    fn check_changed(&mut self, which: usize) {
        let held = &mut self.guests[which];
        let none = Vec::new();
        let base = held.image.as_ref().map_or(&none, |kept| &kept.bytes);
        let (must, found) = (differing(&held.bytes, base), held.guest.changed());
        assert!(must.is_subset(&found), "missed {:?}", must.difference(&found));
        match self.tracker {
            Tracker::Compare => assert_eq!(must, found),
            _ => assert!(found.is_subset(&held.written), "more than written {:?}", found.difference(&held.written)),
        }
        for page in found {
            let start = page.page as usize * PAGE;
            let bytes = held.guest.memories.read_page(page).expect("page");
            assert!(bytes == held.bytes[page.memory as usize][start..start + PAGE]);
        }
    }

    fn check_all(&mut self) {
        for which in 0..self.guests.len() {
            self.check_changed(which);
            let held = &mut self.guests[which];
            assert!(held.guest.content() == held.bytes);
            if let Some(kept) = &held.image {
                assert!(image_content(&kept.image) == *kept.bytes);
            }
        }
    }
}

#[test]
fn the_best_way_to_find_changes_works() {
    assert!(Tracker::Best.chosen().works());
    assert_ne!(Tracker::Best.chosen(), Tracker::Best);
}

#[test]
fn guests_hold_what_the_model_holds() {
    std::thread::scope(|scope| {
        for tracker in TRACKERS.into_iter().filter(|tracker| tracker.works()) {
            scope.spawn(move || {
                for seed in 0..12 {
                    let mut world = World::new(tracker, seed);
                    for step in 0..250 {
                        world.step();
                        if step % 25 == 0 {
                            world.check_all();
                        }
                    }
                    world.check_all();
                }
            });
        }
    });
}

#[test]
fn pages_beyond_the_memory_are_out_of_bounds_before_and_after() {
    let lab = Lab::new();
    let mut guest = lab.fresh(Tracker::Best);
    guest.fill(0, 0, 1, 2 * WASM_PAGE);
    let image = guest.memories.copy().expect("copy");
    for _ in 0..2 {
        for address in [2 * WASM_PAGE, 3 * WASM_PAGE, 1 << 30, u32::MAX as usize] {
            let trapped = guest.try_call::<_, i32>("load", 0, address as i32);
            assert_eq!(
                trapped.expect_err("trap").downcast::<wasmtime::Trap>().expect("trap"),
                wasmtime::Trap::MemoryOutOfBounds
            );
        }
        guest.memories.adopt(&image).expect("adopt");
    }
    guest.grow(0, 1);
    assert_eq!(guest.load(0, 2 * WASM_PAGE), 0);
    assert!(guest.try_call::<_, i32>("load", 0, 3 * WASM_PAGE as i32).is_err());
}

#[test]
fn images_are_made_of_pages() {
    let pages = [(at(0, 1), [7u8; PAGE]), (at(1, 15), [9; PAGE]), (at(0, 3), [0; PAGE])];
    let image = Image::from_pages(&[2 * WASM_PAGE, WASM_PAGE], pages).expect("image");
    assert_eq!(image.sizes(), [2 * WASM_PAGE, WASM_PAGE]);
    assert_eq!(image.stored_bytes(), 2 * PAGE as u64);
    assert_eq!(image.page(at(1, 15)).expect("page"), [9; PAGE]);
    assert_eq!(image.page(at(0, 31)).expect("page"), [0; PAGE]);
    let lab = Lab::new();
    let mut guest = lab.sized(Tracker::Best, &image.sizes(), true);
    guest.memories.adopt(&image).expect("adopt");
    assert!(guest.content() == image_content(&image));
    for (sizes, page, len) in
        [(vec![WASM_PAGE], at(0, 16), PAGE), (vec![WASM_PAGE], at(1, 0), PAGE), (vec![], at(0, 0), PAGE)]
    {
        let refused = Image::from_pages(&sizes, [(page, vec![1; len])]);
        assert!(matches!(refused, Err(ImageError::NoSuchPage(_))));
    }
    assert!(matches!(Image::from_pages(&[WASM_PAGE], [(at(0, 0), [1; 5])]), Err(ImageError::PageLength(5))));
    assert!(matches!(Image::from_pages(&[usize::MAX], [(at(0, 0), [1; 5])]), Err(ImageError::TooLarge(_))));
    assert!(matches!(guest.memories.read_page(at(0, 1 << 60)), Err(ImageError::NoSuchPage(_))));
}

#[test]
fn an_image_of_nothing_is_an_image() {
    let image = Image::from_pages::<[u8; PAGE]>(&[2 * WASM_PAGE, 0], []).expect("image");
    assert_eq!(image.stored_bytes(), 0);
    let lab = Lab::new();
    let mut guest = lab.fresh(Tracker::Best);
    guest.memories.adopt(&image).expect("adopt");
    assert_eq!(guest.changed(), BTreeSet::new());
    assert!(guest.content() == [vec![0; 2 * WASM_PAGE], Vec::new()]);
    guest.grow(1, 2);
    guest.fill(1, PAGE, 1, 1);
    drop(image);
    assert_eq!(guest.changed(), BTreeSet::from([at(1, 1)]));
    assert_eq!(guest.memories.absorb().expect("absorb"), Absorbed::Pages(1));
    assert_eq!(guest.load(1, PAGE), 1);
    assert_eq!(guest.changed(), BTreeSet::new());
}

/// An image is shared as long as a store runs on it, even if nobody looks at its memories any more.
#[test]
fn a_guest_nobody_looks_at_keeps_its_image() {
    let lab = Lab::new();
    let mut origin = lab.fresh(Tracker::Best);
    origin.fill(0, 0, 1, WASM_PAGE);
    let image = origin.memories.copy().expect("copy");
    origin.memories.adopt(&image).expect("adopt");
    drop(image);
    let mut fork = lab.fresh(Tracker::Best);
    fork.memories.fork_from(&origin.memories).expect("fork");
    fork.memories = GuestMemories::default();
    origin.fill(0, 0, 2, WASM_PAGE);
    assert_eq!(origin.memories.absorb().expect("absorb"), Absorbed::Shared);
    assert_eq!(fork.load(0, 5), 1);
    drop(fork);
    assert_eq!(origin.memories.absorb().expect("absorb"), Absorbed::Pages(16));
}

#[test]
fn large_zeros_become_holes() {
    let lab = Lab::new();
    let mut guest = lab.fresh(Tracker::Best);
    guest.grow(0, 30);
    guest.fill(0, 0, 1, 32 * WASM_PAGE);
    let image = guest.memories.copy().expect("copy");
    guest.memories.adopt(&image).expect("adopt");
    assert_eq!(image.stored_bytes(), 32 * WASM_PAGE as u64);
    drop(image);
    guest.fill(0, WASM_PAGE, 0, 30 * WASM_PAGE);
    assert_eq!(guest.memories.absorb().expect("absorb"), Absorbed::Pages(30 * 16));
    assert_eq!(guest.memories.image().expect("image").stored_bytes(), 2 * WASM_PAGE as u64);
    assert_eq!([guest.load(0, 0), guest.load(0, WASM_PAGE), guest.load(0, 31 * WASM_PAGE)], [1, 0, 1]);
}

/// Asking again and again after all was read makes the kernel forget untouched pages, and only those.
#[test]
fn what_was_changed_outlives_many_questions() {
    let mut guest = Lab::of_pages(4096).sized(Tracker::Best, &[2048 * WASM_PAGE, 0], true);
    let pages: BTreeSet<PageAt> = (0..40).map(|index| at(0, index * 811)).collect();
    let image = Image::from_pages(&[2048 * WASM_PAGE, 0], (0..2048 * 16).map(|page| (at(0, page), [5; PAGE])));
    guest.memories.adopt(&image.expect("image")).expect("adopt");
    for round in 1..=30u8 {
        for page in 0..2048 * 16 {
            let first = guest.memories.page(at(0, page), |page| page[0]).expect("page");
            assert_eq!(first, if round > 1 && pages.contains(&at(0, page)) { round - 1 } else { 5 });
        }
        for page in &pages {
            guest.fill(0, page.page as usize * PAGE, round, 1);
        }
        assert_eq!(guest.changed(), pages);
        for page in &pages {
            assert_eq!(guest.load(0, page.page as usize * PAGE), round);
            assert_eq!(guest.load(0, page.page as usize * PAGE + 1), 5);
        }
    }
}

/// A resident has one file and few ranges of addresses, and none is like another.
#[test]
fn a_thousand_residents_at_once() {
    let lab = Lab::new();
    let before = ranges();
    let mut guests = Vec::new();
    for index in 0..1000u32 {
        let pages = [(at(0, 0), [index as u8; PAGE]), (at(0, index as usize % 32), [(index >> 4) as u8 | 1; PAGE])];
        let image = Image::from_pages(&[2 * WASM_PAGE, 0], pages).expect("image");
        let mut guest = lab.fresh(Tracker::Best);
        guest.memories.adopt(&image).expect("adopt");
        drop(image);
        guest.fill(0, 100, 3, 1);
        guests.push(guest);
    }
    let each = (ranges() - before) as f64 / 1000.0;
    assert!(each <= 5.0, "{each} ranges for a resident with two memories");
    for (index, guest) in guests.iter_mut().enumerate() {
        assert_eq!(guest.load(0, 4095), if index % 32 == 0 { (index >> 4) as u8 | 1 } else { index as u8 });
        assert_eq!(guest.load(0, 100), 3);
        assert_eq!(guest.memories.absorb().expect("absorb"), Absorbed::Pages(1));
        assert_eq!(guest.load(0, 100), 3);
    }
}

fn ranges() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("maps").lines().count()
}

/// Forks are taken and run on other threads while the original goes on.
#[test]
fn forks_run_beside_their_origin() {
    let lab = Lab::new();
    let mut origin = lab.fresh(Tracker::Best);
    origin.grow(0, 14);
    for page in 0..16 {
        origin.fill(0, page * WASM_PAGE, page as u8 + 1, WASM_PAGE);
    }
    let image = origin.memories.copy().expect("copy");
    origin.memories.adopt(&image).expect("adopt");
    drop(image);
    std::thread::scope(|scope| {
        for round in 1..=40u8 {
            let mut fork = lab.sized(Tracker::Best, &origin.memories.sizes(), false);
            fork.memories.fork_from(&origin.memories).expect("fork");
            let expected = origin.content();
            scope.spawn(move || {
                assert!(fork.content() == expected);
                for page in 0..256 {
                    fork.fill(0, page * PAGE, 200, 1);
                    fork.memories.changed().expect("changed");
                }
                drop(expected);
                drop(fork);
            });
            origin.fill(0, usize::from(round) * 3 * PAGE, round, PAGE);
            // Shared while a fork is alive, absorbed when none is; right either way.
            let _ = origin.memories.absorb().expect("absorb");
            assert_eq!(origin.load(0, usize::from(round) * 3 * PAGE), round);
        }
    });
    assert!(matches!(origin.memories.absorb().expect("absorb"), Absorbed::Pages(_)));
    assert_eq!(
        (1..=40).map(|round| origin.load(0, round * 3 * PAGE)).collect::<Vec<_>>(),
        (1..=40).collect::<Vec<u8>>()
    );
}
