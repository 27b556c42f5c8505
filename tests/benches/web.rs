//! What durable answers cost, beside bare commits and a plain server: `cargo bench -p reel-tests --bench web`.
//!
//! `reel serve` and, where `REEL_WASMTIME` names the program `wasmtime`, `wasmtime serve` run beside the client on this machine, one after the other. Each
//! request to `/count` reads a number in the space, writes it back one higher, and is answered when that is durable. The commits are of redb alone, of 500
//! bytes, one after the other.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redb::{Database, TableDefinition};
use reel_tests::guests::{Target, guest};
use reel_tests::reel::Desk;
use reel_tests::web::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];

/// What the client asks for.
#[derive(Clone, Copy)]
enum Asked {
    /// Nothing that is kept.
    Hello,
    /// One number.
    Hot,
    /// A thousand numbers, in turn.
    Many,
}

fn main() {
    let seconds = std::env::var("SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let time = Duration::from_secs(seconds);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    println!("bare redb, one commit after the other: {:?} each (median)", commits());
    for kind in ["handler", "resident"] {
        for (words, path) in [("hello", Asked::Hello), ("one key", Asked::Hot), ("1,000 keys", Asked::Many)] {
            let desk = Desk::new();
            let web = guest("web", Target::P2);
            desk.reel(&["deploy", web.to_str().expect("a path"), "--as", "web", "--kind", kind]).well();
            let server = Server::start(&desk, &[]);
            for connections in CONNECTIONS {
                let figures = runtime.block_on(load(server.address, path, connections, time));
                println!("{kind:<9} {words:<10} {figures}, {} MB at most", peak(server.id()));
            }
            assert_eq!(server.stop(), Some(0));
        }
    }
    plain(&runtime, time);
}

/// `hello` by a server that keeps nothing, and by this one.
fn plain(runtime: &tokio::runtime::Runtime, time: Duration) {
    let hello = guest("hello", Target::P2);
    let desk = Desk::new();
    desk.reel(&["deploy", hello.to_str().expect("a path"), "--as", "hello"]).well();
    let server = Server::start(&desk, &[]);
    for connections in CONNECTIONS {
        let figures = runtime.block_on(load(server.address, Asked::Hello, connections, time));
        println!("reel      plain hello {figures}");
    }
    assert_eq!(server.stop(), Some(0));
    let Some(wasmtime) = std::env::var_os("REEL_WASMTIME") else {
        println!("REEL_WASMTIME names no `wasmtime` to compare with");
        return;
    };
    let address: SocketAddr = "127.0.0.1:18099".parse().expect("an address");
    let _server = Other::start(Path::new(&wasmtime), &hello, address);
    for connections in CONNECTIONS {
        let figures = runtime.block_on(load(address, Asked::Hello, connections, time));
        println!("wasmtime  plain hello {figures}");
    }
}

/// Another server, killed when it is dropped.
struct Other(Child);

impl Other {
    fn start(wasmtime: &Path, component: &Path, address: SocketAddr) -> Self {
        let mut command = Command::new(wasmtime);
        command.args(["serve", "-Scli", "--addr", &address.to_string()]).arg(component);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("wasmtime starts");
        let begun = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "wasmtime does not serve");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self(child)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Connections that ask again as soon as they are answered, after a second of warming up.
async fn load(address: SocketAddr, path: Asked, connections: usize, time: Duration) -> String {
    let (measured, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let next = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..connections)
        .map(|_| {
            let (measured, over, next) = (Arc::clone(&measured), Arc::clone(&over), Arc::clone(&next));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("connected");
                stream.set_nodelay(true).expect("no delay");
                let mut took = Vec::new();
                let mut answer = Vec::with_capacity(4096);
                while !over.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    ask(&mut stream, path, next.fetch_add(1, Ordering::Relaxed), &mut answer).await;
                    if measured.load(Ordering::Relaxed) {
                        took.push(begun.elapsed());
                    }
                }
                took
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    measured.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let elapsed = begun.elapsed();
    let mut took = Vec::new();
    for client in clients {
        took.extend(client.await.expect("no client fails"));
    }
    took.sort_unstable();
    let part = |hundredths: usize| took.get(took.len() * hundredths / 100).copied().unwrap_or_default();
    let rate = took.len() as f64 / elapsed.as_secs_f64();
    format!("at {connections:>3}: {rate:>7.0}/s, p50 {:>9.2?}, p99 {:>9.2?}", part(50), part(99))
}

/// One request, and its answer to the last byte.
async fn ask(stream: &mut TcpStream, path: Asked, number: u64, answer: &mut Vec<u8>) {
    let path = match path {
        Asked::Hello => "/hello".to_owned(),
        Asked::Hot => "/count/hot".to_owned(),
        Asked::Many => format!("/count/key-{}", number.wrapping_mul(7919) % 1000),
    };
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("asked");
    answer.clear();
    let head = loop {
        assert!(stream.read_buf(answer).await.expect("answered") > 0, "the server has closed");
        if let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let fields = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    assert!(fields.starts_with("http/1.1 200"), "{fields}");
    let length = fields.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
    let whole = |answer: &[u8]| match length {
        Some(length) => answer.len() >= head + length,
        None => answer.ends_with(b"0\r\n\r\n"),
    };
    while !whole(answer) {
        assert!(stream.read_buf(answer).await.expect("answered") > 0, "the server has closed");
    }
}

/// Most main memory that a process had, in MB.
fn peak(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a field");
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).expect("a number") / 1024
}

/// What a durable commit of redb takes.
fn commits() -> Duration {
    const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
    let dir = tempfile::tempdir().expect("directory");
    let database = Database::create(dir.path().join("bare.redb")).expect("database");
    let mut took: Vec<_> = (0..1000)
        .map(|number| {
            let begun = Instant::now();
            let transaction = database.begin_write().expect("transaction");
            transaction.open_table(TABLE).expect("table").insert(number, &[7; 500][..]).expect("row");
            transaction.commit().expect("commit");
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[took.len() / 2]
}
