//! `hostile MODE [NUMBER] [TEXT]`: tries one thing against the host. What it is told is printed, so that a test can look at it.

use std::fmt::Debug;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Seek, SeekFrom, Write};

use wasip2::clocks::monotonic_clock;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};
use wasip2::io::poll::{Pollable, poll};

const NO_FOLLOW: PathFlags = PathFlags::empty();

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mode = args.get(1).map_or("", String::as_str);
    let number: u64 = args.get(2).and_then(|number| number.parse().ok()).unwrap_or(1);
    let text = args.get(3).map_or("", String::as_str);
    match mode {
        "nothing" => {}
        "print" => println!("{text}"),
        "env" => {
            let shown: Vec<_> = std::env::vars_os().filter(|(name, _)| name != "SEED").collect();
            println!("{:?} {shown:?}", std::env::args_os().skip(3).collect::<Vec<_>>());
        }
        "spin" => {
            let mut value = number;
            loop {
                value = black_box(value.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (value >> 7));
            }
        }
        "spin-calls" => loop {
            black_box(monotonic_clock::now());
        },
        "calls" => {
            for _ in 0..number {
                black_box(monotonic_clock::now());
            }
        }
        "sleep" => monotonic_clock::subscribe_duration(u64::MAX).block(),
        "sleep-list" => {
            let timers: Vec<Pollable> = (0..8).map(|_| monotonic_clock::subscribe_duration(u64::MAX)).collect();
            black_box(poll(&timers.iter().collect::<Vec<_>>()));
        }
        "memory" => {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1u8; 1 << 20]);
                black_box(&kept);
            }
        }
        "recursion" => {
            black_box(descend(number));
        }
        "flood" => {
            let block = vec![b'x'; 64 << 10];
            let mut out = std::io::stdout().lock();
            for _ in 0..number {
                if out.write_all(&block).is_err() {
                    std::process::exit(9);
                }
            }
        }
        "huge-write" => show(make("huge").write(&vec![7u8; number as usize], 0)),
        "zeroes" => show(make("z").write_via_stream(0).map(|stream| stream.write_zeroes(number))),
        "zeroes-out" => show(wasip2::cli::stdout::get_stdout().write_zeroes(number)),
        "read" => {
            let file = make("r");
            show(file.write(b"four", 0));
            show(file.read(number, 0).map(|(bytes, end)| (bytes.len(), end)));
            show(file.read(number, u64::MAX).map(|(bytes, end)| (bytes.len(), end)));
            let stream = file.read_via_stream(0).expect("stream");
            show(stream.read(number).map(|bytes| bytes.len()));
            show(stream.skip(number));
            let stream = file.read_via_stream(u64::MAX).expect("stream");
            show(stream.read(number).map(|bytes| bytes.len()));
        }
        "random" => {
            println!("{}", wasip2::random::random::get_random_bytes(number).len());
        }
        "insecure" => {
            println!("{}", wasip2::random::insecure::get_insecure_random_bytes(number).len());
        }
        "open" => {
            let root = root();
            make("o");
            let kept: Vec<_> =
                (0..number).map(|_| root.open_at(NO_FOLLOW, "o", OpenFlags::empty(), DescriptorFlags::READ)).collect();
            println!("{}", kept.iter().filter(|one| one.is_ok()).count());
        }
        "pollables" => {
            let kept: Vec<_> = (0..number).map(|_| monotonic_clock::subscribe_duration(1)).collect();
            println!("{}", kept.len());
        }
        "streams" => {
            let file = make("s");
            let kept: Vec<_> = (0..number).map(|_| file.read_via_stream(0)).collect();
            println!("{}", kept.len());
        }
        "poll" => {
            let one = monotonic_clock::subscribe_duration(0);
            let list: Vec<&Pollable> = (0..number).map(|_| &one).collect();
            println!("{}", poll(&list).len());
        }
        "poll-none" => println!("{}", poll(&[]).len()),
        // A stream does not keep its file's handle alive: it goes on by itself, as the specification lets it.
        "stream-after-file" => {
            let file = make("f");
            let (to, from) = (file.write_via_stream(0).expect("stream"), file.read_via_stream(0).expect("stream"));
            drop(file);
            fs::remove_file("/f").expect("unlink");
            show(to.blocking_write_and_flush(b"still"));
            show(from.read(10));
            show(from.read(10).map_err(|_| "an end"));
        }
        "path" => {
            let root = root();
            let path = text.repeat(number as usize);
            show(root.stat_at(NO_FOLLOW, &path).map(|_| ()));
            show(root.create_directory_at(&path));
            show(root.open_at(NO_FOLLOW, &path, OpenFlags::CREATE, DescriptorFlags::WRITE).map(|_| ()));
            show(root.rename_at(&path, &root, "x"));
            show(root.symlink_at(&path, "link"));
            show(root.readlink_at("link"));
            show(root.stat_at(PathFlags::SYMLINK_FOLLOW, "link").map(|_| ()));
            show(root.unlink_file_at(&path));
        }
        "deep" => {
            let name = if text.is_empty() { "d" } else { text };
            let mut at = root();
            for _ in 0..number {
                at.create_directory_at(name).expect("directory");
                at = at
                    .open_at(
                        NO_FOLLOW,
                        name,
                        OpenFlags::DIRECTORY,
                        DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY,
                    )
                    .expect("open");
            }
            show(at.stat().map(|_| ()));
            show(at.create_directory_at("last"));
        }
        "links" => {
            let root = root();
            show(root.symlink_at("loop", "loop"));
            show(root.symlink_at("there", "back"));
            show(root.symlink_at("back", "there"));
            show(root.symlink_at("../../../../../../../../etc/passwd", "out"));
            show(root.symlink_at("/etc/passwd", "absolute"));
            for number in 0..60 {
                root.symlink_at(&format!("chain{}", number + 1), &format!("chain{number}")).expect("link");
            }
            // Each link doubles the way: 2^30 steps if they were all walked.
            root.create_directory_at("p").expect("directory");
            root.symlink_at("p/..", "w0").expect("link");
            for number in 0..30 {
                root.symlink_at(&format!("w{number}/w{number}"), &format!("w{}", number + 1)).expect("link");
            }
            for path in
                ["loop", "there", "out", "chain0", "chain30", "w30", "loop/x", "../x", "p/../../x", "/etc/passwd"]
            {
                show(root.stat_at(PathFlags::SYMLINK_FOLLOW, path).map(|_| ()));
            }
        }
        // Looks at every name of the first directory and tries to change all of them.
        "explore" => explore(),
        "files" => {
            for index in 0..number {
                fs::write(format!("/{index}"), b"").expect("tiny file");
            }
        }
        "names" => {
            let root = root();
            for index in 0..number {
                let name = format!("{text}{index:07}");
                root.open_at(NO_FOLLOW, &name, OpenFlags::CREATE, DescriptorFlags::WRITE).expect("file");
            }
            println!("{}", fs::read_dir("/").expect("list").count());
        }
        // Opens the directory's listing again and again without reading it.
        "listings" => {
            let root = root();
            for index in 0..number {
                root.open_at(NO_FOLLOW, &format!("{index:07}"), OpenFlags::CREATE, DescriptorFlags::WRITE)
                    .expect("file");
            }
            let kept: Vec<_> = (0..9_000).map(|_| root.read_directory().expect("listing")).collect();
            println!("{}", kept.len());
        }
        "sparse" => {
            let mut file = File::create("/sparse").expect("create");
            file.seek(SeekFrom::Start(number)).expect("seek");
            show(file.write_all(b"x").map_err(|error| error.raw_os_error()));
            show(make("sparse2").write(b"x", number));
            show(make("sparse3").set_size(number));
            show(make("sparse4").write_via_stream(number).map(|stream| stream.blocking_write_and_flush(b"x").is_ok()));
        }
        // A byte in each of many blocks: each costs the host more than the guest.
        "dust" => {
            let file = make("dust");
            for index in 0..number {
                file.write(b"x", index * 65_536 * 8).expect("write");
            }
        }
        // Makes a file of this size without writing it.
        "size" => show(make("sized").set_size(number)),
        "create" => {
            fs::write(format!("/{}", text.repeat(number as usize)), "made").expect("create");
        }
        "renames" => {
            let root = root();
            for name in ["a", "a/b", "a/b/c"] {
                root.create_directory_at(name).expect("directory");
            }
            for (from, to) in [
                ("a", "a/b"),
                ("a", "a/b/c/a"),
                ("a/b", "a"),
                ("a/b/c", "a/b"),
                ("a", "a/."),
                ("a", "a/b/.."),
                ("a", "a"),
            ] {
                show(root.rename_at(from, &root, to));
            }
            for _ in 0..number {
                root.rename_at("a/b", &root, "x").expect("rename");
                root.rename_at("a", &root, "x/a").expect("rename");
                root.rename_at("x/a", &root, "a").expect("rename");
                root.rename_at("x", &root, "a/b").expect("rename");
            }
            show(root.stat_at(NO_FOLLOW, "a/b/c").map(|_| ()));
        }
        "bytes" => {
            let bytes: Vec<u8> = (0..=255).collect();
            std::io::stdout().write_all(&bytes).expect("write");
            std::io::stdout().write_all(b"\x1b]0;owned\x07\x1b[31mred\r\nline\xe2\x80\xaegnp\n").expect("write");
            fs::write("/\u{1b}[2Jname", "x").expect("write");
        }
        // Writes a numbered set of files, all of which carry the number, over a third of a second.
        "set" => {
            for index in 0..64 {
                fs::write(format!("/set{index}"), format!("{number} ").repeat(2000)).expect("write");
                black_box(monotonic_clock::now());
            }
            for _ in 0..15 {
                std::thread::sleep(std::time::Duration::from_millis(20));
                fs::write("/set0", format!("{number} ").repeat(2000)).expect("write");
            }
        }
        "put" => fs::write(text, format!("{number}")).expect("write"),
        // Writes, says so, and lets the test do its worst before the end.
        "put-late" => {
            for path in args.iter().skip(3) {
                fs::write(path, format!("{number}")).expect("write");
            }
            println!("ready");
            std::thread::sleep(std::time::Duration::from_millis(400));
        }
        "fill" => {
            let mut file = File::create("/fill").expect("create");
            let mut block = vec![0u8; 64 << 10];
            let mut seed = 0x1234_5678_9abc_def1u64;
            for _ in 0..number {
                for chunk in block.chunks_exact_mut(8) {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    chunk.copy_from_slice(&seed.to_le_bytes());
                }
                file.write_all(&block).expect("write");
            }
        }
        "cat" => println!("{:?}", fs::read_to_string(text).map_err(|error| error.raw_os_error())),
        "pause-cat" => {
            println!("ready");
            std::thread::sleep(std::time::Duration::from_millis(number));
            println!("{:?}", fs::read_to_string(text).map_err(|error| error.raw_os_error()));
        }
        other => {
            eprintln!("no mode {other}");
            std::process::exit(2);
        }
    }
}

