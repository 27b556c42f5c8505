//! Uses sockets as its arguments say: a word, an address or name with a port, and what the word needs. Prints what came of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["echo", at, count] => echo(at, count.parse().expect("count")),
        ["read-all", at] => read_all(at),
        ["read-some", at, count] => read_some(at, count.parse().expect("count")),
        ["write", at, bytes] => write(at, bytes.parse().expect("bytes")),
        ["write-and-leave", at, bytes] => write_and_leave(at, bytes.parse().expect("bytes")),
        ["half-close", at] => half_close(at),
        ["serve", at, count] => serve(at, count.parse().expect("count")),
        ["udp", at, count] => udp(at, count.parse().expect("count")),
        ["udp-serve", at, count] => udp_serve(at, count.parse().expect("count")),
        ["resolve", name] => resolve(name),
        ["flood", at, count] => flood(at, count.parse().expect("count")),
        ["wait", at, millis] => wait(at, millis.parse().expect("milliseconds")),
        _ => panic!("what is {args:?}?"),
    };
    if let Err(error) = result {
        println!("error: {:?}", error.kind());
        std::process::exit(3);
    }
}

fn echo(at: &str, count: usize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(at)?;
    for turn in 0..count {
        let line = format!("line {turn}\n");
        stream.write_all(line.as_bytes())?;
        let mut back = vec![0; line.len()];
        stream.read_exact(&mut back)?;
        print!("{}", String::from_utf8_lossy(&back));
    }
    Ok(())
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(17, |sum, byte| (sum * 31 + u64::from(*byte)) % 1_000_000_007)
}

fn read_all(at: &str) -> std::io::Result<()> {
    let mut all = Vec::new();
    TcpStream::connect(at)?.read_to_end(&mut all)?;
    println!("{} bytes, {}", all.len(), sum(&all));
    Ok(())
}

fn read_some(at: &str, count: usize) -> std::io::Result<()> {
    let mut some = vec![0; count];
    TcpStream::connect(at)?.read_exact(&mut some)?;
    println!("{count} bytes, {}", sum(&some));
    Ok(())
}

fn write(at: &str, bytes: usize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(at)?;
    stream.write_all(&vec![7; bytes])?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    println!("{answer}");
    Ok(())
}

fn write_and_leave(at: &str, bytes: usize) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(at)?;
    stream.write_all(&vec![9; bytes])?;
    println!("written");
    std::mem::forget(stream);
    Ok(())
}

fn half_close(at: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(at)?;
    let mut all = String::new();
    stream.read_to_string(&mut all)?;
    stream.write_all(b"still here")?;
    println!("{all}");
    Ok(())
}

fn serve(at: &str, count: usize) -> std::io::Result<()> {
    let listener = TcpListener::bind(at)?;
    println!("listening at {}", listener.local_addr()?);
    for _ in 0..count {
        let (mut stream, _) = listener.accept()?;
        let mut buffer = [0; 1024];
        loop {
            let read = stream.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            stream.write_all(&buffer[..read])?;
        }
        println!("served");
    }
    Ok(())
}

fn udp(at: &str, count: usize) -> std::io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(at)?;
    for turn in 0..count {
        socket.send(format!("datagram {turn}").as_bytes())?;
        let mut back = [0; 100];
        let read = socket.recv(&mut back)?;
        println!("{}", String::from_utf8_lossy(&back[..read]));
    }
    Ok(())
}

fn udp_serve(at: &str, count: usize) -> std::io::Result<()> {
    let socket = UdpSocket::bind(at)?;
    println!("listening at {}", socket.local_addr()?);
    for _ in 0..count {
        let mut bytes = [0; 1024];
        let (read, from) = socket.recv_from(&mut bytes)?;
        socket.send_to(&bytes[..read], from)?;
    }
    Ok(())
}

fn resolve(name: &str) -> std::io::Result<()> {
    for address in name.to_socket_addrs()? {
        println!("{address}");
    }
    Ok(())
}

fn flood(at: &str, count: usize) -> std::io::Result<()> {
    let mut streams = Vec::new();
    for _ in 0..count {
        match TcpStream::connect(at) {
            Ok(stream) => streams.push(stream),
            Err(_) => break,
        }
    }
    println!("{} streams", streams.len());
    Ok(())
}

fn wait(at: &str, millis: u64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(at)?;
    stream.write_all(b"before")?;
    println!("connected");
    std::thread::sleep(Duration::from_millis(millis));
    let mut back = [0; 6];
    match stream.read_exact(&mut back) {
        Ok(()) => println!("{}", String::from_utf8_lossy(&back)),
        Err(_) => println!("lost"),
    }
    match TcpStream::connect(at).and_then(|mut stream| stream.write_all(b"after")) {
        Ok(()) => println!("again"),
        Err(error) => println!("not again: {:?}", error.kind()),
    }
    Ok(())
}
