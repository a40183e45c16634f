//! A worker that does not train: it pushes the delta of one lease while it pulls for the next.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use protocol::{LeaseId, Outcome, Reason, SUBPROTOCOL, ToCoordinator, ToWorker, chunk, frame};
use tests::process::Invitation;
use tests::stranger::{delta, hello};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::{Count, config};

type Socket = WebSocketStream<TcpStream>;

/// What is to be sent.
enum Outgoing {
    Message(ToCoordinator),
    Delta(LeaseId),
}

/// Exchanges deltas for parameters until the end; exchanges a second, and the bytes of each way.
pub(crate) async fn exchange(
    invitation: &Invitation,
    number: u64,
    end: Instant,
) -> Result<(f64, usize)> {
    let (mut sink, mut stream) = connect(invitation).await?.split();
    let name = frame::encode(&hello(&invitation.token, number, 0), &[])?;
    sink.send(Message::Binary(name)).await?;
    let assignment = loop {
        match hear(&mut stream).await? {
            (ToWorker::Assign(assignment), _) => break assignment,
            (ToWorker::Refused { reason, .. }, _) => bail!("the coordinator refuses: {reason}"),
            _ => {}
        }
    };
    let elements = assignment.table.elements();
    let values: Vec<f32> =
        (0..elements).map(|place| ((place * 37 % 101) as f32 - 50.0) * 1e-9).collect();
    let payload = Bytes::from(assignment.upload.encode(&assignment.table, &values));
    let length = payload.len();
    let (outgoing, queue) = mpsc::unbounded_channel();
    // Ends with the queue; what it fails with the reader sees as the end of the connection.
    tokio::spawn(send(sink, payload, queue));
    let request = ToCoordinator::LeaseRequest { run: assignment.run };
    outgoing.send(Outgoing::Message(request.clone()))?;
    let mut count = Count::new();
    let mut cycle = Cycle::default();
    while Instant::now() < end {
        let (message, bytes) = hear(&mut stream).await?;
        cycle.hear(message, bytes, &outgoing)?;
        if let Some(lease) = cycle.next
            && cycle.pushing.is_none()
            && cycle.due == Some(0)
        {
            count.exchanged();
            cycle = Cycle { pushing: Some(lease), ..Cycle::default() };
            outgoing
                .send(Outgoing::Message(ToCoordinator::Offer { lease, bytes: length as u64 }))?;
            outgoing.send(Outgoing::Message(request.clone()))?;
        }
    }
    Ok((count.rate()?, length))
}

async fn connect(invitation: &Invitation) -> Result<Socket> {
    let stream = TcpStream::connect(invitation.host()).await?;
    stream.set_nodelay(true)?;
    let mut request = format!("{}/v1/worker", invitation.address).into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
    Ok(client_async_with_config(request, stream, Some(config())).await?.0)
}

async fn hear(stream: &mut SplitStream<Socket>) -> Result<(ToWorker, u64)> {
    loop {
        match stream.next().await.context("the connection ended")?? {
            Message::Binary(bytes) => {
                let (message, payload) = frame::decode(&bytes)?;
                return Ok((message, payload.len() as u64));
            }
            Message::Close(frame) => bail!("the coordinator closed: {frame:?}"),
            _ => {}
        }
    }
}

async fn send(
    mut sink: SplitSink<Socket, Message>,
    payload: Bytes,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
) -> Result<()> {
    // Encoded once, as a floor would; the first piece goes with a message of its own.
    let mut chunks = Vec::new();
    for (offset, piece) in chunk::pieces(&payload).skip(1) {
        chunks.push(frame::encode(&ToCoordinator::Chunk { transfer: 1, offset }, piece)?);
    }
    let (_, first) = chunk::pieces(&payload).next().context("a model has values")?;
    while let Some(outgoing) = queue.recv().await {
        match outgoing {
            Outgoing::Message(message) => {
                sink.feed(Message::Binary(frame::encode(&message, &[])?)).await?;
            }
            Outgoing::Delta(lease) => {
                let begin = delta(lease, payload.len() as u64, 1);
                sink.feed(Message::Binary(frame::encode(&begin, first)?)).await?;
                for chunk in &chunks {
                    sink.feed(Message::Binary(chunk.clone())).await?;
                }
            }
        }
        sink.flush().await?;
    }
    Ok(())
}

/// One lease's delta on its way, and the parameters for the next.
#[derive(Default)]
struct Cycle {
    /// Its delta has no answer yet.
    pushing: Option<LeaseId>,
    next: Option<LeaseId>,
    /// Bytes of parameters that are still to come; none before they begin.
    due: Option<u64>,
}

impl Cycle {
    fn hear(
        &mut self,
        message: ToWorker,
        bytes: u64,
        outgoing: &mpsc::UnboundedSender<Outgoing>,
    ) -> Result<()> {
        match message {
            ToWorker::Lease(lease) => {
                self.next = Some(lease.id);
                let pending = self.pushing.into_iter().collect();
                let pull = ToCoordinator::Pull { lease: lease.id, pending };
                outgoing.send(Outgoing::Message(pull))?;
            }
            ToWorker::Grant { lease } => outgoing.send(Outgoing::Delta(lease))?,
            ToWorker::Parameters { total, .. } => self.due = Some(total - bytes),
            ToWorker::Chunk { .. } => {
                let due = self.due.context("a chunk of nothing")?;
                self.due = Some(due.checked_sub(bytes).context("more than was announced")?);
            }
            ToWorker::Ack { lease, outcome } if self.pushing == Some(lease) => match outcome {
                Outcome::Merged(_) | Outcome::Rejected(Reason::Duplicate) => self.pushing = None,
                Outcome::Rejected(reason) => bail!("a delta was refused: {}", reason.name()),
            },
            ToWorker::Refused { reason, .. } | ToWorker::Ended { reason, .. } => bail!(reason),
            _ => {}
        }
        Ok(())
    }
}
