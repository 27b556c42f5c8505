//! Sockets: what a guest gets of the network, and that a replay needs none of it. All others are threads of this process on the loopback addresses.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use reel_abi::limits::Limits;
use reel_abi::net::{Family, NetCode};
use reel_abi::outcome::Outcome;
use reel_host::port::{Network, TcpPort, UdpPort, Waiting};
use reel_host::runtime::replay::resume;
use reel_host::runtime::{RunReport, Surroundings, Verdict, run};
use reel_host::world::net::HostNetwork;
use reel_tests::cutting::{cut_off, events};
use reel_tests::guests::{Target, guest};
use reel_tests::lab::{KeptOutput, Lab, Trial};

fn netter() -> Vec<u8> {
    std::fs::read(guest("netter", Target::P2)).expect("netter")
}

fn trial(net: &[&str], args: &[&str]) -> Trial {
    let limits = Limits { deadline_millis: 20_000, ..Limits::default() };
    Trial { net: net.iter().map(|net| (*net).to_owned()).collect(), limits, ..Trial::args(args) }
}

/// Somebody who does the same with each of `count` connections.
fn server(count: usize, deed: impl Fn(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let at = listener.local_addr().expect("address");
    let thread = std::thread::spawn(move || {
        for _ in 0..count {
            deed(listener.accept().expect("accept").0);
        }
    });
    (at, thread)
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(read) = stream.read(&mut buffer)
        && read > 0
        && stream.write_all(&buffer[..read]).is_ok()
    {}
}

/// Runs it, and replays it when nobody is there any more: the same events, and the same output.
fn twice(lab: &Lab, trial: &Trial, others: JoinHandle<()>) -> (RunReport, String) {
    let (report, output) = lab.run(&netter(), trial);
    others.join().expect("the others");
    let (replayed, again) = lab.replay(report.run);
    assert_eq!(replayed.verdict, Verdict::Same, "{output}");
    assert_eq!(again, output);
    (report, output)
}

fn exit(report: &RunReport) -> u32 {
    let Outcome::Exit { code } = report.end.outcome else { panic!("{}", report.end.outcome) };
    code
}

fn names(lab: &Lab, report: &RunReport) -> Vec<&'static str> {
    events(lab, report.run).iter().map(|event| event.name).collect()
}

fn nobody() -> JoinHandle<()> {
    std::thread::spawn(|| ())
}

#[test]
fn an_echo_is_replayed_when_the_server_is_gone() {
    let lab = Lab::new();
    let (at, others) = server(1, echo);
    let (report, output) = twice(&lab, &trial(&[&at.to_string()], &["echo", &at.to_string(), "3"]), others);
    assert_eq!((exit(&report), output.as_str()), (0, "line 0\nline 1\nline 2\n"));
    let names = names(&lab, &report);
    let place =
        |name: &str| names.iter().position(|found| *found == name).unwrap_or_else(|| panic!("no {name}: {names:?}"));
    assert!(place("tcp.connect") < place("tcp.finish-connect") && place("tcp.write") < place("tcp.read"), "{names:?}");
}

#[test]
fn nothing_leaves_that_was_not_granted() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("nonblocking");
    let at = listener.local_addr().expect("address").to_string();
    let other = format!("127.0.0.2:{}", listener.local_addr().expect("address").port());
    for net in [&[][..], &["127.0.0.1:1"], &[other.as_str()], &["localhost:*"], &["listen:*:*"], &["[::]:1"]] {
        let (report, output) = twice(&lab, &trial(net, &["echo", &at, "1"]), nobody());
        assert_eq!((exit(&report), output.as_str()), (1, "error: PermissionDenied\n"), "{net:?}");
    }
    for net in [&[][..], &["127.0.0.1:*"], &["listen:127.0.0.1:1"], &["*:*"]] {
        let (report, output) = twice(&lab, &trial(net, &["serve", "127.0.0.1:0", "1"]), nobody());
        assert_eq!((exit(&report), output.as_str()), (1, "error: PermissionDenied\n"), "{net:?}");
    }
    assert!(listener.accept().is_err(), "nobody may have connected");
}

