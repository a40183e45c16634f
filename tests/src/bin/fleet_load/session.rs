//! One worker that does not train: it keeps the protocol, waits as long as training would take, and
//! pushes a small delta.
//!
//! As real workers do, it asks for its next lease while it trains and pulls for it when training
//! ends; the upload of the last delta goes on meanwhile.

use std::collections::{HashMap, VecDeque};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use protocol::limits::{MESSAGE_BYTES_MAX, PENDING_MAX};
use protocol::{
    Assignment, LeaseId, Outcome, Reason, RunId, SUBPROTOCOL, ToCoordinator, ToWorker, frame,
};
use tests::process::Invitation;
use tests::stranger::{self, hello};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::sleep_until;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// Connections on the way in together: fewer than an address may have before it shows its token.
const JOINING_MAX: usize = 64;

/// The library's own 128 KiB would be all that thousands of idle sessions cost.
const BUFFER_BYTES: usize = 4 << 10;

/// What a fleet does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Sessions are opened.
    Joining,
    /// Leases are asked for.
    Working,
    /// Sessions end.
    Ending,
}

/// A delta that was merged.
pub(crate) struct Merge {
    /// When its acknowledgement came.
    pub(crate) at: Instant,
    /// From its offer to that.
    pub(crate) waited: Duration,
}

/// What all workers of a fleet share.
pub(crate) struct Load {
    invitation: Invitation,
    /// Time of one lease; none: nothing is waited for.
    cycle: Option<Duration>,
    workers: u64,
    joined: AtomicU64,
    all: Notify,
    doors: Semaphore,
    /// The same for everyone; encoded by the first who joins.
    delta: OnceLock<Bytes>,
}

impl Load {
    /// A fleet of so many workers that need `cycle` for a lease.
    pub(crate) fn new(invitation: Invitation, cycle: Option<Duration>, workers: u64) -> Self {
        Self {
            invitation,
            cycle,
            workers,
            joined: AtomicU64::new(0),
            all: Notify::new(),
            doors: Semaphore::new(JOINING_MAX),
            delta: OnceLock::new(),
        }
    }

    /// Resolves when all are let in.
    pub(crate) async fn all_joined(&self) {
        self.all.notified().await;
    }
}

/// One worker from its connection to the fleet's end; what it saw merged.
pub(crate) async fn run(
    load: std::sync::Arc<Load>,
    number: u64,
    mut phase: watch::Receiver<Phase>,
) -> Result<Vec<Merge>> {
    let door = load.doors.acquire().await?;
    let mut socket = connect(&load.invitation).await?;
    let name = frame::encode(&hello(&load.invitation.token, number, 0), &[])?;
    socket.send(Message::Binary(name)).await?;
    let run = assigned(&mut socket, &load).await?;
    drop(door);
    if load.joined.fetch_add(1, Ordering::Relaxed) + 1 == load.workers {
        load.all.notify_one();
    }
    // A fleet that has worked for long is spread over its leases evenly.
    let phase_of_own = number as f64 / load.workers as f64;
    let mut worker = Worker {
        run,
        delta: load.delta.get().context("it was assigned the run")?.clone(),
        cycle: load.cycle.unwrap_or_default(),
        last_end: Instant::now(),
        leases: VecDeque::new(),
        pulling: None,
        training: None,
        offered: HashMap::new(),
        outgoing: Vec::new(),
        merges: Vec::new(),
    };
    loop {
        let end = worker.training.map(|(_, end)| end);
        tokio::select! {
            changed = phase.changed() => {
                changed?;
                match *phase.borrow_and_update() {
                    Phase::Joining => {}
                    Phase::Working => worker.begin(phase_of_own),
                    Phase::Ending => break,
                }
            }
            message = socket.next() => match message.context("the connection ended")?? {
                Message::Binary(bytes) => worker.hear(&bytes)?,
                Message::Close(frame) => bail!("the coordinator closed: {frame:?}"),
                _ => {}
            },
            () = at(end) => worker.trained(),
        }
        worker.send(&mut socket).await?;
    }
    Ok(worker.merges)
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

async fn connect(invitation: &Invitation) -> Result<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(invitation.host()).await.context(
        "no connection; each worker needs a descriptor here and at the coordinator: see `ulimit -n`",
    )?;
    stream.set_nodelay(true)?;
    let mut request = format!("{}/v1/worker", invitation.address).into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX));
    let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
    Ok(socket)
}

