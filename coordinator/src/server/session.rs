//! One worker's session: frames in, frames out. What they mean is decided by the control task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use bytes::Bytes;
use engine::WorkerKey;
use engine::merge::Examination;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use protocol::chunk::{Assembly, Framed, Progress};
use protocol::limits::{
    HELLO_TIMEOUT, IDLE_TIMEOUT, MESSAGES_WAITING_MAX, PING_INTERVAL, WRITE_TIMEOUT,
};
use protocol::message::{ToCoordinator, ToWorker, bounded_text};
use protocol::{Hello, LeaseId, Report, SessionId, frame};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::places::Place;
use super::throttle::Throttle;
use super::transfers::Transfers;
use super::visitors::Visitor;
use super::{Role, Shared};
use crate::run::{ControlEvent, Outgoing};
use crate::tokens::{Bearer, Denied};

/// Why a session ends, with the code that its close frame carries.
#[derive(Debug)]
struct Close {
    code: u16,
    reason: String,
    /// The worker will not come back, or is not welcome: its leases are given up at once.
    goodbye: bool,
    /// Whether a worker that is refused for it may try again later.
    retry: bool,
}

impl Close {
    fn protocol(error: impl std::fmt::Display) -> Self {
        let reason = error.to_string();
        Self { code: close_code::PROTOCOL, reason, goodbye: true, retry: false }
    }

    fn normal(reason: &str) -> Self {
        let reason = reason.to_owned();
        Self { code: close_code::NORMAL, reason, goodbye: false, retry: false }
    }

    fn policy(reason: &str) -> Self {
        let reason = reason.to_owned();
        Self { code: close_code::POLICY, reason, goodbye: true, retry: false }
    }

    /// A connection that is as good as lost.
    fn lost(reason: &str) -> Self {
        Self { goodbye: false, ..Self::policy(reason) }
    }
}

/// Time for the last words of a session, and as much for the worker to end it too.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

const SILENCE: &str = "nothing was heard of the worker for too long";

const UNKNOWN: &str =
    "the token does not admit to this run; use the --token that herd train printed";

const GUESSED: &str = "the token does not admit to this run, and too many wrong ones came from this \
                       address";

/// Runs one session from its upgrade to its end. Its connection is counted as long.
pub(super) async fn run(socket: WebSocket, shared: Arc<Shared>, visitor: Arc<Visitor>) {
    let (sink, stream) = socket.split();
    let open = Transfers::default();
    let mut writer =
        Writer { sink, shared: shared.clone(), open: open.clone(), waiting: VecDeque::new() };
    let throttle = Throttle::new();
    let mut reader = Reader { stream, shared: shared.clone(), assembly: None, open, throttle };
    let close = match reader.admitted(&visitor).await {
        Ok(Admitted { hello, token, place }) => {
            visitor.has_shown_token();
            let close = joined(hello, token, &mut reader, &mut writer, &shared).await;
            drop(place);
            close
        }
        Err(close) => {
            let (reason, retry) = (bounded_text(&close.reason), close.retry);
            // The worker is told even if it will not listen: it may be a person's mistake.
            let _ = writer.message(&ToWorker::Refused { reason, retry }, &[]).await;
            close
        }
    };
    tracing::debug!("session ended: {}", close.reason);
    let frame = CloseFrame { code: close.code, reason: close_text(&close.reason).into() };
    let farewell = async {
        // Fails when the worker closed first: its own frame is then the one that is answered.
        let _ = writer.sink.send(Message::Close(Some(frame))).await;
        let _ = writer.sink.close().await;
    };
    // The other end may be gone already, which is as good.
    let _ = timeout(CLOSE_TIMEOUT, farewell).await;
    let _ = timeout(CLOSE_TIMEOUT, reader.hear_out()).await;
}

/// What fits into a close frame, which carries 125 bytes, two of them the code.
fn close_text(reason: &str) -> &str {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}

/// A worker that is let in.
struct Admitted {
    hello: Hello,
    /// The number of the token that it has shown.
    token: u32,
    place: Place,
}