#[test]
fn a_name_that_is_granted_stands_for_its_addresses() {
    let lab = Lab::new();
    let (at, others) = server(1, echo);
    let port = at.port();
    let net = format!("localhost:{port}");
    let (report, output) = twice(&lab, &trial(&[&net], &["echo", &net, "1"]), others);
    assert_eq!((exit(&report), output.as_str()), (0, "line 0\n"));
    assert!(names(&lab, &report).contains(&"net.next-address"));
    // The address alone was not granted, and no other port.
    let (report, _) = twice(&lab, &trial(&[&net], &["echo", &at.to_string(), "1"]), nobody());
    assert_eq!(exit(&report), 1);
    let (report, _) = twice(&lab, &trial(&["localhost:1"], &["echo", &net, "1"]), nobody());
    assert_eq!(exit(&report), 1);
}

#[test]
fn names_that_are_not_granted_are_not_asked_for() {
    let lab = Lab::new();
    for (net, name) in
        [("localhost:80", "example.com:80"), ("127.0.0.1:80", "localhost:80"), ("*.localhost:80", "localhost:80")]
    {
        let (report, output) = twice(&lab, &trial(&[net], &["resolve", name]), nobody());
        assert_eq!(exit(&report), 1, "{output}");
        let found = events(&lab, report.run);
        let lookup = found.iter().find(|event| event.name == "net.lookup").expect("a lookup");
        assert!(format!("{lookup:?}").contains("access-denied"), "{lookup:?}");
    }
}

#[test]
fn a_guest_serves_where_it_may_listen() {
    let lab = Lab::new();
    let probe = TcpListener::bind("127.0.0.1:0").expect("bind");
    let at = probe.local_addr().expect("address");
    drop(probe);
    let others = std::thread::spawn(move || {
        for turn in 0..2u8 {
            let mut stream = loop {
                match TcpStream::connect(at) {
                    Ok(stream) => break stream,
                    Err(_) => std::thread::sleep(Duration::from_millis(10)),
                }
            };
            stream.write_all(&[turn; 5000]).expect("write");
            stream.shutdown(Shutdown::Write).expect("shutdown");
            let mut back = Vec::new();
            stream.read_to_end(&mut back).expect("read");
            assert_eq!(back, [turn; 5000]);
        }
    });
    let (report, output) = twice(&lab, &trial(&[&format!("listen:{at}")], &["serve", &at.to_string(), "2"]), others);
    assert_eq!((exit(&report), output), (0, format!("listening at {at}\nserved\nserved\n")));
}

#[test]
fn datagrams_come_and_go() {
    let lab = Lab::new();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let at = socket.local_addr().expect("address").to_string();
    let others = std::thread::spawn(move || {
        for _ in 0..3 {
            let mut bytes = [0; 100];
            let (read, from) = socket.recv_from(&mut bytes).expect("receive");
            socket.send_to(&bytes[..read], from).expect("send");
        }
    });
    let (report, output) = twice(&lab, &trial(&[&at], &["udp", &at, "3"]), others);
    assert_eq!((exit(&report), output.as_str()), (0, "datagram 0\ndatagram 1\ndatagram 2\n"));
    let (report, _) = twice(&lab, &trial(&["127.0.0.1:1"], &["udp", &at, "1"]), nobody());
    assert_eq!(exit(&report), 1);
}

#[test]
fn whoever_listens_for_datagrams_may_answer() {
    let lab = Lab::new();
    let probe = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let at = probe.local_addr().expect("address");
    drop(probe);
    let others = std::thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("timeout");
        let mut back = [0; 10];
        for _ in 0..2 {
            loop {
                socket.send_to(b"hello", at).expect("send");
                if socket.recv_from(&mut back).is_ok_and(|(read, from)| read == 5 && from == at) {
                    break;
                }
            }
        }
        // It may be one short: of what was sent twice, one answer counts for both.
        drop(socket.send_to(b"hello", at));
    });
    let (report, output) =
        twice(&lab, &trial(&[&format!("listen:{at}")], &["udp-serve", &at.to_string(), "2"]), others);
    assert_eq!((exit(&report), output), (0, format!("listening at {at}\n")));
}

