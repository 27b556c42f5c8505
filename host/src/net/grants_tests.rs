use super::*;

fn grants(texts: &[&str]) -> Grants {
    Grants::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).expect("grants")
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("address")
}

#[test]
fn nothing_is_granted_that_is_not_named() {
    let none = Grants::default();
    assert!(
        !none.may_reach(at("127.0.0.1:80")) && !none.may_listen(at("127.0.0.1:80")) && !none.may_look_up("localhost")
    );
    let some = grants(&["127.0.0.1:80", "[::1]:*"]);
    assert!(some.may_reach(at("127.0.0.1:80")) && some.may_reach(at("[::1]:9")));
    assert!(
        !some.may_reach(at("127.0.0.1:81")) && !some.may_reach(at("127.0.0.2:80")) && !some.may_reach(at("[::2]:9"))
    );
    assert!(!some.may_listen(at("127.0.0.1:80")) && !some.may_look_up("127.0.0.1") && !some.may_look_up("localhost"));
}

#[test]
fn names_match_whole() {
    let some = grants(&["Example.com:443", "*.example.org.:*"]);
    for yes in ["example.com", "EXAMPLE.com", "example.com."] {
        assert!(some.may_reach_name(yes, 443), "{yes}");
    }
    for no in [
        "badexample.com",
        "example.com.evil.net",
        "www.example.com",
        "example.com..",
        ".example.com",
        "example.co",
        "",
        ".",
        "example.com\0",
    ] {
        assert!(!some.may_look_up(no), "{no}");
    }
    assert!(!some.may_reach_name("example.com", 80));
    for yes in ["a.example.org", "a.b.example.org", "A.Example.ORG."] {
        assert!(some.may_reach_name(yes, 1), "{yes}");
    }
    for no in ["example.org", "badexample.org", ".example.org", "a.example.org.evil.net", "a..example.org"] {
        assert!(!some.may_look_up(no), "{no}");
    }
    assert!(!some.may_reach(at("192.0.2.1:443")), "a name alone grants no address");
}

#[test]
fn mapped_addresses_are_the_addresses_they_map() {
    let four = grants(&["127.0.0.1:80", "10.0.0.0/8:*"]);
    assert!(four.may_reach(at("[::ffff:127.0.0.1]:80")) && four.may_reach(at("[::ffff:10.1.2.3]:80")));
    assert!(!four.may_reach(at("[::ffff:11.0.0.1]:80")) && !four.may_reach(at("[::127.0.0.1]:80")));
    let six = grants(&["[::ffff:127.0.0.1]:80", "[fd00::/8]:*"]);
    assert!(six.may_reach(at("127.0.0.1:80")) && six.may_reach(at("[fd12::1]:5")) && !six.may_reach(at("[fe00::1]:5")));
    assert!(!grants(&["[::/0]:*"]).may_reach(at("[::ffff:127.0.0.1]:80")), "an IPv4 address is none of IPv6");
    assert!(!grants(&["0.0.0.0/0:*"]).may_reach(at("[2001:db8::1]:80")));
    assert!(grants(&["0.0.0.0/0:*"]).may_reach(at("192.0.2.1:80")));
}

#[test]
fn listening_is_another_word() {
    let some = grants(&["listen:127.0.0.1:8080", "listen:[::1]:0"]);
    assert!(some.may_listen(at("127.0.0.1:8080")) && some.may_listen(at("[::1]:0")));
    assert!(
        !some.may_listen(at("0.0.0.0:8080")) && !some.may_listen(at("127.0.0.1:0")) && !some.may_listen(at("[::]:0"))
    );
    assert!(!some.may_reach(at("127.0.0.1:8080")));
    let any = grants(&["listen:*:*"]);
    assert!(any.may_listen(at("0.0.0.0:1")) && !any.may_look_up("a.b"));
    assert!(grants(&["listen:80"]).may_reach_name("listen", 80), "a host of that name");
}

#[test]
fn what_is_none_says_what_would_be_one() {
    let wrong = |text: &str| text.parse::<Grant>().expect_err(text);
    assert_eq!(wrong("example.com"), GrantError::NoPort);
    assert_eq!(wrong(""), GrantError::NoPort);
    assert_eq!(wrong(":"), GrantError::NoPort);
    assert_eq!(wrong("a:70000"), GrantError::Port("70000".into()));
    assert_eq!(wrong("a:+1"), GrantError::Port("+1".into()));
    assert_eq!(wrong("a:http"), GrantError::Port("http".into()));
    assert_eq!(wrong("a:0"), GrantError::PortZero);
    assert_eq!(wrong("::1:80"), GrantError::Brackets);
    assert_eq!(wrong("10.0.0.1/8:*"), GrantError::Block("10.0.0.1/8".into(), "10.0.0.0".into()));
    assert_eq!(wrong("listen:a.b:80"), GrantError::ListenName("a.b".into()));
    for host in [
        "*.",
        "*x",
        "a b",
        "a..b",
        "10.0.0.0/33",
        "[::1/129]",
        "[zz]",
        "ä.de",
        "127.1",
        "2130706433",
        "0x7f.0x1",
        "*.1",
        "a/8",
        "1.2.3.4.5",
    ] {
        assert!(matches!(wrong(&format!("{host}:80")), GrantError::Host(_)), "{host}");
    }
}

#[test]
fn grants_read_as_they_are_written() {
    for text in
        ["a.b:1", "*.a.b:*", "*:*", "1.2.3.4:5", "10.0.0.0/8:*", "[::1]:5", "[fd00::/8]:*", "listen:127.0.0.1:0"]
    {
        assert_eq!(text.parse::<Grant>().expect(text).to_string(), text);
    }
}

#[test]
fn names_do_not_stand_for_this_machine() {
    let ip = |text: &str| text.parse::<IpAddr>().expect("address");
    for no in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "169.254.169.254", "fe80::1", "224.0.0.1"] {
        assert!(!can_stand_for("example.com", ip(no)), "{no}");
    }
    assert!(can_stand_for("example.com", ip("192.0.2.1")) && can_stand_for("db.internal", ip("10.0.0.1")));
    assert!(can_stand_for("localhost", ip("127.0.0.1")) && can_stand_for("a.localhost", ip("::1")));
    assert!(!can_stand_for("evil-localhost", ip("127.0.0.1")));
}