async fn joined(
    hello: Hello,
    token: u32,
    reader: &mut Reader,
    writer: &mut Writer,
    shared: &Arc<Shared>,
) -> Close {
    let key = WorkerKey(shared.sessions.fetch_add(1, Ordering::Relaxed) + 1);
    let (outgoing, mut queue) = mpsc::channel(MESSAGES_WAITING_MAX);
    let welcome = [
        ToWorker::Welcome {
            session: SessionId(key.0),
            software: concat!("herd ", env!("CARGO_PKG_VERSION")).to_owned(),
        },
        ToWorker::Assign(shared.assignment.clone()),
    ];
    for message in &welcome {
        if let Err(close) = writer.message(message, &[]).await {
            return close;
        }
    }
    let joined = ControlEvent::Joined { worker: key, hello: Box::new(hello), outgoing };
    if shared.control.send(joined).await.is_err() {
        let (run, restarts) = (shared.assignment.run, shared.board.restarts());
        let reason = if restarts { "the coordinator restarts" } else { "the run is over" };
        let message = match reason.to_owned() {
            reason if restarts => ToWorker::Refused { reason, retry: true },
            reason => ToWorker::Ended { run, reason },
        };
        let told = writer.message(&message, &[]).await;
        return told.err().unwrap_or_else(|| Close::normal(reason));
    }
    let ended = tokio::select! {
        close = reader.run(key) => Ok(close),
        close = writer.run(&mut queue) => Ok(close),
        denied = shared.access.tokens.end_of(token) => Err(denied.sentence()),
    };
    let close = match ended {
        Ok(close) => close,
        Err(reason) => {
            let refused = ToWorker::Refused { reason: reason.to_owned(), retry: false };
            writer.message(&refused, &[]).await.err().unwrap_or_else(|| Close::policy(reason))
        }
    };
    let left =
        ControlEvent::Left { worker: key, reason: close.reason.clone(), goodbye: close.goodbye };
    // Nobody listens any more only when the run is over.
    let _ = shared.control.send(left).await;
    close
}

/// A delta that is coming in pieces.
struct Upload {
    lease: LeaseId,
    report: Report,
    assembly: Assembly,
    examination: Examination,
}

struct Reader {
    stream: SplitStream<WebSocket>,
    shared: Arc<Shared>,
    assembly: Option<Upload>,
    open: Transfers,
    throttle: Throttle,
}

impl Reader {
    /// The next binary frame.
    async fn frame(&mut self, limit: Duration) -> Result<Bytes, Close> {
        loop {
            let message =
                timeout(limit, self.stream.next()).await.map_err(|_| Close::lost(SILENCE))?;
            self.throttle.pass().await;
            if self.open.are_overdue() {
                return Err(Close::lost("an upload that was granted does not come"));
            }
            match message {
                Some(Ok(Message::Binary(bytes))) => {
                    self.shared.traffic.up.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    return Ok(bytes);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    return Err(Close::protocol("text messages have no meaning here"));
                }
                Some(Ok(Message::Close(frame))) => {
                    // A browser says so when a tab is closed or leads elsewhere.
                    let goodbye = frame.is_some_and(|frame| frame.code == close_code::AWAY);
                    let closed = Close::normal("the worker closed the connection");
                    return Err(Close { goodbye, ..closed });
                }
                None => return Err(Close::normal("the connection ended")),
                Some(Err(error)) => return Err(Close { goodbye: false, ..Close::protocol(error) }),
            }
        }
    }

    /// Hears out what is under way: the system takes the last words back when it closes a connection
    /// on which bytes came that nobody read.
    async fn hear_out(&mut self) {
        while let Some(Ok(_)) = self.stream.next().await {
            self.throttle.pass().await;
        }
    }

    /// The first message, and what it gives the worker.
    async fn admitted(&mut self, visitor: &Visitor) -> Result<Admitted, Close> {
        // Once for all: pings before it do not count.
        let first = timeout(HELLO_TIMEOUT, self.frame(HELLO_TIMEOUT)).await;
        let bytes = first.map_err(|_| Close::policy(SILENCE))??;
        let (message, _) = frame::decode::<ToCoordinator>(&bytes).map_err(Close::protocol)?;
        let ToCoordinator::Hello(hello) = message else {
            return Err(Close::protocol("a session starts with Hello"));
        };
        let token = self.bearer(&hello.token, visitor).await?.id;
        match self.shared.places.take(hello.identity, hello.slot) {
            Ok(place) => Ok(Admitted { hello, token, place }),
            Err(full) => Err(Close { retry: full.retry(), ..Close::policy(&full.to_string()) }),
        }
    }

