//! Asks a server by HTTP, as `curl` would: for machines that have none. It waits for a server that is still starting.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::disallowed_macros,
    reason = "a program beside the sandbox"
)]

use std::io::{BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reel_examples::http::Head;

const USAGE: &str = "\
usage: ask [GET|POST|PUT|DELETE] http://HOST:PORT/PATH [BODY] [NAME: VALUE]... [--lines N]

It prints the status, the number of the run that has answered, and the body. Its exit code is 0 for a status below 400, and 1 otherwise.
--lines N goes away when so many lines of the body have come, of an answer that never ends for example.";

/// How long it waits for a server that does not listen yet.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it waits for a piece of the answer.
const PIECE: Duration = Duration::from_secs(60);

struct Asked {
    method: String,
    host: String,
    path: String,
    body: String,
    fields: Vec<String>,
    lines: usize,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match Asked::read(&args) {
        Ok(Some(asked)) => ask(&asked),
        Ok(None) => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
        Err(error) => Err(error),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn ask(asked: &Asked) -> Result<ExitCode> {
    let mut connection = connect(&asked.host)?;
    connection.set_read_timeout(Some(PIECE))?;
    connection.write_all(asked.bytes().as_bytes())?;
    let mut connection = BufReader::new(connection);
    let head = match Head::read(&mut connection) {
        Ok(Some(head)) => head,
        Ok(None) => bail!("the server has closed the connection without an answer"),
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => {
            bail!("the server has closed the connection without an answer")
        }
        Err(error) => return Err(error).context("no answer"),
    };
    let status = head.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let words = head.line.split_once(' ').map_or("", |(_, words)| words);
    let mut out = std::io::stdout().lock();
    match head.field("reel-run") {
        Some(run) => writeln!(out, "{words} (run {run})")?,
        None => writeln!(out, "{words}")?,
    }
    let mut lines = asked.lines;
    let read = head.body(&mut connection, |piece| {
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            out.write_all(line)?;
            lines -= usize::from(line.ends_with(b"\n"));
            if lines == 0 {
                out.flush()?;
                return Err(ErrorKind::QuotaExceeded.into());
            }
        }
        out.flush()
    });
    match read {
        Err(error) if error.kind() != ErrorKind::QuotaExceeded => return Err(error).context("the answer is not whole"),
        _ => {}
    }
    Ok(ExitCode::from(u8::from(!(100..400).contains(&status))))
}

impl Asked {
    fn read(args: &[String]) -> Result<Option<Self>> {
        let mut asked = Self {
            method: "GET".into(),
            host: String::new(),
            path: String::new(),
            body: String::new(),
            fields: Vec::new(),
            lines: usize::MAX,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--lines" => {
                    let lines = args.next().and_then(|lines| lines.parse().ok()).filter(|lines| *lines > 0);
                    asked.lines = lines.context("--lines needs a number")?;
                }
                "GET" | "POST" | "PUT" | "DELETE" if asked.host.is_empty() => asked.method.clone_from(arg),
                url if asked.host.is_empty() => {
                    let rest =
                        url.strip_prefix("http://").with_context(|| format!("{url} is no http://HOST:PORT/PATH"))?;
                    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                    (asked.host, asked.path) = (host.to_owned(), format!("/{path}"));
                }
                field if is_field(field) => asked.fields.push(field.to_owned()),
                body => {
                    ensure!(asked.body.is_empty(), "two bodies: {} and {body}", asked.body);
                    body.clone_into(&mut asked.body);
                }
            }
        }
        Ok((!asked.host.is_empty()).then_some(asked))
    }

    fn bytes(&self) -> String {
        let Self { method, host, path, body, fields, .. } = self;
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{fields}content-length: {length}\r\n\r\n{body}"
        )
    }
}

/// `Name: value`.
fn is_field(text: &str) -> bool {
    let name = text.split_once(": ").map_or("", |(name, _)| name);
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !text.contains(['\r', '\n'])
}

fn connect(host: &str) -> Result<TcpStream> {
    let begin = Instant::now();
    loop {
        match TcpStream::connect(host) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && begin.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(50));
            }
            connected => return connected.with_context(|| format!("nobody answers at {host}")),
        }
    }
}