fn show(value: impl Debug) {
    println!("{value:?}");
}

fn root() -> Descriptor {
    get_directories().into_iter().next().expect("a directory").0
}

fn make(name: &str) -> Descriptor {
    let flags = DescriptorFlags::READ | DescriptorFlags::WRITE;
    root().open_at(NO_FOLLOW, name, OpenFlags::CREATE, flags).expect("create")
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "that is the point")]
fn descend(depth: u64) -> u64 {
    let local = [depth; 16];
    black_box(&local);
    black_box(descend(depth + 1)) + local[3]
}

fn explore() {
    let (root, path) = get_directories().into_iter().next().expect("a directory");
    println!("{path} {:?}", root.get_flags());
    let names = root.read_directory().expect("list");
    while let Ok(Some(entry)) = names.read_directory_entry() {
        let name = entry.name;
        let read = root
            .open_at(PathFlags::SYMLINK_FOLLOW, &name, OpenFlags::empty(), DescriptorFlags::READ)
            .and_then(|file| file.read(100, 0))
            .map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned());
        println!("{name} {:?} read {read:?}", entry.type_);
        let write = root
            .open_at(PathFlags::SYMLINK_FOLLOW, &name, OpenFlags::empty(), DescriptorFlags::WRITE)
            .and_then(|file| file.write(b"changed", 0));
        println!("{name} write {write:?}");
        let truncate =
            root.open_at(PathFlags::SYMLINK_FOLLOW, &name, OpenFlags::TRUNCATE, DescriptorFlags::WRITE).map(|_| ());
        let times = root.set_times_at(
            NO_FOLLOW,
            &name,
            wasip2::filesystem::types::NewTimestamp::Now,
            wasip2::filesystem::types::NewTimestamp::Now,
        );
        let opened = root.open_at(NO_FOLLOW, &name, OpenFlags::empty(), DescriptorFlags::READ).and_then(|file| {
            file.set_times(wasip2::filesystem::types::NewTimestamp::Now, wasip2::filesystem::types::NewTimestamp::Now)
        });
        println!("{name} truncate {truncate:?} times {times:?} {opened:?}");
        println!("{name} link {:?}", root.link_at(NO_FOLLOW, &name, &root, &format!("{name}.linked")));
        println!("{name} rename {:?}", root.rename_at(&name, &root, &format!("{name}.renamed")));
        println!("{name} unlink {:?}", root.unlink_file_at(&name));
        println!("{name} rmdir {:?}", root.remove_directory_at(&name));
    }
    println!("create {:?}", root.open_at(NO_FOLLOW, "new", OpenFlags::CREATE, DescriptorFlags::WRITE).map(|_| ()));
    println!("mkdir {:?}", root.create_directory_at("newdir"));
    println!("symlink {:?}", root.symlink_at("a", "newlink"));
}