#[test]
fn large_writes_arrive_whole() {
    let lab = Lab::new();
    let (at, others) = server(1, |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("read");
        stream.write_all(format!("{} bytes", all.len()).as_bytes()).expect("write");
    });
    let (report, output) = twice(&lab, &trial(&["127.0.0.1:*"], &["write", &at.to_string(), "5000000"]), others);
    assert_eq!((exit(&report), output.as_str()), (0, "5000000 bytes\n"));
}

#[test]
fn what_was_written_leaves_also_when_the_guest_ends() {
    let lab = Lab::new();
    let (tell, told) = mpsc::channel();
    let (at, others) = server(1, move |mut stream| {
        std::thread::sleep(Duration::from_millis(300));
        let mut all = Vec::new();
        drop(stream.read_to_end(&mut all));
        tell.send(all.len()).expect("tell");
    });
    let (report, output) = twice(&lab, &trial(&["127.0.0.1:*"], &["write-and-leave", &at.to_string(), "3000"]), others);
    assert_eq!((exit(&report), output.as_str()), (0, "written\n"));
    assert_eq!(told.recv().expect("told"), 3000);
}

#[test]
fn large_answers_come_whole() {
    let lab = Lab::new();
    let (at, others) = server(1, |mut stream| stream.write_all(&vec![5; 3_000_000]).expect("write"));
    let (report, output) = twice(&lab, &trial(&["127.0.0.1:*"], &["read-all", &at.to_string()]), others);
    assert_eq!(exit(&report), 0);
    assert!(output.starts_with("3000000 bytes, "), "{output}");
}

#[test]
fn others_that_misbehave() {
    let lab = Lab::new();
    // Resets: what it has not read when it closes.
    let (at, others) = server(1, |mut stream| {
        let mut one = [0];
        stream.read_exact(&mut one).expect("read");
    });
    let (report, output) = twice(&lab, &trial(&["127.0.0.1:*"], &["write", &at.to_string(), "1000000"]), others);
    assert!(exit(&report) == 1 || output == "\n", "{output}");
    // Closes one direction.
    let (at, others) = server(1, |mut stream| {
        stream.write_all(b"bye").expect("write");
        stream.shutdown(Shutdown::Write).expect("shutdown");
        let mut all = String::new();
        stream.read_to_string(&mut all).expect("read");
        assert_eq!(all, "still here");
    });
    let (report, output) = twice(&lab, &trial(&["127.0.0.1:*"], &["half-close", &at.to_string()]), others);
    assert_eq!((exit(&report), output.as_str()), (0, "bye\n"));
    // Sends for ever.
    let (at, others) = server(1, |mut stream| while stream.write_all(&[1; 65536]).is_ok() {});
    let (report, output) = twice(&lab, &trial(&["127.0.0.1:*"], &["read-some", &at.to_string(), "1000000"]), others);
    assert_eq!(exit(&report), 0, "{output}");
    // Is not there.
    let (report, output) = twice(&lab, &trial(&["127.0.0.1:*"], &["echo", "127.0.0.1:1", "1"]), nobody());
    assert_eq!((exit(&report), output.as_str()), (1, "error: ConnectionRefused\n"));
}

#[test]
fn others_that_never_answer_take_no_longer_than_the_deadline() {
    let lab = Lab::new();
    let (done, wait) = mpsc::channel::<()>();
    let (at, others) = server(1, move |stream| {
        let _ = wait.recv();
        drop(stream);
    });
    let mut trial = trial(&["127.0.0.1:*"], &["read-all", &at.to_string()]);
    trial.limits.deadline_millis = 500;
    let (report, _) = lab.run(&netter(), &trial);
    assert!(matches!(report.end.outcome, Outcome::Limit { .. }), "{}", report.end.outcome);
    drop(done);
    others.join().expect("the others");
    assert!(matches!(lab.replay(report.run).0.verdict, Verdict::SameToCut(_)));
}