    /// Whose token it is, if that is a worker's.
    async fn bearer(&self, token: &str, visitor: &Visitor) -> Result<Bearer, Close> {
        match self.shared.access.tokens.look_up(token).await {
            Ok(bearer) if bearer.role == Role::Worker => Ok(bearer),
            Ok(_) => Err(Close::policy(
                "this token does not let workers in; use the --token that herd train printed after \
                 `join`",
            )),
            Err(Denied::Unknown) => {
                let too_many = self.shared.failures.add(visitor.address()).is_some();
                Err(Close::policy(if too_many { GUESSED } else { UNKNOWN }))
            }
            Err(denied) => Err(Close::policy(denied.sentence())),
        }
    }

    async fn run(&mut self, worker: WorkerKey) -> Close {
        loop {
            let event = match self.event(worker).await {
                Ok(Some(event)) => event,
                Ok(None) => continue,
                Err(close) => return close,
            };
            if self.shared.control.send(event).await.is_err() {
                // The run is over. The writer has that message still to send, and ends the session.
                return std::future::pending().await;
            }
        }
    }

    async fn event(&mut self, worker: WorkerKey) -> Result<Option<ControlEvent>, Close> {
        let bytes = self.frame(IDLE_TIMEOUT).await?;
        let (message, payload) = frame::decode(&bytes).map_err(Close::protocol)?;
        match message {
            ToCoordinator::Hello(_) => Err(Close::protocol("a session has one Hello")),
            ToCoordinator::Bye { reason } => Err(Close { goodbye: true, ..Close::normal(&reason) }),
            ToCoordinator::Delta { lease, transfer, total, report } => {
                if !self.open.begin(lease) {
                    return Err(Close::policy("a delta came whose upload was not granted"));
                }
                let assignment = &self.shared.assignment;
                let limit = assignment.upload.bytes(&assignment.table) as u64;
                if self.assembly.is_some() {
                    return Err(Close::protocol("a delta came before the last one was complete"));
                }
                let bytes = payload.len();
                let progress =
                    Assembly::start(&self.shared.intake.buffers, transfer, total, limit, payload);
                let progress = progress.map_err(Close::protocol)?;
                let new = (report, Examination::default());
                Ok(self.assembled(worker, lease, new, progress, bytes))
            }
            ToCoordinator::Chunk { transfer, offset } => {
                let Upload { lease, report, assembly, examination } = self
                    .assembly
                    .take()
                    .ok_or_else(|| Close::protocol("a chunk of no transfer came"))?;
                let progress = assembly.push(transfer, offset, &payload);
                let progress = progress.map_err(Close::protocol)?;
                Ok(self.assembled(worker, lease, (report, examination), progress, payload.len()))
            }
            ToCoordinator::Pull { lease, .. } => {
                if !self.open.pulled(lease) {
                    return Err(Close::policy("the worker pulls without waiting for the answers"));
                }
                Ok(Some(ControlEvent::Message { worker, message }))
            }
            message => Ok(Some(ControlEvent::Message { worker, message })),
        }
    }

    fn assembled(
        &mut self,
        worker: WorkerKey,
        lease: LeaseId,
        (report, mut examination): (Report, Examination),
        progress: Progress,
        bytes: usize,
    ) -> Option<ControlEvent> {
        self.open.came(bytes, matches!(progress, Progress::Complete(_)));
        match progress {
            Progress::Partial(assembly) => {
                // Now it is in the processor's cache.
                self.shared.intake.examiner.look(&mut examination, assembly.received());
                self.assembly = Some(Upload { lease, report, assembly, examination });
                None
            }
            Progress::Complete(payload) => {
                let examined = self.shared.intake.examiner.result(examination, &payload);
                Some(ControlEvent::Delta { worker, lease, report, payload, examined })
            }
        }
    }
}

