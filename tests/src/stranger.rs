//! A session without any manners of its own: it says what a test wants said.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::message::DeviceKind;
use protocol::{
    Assignment, Hello, Identity, Lease, LeaseId, Outcome, Report, SUBPROTOCOL, ToCoordinator,
    ToWorker, chunk, frame,
};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::process::{Invitation, TIMEOUT};
use crate::raw;

/// A lease that nobody has.
pub const NO_LEASE: LeaseId = LeaseId { incarnation: 1, number: u64::MAX };

/// The connection of one.
#[derive(Debug)]
pub struct Stranger {
    socket: WebSocket<TcpStream>,
}

/// What a stranger says of itself.
#[must_use]
pub fn hello(token: &str, number: u64, slot: u16) -> ToCoordinator {
    let mut identity = [0x5a; 16];
    identity[..8].copy_from_slice(&number.to_le_bytes());
    ToCoordinator::Hello(Hello {
        token: token.to_owned(),
        identity: Identity(identity),
        slot,
        name: format!("stranger {number}"),
        device: DeviceKind::Cpu,
        device_name: String::new(),
        threads: 1,
        software: String::new(),
        leases: Vec::new(),
    })
}

impl Stranger {
    /// Opens the WebSocket and says nothing.
    ///
    /// # Panics
    /// When the coordinator refuses.
    #[must_use]
    pub fn connect(invitation: &Invitation) -> Self {
        let stream = raw::tcp(invitation);
        let address = format!("ws://{}/v1/worker", invitation.host());
        let mut request = address.into_client_request().expect("an address");
        let subprotocol = SUBPROTOCOL.parse().expect("a header");
        request.headers_mut().insert("sec-websocket-protocol", subprotocol);
        let (socket, _) = tungstenite::client(request, stream).expect("an upgrade");
        Self { socket }
    }

    /// A session that was let in, and what it was assigned.
    ///
    /// # Panics
    /// When the coordinator refuses.
    #[must_use]
    #[track_caller]
    pub fn join(invitation: &Invitation, number: u64, slot: u16) -> (Self, Assignment) {
        let mut stranger = Self::connect(invitation);
        stranger.say(&hello(&invitation.token, number, slot), &[]);
        let welcome = stranger.hear();
        assert!(matches!(welcome, ToWorker::Welcome { .. }), "{welcome:?}");
        match stranger.hear() {
            ToWorker::Assign(assignment) => (stranger, assignment),
            other => panic!("{other:?} is no assignment"),
        }
    }

    /// Sends a message of the protocol.
    ///
    /// # Panics
    /// When it breaks a limit, or the connection is closed.
    #[track_caller]
    pub fn say(&mut self, message: &ToCoordinator, payload: &[u8]) {
        let frame = frame::encode(message, payload).expect("a message within limits");
        self.send(Message::Binary(frame));
    }

    /// Sends anything.
    ///
    /// # Panics
    /// When the connection is closed.
    #[track_caller]
    pub fn send(&mut self, message: Message) {
        self.socket.send(message).expect("the connection is open");
    }

    /// Sends a message; false when the connection is closed.
    pub fn try_say(&mut self, message: &ToCoordinator) -> bool {
        let frame = frame::encode(message, &[]).expect("a message within limits");
        self.socket.send(Message::Binary(frame)).is_ok()
    }

    /// Pings once a second from now on, as long as the connection is there. Nothing else may be said
    /// meanwhile.
    ///
    /// # Panics
    /// When the system gives no second handle of the connection.
    pub fn keep_pinging(&mut self) {
        let mut stream = self.socket.get_ref().try_clone().expect("a second handle");
        thread::spawn(move || {
            while stream.write_all(&raw::frame(raw::FIN | raw::PING, b"")).is_ok() {
                thread::sleep(Duration::from_secs(1));
            }
        });
    }

    /// The coordinator's next message.
    ///
    /// # Panics
    /// When the session ends, or nothing comes in time.
    #[track_caller]
    pub fn hear(&mut self) -> ToWorker {
        self.hear_all().0
    }

    /// The coordinator's next message and its payload; signs of life are passed over.
    #[track_caller]
    fn hear_all(&mut self) -> (ToWorker, Bytes) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            assert!(Instant::now() < deadline, "nothing but signs of life came");
            match self.socket.read().expect("a message") {
                Message::Binary(bytes) => match frame::decode(&bytes).expect("a frame") {
                    (ToWorker::Alive, _) => {}
                    heard => return heard,
                },
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?} is no message of the protocol"),
            }
        }
    }

    /// Asks for a lease, and waits for it.
    ///
    /// # Panics
    /// When something else comes.
    #[track_caller]
    pub fn lease(&mut self, assignment: &Assignment) -> Lease {
        self.say(&ToCoordinator::LeaseRequest { run: assignment.run }, &[]);
        match self.hear() {
            ToWorker::Lease(lease) => lease,
            other => panic!("{other:?} is no lease"),
        }
    }

    /// Pulls parameters for a lease, and waits for all of them.
    ///
    /// # Panics
    /// When something else comes.
    #[track_caller]
    pub fn pull(&mut self, lease: LeaseId) -> Vec<u8> {
        self.say(&ToCoordinator::Pull { lease, pending: Vec::new() }, &[]);
        let (mut message, mut piece) = self.hear_all();
        let ToWorker::Parameters { total, .. } = message else { panic!("{message:?}") };
        let mut payload = piece.to_vec();
        while (payload.len() as u64) < total {
            (message, piece) = self.hear_all();
            assert!(matches!(message, ToWorker::Chunk { .. }), "{message:?}");
            payload.extend_from_slice(&piece);
        }
        payload
    }

    /// Offers a delta, and waits for the grant.
    ///
    /// # Panics
    /// When it is not granted.
    #[track_caller]
    pub fn offer(&mut self, lease: LeaseId, bytes: u64) {
        self.say(&ToCoordinator::Offer { lease, bytes }, &[]);
        assert_eq!(self.hear(), ToWorker::Grant { lease });
    }

    /// Offers and uploads a delta; what becomes of it.
    ///
    /// # Panics
    /// When it is neither taken nor refused.
    #[track_caller]
    pub fn push(&mut self, lease: LeaseId, samples: u64, payload: &[u8]) -> Outcome {
        self.offer(lease, payload.len() as u64);
        for (offset, piece) in chunk::pieces(payload) {
            let message = match offset {
                0 => delta(lease, payload.len() as u64, samples),
                _ => ToCoordinator::Chunk { transfer: 1, offset },
            };
            self.say(&message, piece);
        }
        self.outcome(lease)
    }

    /// Waits for what became of a delta.
    ///
    /// # Panics
    /// When something else comes.
    #[track_caller]
    pub fn outcome(&mut self, lease: LeaseId) -> Outcome {
        match self.hear() {
            ToWorker::Ack { lease: of, outcome } if of == lease => outcome,
            other => panic!("{other:?} is no answer to {lease}"),
        }
    }

    /// The code and the reason with which the coordinator closes the session.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn closed(mut self) -> (u16, String) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            assert!(Instant::now() < deadline, "the session is not closed");
            match self.socket.read() {
                Ok(Message::Close(Some(frame))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("the session is not closed with a reason: {other:?}"),
            }
        }
    }
}

/// The message that starts transfer 1.
#[must_use]
pub fn delta(lease: LeaseId, total: u64, samples: u64) -> ToCoordinator {
    let report = Report { steps: 1, samples, loss_sum: samples as f64, busy_us: 1000 };
    ToCoordinator::Delta { lease, transfer: 1, total, report }
}
