//! Sessions that do not keep to the protocol: each is closed with a reason, and the run of an
//! honest worker beside them loses nothing.

use std::net::TcpStream;

use bytes::Bytes;
use protocol::message::DeviceKind;
use protocol::{
    Hello, Identity, LeaseId, Outcome, Reason, Report, SUBPROTOCOL, ToCoordinator, ToWorker, frame,
};
use tests::process::{Invitation, TIMEOUT, herd};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

/// A session without any manners of its own.
struct Stranger {
    socket: WebSocket<TcpStream>,
}

impl Stranger {
    fn connect(invitation: &Invitation) -> Self {
        let host = invitation.address.strip_prefix("ws://").unwrap();
        let stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut request = format!("ws://{host}/v1/worker").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        let (socket, _) = tungstenite::client(request, stream).unwrap();
        Self { socket }
    }

    /// A session that was let in.
    fn join(invitation: &Invitation, number: u8) -> Self {
        let mut stranger = Self::connect(invitation);
        stranger.say(&hello(&invitation.token, number), &[]);
        assert!(matches!(stranger.hear(), ToWorker::Welcome { .. }));
        assert!(matches!(stranger.hear(), ToWorker::Assign(_)));
        stranger
    }

    fn say(&mut self, message: &ToCoordinator, payload: &[u8]) {
        let frame = frame::encode(message, payload).unwrap();
        self.send(Message::Binary(frame));
    }

    fn send(&mut self, message: Message) {
        self.socket.send(message).unwrap();
    }

    /// The coordinator's next message.
    fn hear(&mut self) -> ToWorker {
        loop {
            match self.socket.read().unwrap() {
                Message::Binary(bytes) => return frame::decode(&bytes).unwrap().0,
                Message::Ping(_) => {}
                other => panic!("{other:?} is no message of the protocol"),
            }
        }
    }

    /// The code and the reason with which the coordinator closes the session.
    fn closed(mut self) -> (u16, String) {
        loop {
            match self.socket.read() {
                Ok(Message::Close(Some(frame))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Ok(Message::Binary(_) | Message::Ping(_)) => {}
                other => panic!("the session is not closed with a reason: {other:?}"),
            }
        }
    }
}

fn hello(token: &str, number: u8) -> ToCoordinator {
    ToCoordinator::Hello(Hello {
        token: token.to_owned(),
        identity: Identity([number; 16]),
        slot: 0,
        name: format!("stranger {number}"),
        device: DeviceKind::Cpu,
        device_name: String::new(),
        threads: 1,
        software: String::new(),
        leases: Vec::new(),
    })
}

/// A lease that nobody has.
const NO_LEASE: LeaseId = LeaseId { incarnation: 1, number: u64::MAX };

fn delta() -> ToCoordinator {
    let report = Report { steps: 1, samples: 1, loss_sum: 0.0, busy_us: 1 };
    ToCoordinator::Delta { lease: NO_LEASE, transfer: 1, total: 4, report }
}

const PROTOCOL: u16 = 1002;
const POLICY: u16 = 1008;

#[test]
fn sessions_that_break_the_protocol_are_closed_and_cost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["train", "--json", "--workers", "0", "--epochs", "60", "--validation-split", "0"];
    let mut herd = herd(&flags).folder(folder.path()).start();
    let invitation = herd.invitation();
    let honest = invitation.worker("honest").start();
    herd.wait_for("epoch   1/60");