struct Writer {
    sink: SplitSink<WebSocket, Message>,
    shared: Arc<Shared>,
    open: Transfers,
    /// Parameters that came while others were sent.
    waiting: VecDeque<Outgoing>,
}

impl Writer {
    async fn run(&mut self, queue: &mut mpsc::Receiver<Outgoing>) -> Close {
        loop {
            let next = match self.waiting.pop_front() {
                Some(waiting) => Ok(Some(waiting)),
                None => timeout(PING_INTERVAL, queue.recv()).await,
            };
            let sent = match next {
                Err(_) => self.sign_of_life().await,
                Ok(Some(outgoing)) => self.outgoing(outgoing, queue).await,
                Ok(None) => return Close::normal("the session was ended by the coordinator"),
            };
            if let Err(close) = sent {
                return close;
            }
        }
    }

    async fn sign_of_life(&mut self) -> Result<(), Close> {
        self.send(Message::Ping(Bytes::new())).await?;
        self.message(&ToWorker::Alive, &[]).await
    }

    async fn outgoing(
        &mut self,
        outgoing: Outgoing,
        queue: &mut mpsc::Receiver<Outgoing>,
    ) -> Result<(), Close> {
        // The place of the version is held until it is sent.
        let (lease, contains, parameters, _place) = match outgoing {
            Outgoing::Message(message) => return self.control(&message).await,
            Outgoing::Parameters { lease, contains, parameters, place } => {
                (lease, contains, parameters, place)
            }
        };
        let version = parameters.version;
        let Framed { first, further, total, checksum } = parameters.payload;
        // The chunks are the same for all who pull this version: it names their transfer.
        let transfer = version.number as u32;
        let announcement =
            ToWorker::Parameters { lease, version, contains, transfer, total, checksum };
        self.message(&announcement, &first).await?;
        // A worker that only listens shows by its pongs that it does.
        let mut signed = Instant::now();
        for chunk in further.iter() {
            self.let_pass(queue).await?;
            if signed.elapsed() >= PING_INTERVAL {
                signed = Instant::now();
                self.sign_of_life().await?;
            }
            self.shared.traffic.down.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            in_time(self.sink.feed(Message::Binary(chunk.clone()))).await?;
        }
        in_time(self.sink.flush()).await?;
        self.open.answered(lease);
        Ok(())
    }

    /// Sends the messages that came while parameters are on their way; further parameters wait.
    async fn let_pass(&mut self, queue: &mut mpsc::Receiver<Outgoing>) -> Result<(), Close> {
        while let Ok(outgoing) = queue.try_recv() {
            match outgoing {
                Outgoing::Message(message) => self.control(&message).await?,
                parameters @ Outgoing::Parameters { .. } => self.waiting.push_back(parameters),
            }
        }
        Ok(())
    }

    async fn control(&mut self, message: &ToWorker) -> Result<(), Close> {
        match message {
            ToWorker::Grant { lease } => self.open.granted(*lease),
            ToWorker::Ack { lease, .. } => self.open.ended(*lease),
            _ => {}
        }
        self.message(message, &[]).await?;
        match message {
            ToWorker::Ended { reason, .. } => Err(Close::normal(reason)),
            ToWorker::Restarting { .. } => Err(Close::normal("the coordinator restarts")),
            ToWorker::Refused { reason, .. } => Err(Close::policy(reason)),
            _ => Ok(()),
        }
    }

    async fn message(&mut self, message: &ToWorker, payload: &[u8]) -> Result<(), Close> {
        self.frame(frame::encode(message, payload).map_err(Close::protocol)?).await
    }

    async fn frame(&mut self, bytes: Bytes) -> Result<(), Close> {
        self.shared.traffic.down.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.send(Message::Binary(bytes)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Close> {
        in_time(self.sink.send(message)).await
    }
}

/// What is written to a worker, unless that takes too long.
async fn in_time(written: impl Future<Output = Result<(), axum::Error>>) -> Result<(), Close> {
    match timeout(WRITE_TIMEOUT, written).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Close { goodbye: false, ..Close::protocol(error) }),
        Err(_) => Err(Close::lost("the worker reads too slowly")),
    }
}
