//! HTTP requests and upgrades: wrong, too long, too slow.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use protocol::limits::REQUEST_HEAD_BYTES_MAX;
use tests::process::{Invitation, Running, herd};
use tests::raw::{self, BINARY, End, FIN, RawSocket};

use super::POLICY;

fn coordinator(folder: &tempfile::TempDir) -> (Running, Invitation) {
    let mut herd = herd(&["train", "--workers", "0"]).folder(folder.path()).start();
    let invitation = herd.invitation();
    (herd, invitation)
}

#[test]
fn requests_that_are_wrong_are_answered_with_a_status_and_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (_herd, invitation) = coordinator(&folder);
    let upgrade = |subprotocol| raw::upgrade(&invitation, subprotocol);
    let good = upgrade("herd.1");
    let without = |header: &str| {
        good.lines()
            .filter(|line| !line.starts_with(header))
            .map(|line| format!("{line}\r\n"))
            .collect::<String>()
    };
    let host = invitation.host();
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{more}\r\n");
    let remedy = "use the worker of the coordinator's version";
    let shard = format!("/v1/shards/{}", "0".repeat(64));
    let bearer = format!("authorization: Bearer {}\r\n", invitation.token);
    let cases = [
        ("a version to come", upgrade("herd.99"), "426", remedy),
        ("another protocol", upgrade("chat"), "426", remedy),
        ("two others", upgrade("chat, herd.0"), "426", remedy),
        ("no protocol", without("sec-websocket-protocol"), "426", "the worker none"),
        ("one of two", upgrade("chat, herd.1"), "101", "herd.1"),
        ("no upgrade", without("upgrade"), "400", "pgrade"),
        ("no connection: upgrade", without("connection"), "400", "onnection"),
        ("no key", without("sec-websocket-key"), "400", "ey"),
        ("no version", without("sec-websocket-version"), "400", "ersion"),
        ("another version", good.replace("version: 13", "version: 12"), "400", "13"),
        ("a POST", good.replace("GET ", "POST "), "405", ""),
        ("an unknown path", get("/v1/nothing", ""), "404", ""),
        ("a shard without token", get(&shard, ""), "401", "does not admit"),
        (
            "a shard with a wrong token",
            get(&shard, "authorization: Bearer x\r\n"),
            "401",
            "does not admit",
        ),
        ("no such shard", get(&shard, &bearer), "404", "no such shard"),
        ("a path up", get("/assets/..%2f..%2f/etc", ""), "404", ""),
        ("garbage", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), "400", ""),
        (
            "a long head",
            get("/join", &format!("x: {}\r\n", "y".repeat(REQUEST_HEAD_BYTES_MAX))),
            "431",
            "",
        ),
        ("many headers", get("/join", &"x: y\r\n".repeat(1000)), "431", ""),
    ];
    let mut findings = Vec::new();
    for (name, request, status, words) in cases {
        let answer = raw::ask(&invitation, &request);
        if !answer.starts_with(&format!("HTTP/1.1 {status} ")) || !answer.contains(words) {
            findings.push(format!("{name}: {answer:?}, not {status} {words:?}"));
        }
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

/// Sends byte after byte, one a second, until the other end is gone; at most these.
fn trickle(mut stream: TcpStream, bytes: Vec<u8>) {
    thread::spawn(move || {
        for byte in bytes {
            if stream.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_secs(1));
        }
    });
}

#[test]
fn who_is_silent_or_slow_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let (_herd, invitation) = coordinator(&folder);
    // In parallel: each waits for a timeout of the coordinator's.
    let mut silent = raw::tcp(&invitation);
    let mut slow = raw::tcp(&invitation);
    trickle(slow.try_clone().unwrap(), raw::upgrade(&invitation, "herd.1").into_bytes());
    let mut idle = raw::tcp(&invitation);
    idle.write_all(b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    raw::answer(&mut idle).unwrap();
    let greeting = RawSocket::connect(&invitation);
    trickle(greeting.stream.try_clone().unwrap(), raw::frame(FIN | BINARY, &[0; 100]));
    let pinging = RawSocket::connect(&invitation);
    trickle(pinging.stream.try_clone().unwrap(), raw::frame(FIN | raw::PING, b"").repeat(100));
    let speaking = super::frames::join(&invitation, 1);
    trickle(speaking.stream.try_clone().unwrap(), raw::frame(FIN | BINARY, &[0; 100]));

    for (name, stream) in [("silent", &mut silent), ("slow", &mut slow), ("idle", &mut idle)] {
        let mut said = Vec::new();
        match stream.read_to_end(&mut said) {
            // A close with bytes that nobody read arrives as a reset.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("{name}: {error}"),
            Ok(_) => assert!(!said.starts_with(b"HTTP/1.1 1"), "{name}: it was let in"),
        }
    }
    let silence = "nothing was heard of the worker for too long".to_owned();
    let cut = End::Closed { code: Some(POLICY), reason: silence };
    assert_eq!(greeting.end(), cut, "a slow Hello");
    assert_eq!(pinging.end(), cut, "pings are no Hello");
    assert_eq!(speaking.end(), cut, "a slow message");
}
