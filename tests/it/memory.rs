//! Memory of a coordinator: it is the model's, not the fleet's.
//!
//! Fake workers that speak the protocol pull a model of ten million parameters again and again, and
//! push deltas of zeros. All of them run in this process; the coordinator is a real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use protocol::{
    Assignment, LeaseId, Outcome, Reason, SUBPROTOCOL, ToCoordinator, ToWorker, chunk, frame,
};
use tests::process::{self, Invitation, Running, TIMEOUT, herd};
use tests::stranger::{delta, hello};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Values of the model below.
const PARAMETERS: u64 = 10_011_995;

/// The coordinator's peak, in models as f32, with 8 workers and with 64: the program itself takes as
/// much as one, then come master, momentum, the copy that is evaluated, and encoded models, which are a
/// half each: three deltas, four versions on their way where reading is slow, the current one and memory
/// that is kept for the next. That is 8.5; a half is for the buffers of 64 sessions, a half for the allocator.
const MODELS_MAX: f64 = 9.5;

const JOB: &str = r#"
seed = 1
[data]
source = "rows.csv"
label = "kind"
test_split = 0.1
validation_split = 0.1
[model]
input = [2]
loss = "sparse_categorical_crossentropy"
optimizer = { type = "sgd", learning_rate = 0.01 }
layers = [
    { type = "dense", units = 3000, activation = "relu" },
    { type = "dense", units = 3331, activation = "relu" },
    { type = "dense", units = 2, activation = "softmax" },
]
[training]
frequency = "batch"
batch_size = 1
"#;

/// A coordinator that trains the job for so many epochs of 40 leases.
pub(crate) fn coordinator(folder: &tempfile::TempDir, epochs: u32) -> Running {
    let rows: String = (0..50).map(|row| format!("{row},{},k{}\n", row % 7, row % 2)).collect();
    std::fs::write(folder.path().join("rows.csv"), format!("a,b,kind\n{rows}")).unwrap();
    std::fs::write(folder.path().join("job.toml"), JOB).unwrap();
    let epochs = epochs.to_string();
    let flags = ["train", "job.toml", "--json", "--workers", "0", "--epochs", &epochs];
    herd(&flags).folder(folder.path()).start()
}

/// A worker that trains nothing.
struct Fake {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    assignment: Assignment,
}

impl Fake {
    async fn join(invitation: &Invitation, number: u64) -> Self {
        let address = format!("ws://{}/v1/worker", invitation.host());
        let mut request = address.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let hello = frame::encode(&hello(&invitation.token, number, 0), &[]).unwrap();
        socket.send(Message::Binary(hello)).await.unwrap();
        let welcome = hear(&mut socket).await;
        assert!(matches!(welcome, Some(ToWorker::Welcome { .. })), "{welcome:?}");
        match hear(&mut socket).await {
            Some(ToWorker::Assign(assignment)) => Self { socket, assignment },
            other => panic!("{other:?} is no assignment"),
        }
    }

    async fn say(&mut self, message: &ToCoordinator, payload: &[u8]) {
        let frame = frame::encode(message, payload).unwrap();
        // The run may be over, which is heard next.
        let _ = self.socket.send(Message::Binary(frame)).await;
    }

