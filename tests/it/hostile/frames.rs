//! WebSocket frames, after groups 1 to 7 and 9 of the Autobahn test suite.

use protocol::limits::MESSAGE_BYTES_MAX;
use protocol::{Outcome, Reason, ToCoordinator, ToWorker, frame};
use tests::process::Invitation;
use tests::raw::{
    self, BINARY, CLOSE, CONTINUATION, End, FIN, Frame, PING, PONG, RawSocket, TEXT, head,
};
use tests::stranger::{NO_LEASE, hello};

use super::{Beside, Findings, PROTOCOL};

/// A raw connection whose session was let in.
pub(super) fn join(invitation: &Invitation, number: u64) -> RawSocket {
    let mut socket = RawSocket::connect(invitation);
    let hello = frame::encode(&hello(&invitation.token, number, 0), &[]).unwrap();
    socket.send(&raw::frame(FIN | BINARY, &hello));
    for _ in 0..2 {
        assert_eq!(
            socket.read_frame().map(|frame| frame.first),
            Some(FIN | BINARY),
            "Welcome, Assign"
        );
    }
    socket
}

/// Frames one after the other.
fn frames<const N: usize>(frames: [(u8, &[u8]); N]) -> Vec<u8> {
    frames.iter().flat_map(|(first, payload)| raw::frame(*first, payload)).collect()
}

/// What breaks RFC 6455 or Herd's limits, and words of the reason with which it is closed.
fn broken() -> Vec<(String, Vec<u8>, &'static str)> {
    let mut cases = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>, words| cases.push((name.to_owned(), bytes, words));
    for (name, bit) in [("rsv1", 0x40), ("rsv2", 0x20), ("rsv3", 0x10)] {
        add(name, raw::frame(FIN | bit | BINARY, b"x"), "Reserved bits");
    }
    add("all reserved bits of a ping", raw::frame(FIN | 0x70 | PING, b""), "Reserved bits");
    add("a reserved bit of a close", raw::frame(FIN | 0x10 | CLOSE, b""), "Reserved bits");
    for opcode in 3..=7 {
        add(&format!("opcode {opcode}"), raw::frame(FIN | opcode, b"x"), "invalid opcode");
    }
    for opcode in 11..=15 {
        add(&format!("opcode {opcode}"), raw::frame(FIN | opcode, b""), "invalid opcode");
    }
    add("an unmasked frame", vec![FIN | BINARY, 2, 0, 0], "unmasked");
    add("an unmasked ping", vec![FIN | PING, 0], "unmasked");
    add("a fragmented ping", raw::frame(PING, b"x"), "Fragmented control");
    add("a fragmented pong", raw::frame(PONG, b"x"), "Fragmented control");
    add("a fragmented close", raw::frame(CLOSE, b""), "Fragmented control");
    add("a ping of 126 bytes", raw::frame(FIN | PING, &[0; 126]), "too big");
    add("a close of 126 bytes", raw::frame(FIN | CLOSE, &[3; 126]), "too big");
    add("a continuation of nothing", raw::frame(FIN | CONTINUATION, b"x"), "nothing to continue");
    add("an open one", raw::frame(CONTINUATION, b"x"), "nothing to continue");
    let within = |first| frames([(BINARY, b"x"), (first, b"y")]);
    add("a message in a message", within(FIN | BINARY), "waiting for more fragments");
    add("a text in a message", within(FIN | TEXT), "waiting for more fragments");
    add("a text", raw::frame(FIN | TEXT, b"hello"), "text messages have no meaning");
    let text = frames([(TEXT, b"hel"), (FIN | CONTINUATION, b"lo")]);
    add("a text in two", text, "text messages have no meaning");
    add("a text that is no UTF-8", raw::frame(FIN | TEXT, &[0xc3, 0x28]), "UTF-8");
    add("a close of one byte", raw::frame(FIN | CLOSE, &[3]), "Invalid close");
    add(
        "a close with a reason that is no UTF-8",
        raw::frame(FIN | CLOSE, &[3, 0xe8, 0xff]),
        "UTF-8",
    );
    add("no bytes", raw::frame(FIN | BINARY, b""), "does not decode");
    // A header alone: what is too long is refused before it comes.
    let max = MESSAGE_BYTES_MAX as u64;
    for (name, length) in
        [("one byte too many", max + 1), ("2^63 bytes", 1 << 63), ("2^63 - 1", i64::MAX as u64)]
    {
        let masked = [&head(FIN | BINARY, 64, length)[..], &[0; 4]].concat();
        add(name, masked, "too long");
    }
    let almost = vec![0; MESSAGE_BYTES_MAX];
    let over = frames([(BINARY, &almost), (FIN | CONTINUATION, b"x")]);
    add("one byte too many, in two", over, "too long");
    // `Chunk`, transfer 1, offset 0: the frame is as long as can be, its payload longer than any.
    let mut longest = vec![0; MESSAGE_BYTES_MAX];
    longest[..3].copy_from_slice(&[6, 1, 0]);
    add("the longest message", raw::frame(FIN | BINARY, &longest), "a payload of 1049597 bytes");
    cases
}

#[test]
fn frames_that_break_the_rules_end_their_session_with_a_reason() {
    let beside = Beside::start();
    let mut findings = Findings::default();
    for (number, (name, bytes, words)) in (100..).zip(broken()) {
        let mut socket = join(&beside.invitation, number);
        socket.send(&bytes);
        match socket.end() {
            End::Closed { code, reason } => {
                findings.check(&name, &(code.unwrap_or(0), reason), PROTOCOL, words);
            }
            End::Cut => findings.0.push(format!("{name}: cut without a reason")),
        }
    }
    findings.assert_none();
    let summary = beside.end();
    assert_eq!(summary["workers"].as_array().unwrap().len(), 1, "{summary}");
}