    let garbage = Message::Binary(Bytes::from_static(&[0xff; 100]));
    let mut refused = Vec::new();
    let mut check = |name: &str, stranger: Stranger, code: u16, words: &str| {
        let (came, reason) = stranger.closed();
        if came != code || !reason.contains(words) {
            refused.push(format!("{name}: {came} {reason:?}, not {code} {words:?}"));
        }
    };
    let mut stranger = Stranger::connect(&invitation);
    stranger.send(garbage.clone());
    check("garbage first", stranger, PROTOCOL, "does not decode");
    let mut stranger = Stranger::connect(&invitation);
    stranger.send(Message::text("hello"));
    check("text", stranger, PROTOCOL, "text messages have no meaning");
    let mut stranger = Stranger::connect(&invitation);
    stranger.say(&ToCoordinator::Pull { lease: NO_LEASE, pending: Vec::new() }, &[]);
    check("no Hello", stranger, PROTOCOL, "starts with Hello");
    let mut stranger = Stranger::connect(&invitation);
    stranger.say(&hello("guess", 1), &[]);
    assert!(matches!(stranger.hear(), ToWorker::Refused { retry: false, .. }));
    check("wrong token", stranger, POLICY, "the token does not admit");

    let mut stranger = Stranger::join(&invitation, 2);
    stranger.send(garbage);
    check("garbage later", stranger, PROTOCOL, "does not decode");
    let mut stranger = Stranger::join(&invitation, 3);
    stranger.say(&hello(&invitation.token, 3), &[]);
    check("Hello again", stranger, PROTOCOL, "one Hello");
    let mut stranger = Stranger::join(&invitation, 4);
    stranger.say(&delta(), &[0; 4]);
    check("a delta without grant", stranger, POLICY, "not granted");
    let mut stranger = Stranger::join(&invitation, 5);
    stranger.say(&ToCoordinator::Chunk { transfer: 1, offset: 0 }, &[0; 4]);
    check("a chunk of nothing", stranger, PROTOCOL, "chunk of no transfer");

    // What names a lease of another worker, or of nobody, is refused or without effect.
    let mut stranger = Stranger::join(&invitation, 6);
    let leases = (1..=40).map(|number| LeaseId { number, ..NO_LEASE }).chain([NO_LEASE]);
    for lease in leases {
        stranger.say(&ToCoordinator::Progress { lease, steps: u64::MAX }, &[]);
        stranger.say(&ToCoordinator::Release { lease, reason: String::new() }, &[]);
        let outcome = Outcome::Rejected(Reason::UnknownLease);
        for message in [
            ToCoordinator::Pull { lease, pending: vec![lease] },
            ToCoordinator::Offer { lease, bytes: u64::MAX },
        ] {
            stranger.say(&message, &[]);
            assert_eq!(stranger.hear(), ToWorker::Ack { lease, outcome }, "to {message:?}");
        }
    }
    stranger.say(&ToCoordinator::Bye { reason: "enough".to_owned() }, &[]);
    check("Bye", stranger, 1000, "enough");
    assert!(refused.is_empty(), "{refused:#?}");

    let worker = honest.finish();
    worker.assert_worker_ended("the run is complete");
    let finished = herd.finish();
    assert_eq!(finished.code, Some(0), "{finished}");
    let summary = finished.json();
    assert_eq!(summary["samples"], 60 * 8000, "{summary}");
    let workers = summary["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 1, "strangers trained nothing: {summary}");
    assert_eq!(
        (&workers[0]["name"], &workers[0]["samples"]),
        (&"honest".into(), &(60 * 8000).into())
    );
    assert_eq!(workers[0]["rejected"], serde_json::json!({}), "{summary}");
    assert!(summary["test_accuracy"].as_f64() >= Some(0.92), "{summary}");
}

#[test]
fn silence_before_hello_is_cut_off_and_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut herd =
        herd(&["train", "--workers", "0", "--epochs", "1"]).folder(folder.path()).start();
    let invitation = herd.invitation();
    // One connection that says nothing at all, one that stops after the upgrade.
    let host = invitation.address.strip_prefix("ws://").unwrap();
    let mute = TcpStream::connect(host).unwrap();
    let silent = Stranger::connect(&invitation);
    let worker = invitation.worker("honest").run();
    worker.assert_worker_ended("the run is complete");
    let finished = herd.finish();
    assert_eq!(finished.code, Some(0), "open connections do not hold a run's end up: {finished}");
    drop((mute, silent));
}