    /// Leases, pulls and pushes until the run is over.
    async fn work(mut self, payload: Bytes, pushes: Arc<AtomicU64>) {
        while let Some(lease) = self.lease().await {
            let Some(outcome) = self.push(lease, &payload).await else { return };
            // Idle workers get copies of what others have not delivered; the run may end meanwhile.
            let late = [Reason::Duplicate, Reason::Ended].map(Outcome::Rejected);
            assert!(
                matches!(outcome, Outcome::Merged(_)) || late.contains(&outcome),
                "{outcome:?}"
            );
            pushes.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn lease(&mut self) -> Option<LeaseId> {
        let run = self.assignment.run;
        self.say(&ToCoordinator::LeaseRequest { run }, &[]).await;
        match hear(&mut self.socket).await? {
            ToWorker::Lease(lease) => Some(lease.id),
            other => panic!("{other:?} is no lease"),
        }
    }

    async fn push(&mut self, lease: LeaseId, payload: &Bytes) -> Option<Outcome> {
        self.say(&ToCoordinator::Pull { lease, pending: Vec::new() }, &[]).await;
        let total = payload.len() as u64;
        let mut came = 0;
        while came < total {
            match hear_all(&mut self.socket).await? {
                (ToWorker::Parameters { .. } | ToWorker::Chunk { .. }, piece) => came += piece,
                // Another worker was given the unit too, and was faster.
                (ToWorker::Ack { outcome, .. }, _) => return Some(outcome),
                (other, _) => panic!("{other:?} is no part of the parameters"),
            }
        }
        self.say(&ToCoordinator::Offer { lease, bytes: total }, &[]).await;
        match hear(&mut self.socket).await? {
            ToWorker::Grant { .. } => {}
            ToWorker::Ack { outcome, .. } => return Some(outcome),
            other => panic!("{other:?} is no grant"),
        }
        for (offset, piece) in chunk::pieces(payload) {
            let message = match offset {
                0 => delta(lease, total, 1),
                _ => ToCoordinator::Chunk { transfer: 1, offset },
            };
            self.say(&message, piece).await;
        }
        match hear(&mut self.socket).await? {
            ToWorker::Ack { outcome, .. } => Some(outcome),
            other => panic!("{other:?} is no answer"),
        }
    }
}

async fn hear(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> Option<ToWorker> {
    Some(hear_all(socket).await?.0)
}

/// The next message that matters, with the bytes of its payload; none at the end of the run.
async fn hear_all(
    socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>,
) -> Option<(ToWorker, u64)> {
    loop {
        let message = timeout(TIMEOUT, socket.next()).await.expect("a message in time");
        match message.expect("a message").expect("no error") {
            Message::Binary(bytes) => match frame::decode(&bytes).unwrap() {
                (ToWorker::Alive, _) => {}
                (ToWorker::Ended { .. }, _) => return None,
                (message, payload) => return Some((message, payload.len() as u64)),
            },
            Message::Ping(_) => {}
            other => panic!("{other:?} is no message of the protocol"),
        }
    }
}

/// A process's greatest memory so far, in bytes.
fn peak(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// The peak of a coordinator with so many workers, in models as f32.
#[track_caller]
fn models(workers: u64, epochs: u32) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut herd = coordinator(&folder, epochs);
    let invitation = herd.invitation();
    let id = herd.id();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let pushes = Arc::new(AtomicU64::new(0));
    let highest = Arc::new(AtomicU64::new(0));
    let watched = highest.clone();
    // Up to its end, which writes models too.
    let watch = std::thread::spawn(move || {
        while let Some(bytes) = peak(id) {
            watched.fetch_max(bytes, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    runtime.block_on(async {
        let mut fakes = Vec::new();
        for number in 0..workers {
            fakes.push(Fake::join(&invitation, number).await);
        }
        let assignment = &fakes[0].assignment;
        assert_eq!(assignment.table.elements() as u64, PARAMETERS);
        let payload = Bytes::from(vec![0; assignment.upload.bytes(&assignment.table)]);
        let works = fakes.into_iter().map(|fake| fake.work(payload.clone(), pushes.clone()));
        let works: Vec<_> = works.map(tokio::spawn).collect();
        for work in works {
            timeout(5 * TIMEOUT, work).await.expect("the run ends in time").unwrap();
        }
    });
    let finished = herd.finish();
    watch.join().unwrap();
    assert_eq!(finished.code, Some(0), "{finished}");
    let summary = finished.json();
    let (highest, pushes) = (highest.load(Ordering::Relaxed), pushes.load(Ordering::Relaxed));
    let model = 4 * PARAMETERS;
    let models = highest as f64 / model as f64;
    assert!(pushes >= u64::from(epochs) * 40, "{workers} workers pushed {pushes} deltas");
    assert_eq!(summary["samples"].as_u64(), Some(u64::from(epochs) * 40), "{summary}");
    models
}

#[test]
fn memory_does_not_grow_with_the_fleet() {
    // One after the other: they share the machine's cores.
    let found = [(8, 3), (64, 8)].map(|(workers, epochs)| models(workers, epochs));
    assert!(found.iter().all(|models| *models <= MODELS_MAX), "{found:?} models");
}

#[test]
fn processes_are_measured() {
    assert!(peak(std::process::id()) > Some(1 << 20));
    assert!(process::runs(std::process::id()));
}