#[test]
fn close_frames_are_answered_as_the_standard_says() {
    let beside = Beside::start();
    let mut findings = Vec::new();
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    let invalid = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
    let cases = valid.map(|code| (code, code)).into_iter();
    let cases = cases.chain(invalid.map(|code| (code, PROTOCOL)));
    for (number, (code, answer)) in (200..).zip(cases) {
        let mut socket = join(&beside.invitation, number);
        let payload = [&u16::to_be_bytes(code)[..], b"bye"].concat();
        socket.send(&raw::frame(FIN | CLOSE, &payload));
        match socket.end() {
            End::Closed { code: Some(came), .. } if came == answer => {}
            other => findings.push(format!("{code}: {other:?}, not {answer}")),
        }
    }
    let mut socket = join(&beside.invitation, 250);
    socket.send(&raw::frame(FIN | CLOSE, b""));
    assert_eq!(socket.end(), End::Closed { code: None, reason: String::new() });
    let mut socket = join(&beside.invitation, 251);
    let longest = [&1000u16.to_be_bytes()[..], &[b'x'; 123]].concat();
    socket.send(&raw::frame(FIN | CLOSE, &longest));
    assert_eq!(socket.end(), End::Closed { code: Some(1000), reason: "x".repeat(123) });
    assert!(findings.is_empty(), "{findings:#?}");
    beside.end();
}

/// Waits for a pong that says this; other pongs are passed over.
#[track_caller]
fn assert_pong(socket: &mut RawSocket, payload: &[u8]) {
    loop {
        match socket.control() {
            Some(Frame { first, payload: came }) if first == FIN | PONG => {
                if came == payload {
                    return;
                }
            }
            other => panic!("{other:?} is no pong"),
        }
    }
}

/// Waits for the answer to a pull of [`NO_LEASE`].
#[track_caller]
fn assert_answered(socket: &mut RawSocket, name: &str) {
    loop {
        let came = socket.read_frame().unwrap_or_else(|| panic!("{name}: the session ended"));
        if came.first != FIN | BINARY {
            continue;
        }
        match frame::decode(&came.payload.into()).unwrap().0 {
            ToWorker::Alive => {}
            ToWorker::Ack { lease: NO_LEASE, outcome } => {
                assert_eq!(outcome, Outcome::Rejected(Reason::UnknownLease), "{name}");
                return;
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn frames_within_the_rules_are_taken_in_every_form() {
    let beside = Beside::start();
    let pull = ToCoordinator::Pull { lease: NO_LEASE, pending: vec![NO_LEASE; 16] };
    let pull = frame::encode(&pull, &[]).unwrap();
    assert!(pull.len() > 126, "the form of 16 bits is the shortest");
    let whole = raw::frame(FIN | BINARY, &pull);
    let (a, b) = pull.split_at(10);
    let cases = [
        ("whole", whole.clone()),
        ("in two", frames([(BINARY, a), (FIN | CONTINUATION, b)])),
        (
            "with empty parts",
            frames([(BINARY, b""), (CONTINUATION, &pull), (FIN | CONTINUATION, b"")]),
        ),
        ("around a ping", frames([(BINARY, a), (FIN | PING, b"ping"), (FIN | CONTINUATION, b)])),
        ("around a pong", frames([(BINARY, a), (FIN | PONG, b"pong"), (FIN | CONTINUATION, b)])),
        (
            "after unasked pongs",
            [frames([(FIN | PONG, b""), (FIN | PONG, &[7; 125])]), whole.clone()].concat(),
        ),
        (
            "its length in 64 bits",
            [&head(FIN | BINARY, 64, pull.len() as u64)[..], &whole[4..]].concat(),
        ),
    ];
    let mut socket = join(&beside.invitation, 300);
    for (name, bytes) in &cases {
        socket.send(bytes);
        assert_answered(&mut socket, name);
    }
    let parts: Vec<u8> = pull
        .iter()
        .enumerate()
        .flat_map(|(index, byte)| {
            let last = if index + 1 == pull.len() { FIN } else { 0 };
            let opcode = if index == 0 { BINARY } else { CONTINUATION };
            raw::frame(last | opcode, &[*byte])
        })
        .collect();
    socket.send(&parts);
    assert_answered(&mut socket, "in as many parts as bytes");
    // Nodelay: each byte is a packet of its own.
    socket.stream.set_nodelay(true).unwrap();
    whole.iter().for_each(|byte| socket.send(&[*byte]));
    assert_answered(&mut socket, "byte by byte");

    let binary: Vec<u8> = (0..125).map(|byte| byte ^ 0xff).collect();
    for payload in [&b""[..], b"Herd", &binary] {
        socket.send(&raw::frame(FIN | PING, payload));
        assert_pong(&mut socket, payload);
    }
    // A flood of pings is answered at leisure; none is too many.
    let flood = raw::frame(FIN | PING, b"flood").repeat(1000);
    for _ in 0..20 {
        socket.send(&flood);
    }
    socket.send(&raw::frame(FIN | PING, b"last"));
    assert_pong(&mut socket, b"last");
    socket.send(&whole);
    assert_answered(&mut socket, "after the flood");
    beside.end();
}