#[test]
fn sockets_are_bounded() {
    let lab = Lab::new();
    let kept = Mutex::new(Vec::new());
    let (at, others) = server(256, move |stream| kept.lock().expect("lock").push(stream));
    let (report, output) = twice(&lab, &trial(&["127.0.0.1:*"], &["flood", &at.to_string(), "400"]), others);
    assert_eq!((exit(&report), output.as_str()), (0, "256 streams\n"));
}

/// Real sockets, and a server of names that answers as it likes.
struct Named;

impl Network for Named {
    fn tcp(&self, family: Family) -> Result<Box<dyn TcpPort>, NetCode> {
        HostNetwork.tcp(family)
    }

    fn udp(&self, family: Family) -> Result<Box<dyn UdpPort>, NetCode> {
        HostNetwork.udp(family)
    }

    fn lookup(&self, name: &str) -> Waiting<'static, Result<Vec<IpAddr>, NetCode>> {
        let answer = match name {
            "localhost" | "rebound.test" => Ok(vec!["127.0.0.1".parse().expect("address")]),
            _ => Err(NetCode::NameUnresolvable),
        };
        Box::pin(std::future::ready(answer))
    }
}

#[test]
fn a_name_does_not_open_this_machine() {
    let lab = Lab::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.set_nonblocking(true).expect("nonblocking");
    let port = listener.local_addr().expect("address").port();
    for (name, said) in [("rebound.test", "error: PermissionDenied\n"), ("missing.test", "error: Uncategorized\n")] {
        let at = format!("{name}:{port}");
        let (trial, output) = (trial(&[&at], &["echo", &at, "1"]), KeptOutput::default());
        let surroundings = Surroundings { network: Arc::new(Named), ..lab.surroundings(&trial, &output) };
        let running =
            run(&lab.store, &lab.engines, lab.request(&netter(), &trial), surroundings, std::future::pending(), &|| ());
        let report = lab.block_on(running).expect("run");
        assert_eq!((exit(&report), output.text().as_str()), (1, said));
        assert_eq!(lab.replay(report.run).0.verdict, Verdict::Same);
    }
    assert!(listener.accept().is_err(), "nobody may have connected");
}

#[test]
fn a_run_that_goes_on_has_lost_its_connections() {
    let first = Lab::new();
    let again = || {
        server(2, |mut stream| {
            let mut bytes = [0; 6];
            if stream.read_exact(&mut bytes).is_ok() {
                drop(stream.write_all(&bytes));
            }
        })
    };
    let (at, others) = again();
    let wanted = trial(&["127.0.0.1:*"], &["wait", &at.to_string(), "20"]);
    let (report, output) = first.run(&netter(), &wanted);
    others.join().expect("the others");
    assert_eq!(output, "connected\nbefore\nagain\n");
    let whole = events(&first, report.run);
    for cut in 1..whole.len() as u64 - 1 {
        let connected = whole[..cut as usize].iter().any(|event| event.name == "tcp.finish-connect");
        let second = Lab::new();
        let run = cut_off(&first, &second.store, report.run, cut);
        let output = KeptOutput::default();
        let surroundings = second.surroundings(&wanted, &output);
        // Nobody is there any more.
        let resumed = resume(&second.store, &second.engines, run, surroundings, std::future::pending(), &|| ());
        let resumed = second.block_on(resumed).expect("goes on");
        assert!(matches!(resumed.end.outcome, Outcome::Exit { .. }), "cut at {cut}: {}", resumed.end.outcome);
        let (replayed, text) = second.replay(run);
        assert_eq!(replayed.verdict, Verdict::Same, "cut at {cut}");
        if connected && !whole[..cut as usize].iter().any(|event| event.name == "tcp.read") {
            assert!(text.contains("lost") || text.contains("error"), "cut at {cut}: {text}");
        }
    }
}
