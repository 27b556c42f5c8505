//! Calls and messages at times that a deployment names.

use reel_abi::id::SpaceName;
use reel_abi::record::{CellValue, family};
use reel_host::runtime::resident::schedule::Schedule;
use reel_host::runtime::resident::{CallError, DeployError, DeployRequest, Habits};
use reel_tests::reel::Desk;

use super::handlers::{kept, porter};
use super::laws::{deliver, request, wanted};
use super::side::Side;

/// What is due is done; how much that was.
fn ring(side: &Side) -> usize {
    let household = side.household();
    household.note_all_timers().expect("noted");
    let mut rung = 0;
    for (name, timers) in household.due_timers().expect("looked") {
        for timer in timers {
            match side.block_on(household.ring(&name, &timer)) {
                Ok(None) => rung += 1,
                Ok(Some(report)) if report.is_committed() => rung += 1,
                Ok(Some(_)) | Err(CallError::NotSet) => {}
                Err(error) => panic!("{error}"),
            }
        }
        household.rang(&name);
    }
    rung
}

fn timers(side: &Side, name: &str) -> Vec<String> {
    let view = side.store().view(side.head(name)).expect("view");
    let all = view.scan(family::KEY_VALUE, b"\x0breel:timers", Some(b"\x0breel:timert"), 100).expect("scan");
    let text = |value| match value {
        CellValue::Inline { bytes } => String::from_utf8(bytes.0).expect("text"),
        other => panic!("{other:?}"),
    };
    all.into_iter().map(|(_, value)| text(value)).collect()
}

fn keys(side: &Side, name: &str) -> u64 {
    use reel_abi::wire::Wire;
    let view = side.store().view(side.head(name)).expect("view");
    match view.get(family::KEY_VALUE, &[]).expect("read") {
        Some(CellValue::Inline { bytes }) => u64::from_bytes(&bytes).expect("a count"),
        _ => 0,
    }
}

fn resident(side: &Side, schedules: Vec<Schedule>) -> Result<(), DeployError> {
    let request = DeployRequest { schedules, ..request("p", vec![wanted("ticks", None, 3)]) };
    let report = side.block_on(side.household().deploy(&request, std::future::pending(), &|| ()))?;
    assert!(report.end.outcome.is_success());
    Ok(())
}

fn handler(side: &mut Side, schedules: Vec<Schedule>) {
    let nobody = Box::new(|_: &_| Err("nobody is called".to_owned()));
    let handlers = reel_host::runtime::handlers::Handlers::new(side.store().clone(), nobody, None);
    let clock: std::sync::Arc<dyn reel_host::port::Clock> = std::sync::Arc::new(Still(NOW + 1_000_000_000));
    let subscribed = vec![wanted("ticks", None, 3)];
    let request = DeployRequest { bytes: porter(), schedules, ..request("h", subscribed) };
    handlers.deploy(&request, &clock, &|| ()).expect("deployed");
    side.renew();
}

/// Moment 0 of a side.
const NOW: u64 = 1_700_000_000_000_000_000;

#[derive(Debug)]
struct Still(u64);

impl reel_host::port::Clock for Still {
    fn wall(&self) -> u64 {
        self.0
    }
    fn monotonic(&self) -> u64 {
        self.0
    }
}

fn every(millis: u64, call: &str) -> Schedule {
    Schedule::every(millis, call).expect("a schedule")
}