/// Waits for the run that the worker is assigned.
async fn assigned(socket: &mut WebSocketStream<TcpStream>, load: &Load) -> Result<RunId> {
    loop {
        let message = socket.next().await.context("the connection ended")??;
        let Message::Binary(bytes) = message else { continue };
        match frame::decode::<ToWorker>(&bytes)?.0 {
            ToWorker::Assign(assignment) => {
                load.delta.get_or_init(|| delta(&assignment));
                return Ok(assignment.run);
            }
            ToWorker::Refused { reason, .. } => bail!("the coordinator refuses: {reason}"),
            _ => {}
        }
    }
}

/// A delta as training makes it: small, and up and down.
fn delta(assignment: &Assignment) -> Bytes {
    let elements = assignment.table.elements();
    let values: Vec<f32> =
        (0..elements).map(|place| ((place * 37 % 101) as f32 - 50.0) * 1e-7).collect();
    assignment.upload.encode(&assignment.table, &values).into()
}

struct Worker {
    run: RunId,
    delta: Bytes,
    cycle: Duration,
    /// When the last lease's training ended.
    last_end: Instant,
    /// Prefetched.
    leases: VecDeque<LeaseId>,
    /// Its parameters are on their way.
    pulling: Option<LeaseId>,
    /// A lease, and when its training ends.
    training: Option<(LeaseId, Instant)>,
    /// Leases without an answer, with the time of their offer.
    offered: HashMap<LeaseId, Instant>,
    outgoing: Vec<(ToCoordinator, bool)>,
    merges: Vec<Merge>,
}

impl Worker {
    fn begin(&mut self, part: f64) {
        self.last_end = Instant::now() - self.cycle + self.cycle.mul_f64(part);
        self.say(ToCoordinator::LeaseRequest { run: self.run });
    }

    fn say(&mut self, message: ToCoordinator) {
        self.outgoing.push((message, false));
    }

    fn hear(&mut self, bytes: &Bytes) -> Result<()> {
        match frame::decode::<ToWorker>(bytes)?.0 {
            ToWorker::Lease(lease) => {
                self.leases.push_back(lease.id);
                self.pull();
            }
            ToWorker::Parameters { lease, total, .. } => {
                ensure!(total < MESSAGE_BYTES_MAX as u64, "parameters in several messages");
                ensure!(self.pulling.take() == Some(lease), "parameters that nobody pulled");
                self.training = Some((lease, Instant::now().max(self.last_end + self.cycle)));
                self.say(ToCoordinator::LeaseRequest { run: self.run });
            }
            ToWorker::Grant { lease } => {
                self.outgoing.push((stranger::delta(lease, self.delta.len() as u64, 1), true));
            }
            ToWorker::Ack { lease, outcome } => {
                let Some(since) = self.offered.remove(&lease) else {
                    // It was taken back before training began: another one has done it.
                    self.leases.retain(|own| *own != lease);
                    if self.pulling.take_if(|own| *own == lease).is_some() {
                        self.pull();
                    }
                    return Ok(());
                };
                match outcome {
                    Outcome::Merged(_) => {
                        let at = Instant::now();
                        self.merges.push(Merge { at, waited: at - since });
                    }
                    // Where there are more workers than leases, some train copies.
                    Outcome::Rejected(Reason::Duplicate) => {}
                    Outcome::Rejected(reason) => bail!("a delta was refused: {}", reason.name()),
                }
            }
            ToWorker::Refused { reason, .. } | ToWorker::Ended { reason, .. } => bail!(reason),
            _ => {}
        }
        Ok(())
    }

    fn pull(&mut self) {
        if self.training.is_some() || self.pulling.is_some() {
            return;
        }
        let Some(lease) = self.leases.pop_front() else { return };
        let pending = self.offered.keys().copied().take(PENDING_MAX).collect();
        self.pulling = Some(lease);
        self.say(ToCoordinator::Pull { lease, pending });
    }

    fn trained(&mut self) {
        let Some((lease, end)) = self.training.take() else { return };
        self.last_end = end;
        self.offered.insert(lease, Instant::now());
        self.say(ToCoordinator::Offer { lease, bytes: self.delta.len() as u64 });
        self.pull();
    }

    async fn send(&mut self, socket: &mut WebSocketStream<TcpStream>) -> Result<()> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        for (message, payload) in self.outgoing.drain(..) {
            let payload: &[u8] = if payload { &self.delta } else { &[] };
            socket.feed(Message::Binary(frame::encode(&message, payload)?)).await?;
        }
        Ok(socket.flush().await?)
    }
}
