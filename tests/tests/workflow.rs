//! The example `workflow` under crashes: whenever the host is killed, an order is carried out once and in all its parts, or it never was.

use std::path::Path;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use reel_tests::guests::{Target, build};
use reel_tests::reel::{Desk, end};

/// No order takes so long.
const PATIENCE: Duration = Duration::from_secs(100);

fn serve(desk: &Desk) -> Child {
    let mut command = desk.command(&["serve", "--quiet"]);
    let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("reel can be started");
    let (begun, socket) = (Instant::now(), desk.path().join(".reel/admin.sock"));
    while std::os::unix::net::UnixStream::connect(&socket).is_err() {
        assert!(begun.elapsed() < PATIENCE, "nobody serves");
        sleep(Duration::from_millis(20));
    }
    server
}

fn kill(mut server: Child) {
    server.kill().expect("it can be killed");
    server.wait().expect("it ends");
}

/// The steps of the order when nothing of it is under way any more.
fn steps(desk: &Desk) -> String {
    let begun = Instant::now();
    loop {
        let said = desk.reel(&["call", "shop", "steps", "\"17\""]);
        match said.code {
            Some(0) => return said.out,
            code => assert!(code == Some(119) && begun.elapsed() < PATIENCE, "{}", said.err),
        }
        sleep(Duration::from_millis(300));
    }
}

/// What became of an order when the host was killed so long after it was given, and so long after it was gone on with.
fn order(wasm: &Path, kills: &[Duration]) -> (Option<i32>, String) {
    let desk = Desk::new();
    std::fs::copy(wasm, desk.path().join("workflow.wasm")).expect("the guest can be copied");
    let wait = ["--env", "WAIT_SECONDS=11"];
    desk.reel(&[&["deploy", "workflow.wasm", "--as", "shop", "--on-crash", "resume"], wait.as_slice()].concat()).well();
    desk.reel(&["call", "shop", "stock", "\"tea\"", "3"]).well();
    let mut server = serve(&desk);
    let mut call = desk.command(&["call", "shop", "order", "\"17\"", "\"tea\"", "1250"]);
    let call = call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("reel can be started");
    for after in kills {
        sleep(*after);
        kill(server);
        server = serve(&desk);
    }
    let said = end(call);
    let steps = steps(&desk);
    let stock = desk.reel(&["call", "shop", "stock", "\"tea\"", "0"]).well();
    kill(server);
    desk.reel(&["verify"]).well();
    let whole = steps.contains("is reserved") && steps.contains("paid") && steps.contains("shipped");
    let expected = if whole { "ok(2)\n" } else { "ok(3)\n" };
    assert!(whole || steps == "ok([])\n", "killed after {kills:?}: {steps}");
    assert_eq!(stock, expected, "killed after {kills:?}: {steps}");
    (said.code, steps)
}

#[test]
fn an_order_is_carried_out_once_whenever_the_host_is_killed() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guests/workflow");
    let wasm = build(&dir, "workflow", Target::P2);
    let moments: [&[u64]; 8] =
        [&[], &[30], &[150], &[700], &[1200, 300], &[4000, 4000], &[10_900, 200], &[11_300, 100, 700]];
    std::thread::scope(|scope| {
        for millis in moments {
            let wasm = &wasm;
            scope.spawn(move || {
                let kills: Vec<Duration> = millis.iter().map(|millis| Duration::from_millis(*millis)).collect();
                let (code, steps) = order(wasm, &kills);
                match millis.first() {
                    None => assert_eq!(code, Some(0), "{steps}"),
                    // So soon, nothing may have been in the log.
                    Some(..500) => {}
                    Some(_) => assert!(steps.contains("shipped") && code != Some(119), "{millis:?}: {code:?} {steps}"),
                }
                // Who was not told that it is done is not told that it is done otherwise.
                assert!(matches!(code, Some(0 | 125)), "{millis:?}: {code:?} {steps}");
            });
        }
    });
}
