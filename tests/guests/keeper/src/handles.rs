//! Handles that stay open between calls, of kinds that the standard library closes at once.

use std::cell::RefCell;

use wasip2::clocks::monotonic_clock;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, DirectoryEntryStream, OpenFlags, PathFlags};
use wasip2::io::poll::Pollable;
use wasip2::io::streams::{InputStream, OutputStream};

use super::Keeper;

/// Children are let go of before their parents: fields are dropped in this order.
#[derive(Default)]
struct Held {
    listing: Option<(String, DirectoryEntryStream, Descriptor)>,
    timer: Option<Pollable>,
    input: Option<(InputStream, Descriptor)>,
    output: Option<(OutputStream, Descriptor)>,
}

thread_local! {
    static HELD: RefCell<Held> = RefCell::default();
}

fn held<T>(work: impl FnOnce(&mut Held) -> T) -> T {
    HELD.with_borrow_mut(work)
}

fn open(path: &str, open: OpenFlags, flags: DescriptorFlags) -> Option<Descriptor> {
    let (root, _) = get_directories().into_iter().find(|(_, name)| name == "/")?;
    root.open_at(PathFlags::empty(), path, open, flags).ok()
}

impl super::exports::test::keeper::handles::Guest for Keeper {
    fn next_name(path: String) -> Option<String> {
        held(|held| {
            if held.listing.as_ref().is_none_or(|(of, ..)| *of != path) {
                held.listing = None;
                let dir = open(&path, OpenFlags::DIRECTORY, DescriptorFlags::READ)?;
                let listing = dir.read_directory().ok()?;
                held.listing = Some((path, listing, dir));
            }
            let (_, listing, _) = held.listing.as_ref()?;
            let entry = listing.read_directory_entry().ok()?;
            if entry.is_none() {
                held.listing = None;
            }
            entry.map(|entry| entry.name)
        })
    }
    fn set_timer(millis: u64) {
        let timer = monotonic_clock::subscribe_duration(millis * 1_000_000);
        held(|held| held.timer = Some(timer));
    }
    fn rings() -> bool {
        held(|held| held.timer.as_ref().is_some_and(Pollable::ready))
    }
    fn await_timer() -> bool {
        held(|held| held.timer.take().inspect(Pollable::block).is_some())
    }
    fn stream_from(path: String, offset: u64) -> bool {
        held(|held| {
            held.input = open(&path, OpenFlags::empty(), DescriptorFlags::READ)
                .and_then(|file| Some((file.read_via_stream(offset).ok()?, file)));
            held.input.is_some()
        })
    }
    fn stream_read(bytes: u64) -> String {
        held(|held| match &held.input {
            Some((input, _)) => match input.blocking_read(bytes) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(error) => error.to_string(),
            },
            None => "nothing is open".to_owned(),
        })
    }
    fn stream_to(path: String) -> bool {
        held(|held| {
            held.output = open(&path, OpenFlags::CREATE, DescriptorFlags::WRITE)
                .and_then(|file| Some((file.write_via_stream(0).ok()?, file)));
            held.output.is_some()
        })
    }
    fn stream_write(text: String) -> bool {
        held(|held| {
            held.output.as_ref().is_some_and(|(output, _)| output.blocking_write_and_flush(text.as_bytes()).is_ok())
        })
    }
    fn drop_handles() {
        held(|held| *held = Held::default());
    }
}
