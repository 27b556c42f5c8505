//! A server and a plain client for it, by the byte: tests must be able to send what no proper client sends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::reel::Desk;

/// A `reel serve` that listens at a port of its own. It is killed when it is dropped.
pub struct Server {
    child: Option<Child>,
    said: Arc<Mutex<String>>,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it tells how it is, if it does.
    pub metrics: Option<SocketAddr>,
}

impl Server {
    /// Starts one and waits until it listens.
    pub fn start(desk: &Desk, more: &[&str]) -> Self {
        Self::start_in(desk, more, &[])
    }

    /// The same, with these in its environment.
    pub fn start_in(desk: &Desk, more: &[&str], env: &[(&str, &str)]) -> Self {
        let mut args = vec!["serve", "--listen", "127.0.0.1:0"];
        args.extend(more);
        let mut command = desk.command(&args);
        command.envs(env.iter().copied());
        Self::start_by(command)
    }

    /// Starts the one that this command is.
    pub fn start_by(mut command: std::process::Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("reel starts");
        let mut words = BufReader::new(child.stderr.take().expect("piped"));
        let (mut address, mut metrics, mut line) = (None, None, String::new());
        while !line.starts_with("serving ") {
            line.clear();
            assert!(words.read_line(&mut line).expect("it says something") > 0, "it does not serve");
            let (what, place) = line.trim().split_once(" at ").unwrap_or_default();
            let place = place.rsplit("://").next().and_then(|place| place.split('/').next()?.parse().ok());
            match what {
                "listening" => address = place,
                "metrics" => metrics = place,
                _ => {}
            }
        }
        let address = address.expect("it listens");
        // What it and its guests say goes there; somebody must take it.
        let said = Arc::<Mutex<String>>::default();
        let kept = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in words.lines().map_while(Result::ok) {
                let mut kept = kept.lock().expect("words");
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        Self { child: Some(child), said, address, metrics }
    }

    /// What it has said since it serves.
    pub fn said(&self) -> String {
        self.said.lock().expect("words").clone()
    }

    /// Sends it a signal, `TERM` for example.
    pub fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs");
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Its exit code, once it has ended by itself.
    pub fn ended(mut self) -> Option<i32> {
        self.child.take().expect("it runs").wait().expect("it ends").code()
    }

    /// Kills it, as a power cut would.
    pub fn kill(mut self) {
        self.end();
    }

    /// Kills it while others still speak to it.
    pub fn signal_kill(&self) {
        self.signal("KILL");
    }

    /// Asks it to stop, and gives its exit code.
    pub fn stop(self) -> Option<i32> {
        self.signal("TERM");
        self.ended()
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// A connection.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        stream
    }

    /// Sends bytes on a connection of their own and reads to its end.
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        // It may close before it has read all.
        let _ = stream.write_all(bytes);
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        all
    }

    /// A `GET` where it tells how it is; nothing if nobody answers there.
    pub fn health(&self, path: &str) -> Option<Answer> {
        get(self.metrics.expect("it tells how it is"), path)
    }

    /// A request with these fields, each with the end of its line, and its answer.
    pub fn ask_with(&self, path: &str, fields: &str) -> Answer {
        let head = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fields}\r\n");
        Answer::read(&self.raw(head.as_bytes())).unwrap_or_else(|| panic!("{path}: no answer"))
    }

    /// A request and its answer.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Answer::read(&self.raw(&[head.as_bytes(), body].concat())).unwrap_or_else(|| panic!("{path}: no answer"))
    }

    /// A `GET` and its answer.
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, b"")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// A `GET` and its answer; nothing if nobody answers there.
pub fn get(address: SocketAddr, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).ok()?;
    Answer::read(&all)
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
    /// Whether the body has come to its end.
    pub whole: bool,
}

impl Answer {
    /// An answer on a connection that has ended; nothing if there is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let fields: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let rest = &bytes[end + 4..];
        let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let (body, whole) = if field("transfer-encoding") == Some("chunked") {
            chunks(rest)
        } else {
            let whole = field("content-length").is_none_or(|length| length.parse() == Ok(rest.len()));
            (rest.to_vec(), whole)
        };
        Some(Self { status, fields, body, whole })
    }

    /// A field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The run that has answered.
    pub fn run(&self) -> u64 {
        self.field("reel-run").and_then(|run| run.parse().ok()).expect("a run")
    }
}

/// The body in chunks, and whether the last one has come.
fn chunks(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") else { return (body, false) };
        let Ok(len) = usize::from_str_radix(&String::from_utf8_lossy(&bytes[..end]), 16) else { return (body, false) };
        bytes = &bytes[end + 2..];
        if len == 0 {
            return (body, true);
        }
        if bytes.len() < len + 2 {
            return (body, false);
        }
        body.extend_from_slice(&bytes[..len]);
        bytes = &bytes[len + 2..];
    }
}