#[test]
fn a_resident_is_called_and_sends_itself_messages_at_its_times() {
    let mut side = Side::new(Habits::default());
    side.at(1);
    resident(&side, vec![every(10_000, "pay(\"ticks\", 0, 0)"), every(30_000, "send ticks all of it")])
        .expect("deployed");
    assert_eq!((timers(&side, "p").len(), keys(&side, "p")), (2, 2));
    assert_eq!(ring(&side), 0);
    for (moment, rings) in [(11, 1), (12, 0), (21, 1), (31, 2)] {
        side.at(moment);
        side.renew();
        assert_eq!(ring(&side), rings, "at {moment}");
    }
    // A day later all that was missed is made up for by one call each.
    side.at(86_400);
    side.renew();
    assert_eq!((ring(&side), ring(&side)), (2, 0));
    side.household().note_all_messages().expect("noted");
    assert_eq!(deliver(&side), 4 + 2);
    let got = side.call("p", &["got"]);
    assert_eq!(got.matches("ticks/: all of it").count(), 2, "{got}");
    // Another deployment with one of them: that goes on as it was set, the other one is gone.
    let before = timers(&side, "p");
    resident(&side, vec![every(30_000, "send ticks all of it"), every(500, "forget()")]).expect("deployed");
    let after = timers(&side, "p");
    assert_eq!((after.len(), keys(&side, "p")), (2, 2 + 1));
    assert!(after.contains(before.iter().find(|timer| timer.contains("send")).expect("one sends")), "{after:?}");
    resident(&side, Vec::new()).expect("deployed");
    assert_eq!((timers(&side, "p").len(), keys(&side, "p")), (0, 1));
    side.is_sound();
}

#[test]
fn a_handler_is_called_at_its_times() {
    let mut side = Side::new(Habits::default());
    side.at(1);
    let cron = Schedule::cron("* * * * * tick(\"cron\")").expect("a schedule");
    handler(
        &mut side,
        vec![every(10_000, "tick(\"ten\")"), cron, every(10_000, "tick(\"fails 1\")"), every(20_000, "send ticks one")],
    );
    assert_eq!(timers(&side, "h").len(), 4);
    side.at(11);
    side.renew();
    assert_eq!(ring(&side), 1, "one fails");
    assert_eq!((kept(&side, "h", "tick ten"), kept(&side, "h", "tick fails 1")), (Some("1".into()), None));
    // NOW is 20 seconds after a minute.
    side.at(41);
    side.renew();
    assert_eq!(ring(&side), 3);
    assert_eq!(kept(&side, "h", "tick cron").as_deref(), Some("1"));
    assert_eq!(deliver(&side), 1);
    assert_eq!(kept(&side, "h", "got 1").as_deref(), Some("ticks/: one"));
    let engines = reel_host::runtime::Engines::for_commands(1 << 20).expect("engine");
    for record in side.store().runs(None, 100).expect("runs") {
        if record.begin.space == "h".parse::<SpaceName>().expect("a name") && record.begin.args.len() >= 2 {
            assert_eq!(side.replay(&engines, record.run), reel_host::runtime::Verdict::Same, "run {}", record.run);
        }
    }
    side.is_sound();
}

#[test]
fn what_cannot_be_done_at_a_time_is_refused() {
    let side = Side::new(Habits::default());
    side.at(1);
    for (call, why) in
        [("nothing-like-that()", "exports no function"), ("pay(1)", "takes"), ("send elsewhere x", "not subscribed")]
    {
        let refused = resident(&side, vec![every(1000, call)]).expect_err(call).to_string();
        assert!(refused.contains(why), "{call}: {refused}");
    }
    for call in ["", "tick", "send", "tick(", "send "] {
        assert!(Schedule::every(1000, call).is_err(), "{call}");
    }
    assert!(Schedule::every(99, "forget()").is_err());
    assert!(Schedule::cron("* * * * tick()").is_err());
    let desk = Desk::new();
    desk.file("porter.wasm", porter());
    let deploy = |args: &[&str]| {
        let base = ["deploy", "porter.wasm", "--as", "h", "--kind", "handler"];
        desk.reel(&[&base, args].concat()).fails(2)
    };
    assert!(deploy(&["--every", "10 tick(\"x\")"]).contains("span of time"));
    assert!(deploy(&["--every", "10s"]).contains("write TIME CALL"));
    assert!(deploy(&["--every", "1ms tick(\"x\")"]).contains("the shortest time"));
    assert!(deploy(&["--cron", "61 * * * * tick(\"x\")"]).contains("the minute"));
    assert!(deploy(&["--cron", "0 0 31 2 * tick(\"x\")"]).contains("never comes"));
    assert!(deploy(&["--cron", "* * * * * tock(\"x\")"]).contains("exports no function"));
    assert!(deploy(&["--every", "1s send topic x"]).contains("has not subscribed"));
}
